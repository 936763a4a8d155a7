"""The scripts in examples/ run as they stand, with the built-in model replaced by a tiny one."""

import importlib.util
import json
import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sssd.cli import main
from sssd.config.schema import parse_config
from sssd.data.recordings import Recordings, write
from sssd.labels import CODES

torch = pytest.importorskip("torch")

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL: dict[str, Any] = {
    "wavenet_config": {
        "num_res_layers": 1,
        "res_channels": 4,
        "skip_channels": 4,
        "s4_d_state": 4,
        "label_embed_dim": 4,
    }
}


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from sssd import SSSDECG

    torch.manual_seed(0)
    model = SSSDECG(parse_config(json.dumps(SMALL)))
    torch.nn.init.normal_(model.model.final_conv["2"].conv.weight, 0, 0.1)
    path = model.save_checkpoint(tmp_path / "tiny.safetensors")
    monkeypatch.setattr("sssd.presets.WEIGHTS", path)
    return path


def test_every_example_is_run_here() -> None:
    assert {p.stem for p in EXAMPLES.glob("*.py")} == {
        "quickstart",
        "published_checkpoint",
        "files",
        "generate_from_onnx",
    }


def test_quickstart(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _example("quickstart").main(tmp_path / "out")
    assert "asked for AFIB" in capsys.readouterr().out
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.{kind}" for name in ("NORM", "AFIB") for kind in ("hea", "dat", "png")}


def test_published_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = Path(__file__).parent / "golden" / "sssd_ecg_small.pkl"
    random = np.random.default_rng(0)
    real = Recordings(
        signal_uv=random.normal(0, 300, (2, 12, 100)).astype(np.int16),
        labels=np.eye(2, 71, dtype=np.uint8),
        label_names=CODES,
    )
    write(tmp_path / "real.npz", real)
    _example("published_checkpoint").main(str(checkpoint), str(tmp_path / "real.npz"))
    told = capsys.readouterr().out
    assert "477,224 parameters" in told
    assert "(2, 8, 1000) in mV" in told


def test_files(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "ecgs")
    assert main(["generate", "--checkpoint", str(tiny), "--label", "AFIB", "--steps", "2", "--out", out]) == 0
    _example("files").main(Path(out))
    told = capsys.readouterr().out
    assert "records: 1, by ddim with steps: 2" in told
    assert "signal_uv (1, 12, 1000)" in told


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("files", [], "the following arguments are required: folder"),
        ("files", ["nowhere"], "is missing: give the folder that `sssd-ecg generate --out` wrote"),
        ("quickstart", ["a", "b"], "unrecognized arguments: b"),
        ("published_checkpoint", [], "the following arguments are required: checkpoint"),
        ("published_checkpoint", ["nowhere.pkl"], "nowhere.pkl"),
    ],
)
def test_an_example_explains_what_it_needs(
    name: str,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fails when a script that is called wrongly ends in a traceback."""
    script = str(EXAMPLES / f"{name}.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [script, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
