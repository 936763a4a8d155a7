"""scripts/calibrate.py: amplitudes and means of records become those of recordings, and nothing else changes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sssd.checkpoints import read_state
from sssd.config.schema import Config
from sssd.data.recordings import Recordings, eight_leads_mv, subset, write
from sssd.labels import CODES
from sssd.leads import to_twelve
from sssd.model_wrapper import SSSDECG
from sssd.presets import PRESETS
from sssd.samplers import key_of
from sssd.training.checkpoint import save_model
from tests.test_transformer import LENGTH, random_net, tiny

ROOT = Path(__file__).parents[1]
QUALITIES = tuple(PRESETS)
KEYS = [key_of(of.sampler, of.steps, spacing=of.spacing) for of in PRESETS.values()]


def recordings(n: int = 100) -> Recordings:
    """Waves of another amplitude in each lead, and small means; those of folds 9 and 10 are four times larger."""
    rng = np.random.default_rng(1)
    fold = np.arange(n) % 10 + 1
    labels = (rng.random((n, len(CODES))) < 0.05).astype(np.uint8)
    phase, size = rng.uniform(0, 6, (n, 8, 1)), rng.uniform(0.5, 1.5, (n, 8, 1))
    x = 0.1 * np.arange(1, 9)[:, None] * size * np.sin(phase + np.arange(LENGTH) * np.pi / 8)
    x = np.where(fold > 8, 4.0, 1.0)[:, None, None] * (x + 0.03 * rng.standard_normal((n, 8, 1)))
    return Recordings(
        np.rint(1000 * to_twelve(x.astype(np.float32))).astype(np.int16), labels, CODES, strat_fold=fold
    )


def run(source: Path, data: Path, out: Path, *options: str, rounds: int = 3) -> Path:
    """Run the script. rounds: in which records are made, of which the first makes them without a calibration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv", ["calibrate.py", str(source), str(data), str(out), "--device", "cpu", *options]
        )
        script = runpy.run_path(str(ROOT / "scripts" / "calibrate.py"))
        script["main"].__globals__["ROUNDS"] = rounds
        script["main"]()
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A network, recordings, and the network calibrated by all of folds 1 to 8, which are fewer than it asks for."""
    folder = tmp_path_factory.mktemp("calibrated")
    plain = save_model(folder / "plain.safetensors", random_net(), tiny())
    every = recordings()
    write(folder / "signals.npz", every)
    train = subset(every, every.strat_fold <= 8)
    return SimpleNamespace(
        folder=folder,
        plain=plain,
        out=run(plain, folder, folder / "out.safetensors"),
        once=run(plain, folder, folder / "once.safetensors", rounds=2),
        recorded=eight_leads_mv(train),
        labels=train.labels.astype(np.float32),
    )


def config_of(path: Path) -> Config:
    return Config.model_validate(json.loads(read_state(path)[1]["config"]))


def under(made: SimpleNamespace, path: Path, mean: float | None = None) -> dict[str, np.ndarray]:
    """Records of each quality by a calibrated file, with another share of their mean, by default all of it."""
    model = SSSDECG.from_pretrained(path, device="cpu")
    content = model.config.content()
    content["trainset_config"]["mean"] = mean
    model.config = Config.model_validate(content)
    return {q: model.generate(made.labels, quality=q, seed=0, return_numpy=True) for q in QUALITIES}


def amplitude(x: np.ndarray) -> np.ndarray:
    return np.median(x.std(axis=-1), axis=0)


def test_gains_are_corrected_by_what_they_do(made: SimpleNamespace) -> None:
    """By the formula, in two rounds. Fails when leads, qualities or folds are mixed up, or a gain is its inverse."""
    real, gains = amplitude(made.recorded), config_of(made.out).ddim_config.gains
    assert list(gains) == KEYS
    once = {key: real / amplitude(x) for key, x in zip(KEYS, under(made, made.plain).values(), strict=True)}
    for key, x in zip(KEYS, under(made, made.once).values(), strict=True):
        np.testing.assert_allclose(config_of(made.once).ddim_config.gains[key], once[key], atol=6e-4)
        np.testing.assert_allclose(gains[key], once[key] * real / amplitude(x), atol=3e-3, rtol=2e-3)


def test_means_become_those_of_recordings(made: SimpleNamespace) -> None:
    """By the formula, and by the file's own records. Fails when the share is measured without the gains."""
    mean = config_of(made.out).trainset_config.mean
    assert mean is not None and mean < 1.0

    def middle(x: np.ndarray) -> float:
        return float(np.median(np.abs(x.mean(axis=-1, dtype=np.float64))))

    real = middle(made.recorded)
    assert mean == pytest.approx(
        np.mean([real / middle(x) for x in under(made, made.out).values()]), abs=0.006
    )
    lowered = under(made, made.out, mean).values()
    assert np.mean([real / middle(x) for x in lowered]) == pytest.approx(1.0, abs=0.006 / mean)


def test_nothing_else_changes(made: SimpleNamespace) -> None:
    """Fails when a weight, or another setting, is another after the script."""
    (before, told), (after, again) = read_state(made.plain), read_state(made.out)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    content, changed = json.loads(told["config"]), json.loads(again["config"])
    for section, name in (("ddim_config", "gains"), ("trainset_config", "mean")):
        content[section].pop(name, None)
        del changed[section][name]
    assert changed == content and again == told | {"config": again["config"]}


def test_to_calibrate_again_changes_nothing(made: SimpleNamespace) -> None:
    """Fails when the gains, or the share, of an earlier calibration count, or keys move."""
    twice = run(made.out, made.folder, made.folder / "twice.safetensors")
    assert twice.read_bytes() == made.out.read_bytes()


def test_fewer_records_and_another_seed(made: SimpleNamespace) -> None:
    """Fails when all recordings are taken whatever is asked for, or no seed is heeded."""
    found = {
        (n, seed): config_of(
            run(made.plain, made.folder, made.folder / "few.safetensors", "--records", n, "--seed", seed)
        ).ddim_config.gains[KEYS[0]]
        for n, seed in (("10", "0"), ("10", "1"), ("80", "0"))
    }
    assert found["80", "0"] == config_of(made.out).ddim_config.gains[KEYS[0]]
    assert len({tuple(gain) for gain in found.values()}) == 3
