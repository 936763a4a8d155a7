"""Checkpoints as training scripts write them: under any names, with anything beside them; nothing in them is run."""

from __future__ import annotations

import argparse
import collections
import datetime
import gzip
import io
import json
import pathlib
import pickle
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sssd import SSSDECG
from sssd.checkpoints import read_state, state_hash, write_safetensors
from sssd.checks import Notice
from sssd.cli import main
from tests.test_model import network

from .page import row, rows

State = dict[str, Tensor]
NET = network(s4_lmax=1000).state_dict()
OTHER = {name: value * 0.5 if value.is_floating_point() else value for name, value in NET.items()}


def under(prefix: str, state: State = NET) -> State:
    return {prefix + name: value for name, value in state.items()}


def saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "c.pkl")
    return folder / "c.pkl"


def written(save: Callable[..., Any], *content: Any, **options: Any) -> bytes:
    """What a function that saves to a file writes; the content comes first, as in torch.save, or by name."""
    file = io.BytesIO()
    save(*content, file, **options)
    return file.getvalue()


def silently(path: Path) -> State:
    """The state dict of a file that is read without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        return read_state(path)[0]


FORMS = '`{"model_state_dict": ...}`, `{"state_dict": ...}`, `{"model": ...}`, or the tensors alone'
PREFIXES = (
    "names that begin with `model.`, `module.`, `net.`, `denoise_fn.`, `_orig_mod.` or any other prefix"
)
AVERAGES = "averaged weights beside the others: `ema`, `ema_model`, `state_dict_ema`, `swa` ..."
SEVERAL = "several networks in one file, none of them an average"
NAMELESS = "averaged weights without the names of the network: a list, or other names"
BY_CONTENT = "a file whose suffix is another's: safetensors called .bin, torch.save called .safetensors"
BESIDE = "NumPy numbers and arrays, `argparse.Namespace`, paths, dates beside the network"


@rows(
    "content",
    [
        *(
            (FORMS, {key: NET, "epoch": 3})
            for key in ("model_state_dict", "state_dict", "model", "net", "weights")
        ),
        (FORMS, NET),
        (FORMS, collections.OrderedDict(NET)),
        (FORMS, {"checkpoint": {"state_dict": NET}, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}),
        (FORMS, {"ema": NET}),
        *(
            (PREFIXES, {"state_dict": under(prefix)})
            for prefix in (
                "model.",
                "module.",
                "net.",
                "denoise_fn.",
                "_orig_mod.",
                "module._orig_mod.",
                "a.b.c.",
            )
        ),
        (PREFIXES, under("module.") | {"n_averaged": torch.tensor(3)}),
        (PREFIXES, under("net.") | {"criterion.weight": torch.ones(3)}),
        (
            PREFIXES,
            {name.replace("residual_blocks.", "residual_blocks._orig_mod."): v for name, v in NET.items()},
        ),
        (BY_CONTENT, NET),
    ],
)
def test_the_network_is_found(content: Any, tmp_path: Path) -> None:
    """Fails when a form is not known, or what is beside the network is taken for a part of it."""
    assert state_hash(silently(saved(tmp_path, content))) == state_hash(NET)


@rows(
    "content",
    [
        (AVERAGES, {"model": OTHER, "ema": NET}),
        (AVERAGES, {"model_state_dict": OTHER, "ema_state_dict": NET}),
        (AVERAGES, {"state_dict": OTHER, "state_dict_ema": NET}),
        (AVERAGES, {"model": OTHER, "model_ema": {"module": NET}}),
        (AVERAGES, {"model": OTHER, "ema": under("online_model.", OTHER) | under("ema_model.")}),
        (AVERAGES, under("net.", OTHER) | under("net_ema.")),
        *(
            (AVERAGES, {"model": OTHER, key: NET})
            for key in ("swa", "model_avg", "modelEMA", "emaModel", "polyak")
        ),
        (AVERAGES, {"net": OTHER, "netEMA": NET}),
        (AVERAGES, {"params": OTHER, "params_ema": NET}),
    ],
)
def test_averaged_weights_are_preferred(content: Any, tmp_path: Path) -> None:
    """Fails when the raw weights are taken, or nobody is told."""
    with pytest.warns(Notice, match="the averaged weights .* are taken"):
        state, _ = read_state(saved(tmp_path, content))
    assert state_hash(state) == state_hash(NET)


@row(AVERAGES)
def test_the_command_line_notes_which_weights_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, {"model": OTHER, "ema": NET})
    assert main(["inspect", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "note: " in err and "'ema' are taken, not 'model'" in err
    assert "torch file with ema beside model" in out


@rows(
    "content, others",
    [
        (SEVERAL, {"model": NET, "teacher": OTHER}, "'model' are taken, not 'teacher'"),
        (SEVERAL, under("net.") | under("critic.", OTHER), "'net' are taken, not 'critic'"),
        (SEVERAL, {"model": NET, "best_model": OTHER}, "'model' are taken, not 'best_model'"),
        (
            NAMELESS,
            {"model": NET, "ema": {"decay": 0.99, "shadow_params": list(OTHER.values())}},
            "'ema' lack the names",
        ),
        (
            NAMELESS,
            {"model": NET, "ema": {k.replace(".", "_"): v for k, v in OTHER.items()}},
            "'ema' lack the names",
        ),
        (NAMELESS, {"model": NET, "swa_state": [torch.ones(2), torch.ones(3)]}, "'swa_state' lack the names"),
    ],
)
def test_what_is_left_is_told(content: Any, others: str, tmp_path: Path) -> None:
    """Fails when one of several networks is taken without a word, or averaged weights are passed over."""
    with pytest.warns(Notice, match=others):
        state, _ = read_state(saved(tmp_path, content))
    assert state_hash(state) == state_hash(NET)


@row(SEVERAL)
def test_networks_that_are_alike_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds 2 networks, 'student' and 'teacher'"):
        read_state(saved(tmp_path, {"student": NET, "teacher": OTHER}))


@rows(
    "rename",
    [
        (
            "weight norms as parametrizations (`parametrizations.weight.original0`)",
            lambda name: name.replace("weight_g", "parametrizations.weight.original0").replace(
                "weight_v", "parametrizations.weight.original1"
            ),
        )
    ],
)
def test_weight_norms_by_another_name(rename: Callable[[str], str], tmp_path: Path) -> None:
    renamed = {rename(name): value for name, value in NET.items()}
    assert set(renamed) != set(NET)
    assert state_hash(silently(saved(tmp_path, renamed))) == state_hash(NET)


@row("tensors as NumPy arrays")
@pytest.mark.parametrize("order", ["C", "F", ">"])
def test_arrays_are_tensors(order: str, tmp_path: Path) -> None:
    """Fails when the order of the axes or of the bytes is lost."""
    arrays = {
        name: value.numpy().astype(">f4" if order == ">" else "f4", order=order if order in "CF" else "C")
        for name, value in NET.items()
    }
    assert state_hash(silently(saved(tmp_path, {"model": arrays}))) == state_hash(NET)


@rows(
    "thing",
    [
        (BESIDE, np.float64(0.1)),
        (BESIDE, np.int64(3)),
        (BESIDE, np.bool_(True)),
        (BESIDE, np.arange(3.0)),
        (BESIDE, np.array(["a", "b"])),
        (BESIDE, np.array([None, 1], dtype=object)),
        (BESIDE, np.dtype("f4")),
        (BESIDE, argparse.Namespace(lr=1e-3, out=pathlib.PurePosixPath("a"))),
        (BESIDE, types.SimpleNamespace(a=1)),
        (BESIDE, pathlib.Path("runs/a")),
        (BESIDE, pathlib.PureWindowsPath("runs/a")),
        (BESIDE, datetime.datetime(2024, 1, 2, 3, 4)),
        (BESIDE, datetime.timedelta(seconds=3)),
        (BESIDE, collections.defaultdict(list, {"loss": [1.0]})),
        (BESIDE, {"lr": (0.1, {1, 2}), "name": "x", "none": None}),
    ],
)
def test_harmless_things_beside_the_network(thing: Any, tmp_path: Path) -> None:
    """Fails when a type is refused, or makes the file look damaged."""
    content = {"args": thing, "model_state_dict": NET, "more": [thing]}
    assert state_hash(silently(saved(tmp_path, content))) == state_hash(NET)


class Loud:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("print('this ran')",)


@row("any other Python object")
@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Loud(), "eval"),
        (network(), "tests.test_model|sssd.models"),
        (torch.optim.SGD([torch.ones(1)], 0.1), "torch.optim"),
        (collections.deque([1]), "collections.deque"),
    ],
)
def test_other_objects_are_refused_by_name(
    thing: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails when code of the file runs, or the message calls the file damaged."""
    path = saved(tmp_path, {"model_state_dict": NET, "thing": thing})
    with pytest.raises(
        ValueError, match=f"it holds a Python object, .*({name}).*save the weights alone"
    ) as error:
        read_state(path)
    assert "damaged" not in str(error.value) and "\n" not in str(error.value)
    assert "this ran" not in capsys.readouterr().out


@row("no network of SSSD-ECG in the file")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"epoch": 3, "unet": {"down.weight": torch.ones(1)}}, r"it holds epoch, unet \(down.weight"),
        ([torch.ones(1)], "it holds a list"),
        ({}, "it holds nothing"),
        (torch.ones(2), "it holds a Tensor"),
    ],
)
def test_what_is_there_instead_is_told(content: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"holds no network of SSSD-ECG; {told}"):
        read_state(saved(tmp_path, content))


@row("a file that is cut off, empty, a text in its place, packed, or of pickle, NumPy, TorchScript or HDF5")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:-1000], "the file is cut off"),
        (lambda data: b"", "the file is empty"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (lambda data: b"<!DOCTYPE html><html>", "a web page"),
        (lambda data: b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (lambda data: b"no checkpoint", "may be damaged"),
        (gzip.compress, "packed by gzip; unpack it"),
        (lambda data: pickle.dumps({"a": np.ones(3)}), "written by pickle.*save it with torch.save"),
        (lambda data: pickle.dumps({"a": np.ones(3)}, protocol=2), "written by pickle"),
        (lambda data: pickle.dumps(NET), "written by pickle"),
        (lambda data: written(torch.save, NET, pickle_protocol=5), "another pickle_protocol than its own"),
        (lambda data: written(np.savez, a=np.ones(3)), "an archive of NumPy"),
        (
            lambda data: written(lambda file: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)),
            "a program of TorchScript",
        ),
    ],
)
def test_files_that_are_none(change: Callable[[bytes], bytes], told: str, tmp_path: Path) -> None:
    path = saved(tmp_path, NET)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=f"c.pkl cannot be read as a checkpoint: .*{told}") as error:
        read_state(path)
    assert "\n" not in str(error.value)


@row(BY_CONTENT)
def test_the_content_tells_the_kind_of_file(tmp_path: Path) -> None:
    """Fails when a file is read by its name, as files of a hub are all called .bin."""
    path = write_safetensors(tmp_path / "a.safetensors", NET, {})
    path = path.rename(tmp_path / "a.bin")
    assert state_hash(silently(path)) == state_hash(NET)
    path = saved(tmp_path, {"ema": NET}).rename(tmp_path / "b.safetensors")
    assert state_hash(silently(path)) == state_hash(NET)
    torch.save(NET, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert state_hash(silently(tmp_path / "old.pth")) == state_hash(NET)
    with pytest.raises(FileNotFoundError, match="is a folder: give the path of"):
        read_state(tmp_path)


@row("a network of another size than the configuration's")
def test_another_size_is_told_with_both_shapes(tmp_path: Path) -> None:
    config = tmp_path / "c.json"
    config.write_text('{"wavenet_config": {"num_res_layers": 2, "res_channels": 16}}')
    with pytest.raises(ValueError, match=r"\(8, 1, 1\) in the checkpoint and \(16, 1, 1\) in the network"):
        SSSDECG.from_pretrained(saved(tmp_path, NET), config=config, device="cpu")


@row("values that are not finite; complex, sparse or integer tensors")
@pytest.mark.parametrize(
    "bad",
    [
        lambda v: v * float("nan"),
        lambda v: v.to(torch.complex64),
        lambda v: v.to_sparse(),
        lambda v: (v * 100).to(torch.int8),
        lambda v: v > 0,
    ],
)
def test_bad_tensors(bad: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    """Fails when weights are taken as they are although they are numbers of 8 bits, to be multiplied by a scale."""
    name = "residual_layer.fc_t1.bias"
    with pytest.raises(ValueError, match=f"(damaged: |holds ){name}"):
        SSSDECG.from_pretrained(saved(tmp_path, {**NET, name: bad(NET[name])}), device="cpu")


CONFIG = {"diffusion_config": {"T": 20}, "ddim_config": {"ddim_timesteps": 5}}


@rows(
    "config",
    [
        ("`config` in the file, as a text or as a mapping", json.dumps(CONFIG)),
        ("`config` in the file, as a text or as a mapping", CONFIG),
        (
            "`config` in the file, as a text or as a mapping",
            {**CONFIG, "gen_config": {"ckpt_path": pathlib.Path("a")}},
        ),
    ],
)
def test_the_configuration_in_a_file(config: Any, tmp_path: Path) -> None:
    """Fails when a configuration beside the weights is passed over and the published schedule is taken."""
    size = {k: v for k, v in vars(network(s4_lmax=1000).config).items()}
    if isinstance(config, str):
        config = json.dumps({**json.loads(config), "wavenet_config": size})
    else:
        config = {**config, "wavenet_config": size}
    model = SSSDECG.from_pretrained(saved(tmp_path, {"model": NET, "config": config}), device="cpu")
    assert model.config.diffusion_config.T == 20


@row("`config` of another program: the path of a file, a text of its own, options")
@pytest.mark.parametrize(
    "config", ["configs/run1.yaml", "lr: 0.001\nbatch: 8\n", '{"lr": 0.001}', {"lr": 0.001}, ""]
)
def test_the_configuration_of_another_program(config: Any, tmp_path: Path) -> None:
    """Fails when a checkpoint is refused because of what another program calls its config."""
    with pytest.warns(Notice, match="its entry 'config' is no configuration of SSSD-ECG and is not used"):
        model = SSSDECG.from_pretrained(saved(tmp_path, {"model": NET, "config": config}), device="cpu")
    assert model.config.diffusion_config.T == 200


@row("no configuration, and records of 1000 samples")
def test_the_published_length(tmp_path: Path) -> None:
    model = SSSDECG.from_pretrained(saved(tmp_path, NET), device="cpu")
    assert model.shape == (8, 1000) and model.config.trainset_config.sampling_rate == 100


@row("no configuration, and another length")
@pytest.mark.parametrize("form", ["pkl", "safetensors"])
def test_another_length_needs_a_configuration(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails when 5000 samples of 500 Hz become 1000 of 100 Hz."""
    net = network(s4_lmax=5000)
    path = tmp_path / f"c.{form}"
    if form == "pkl":
        torch.save({"model_state_dict": net.state_dict()}, path)
    else:
        write_safetensors(path, net.state_dict(), {})
    arguments = ["generate", "--checkpoint", str(path), "--label", "class_0", "--steps", "1", "--out"]
    assert main([*arguments, str(tmp_path / "none")]) == 2
    assert "records of 5000 samples and no configuration" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert main(["inspect", str(path)]) == 0
    assert "length 5000" in (out := capsys.readouterr().out) and "the sampling rate is not known" in out
    config = tmp_path / "c.json"
    config.write_text(
        json.dumps(
            {
                "wavenet_config": vars(net.config),
                "trainset_config": {"segment_length": 5000, "sampling_rate": 500},
            }
        )
    )
    assert main([*arguments, str(tmp_path / "out"), "--config", str(config), "--format", "wfdb", "-q"]) == 0
    assert next((tmp_path / "out").glob("*.hea")).read_text().split()[1:4] == ["12", "500", "5000"]
