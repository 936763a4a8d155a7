"""Factors for the eight leads in a configuration: which samplers take them, and what they do to records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sssd.config.schema import Config, parse_config
from sssd.model_wrapper import SSSDECG
from tests.networks import config, labels, saved

GAIN = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]


def with_gains(model: SSSDECG, gains: dict[str, list[float]]) -> SSSDECG:
    content = model.config.model_dump()
    content["ddim_config"]["gains"] = gains
    model.config = Config.model_validate(content)
    return model


def test_records_are_multiplied_lead_by_lead(tmp_path: Path) -> None:
    """Through a file and back. Fails if leads are mixed up, or the factors are left out or count twice."""
    model = SSSDECG.from_pretrained(saved(tmp_path, config()), device="cpu")
    plain = model.generate(labels(4), sampler="dpmpp-2m", steps=5, seed=0, return_numpy=True)
    path = with_gains(model, {"dpmpp-2m5": GAIN}).save_checkpoint(tmp_path / "calibrated.safetensors")
    again = SSSDECG.from_pretrained(path, device="cpu")
    made = again.generate(labels(4), sampler="dpmpp-2m", steps=5, seed=0, return_numpy=True)
    np.testing.assert_allclose(made, np.array(GAIN)[:, None] * plain, rtol=1e-4, atol=1e-5)


def test_gains_are_of_one_sampler_as_it_is_usually_spaced(tmp_path: Path) -> None:
    """Fails if other steps, spacings or etas take them, or a record does not tell."""
    model = SSSDECG.from_pretrained(saved(tmp_path, config()), device="cpu")
    with_gains(model, {"unipc5": GAIN, "ddim5_eta1": GAIN})
    assert model.step_table(sampler="unipc", steps=5).gain.tolist() == GAIN
    assert model.step_table(sampler="ddim", steps=5, ddim_eta=1.0).gain.tolist() == GAIN
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
    assert told == [GAIN, None]


def test_what_a_configuration_may_not_say() -> None:
    for wrong in ([1.0] * 7, [1.0] * 7 + [0.0]):
        with pytest.raises(ValueError, match="ddim_config.gains"):
            parse_config(
                Config().model_dump_json().replace('"gains":{}', f'"gains":{{"unipc5":{wrong}}}'), "it"
            )
