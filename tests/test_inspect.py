"""What `inspect` says of a checkpoint, and that it finds the Cauchy convention a network was trained under."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sssd.cli import main
from sssd.config.schema import parse_config
from sssd.data.recordings import Recordings, write

torch = pytest.importorskip("torch")

from sssd import SSSDECG  # noqa: E402
from sssd.checkpoints import write_pickle  # noqa: E402
from sssd.checkpoints.inspection import fit_cauchy, inspect  # noqa: E402
from sssd.factory import build_network, build_schedule  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
LENGTH = 64
SMALL: dict[str, Any] = {
    "diffusion_config": {"T": 20, "beta_T": 0.2},
    "wavenet_config": {
        "num_res_layers": 1,
        "res_channels": 8,
        "skip_channels": 8,
        "diffusion_step_embed_dim_in": 4,
        "diffusion_step_embed_dim_mid": 8,
        "diffusion_step_embed_dim_out": 8,
        "s4_lmax": LENGTH,
        "s4_d_state": 16,
        "label_embed_dim": 4,
        "label_embed_classes": 2,
    },
    "trainset_config": {"segment_length": LENGTH, "label_names": ["WARM", "COLD"]},
    "ddim_config": {"ddim_timesteps": 5},
}


def _waves(n: int) -> Recordings:
    """Sine waves of all phases, alike in all leads: what a tiny network can learn in a second."""
    phase = np.linspace(0, 2 * np.pi, n, endpoint=False)[:, None, None]
    t = np.arange(LENGTH)
    signal = 1000 * np.sin(2 * np.pi * t / 16 + phase) * np.ones((1, 12, 1))
    labels = np.tile(np.array([[0, 1]], np.uint8), (n, 1))
    return Recordings(signal_uv=np.rint(signal).astype(np.int16), labels=labels, label_names=("COLD", "WARM"))


def test_a_published_checkpoint() -> None:
    found = inspect(GOLDEN / "sssd_ecg_small.pkl")
    expected = json.loads((GOLDEN / "sssd_ecg_small.json").read_text())["wavenet_config"]
    inferred = found.config.wavenet_config.model_dump()
    assert {name: inferred[name] for name in expected} == expected
    assert "model_state_dict" in found.form
    assert "shapes" in found.config_from
    assert found.cauchy is None
    assert found.size_bytes == (GOLDEN / "sssd_ecg_small.pkl").stat().st_size


def test_other_forms(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SSSDECG(parse_config(json.dumps(SMALL)))
    metadata = inspect(model.save_checkpoint(tmp_path / "a.safetensors"))
    assert (metadata.form, metadata.config, metadata.cauchy) == (
        "safetensors",
        model.config,
        "conjugate_pairs",
    )
    assert metadata.config_from == "the file's metadata"
    bare = inspect(write_pickle(tmp_path / "bare.pkl", model.model.state_dict()))
    assert "bare" in bare.form
    assert bare.parameters == metadata.parameters == sum(p.numel() for p in model.model.parameters())
    assert bare.model_hash == metadata.model_hash == model.model_hash
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    given = inspect(tmp_path / "bare.pkl", config=tmp_path / "config.json")
    assert given.config == model.config


@pytest.mark.parametrize("convention", ["conjugate_pairs", "half_spectrum"])
def test_the_convention_of_training_is_found(convention: Any, tmp_path: Path) -> None:
    """A network fitted for a moment under either; breaks when both are evaluated with the same kernels."""
    torch.manual_seed(0)
    config = parse_config(json.dumps(SMALL))
    net, schedule = build_network(config, convention), build_schedule(config)
    real = _waves(16)
    x0 = torch.from_numpy(real.signal_uv[:, :8].astype(np.float32) / 1000)
    y = torch.tensor([[1.0, 0.0]]).expand(16, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-2)
    alpha, sigma = (torch.from_numpy(table).float() for table in (schedule.alpha, schedule.sigma))
    for _ in range(100):
        t = torch.randint(schedule.T, (16,))
        z = torch.randn_like(x0)
        eps = net((alpha[t][:, None, None] * x0 + sigma[t][:, None, None] * z, y, t[:, None].float()))
        optimizer.zero_grad()
        ((eps - z) ** 2).mean().backward()
        optimizer.step()
    path = write_pickle(tmp_path / "trained.pkl", {"model_state_dict": net.state_dict()})
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    seen: list[tuple[int, int]] = []
    fit = fit_cauchy(
        path, real, config=tmp_path / "config.json", progress=lambda *at: seen.append(at), records=10
    )
    assert fit.better == convention, fit
    assert min(fit.loss, key=lambda name: fit.loss[name]) == convention
    assert (fit.records, len(fit.steps), seen[-1]) == (10, 6, (120, 120))


def test_what_cannot_be_told(tmp_path: Path) -> None:
    """Random weights fit under neither convention; and data at another rate are no evidence."""
    torch.manual_seed(0)
    path = SSSDECG(parse_config(json.dumps(SMALL))).save_checkpoint(tmp_path / "random.safetensors")
    assert fit_cauchy(path, _waves(4)).better is None
    other = Recordings(**{**asdict(_waves(4)), "fs_hz": 500.0})
    with pytest.raises(ValueError, match="500 Hz; this checkpoint works at 100 Hz"):
        fit_cauchy(path, other)
    with pytest.raises(ValueError, match="at least 2"):
        fit_cauchy(path, _waves(1))


@pytest.mark.parametrize("named", [True, False])
def test_the_labels_of_a_checkpoint_are_those_of_its_configuration(named: bool, tmp_path: Path) -> None:
    """Breaks when classes without names are the first ones of PTB-XL, or age and sex are counted as labels (seen)."""
    trainset: dict[str, Any] = {"segment_length": LENGTH, "label_names": ["WARM", "COLD"], "patient": True}
    if not named:
        trainset = {"segment_length": LENGTH}
    content = {**SMALL, "trainset_config": trainset}
    content["wavenet_config"] = {**SMALL["wavenet_config"], "label_embed_classes": 6 if named else 5}
    path = SSSDECG(parse_config(json.dumps(content))).save_checkpoint(tmp_path / "a.safetensors")
    if named:
        assert fit_cauchy(path, _waves(4)).records == 4
    else:
        with pytest.raises(ValueError, match="5 classes without names: give its configuration"):
            fit_cauchy(path, _waves(4))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    path = SSSDECG(parse_config(json.dumps(SMALL))).save_checkpoint(tmp_path / "model.safetensors")
    write(tmp_path / "real.npz", _waves(4))
    assert main(["inspect", str(path)]) == 0
    told = capsys.readouterr().out
    assert "1 layers x 8 channels, S4 state 16, length 64, bidirectional" in told
    assert "2 statements" in told
    assert main(["inspect", str(path), "--real", str(tmp_path / "real.npz"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["config"]["trainset_config"]["label_names"] == ["WARM", "COLD"]
    assert set(content["cauchy_fit"]["loss"]) == {"conjugate_pairs", "half_spectrum"}
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:100])
    for name in ("absent.pkl", "cut.safetensors"):
        assert main(["inspect", str(tmp_path / name)]) == 2
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1
        assert name in errors
