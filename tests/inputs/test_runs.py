"""Training runs that were stopped, moved or started from something else."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sssd.checkpoints import write_safetensors
from sssd.checks import Notice
from sssd.training.checkpoint import save_model, start_from
from sssd.training.log import read_log
from sssd.training.loop import train
from tests.test_model import network
from tests.test_training import log_of, records, tiny

from .page import row

pytest.importorskip("lightning_fabric")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after 2 of 4 iterations."""
    out = tmp_path_factory.mktemp("stopped")
    train(tiny(n_iters=2, iters_per_ckpt=2), records(), out, accelerator="cpu")
    return out


@row("a log.csv that is cut off, empty, or changed by hand")
@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda log: log[: log.rindex(b",")], 3),
        (lambda log: log[: log.rindex(b"\n2,") + 3], 3),
        (lambda log: log[: log.rindex(b",") + 1] + bytes(20), 3),
        (lambda log: b"", 2),
        (lambda log: log.replace(b"\n2,", b"\ntwo,"), 3),
        (lambda log: log + b"\xff\xfe,,\n", 4),
        (lambda log: log.replace(b"iteration", b"step"), 2),
    ],
    ids=["no seconds", "one cell", "zeros", "empty", "words", "bytes", "header"],
)
def test_an_odd_log_ends_no_run(
    change: Callable[[bytes], bytes],
    kept: int,
    stopped: Path,
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Fails when resuming ends because of what only people read, or when readable rows are lost too."""
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    log = (out / "log.csv").read_bytes()
    (out / "log.csv").write_bytes(change(log))
    done = train(tiny(n_iters=4, iters_per_ckpt=2), records(), out, accelerator="cpu")
    assert done.iterations == 4
    assert [int(line[0]) for line in log_of(out)][-2:] == [3, 4] and len(log_of(out)) == kept
    told = [w for w in recwarn if issubclass(w.category, Notice)]
    assert bool(told) == (change(log) != b"")


@row("`train` into the folder of a run with other recordings or labels")
def test_other_data_are_refused(stopped: Path, tmp_path: Path) -> None:
    """Fails when a run goes on with other recordings without a word."""
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    same = records()
    for name, change in (("labels", 1 - same.labels), ("signal_mv", same.signal_mv + 1)):
        with pytest.raises(
            ValueError, match="last.pt was written with other recordings or labels: train into a new"
        ):
            train(
                tiny(n_iters=4, iters_per_ckpt=2),
                replace(same, **{name: change.astype(getattr(same, name).dtype)}),
                out,
                accelerator="cpu",
            )
    state = torch.load(out / "last.pt", weights_only=True)
    del state["data"]  # as earlier versions wrote it
    torch.save(state, out / "last.pt")
    assert train(tiny(n_iters=4, iters_per_ckpt=2), same, out, accelerator="cpu").iterations == 4


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "iteration,loss,val_loss,seconds\n1,0.5,,1.0\n2,0.4,0.3,2.0\n3,0.3,,3.0\n"
    )
    rows = read_log(tmp_path / "log.csv", 2)
    assert [(r.iteration, r.loss, r.val_loss, r.seconds) for r in rows] == [
        (1, 0.5, None, 1.0),
        (2, 0.4, 0.3, 2.0),
    ]


@row("a last.pt that is cut off, or another file in its place")
@pytest.mark.parametrize("kind", ["cut", "model", "list"])
def test_no_state_of_a_run(kind: str, stopped: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    last = out / "last.pt"
    if kind == "cut":
        last.write_bytes(last.read_bytes()[:-500])
    else:
        torch.save({"model_state_dict": {}} if kind == "model" else [1], last)
    with pytest.raises(ValueError, match=r"last\.pt (cannot be read|is not the state of a run)"):
        train(tiny(n_iters=4, iters_per_ckpt=2), records(), out, accelerator="cpu")


@row("`train --init` with the configuration of a network of another size")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("res_channels", 64),
        ("num_res_layers", 3),
        ("patch", 2),
        ("s4_d_state", 8),
        ("attention_every", 0),
        ("label_embed_dim", 16),
        ("s4_lmax", 2000),
    ],
)
def test_the_option_that_differs_is_named(name: str, value: int, tmp_path: Path) -> None:
    """Fails when PyTorch's words about shapes reach the user, also where only the labels' embedding differs."""
    config = tiny()
    net = network(**config.wavenet_config.model_dump())
    init = save_model(tmp_path / "init.safetensors", net, config)
    other = config.wavenet_config.model_copy(update={name: value, "label_embed_classes": 3})
    data = config.trainset_config.model_copy(update={"label_names": ["AFIB", "LVH", "SR"]})
    changed = config.model_copy(update={"wavenet_config": other, "trainset_config": data})
    with pytest.raises(
        ValueError, match=rf"has wavenet_config\.{name} \d+, and the configuration says {value}"
    ):
        start_from(network(**other.model_dump()), changed, init)


@row("the same training twice")
def test_metadata_in_order(tmp_path: Path) -> None:
    """Safetensors writes its metadata in a random order of each process. Fails when that reaches the file (seen)."""
    code = (
        "import sys, torch; from pathlib import Path; from sssd.checkpoints import write_safetensors; "
        "write_safetensors(sys.argv[1], {'b': torch.ones(3), 'a': torch.zeros(2, 2)}, "
        "{name: 'ä\"' + name for name in ('config', 'cauchy', 'z', 'm', 'k', 'b')})"
    )
    for i in range(3):
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / f"{i}.safetensors"], check=True, env=os.environ
        )
    written = [(tmp_path / f"{i}.safetensors").read_bytes() for i in range(3)]
    written.append(write_safetensors(tmp_path / "x.safetensors", *_content()).read_bytes())
    assert len({hashlib.sha256(data).hexdigest() for data in written}) == 1
    from safetensors import safe_open

    with safe_open(tmp_path / "0.safetensors", framework="pt") as f:
        assert torch.equal(f.get_tensor("a"), torch.zeros(2, 2)) and torch.equal(
            f.get_tensor("b"), torch.ones(3)
        )
        assert f.metadata() == _content()[1]


def _content() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    names = ("b", "k", "m", "z", "cauchy", "config")
    return {"a": torch.zeros(2, 2), "b": torch.ones(3)}, {name: 'ä"' + name for name in names}
