"""Calibration: factors that give generated records the amplitudes of real ones, and where they are used."""

from __future__ import annotations

import numpy as np
import pytest

from sssd.config.schema import Config, parse_config
from sssd.data.recordings import Recordings
from sssd.evaluation.amplitude import median_amplitude_ratio
from sssd.fitting.gains import calibrate, write_gains
from sssd.leads import to_twelve
from sssd.model_wrapper import SSSDECG
from tests.test_distill import LENGTH, config, labels, teacher

N = 40


def with_gains(model: SSSDECG, gains: dict[str, list[float]]) -> SSSDECG:
    content = model.config.model_dump()
    content["ddim_config"]["gains"] = gains
    model.config = Config.model_validate(content)
    return model


def test_amplitudes_become_those_of_real_records(tmp_path) -> None:
    """Fails if leads are mixed up, a model that is calibrated already counts twice, or the file changes otherwise."""
    path = teacher(tmp_path, config())
    model = SSSDECG.from_pretrained(path, device="cpu")
    y = labels(N)
    rng = np.random.default_rng(1)
    made = model.generate(y, sampler="dpmpp-2m", steps=5, seed=0, return_numpy=True)
    size = np.linspace(0.6, 1.5, 8)[:, None] * made.std(axis=-1).mean(axis=0)[:, None]
    x = (size * rng.standard_normal((N, 8, LENGTH))).astype(np.float32)
    real = Recordings(
        np.round(1000 * to_twelve(x)).astype(np.int16), y.astype(np.uint8), tuple(model.label_names)
    )
    weights = model.model_hash
    for _ in range(2):
        write_gains(path, {("dpmpp-2m", 5): calibrate(model, real, sampler="dpmpp-2m", steps=5)})
        model = SSSDECG.from_pretrained(path, device="cpu")
    assert model.model_hash == weights
    again = model.generate(y, sampler="dpmpp-2m", steps=5, seed=0, return_numpy=True)
    assert np.abs(median_amplitude_ratio(made, x) - 1).max() > 0.2
    assert np.abs(median_amplitude_ratio(again, x) - 1).max() < 1e-3


def test_gains_are_of_one_sampler_as_it_is_usually_spaced(tmp_path) -> None:
    """Fails if other steps, spacings or etas take them, or a record does not tell."""
    model = SSSDECG.from_pretrained(teacher(tmp_path, config()), device="cpu")
    gain = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    with_gains(model, {"unipc5": gain, "ddim5_eta1": gain})
    assert model.step_table(sampler="unipc", steps=5).gain.tolist() == gain
    assert model.step_table(sampler="ddim", steps=5, ddim_eta=1.0).gain.tolist() == gain
    others = (
        {"sampler": "unipc", "steps": 6},
        {"sampler": "unipc", "steps": 5, "spacing": "uniform"},
        {"sampler": "ddim", "steps": 5},
        {"sampler": "ddpm"},
    )
    assert all((model.step_table(**how).gain == 1.0).all() for how in others)
    told = [
        model.generate_ecgs("AFIB", sampler="unipc", steps=n, seed=1)[0].provenance.get("gain")
        for n in (5, 6)
    ]
    assert told == [gain, None]


def test_what_a_configuration_may_not_say() -> None:
    for wrong in ([1.0] * 7, [1.0] * 7 + [0.0]):
        with pytest.raises(ValueError, match="ddim_config.gains"):
            parse_config(
                Config().model_dump_json().replace('"gains":{}', f'"gains":{{"unipc5":{wrong}}}'), "it"
            )
    with pytest.raises(ValueError, match="unknown key distill_config.shares; expected one of nodes"):
        parse_config('{"distill_config": {"shares": 1}}', "it")
