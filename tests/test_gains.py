"""Factors for the eight leads in a configuration: which samplers take them, and what they do to records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd.config.schema import Config, parse_config
from sssd.model_wrapper import SSSDECG
from sssd.samplers import BY_STEPS, run
from sssd.schedule import choose_steps, karras
from tests.networks import config, labels, saved

GAIN = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]


def with_gains(model: SSSDECG, gains: dict[str, list[float]]) -> SSSDECG:
    content = model.config.model_dump()
    content["ddim_config"]["gains"] = gains
    model.config = Config.model_validate(content)
    return model


@pytest.mark.parametrize("how", [{"sampler": "ddim"}, {"sampler": "dpmpp-2m"}, {"sampler": "unipc"}], ids=str)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_known_record_is_multiplied_lead_by_lead(how: dict[str, str], steps: int, tmp_path: Path) -> None:
    """With a denoiser that knows the noise, so that each row gives the record itself. Fails if leads are mixed up, if
    the history or x keep the old amplitude, or if what is shown of a row has another amplitude than the record."""
    model = SSSDECG.from_pretrained(saved(tmp_path, config()), device="cpu")
    plain = model.step_table(**how, steps=steps)
    table = replace(plain, gain=np.array(GAIN))
    record, z = torch.randn(2, 2, 8, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def denoise(x: torch.Tensor, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return z, (x - table.sigma[i] * z) / table.alpha[i]

    shown: list[torch.Tensor] = []
    x = table.alpha[0] * record + table.sigma[0] * z
    made = run(table, denoise, x, lambda i: z, on_step=lambda i, x0: shown.append(x0))
    expected = torch.tensor(GAIN, dtype=torch.float64)[:, None] * record
    for one in (made, *shown):
        torch.testing.assert_close(one, expected, rtol=1e-9, atol=1e-9)


def test_the_gain_row_is_the_first_with_less_noise_than_signal() -> None:
    """Fails if the gain comes one row earlier or later, or not at all where all rows have more noise."""
    schedule = karras()
    table = BY_STEPS["sde-dpmpp-2m"](schedule, choose_steps(schedule, 12, "karras"))
    level = table.sigma[:-1] / table.alpha[:-1]
    assert level[table.gain_row] < 1.0 <= level[table.gain_row - 1]
    assert BY_STEPS["consistency"](schedule, np.array([199, 150])).gain_row == 1


def test_a_file_keeps_gains(tmp_path: Path) -> None:
    """Fails if the factors are left out on the way, or count twice."""
    model = SSSDECG.from_pretrained(saved(tmp_path, config()), device="cpu")
    how: dict[str, Any] = {"sampler": "dpmpp-2m", "steps": 5, "seed": 0, "return_numpy": True}
    plain = model.generate(labels(4), **how)
    path = with_gains(model, {"dpmpp-2m5": GAIN}).save_checkpoint(tmp_path / "calibrated.safetensors")
    made = model.generate(labels(4), **how)
    again = SSSDECG.from_pretrained(path, device="cpu").generate(labels(4), **how)
    np.testing.assert_array_equal(again, made)
    assert np.abs(made - plain).max() > 0.01


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
