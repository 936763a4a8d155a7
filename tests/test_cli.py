"""The command line: what it writes, and that whatever is wrong ends in one line, an exit code, and no files."""

import csv
import errno
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sssd.cli import COMMANDS, corpus, main, module_of
from sssd.config.schema import Config, parse_config
from sssd.data.recordings import Recordings, write
from sssd.io import npz
from sssd.io.figure import save_figure
from sssd.labels import CODES
from sssd.leads import SSSD
from sssd.training.data import training_data, with_labels_of

torch = pytest.importorskip("torch")

LENGTH = 200
SMALL: dict[str, Any] = {
    "diffusion_config": {"T": 20, "beta_T": 0.2},
    "wavenet_config": {
        "num_res_layers": 1,
        "res_channels": 4,
        "skip_channels": 4,
        "diffusion_step_embed_dim_in": 4,
        "diffusion_step_embed_dim_mid": 4,
        "diffusion_step_embed_dim_out": 4,
        "s4_lmax": LENGTH,
        "s4_d_state": 4,
        "label_embed_dim": 4,
    },
    "train_config": {
        "n_iters": 4,
        "iters_per_ckpt": 2,
        "iters_per_logging": 1,
        "batch_size": 4,
        "ema_decay": 0.5,
    },
    "trainset_config": {"segment_length": LENGTH},
    "ddim_config": {"ddim_timesteps": 3},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny eps network with its configuration inside."""
    from sssd import SSSDECG

    torch.manual_seed(0)
    model = SSSDECG(parse_config(json.dumps(SMALL)))
    torch.nn.init.normal_(model.model.final_conv["2"].conv.weight, 0, 0.1)
    return model.save_checkpoint(tmp_path_factory.mktemp("model") / "small.safetensors")


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_command_of_an_earlier_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Fails when it is only said not to exist, or when what is named in its place does not exist."""
    for command in ("distill", "fit"):
        code, out, err = _run(capsys, command, "--steps", 8)
        assert (code, out, err.count("\n")) == (2, "", 1) and "draft and standard" in err
    assert "--quality" in _run(capsys, "generate", "--help")[1]


def _recordings(n: int = 12, names: tuple[str, ...] = CODES, **changes: Any) -> Recordings:
    random = np.random.default_rng(0)
    labels = np.zeros((n, len(names)), np.uint8)
    labels[np.arange(n), np.arange(n) % len(names)] = 1
    parts: dict[str, Any] = {
        "signal_uv": random.normal(0, 400, (n, 12, LENGTH)).astype(np.int16),
        "labels": labels,
        "label_names": names,
        "strat_fold": np.arange(n) % 10 + 1,
    }
    return Recordings(**{**parts, **changes})


# --- generate -----------------------------------------------------------------------------------------------


def test_check_writes_what_each_record_shows(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when a record gets another record's verdict, a statement without a rule gets one, or more changes."""
    widths = iter([106.0, 140.0])
    monkeypatch.setattr("sssd.measurements.measurements", lambda ecg: {"qrs_width": next(widths)})
    common = (
        "generate",
        "--checkpoint",
        checkpoint,
        "--label",
        "CLBBB+1AVB",
        "--label",
        "CRBBB+NORM",
        "--exact",
    )
    common += ("--sampler", "ddim", "--steps", 2, "--seed", 1, "--out")
    code, output, _ = _run(capsys, *common, tmp_path / "checked", "--check")
    assert code == 0
    records = json.loads((tmp_path / "checked" / "manifest.json").read_text())["records"]
    assert [r["shown"] for r in records] == [{"1AVB": None, "CLBBB": False}, {"CRBBB": True}]
    assert (
        "CLBBB: shown in 0 of 1 record" in output
        and "1AVB: shown in 0 of 1 record, not measurable in 1" in output
    )
    assert _run(capsys, *common, tmp_path / "plain")[0] == 0
    plain = json.loads((tmp_path / "plain" / "manifest.json").read_text())["records"]
    assert plain == [{k: v for k, v in r.items() if k != "shown"} for r in records]


def test_require_shown_draws_again(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when an attempt depends on other records, replaces the wrong one, or is not in the manifest."""
    from sssd import SSSDECG
    from sssd.io import wfdb
    from sssd.noise import seed_of_attempt

    monkeypatch.setattr(
        "sssd.measurements.measurements", lambda ecg: {"qrs_width": 100 + 40 * (ecg.signal[0, 0] > 0)}
    )
    common = (
        "generate",
        "--checkpoint",
        checkpoint,
        "--exact",
        "--sampler",
        "ddim",
        "--steps",
        2,
        "--seed",
        1,
    )
    common += ("--require-shown", "--out")
    code, _, errors = _run(
        capsys, *common, tmp_path / "six", "-n", 3, "--label", "CLBBB+NORM", "--label", "CRBBB"
    )
    assert (code, errors) == (0, "")
    records = json.loads((tmp_path / "six" / "manifest.json").read_text())["records"]
    assert all(all(r["shown"].values()) for r in records) and len(records) == 6
    attempts = [r["attempt"] for r in records]
    assert 0 in attempts and max(attempts) > 0, "seed 1 was chosen so that both occur"

    model, later = SSSDECG.from_pretrained(checkpoint), attempts.index(max(attempts))
    vectors = np.array([r["labels"] for r in records], np.float32)
    for i in (attempts.index(0), later):
        again = model.generate_ecgs(
            vectors, seed=seed_of_attempt(1, attempts[i]), sampler="ddim", steps=2, exact=True
        )[i]
        written = wfdb.read(tmp_path / "six" / records[i]["name"])
        np.testing.assert_allclose(written.signal, again.signal, atol=1.1e-3)
        assert written.provenance["attempt"] == attempts[i]

    monkeypatch.setattr("sssd.measurements.measurements", lambda ecg: {})
    code, _, errors = _run(capsys, *common, tmp_path / "never", "--label", "CLBBB")
    assert code == 1 and "1 of 1 record did not show what was asked for in 16 draws" in errors
    (record,) = json.loads((tmp_path / "never" / "manifest.json").read_text())["records"]
    assert (record["attempt"], record["shown"]) == (0, {"CLBBB": None})

    code, _, errors = _run(capsys, *common, tmp_path / "none", "--label", "CLBBB", "--label", "NORM")
    assert code == 2 and "cannot judge NORM" in errors and not (tmp_path / "none").exists()


def test_generate_writes_a_set_with_its_manifest(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ecgs"
    code, output, errors = _run(
        capsys, "generate", "--checkpoint", checkpoint, "--label", "afib", "--label", "CLBBB+LVH", "-n", 2,
        "--sampler", "ddim", "--steps", 4, "--eta", 0.5, "--seed", 1, "--format", "wfdb,npz,csv", "--out", out,
    )  # fmt: skip
    assert (code, errors) == (0, "")
    assert str(out) in output
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["sampler"], manifest["steps"], manifest["eta"], manifest["seed"]) == ("ddim", 4, 0.5, 1)
    records = manifest["records"]
    assert [r["requested"] for r in records] == [["AFIB"]] * 2 + [["CLBBB", "LVH"]] * 2
    assert [r["index"] for r in records] == [0, 1, 2, 3]
    assert records[0]["name"] == "AFIB_00000"
    with np.load(out / "ecgs.npz") as archive:
        assert archive["signal_uv"].shape == (4, 12, LENGTH)
        assert archive["signal_uv"].dtype == np.int16
        assert archive["labels"].tolist() == [r["labels"] for r in records]
        assert archive["label_names"].tolist() == list(CODES) == manifest["label_names"]
    for record in records:
        assert {"seed", "sampler", "steps", "model"} <= set(record)
        assert set(record["requested"]) <= set(record["statements"])
        assert {CODES[k] for k in np.flatnonzero(record["labels"])} == set(record["statements"])
    assert any(len(r["statements"]) > len(r["requested"]) for r in records), "nothing was completed"


def test_pictures_are_drawn_as_asked_for(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breaks when an option of pictures does not reach them."""
    asked = ("generate", "--checkpoint", checkpoint, "--label", "NORM", "--seed", 1, "--quiet")
    how = ("--layout", "6x2", "--speed", 50, "--gain", 5, "--rhythm", "V3")
    assert _run(capsys, *asked, "--format", "svg,npz", *how, "--out", tmp_path / "ecgs")[0] == 0
    (ecg,) = npz.read(tmp_path / "ecgs" / "ecgs.npz")
    figure = ecg.plot(layout="6x2", speed=50, gain=5, rhythm="V3")
    save_figure(figure, tmp_path / "same.svg")
    files = tmp_path / "ecgs" / "NORM_00000.svg", tmp_path / "same.svg"
    one, two = (re.findall(r'<g id="\w+-\d">|viewBox=.*', file.read_text()) for file in files)
    assert one == two and len(one) == 1 + 7 + 13  # pulses and leads; the archive rounds their samples


def test_exact_the_order_of_leads_and_the_batch_size(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breaks when a record depends on its batch, or when --exact still completes."""
    common = (
        "generate",
        "--checkpoint",
        checkpoint,
        "--label",
        "NORM",
        "-n",
        3,
        "--seed",
        5,
        "--quiet",
        "--exact",
    )
    assert _run(capsys, *common, "--out", tmp_path / "a", "--batch-size", 1) == (0, "", "")
    assert _run(capsys, *common, "--out", tmp_path / "b", "--order", "sssd", "--format", "wfdb,npz") == (
        0,
        "",
        "",
    )
    a, b = (np.load(tmp_path / name / "ecgs.npz") for name in "ab")
    assert np.abs(a["signal_uv"].astype(int) - b["signal_uv"]).max() <= 1
    assert (a["labels"].sum(axis=1) == 1).all()
    header = (tmp_path / "b" / "NORM_00000.hea").read_text().splitlines()
    assert [line.split()[-1] for line in header[1:13]] == list(SSSD)


def test_multistep_samplers(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks when --sampler is not heard, or --spacing stands at DDIM's."""
    out = tmp_path / "ecgs"
    code, _, errors = _run(
        capsys, "generate", "--checkpoint", checkpoint, "--label", "NORM", "--sampler", "unipc", "--steps", 4,
        "--format", "npz", "--out", out,
    )  # fmt: skip
    assert (code, errors) == (0, "")
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["sampler"], manifest["steps"], manifest["spacing"]) == ("unipc", 4, "trailing")
    assert "eta" not in manifest


def test_ddpm_takes_every_step(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ecgs"
    code, _, _ = _run(
        capsys, "generate", "--checkpoint", checkpoint, "--label", "NORM", "--sampler", "ddpm", "--out", out
    )
    manifest = json.loads((out / "manifest.json").read_text())
    assert (code, manifest["sampler"], manifest["steps"]) == (0, "ddpm", 20)
    assert "eta" not in manifest


def test_labels_from_a_table(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names are requests to be completed; 0/1 columns are whole vectors."""
    names, columns = tmp_path / "names.csv", tmp_path / "columns.csv"
    names.write_text("record,labels\na,NORM\nb,AFIB + LVH\n")
    columns.write_text("record,NORM,left ventricular hypertrophy\nx,1,0\ny,1,1\n")
    common = ("generate", "--checkpoint", checkpoint, "--seed", 2, "-n", 2, "--labels-from")
    assert _run(capsys, *common, names, "--out", tmp_path / "n")[0] == 0
    assert _run(capsys, *common, columns, "--out", tmp_path / "c", "--label", "AFIB")[0] == 0
    by_name, whole = (
        [
            (r["requested"], r["statements"])
            for r in json.loads((tmp_path / d / "manifest.json").read_text())["records"]
        ]
        for d in "nc"
    )
    assert [asked for asked, _ in by_name] == [["NORM"]] * 2 + [["AFIB", "LVH"]] * 2
    assert any(asked != got for asked, got in by_name)
    assert [asked for asked, _ in whole] == [["AFIB"]] * 2 + [["NORM"]] * 2 + [["LVH", "NORM"]] * 2
    assert all(asked == got for asked, got in whole[2:])


def test_an_earlier_set_stays_unless_overwritten(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ecgs"
    common = ("generate", "--checkpoint", checkpoint, "--label", "NORM", "--out", out, "--seed")
    assert _run(capsys, *common, 1)[0] == 0
    before = (out / "ecgs.npz").read_bytes()
    code, _, errors = _run(capsys, *common, 2)
    assert (code, errors.count("\n")) == (2, 1)
    assert "not empty; choose another or pass --overwrite" in errors
    assert "overwrite=True" not in errors
    assert (out / "ecgs.npz").read_bytes() == before
    assert _run(capsys, *common, 2, "--overwrite")[0] == 0
    assert (out / "ecgs.npz").read_bytes() != before


USAGE = [
    (("--label", "AFIBB"), "did you mean AFIB"),
    (("--label", "NORM+"), "joined by '+'"),
    ((), "--label, --text or --labels-from"),
    (("--label", "NORM", "--steps", 0), "steps is 0: expected 1..20"),
    (("--label", "NORM", "--steps", 21), "steps is 21: expected 1..20"),
    (("--label", "NORM", "--steps", "many"), "--steps"),
    (("--label", "NORM", "--eta", 2), "expected 0 (deterministic) to 1"),
    (("--label", "NORM", "--eta", "nan"), "expected 0 (deterministic) to 1"),
    (("--label", "NORM", "--sampler", "euler"), "--sampler"),
    (("--label", "NORM", "--sampler", "ddpm", "--steps", 5), "ddpm always takes all 20 steps"),
    (("--label", "NORM", "--sampler", "ddpm", "--eta", 1), "ddpm has no eta"),
    (("--label", "NORM", "--sampler", "unipc", "--eta", 1), "unipc has no eta"),
    (("--label", "NORM", "--spacing", "cubic"), "--spacing"),
    (("--label", "NORM", "--order", "alphabetical"), "--order"),
    (("--label", "NORM", "--format", "wfdb,mat"), "unknown format mat"),
    (("--label", "NORM", "--format", ""), "unknown format (none)"),
    (("--label", "NORM", "--gain", 20), "--layout, --speed, --gain and --rhythm are for pictures"),
    (("--label", "NORM", "--format", "png", "--gain", 15), "unknown gain 15; choose one of 5, 10, 20"),
    (("--label", "NORM", "--format", "png", "--speed", 100), "unknown speed 100; choose one of 25, 50"),
    (("--label", "NORM", "--format", "png", "--layout", "4x3"), "--layout"),
    (("--label", "NORM", "--seed", -1), "expected 0 to 2^64 - 1"),
    (("--label", "NORM", "-n", 0), "-n"),
    (("--label", "NORM", "--batch-size", 0), "--batch-size"),
    (("--label", "NORM", "--device", "abacus"), "abacus"),
    (("--label", "NORM", "--precision", "float8"), "--precision"),
    (("--label", "NORM", "--labels-from", "absent.csv"), "absent.csv"),
    (("--label", "NORM", "--nonsense"), "--nonsense"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), USAGE, ids=[" ".join(map(str, a)) or "none" for a, _ in USAGE]
)
def test_wrong_requests(
    arguments: tuple[object, ...],
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "ecgs"
    code, output, errors = _run(capsys, "generate", "--checkpoint", checkpoint, "--out", out, *arguments)
    assert (code, output) == (2, "")
    assert message in errors
    assert errors.startswith("sssd-ecg: ")
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("labels\n", "asks for nothing"),
        ("labels\nNORM\nNORMAL BEAT\n", "row 2: unknown statement"),
        ("record,NORM,AFIX\na,1,0\n", "did you mean AFIB"),
        ("NORM,AFIB\n1,2\n", "row 1: '2' in 'AFIB'; expected 0 or 1"),
        ("NORM,AFIB\n1,0\n0,0\n", "row 2: no statement is 1"),
        ("NORM,AFIB\n1\n", "row 1: 1 cell; the header has 2"),
    ],
)
def test_wrong_tables(
    table: str, message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "wanted.csv", tmp_path / "ecgs"
    file.write_text(table)
    code, _, errors = _run(
        capsys, "generate", "--checkpoint", checkpoint, "--labels-from", file, "--out", out
    )
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors
    assert not out.exists()


def test_checkpoints_that_cannot_be_used(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = checkpoint.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    (tmp_path / "cut.pkl").write_bytes(b"\x80\x02}q\x00.not a checkpoint")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pkl")
    files = sorted(p.name for p in tmp_path.iterdir())
    for name in ("absent.pkl", *files):
        code, _, errors = _run(
            capsys, "generate", "--checkpoint", tmp_path / name, "--label", "NORM", "--out", tmp_path / "ecgs"
        )
        assert (code, errors.count("\n")) == (2, 1), errors
        assert name in errors or "state dict" in errors
    (tmp_path / "other.json").write_text("{}")  # the published network: another shape
    bare = tmp_path / "bare.pkl"
    torch.save(_state(checkpoint), bare)
    wrong = ("generate", "--label", "NORM", "--out", tmp_path / "ecgs", "--config", tmp_path / "other.json")
    code, _, errors = _run(capsys, *wrong)
    assert (code, "--checkpoint" in errors) == (2, True)
    assert not (tmp_path / "ecgs").exists()


def test_what_was_drawn_beside_it_is_said() -> None:
    """What was asked for is not among it, and the most frequent comes first."""
    from sssd.cli.generate import _beside

    asked = [("AFIB",), ("AFIB",), ("NORM", "SR")]
    present = [("AFIB", "IMI"), ("AFIB", "IMI", "LVH"), ("NORM", "SR")]
    assert _beside(asked, present) == [
        "drawn beside what was asked for: IMI in 2, LVH in 1 (--exact draws none)"
    ]
    assert _beside(asked, asked) == []


def _state(checkpoint: Path) -> dict[str, Any]:
    from sssd.checkpoints import read_state

    return read_state(checkpoint)[0]


def test_config_with_a_bare_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration that fits is used; one of another shape is refused with the first entry that differs."""
    bare, config = tmp_path / "bare.pkl", tmp_path / "config.json"
    torch.save(_state(checkpoint), bare)
    common = ("generate", "--label", "NORM", "--checkpoint", bare, "--config", config, "--out")
    config.write_text(json.dumps(SMALL))
    assert _run(capsys, *common, tmp_path / "a")[0] == 0
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["steps"] == 3
    config.write_text(json.dumps({**SMALL, "wavenet_config": {**SMALL["wavenet_config"], "res_channels": 6}}))
    code, _, errors = _run(capsys, *common, tmp_path / "b")
    assert (code, errors.count("\n")) == (2, 1)
    assert "does not fit the configuration" in errors
    assert not (tmp_path / "b").exists()


def test_a_full_disk_leaves_nothing(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sssd.io.csv_table.render", full)
    out = tmp_path / "ecgs"
    code, output, errors = _run(
        capsys,
        "generate",
        "--checkpoint",
        checkpoint,
        "--label",
        "NORM",
        "--format",
        "wfdb,csv",
        "--out",
        out,
    )
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "no space left" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_is_noticed_before_generating(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5_000})())
    monkeypatch.setattr("sssd.SSSDECG.generate", lambda *_, **__: pytest.fail("it generated"))
    code, _, errors = _run(
        capsys, "generate", "--checkpoint", checkpoint, "--label", "NORM", "--out", tmp_path / "ecgs"
    )
    assert (code, errors.count("\n")) == (2, 1)
    assert "0 MB left" in errors


def test_out_of_memory_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 3 TiB")

    monkeypatch.setattr("sssd.SSSDECG.sample", burst)
    code, _, errors = _run(
        capsys, "generate", "--checkpoint", checkpoint, "--label", "NORM", "--out", tmp_path / "ecgs"
    )
    assert (code, errors.count("\n")) == (1, 1)
    assert "--batch-size" in errors


def test_interrupted(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sssd.io.npz.render", interrupt)
    code, _, errors = _run(
        capsys, "generate", "--checkpoint", checkpoint, "--label", "NORM", "--out", tmp_path / "ecgs"
    )
    assert (code, errors.strip()) == (130, "sssd-ecg: interrupted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_in_a_process_of_its_own(tmp_path: Path) -> None:
    heeded = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background job ignores it
    run = f"{heeded}; import sys; from sssd.cli import main; sys.exit(main())"
    arguments = [
        "generate",
        "--label",
        "NORM",
        "-n",
        "500",
        "--out",
        str(tmp_path / "ecgs"),
        "--device",
        "cpu",
    ]
    path = os.pathsep.join(p for p in sys.path if p)
    process = subprocess.Popen(
        [sys.executable, "-c", run, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "weights",
    [
        [],
        ["--quality", "draft"],
        ["--quality", "standard"],
        ["--quality", "best"],
    ],
)
@pytest.mark.parametrize(
    "asked", [["generate", "--label", "2AVB", "--label", "SR"], ["corpus", "create", "--counts", "2AVB=1,SR=1"]]
)  # fmt: skip
def test_rare_statements_are_told(
    weights: list[str],
    asked: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails when only one of the qualities has the note. The network does not run here: the records are zero."""
    from sssd import SSSDECG

    monkeypatch.setattr(
        SSSDECG, "batch_on_device", lambda self, vectors, *_, **__: torch.zeros(len(vectors), *self.shape)
    )
    kind = ["--format", "npz", "--out", str(tmp_path / "ecgs"), "-q"]
    code, _, errors = _run(capsys, *asked, *weights, *kind)
    assert code == 0
    assert "2AVB (1)" in errors
    assert "SR (" not in errors


def test_nothing_is_told_of_the_users_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, errors = _run(
        capsys,
        "generate",
        "--label",
        "2AVB",
        "--checkpoint",
        checkpoint,
        "--steps",
        1,
        "--out",
        tmp_path / "ecgs",
        "-q",
    )
    assert (code, errors) == (0, "")


# --- labels, help -------------------------------------------------------------------------------------------


def test_labels(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = _run(capsys, "labels")
    assert code == 0
    assert all(any(line.split()[:1] == [name] for line in output.splitlines()) for name in CODES)
    code, output, _ = _run(capsys, "labels", "bundle", "--json")
    assert {s["code"] for s in json.loads(output)} == {"CLBBB", "CRBBB", "ILBBB", "IRBBB"}
    code, _, errors = _run(capsys, "labels", "xyzzyx")
    assert (code, errors.count("\n")) == (2, 1)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        [],
        ["--help"],
        *([name, "-h"] for name in ("generate", "inspect", "prepare", "train")),
    ):
        code, output, errors = _run(capsys, *arguments)
        assert (code, errors) == (0, "")
        assert "Usage" in output
        if len(arguments) == 2:
            assert f"sssd-ecg {arguments[0]} " in output.split("Example")[1]
    assert _run(capsys, "nonsense")[0] == 2
    errors = _run(capsys, "generate", "--out", "x", "--sampler", "foo")[2]
    assert errors.startswith("sssd-ecg: Invalid value for '--sampler': 'foo' is not one of 'ddim', ")


@pytest.mark.parametrize("width", [80, 110])
def test_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Examples that fit are on one line, options and choices are whole, and prose is wrapped to the terminal only."""
    monkeypatch.setenv("COLUMNS", str(width))
    modules = {name: module_of(name) for name in COMMANDS if name != "corpus"}
    commands = {name: (module.command, module.EXAMPLES) for name, module in modules.items()}
    corpora = {f"corpus {name}": (run, "\n\n".join(lines)) for name, (run, lines) in corpus.COMMANDS.items()}
    for name, (command, examples) in (commands | corpora).items():
        output = _run(capsys, *name.split(), "--help")[1]
        lines = [line.strip() for line in output.splitlines()]
        for example in examples.split("\n\n"):
            assert example.strip() in lines or len(example) > width - 2
        assert "…" not in output
        assert all(line.count("<") == line.count(">") for line in lines if "[" not in line)
        for paragraph in inspect.cleandoc(command.__doc__ or "").split("\n\n"):
            words = " ".join(paragraph.split())
            assert all(line.strip() in output for line in textwrap.wrap(words, width - 2))


def test_help_and_labels_do_not_load_torch() -> None:
    """Breaks when a module of the command line imports torch at its top."""
    run = (
        "import sys; from sssd.cli import main; assert main(['--help']) == 0; assert main(['labels']) == 0;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'wfdb', 'matplotlib', 'scipy')))"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", run], capture_output=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr


def test_generate_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """The first record comes as fast as it can, also without looking for garbage among modules.

    Breaks with imports at the top, the other commands, a filter by scipy, or weights built on the meta device.
    """
    words = [
        "generate",
        "--label",
        "NORM",
        "--quality",
        "draft",
        "--format",
        "wfdb,npz",
        "--out",
        str(tmp_path / "ecgs"),
    ]
    unused = {"torch._dynamo", "sympy", "scipy", "pandas", "sklearn", "matplotlib", "wfdb", "pyarrow", "onnx"}
    unused |= {
        "sssd.cli.train",
        "sssd.cli.corpus",
        "sssd.corpora",
        "sssd.training",
        "sssd.evaluation",
        "sssd.server",
    }
    run = (
        f"import gc, sys; from sssd.cli import main; assert main({words}) == 0; "
        f"assert gc.isenabled() and gc.get_freeze_count() > 100_000; print(sorted({unused} & set(sys.modules)))"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", run],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# --- prepare, train -----------------------------------------------------------------------------------------


def test_prepare_own_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, table = tmp_path / "records", tmp_path / "data", tmp_path / "labels.csv"
    source.mkdir()
    for name in ("a", "b"):
        signal = np.random.default_rng(ord(name)).normal(size=(12, 1000))
        np.savez(source / f"{name}.npz", signal_mv=signal, fs_hz=100.0)
    table.write_text("record,labels,strat_fold\na,COLD+WARM,1\nb,WARM,9\n")
    code, output, errors = _run(
        capsys, "prepare", source, out, "--labels", table, "--statements", "WARM,COLD"
    )
    assert (code, errors) == (0, "")
    assert "2 records" in output
    with np.load(out / "signals.npz") as archive:
        assert archive["label_names"].tolist() == ["WARM", "COLD"]
    assert _run(capsys, "prepare", source, out, "--labels", table)[0] == 2
    assert _run(capsys, "prepare", source, out, "--labels", table, "--overwrite", "-q") == (0, "", "")
    code, _, errors = _run(capsys, "prepare", source, tmp_path / "no", "--statements", "WARM")
    assert (code, errors.count("\n")) == (2, 1)
    assert "ptbxl_database.csv" in errors
    assert not (tmp_path / "no").exists()


def test_train_and_fine_tune(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lightning_fabric")
    config, data, out = tmp_path / "config.json", tmp_path / "signals.npz", tmp_path / "run"
    config.write_text(json.dumps(SMALL))
    write(data, _recordings(names=("WARM", "COLD")))
    common = (
        "train",
        "--data",
        data,
        "--config",
        config,
        "--accelerator",
        "cpu",
        "--init",
        checkpoint,
        "--out",
    )
    code, output, _ = _run(capsys, *common, out)
    assert code == 0
    assert "10 records to train on, 1 to validate, 2 labels, 4 iterations" in output
    with (out / "log.csv").open(newline="") as f:
        assert [int(row["iteration"]) for row in csv.DictReader(f)] == [1, 2, 3, 4]
    assert _run(capsys, *common, out, "--quiet")[:2] == (0, "")  # it is done: nothing is left to do
    model = out / "model.safetensors"
    code, _, errors = _run(
        capsys, "generate", "--checkpoint", model, "--label", "cold", "--out", tmp_path / "ecgs", "--seed", 1
    )
    assert (code, errors) == (0, "")
    assert json.loads((tmp_path / "ecgs/manifest.json").read_text())["label_names"] == ["WARM", "COLD"]


def test_data_that_does_not_fit() -> None:
    config = parse_config(json.dumps(SMALL))
    assert with_labels_of(_recordings(), config) is config
    own = with_labels_of(_recordings(names=("WARM", "COLD")), config)
    assert own.wavenet_config.label_embed_classes == 2
    assert own.trainset_config.label_names == ["WARM", "COLD"]
    with pytest.raises(ValueError, match="the configuration names WARM, COLD"):
        with_labels_of(_recordings(names=("COLD", "WARM")), own)
    assert with_labels_of(_recordings(), own, new_labels=True).trainset_config.label_names == list(CODES)
    with pytest.raises(ValueError, match="200 samples at 500 Hz; the configuration expects 200 at 100 Hz"):
        with_labels_of(_recordings(fs_hz=500.0), config)
    with pytest.raises(ValueError, match="no folds"):
        training_data(_recordings(strat_fold=None), Config())
    with pytest.raises(ValueError, match="nothing to train on"):
        training_data(_recordings(strat_fold=np.full(12, 9)), Config())


def test_fold_10_is_left_alone() -> None:
    """Breaks when the test fold is trained on or validated with."""
    ecgs = _recordings(20)
    data = training_data(ecgs, Config())
    assert (len(data.signal_mv), len(data.val_signal_mv)) == (16, 2)
    assert ecgs.strat_fold is not None
    test = ecgs.signal_uv[ecgs.strat_fold == 10][:, 0] / 1000
    for used in (data.signal_mv, data.val_signal_mv):
        assert not any(np.allclose(used[i, 0], t, atol=1e-6) for i in range(len(used)) for t in test)


def test_train_refuses(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, config = tmp_path / "signals.npz", tmp_path / "config.json"
    write(data, _recordings())
    config.write_text('{"train_config": {"learning_rat": 1}}')
    for arguments, message in [
        ((), "--config"),
        (("--config", config), "unknown key train_config.learning_rat"),
        (("--config", tmp_path / "absent.json"), "no configuration"),
        (("--config", "published"), "the configuration expects 1000"),
        (("--config", "published", "--init", tmp_path / "absent.pkl"), "no checkpoint"),
        (("--config", "published", "--accelerator", "abacus"), "--accelerator"),
        (("--init", checkpoint, "--data", tmp_path / "absent.npz"), "absent.npz"),
    ]:
        code, _, errors = _run(capsys, "train", "--data", data, "--out", tmp_path / "run", *arguments)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert message in errors
    assert not (tmp_path / "run").exists()
