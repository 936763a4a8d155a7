"""Fitted solvers: what their tables are, and how a model's configuration brings them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sssd.cli import main
from sssd.config.schema import Config, Fit
from sssd.model_wrapper import SSSDECG
from sssd.samplers import ddim, dpmpp_2m, fitted, sde_dpmpp_2m
from sssd.schedule import choose_steps, linear, rescaled
from tests.networks import config, labels, saved

SCHEDULE = rescaled(linear(), 0.01)
STEPS = choose_steps(SCHEDULE, 6, "trailing")
NONE = np.zeros(6)
FIT = Fit(steps=[199, 120, 30], eta=[0.5, 0.2, 0.0], slope=[0.0, 0.6, 0.1], before=[0.0, 0.0, -0.2])


def same(a, b) -> None:
    for field in ("steps", "a", "c", "alpha", "sigma"):
        np.testing.assert_allclose(getattr(a, field), getattr(b, field), rtol=0, atol=1e-12)
    width = max(a.K, b.K)
    wide = [np.pad(t.b, ((0, 0), (0, width - t.K))) for t in (a, b)]
    np.testing.assert_allclose(*wide, rtol=0, atol=1e-12)


def test_without_slopes_it_is_ddim() -> None:
    """Fails with noise of another size, or a slope that does not vanish."""
    same(fitted(SCHEDULE, STEPS, NONE, NONE, NONE), ddim(SCHEDULE, STEPS))
    same(fitted(SCHEDULE, STEPS, [1.0] * 5 + [0.0], NONE, NONE), ddim(SCHEDULE, STEPS, eta=1.0))


@pytest.mark.parametrize("published, eta", [(dpmpp_2m, 0.0), (sde_dpmpp_2m, 1.0)])
def test_published_solvers_of_second_order_are_of_its_kind(published, eta) -> None:
    """Fails if a slope leads the wrong way, or one row's lands in another."""
    table = published(SCHEDULE, STEPS)
    slope = -table.b[:, 1] / table.b.sum(axis=1)
    assert np.abs(slope).max() > 0.3
    same(fitted(SCHEDULE, STEPS, [eta] * 5 + [0.0], slope, NONE), table)


def test_a_line_through_the_clean_records_goes_on() -> None:
    """slope 1 takes a clean record that grows by 1 a step on by 1, before 1 by 1 more; fails with the difference the
    other way round."""
    table = fitted(SCHEDULE, STEPS, NONE, [0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1])
    aims = [table.b[i] @ np.array([i, i - 1, i - 2]) / table.b[i].sum() for i in range(6)]
    np.testing.assert_allclose(aims, [0, 2, 4, 5, 6, 7], atol=1e-9)


def test_what_is_no_fit() -> None:
    for wrong in ([0.0] * 5, [0.1] + [0.0] * 5):
        with pytest.raises(ValueError, match="slope is .*expected 6 values"):
            fitted(SCHEDULE, STEPS, NONE, wrong, NONE)
    with pytest.raises(ValueError, match="eta is .*expected 6 values"):
        fitted(SCHEDULE, STEPS, [0.5] * 6, NONE, NONE)
    with pytest.raises(ValueError, match=r"expected 0 \(deterministic\) to 1"):
        fitted(SCHEDULE, STEPS, [1.1] + [0.0] * 5, NONE, NONE)
    with pytest.raises(ValueError, match="strictly decreasing"):
        fitted(SCHEDULE, STEPS[::-1].copy(), NONE, NONE, NONE)


def with_fits(path: Path, *fits: Fit) -> SSSDECG:
    model = SSSDECG.from_pretrained(path, device="cpu")
    content = model.config.model_dump()
    content["ddim_config"]["fits"] = [fit.model_dump() for fit in fits]
    model.config = Config.model_validate(content)
    return model


def test_a_model_brings_its_fits(tmp_path: Path) -> None:
    """Through a file and back, and into the provenance. Fails if steps that nothing was fitted for are taken."""
    path = saved(tmp_path, config())
    model = with_fits(path, FIT)
    model.save_checkpoint(tmp_path / "fitted.safetensors")
    again = SSSDECG.from_pretrained(tmp_path / "fitted.safetensors", device="cpu")
    same(again.step_table(sampler="fitted"), fitted(again.schedule, **FIT.model_dump()))
    ecg = again.generate_ecgs("AFIB", sampler="fitted", steps=3, seed=1)[0]
    assert ecg.provenance["fit"] == FIT.model_dump() and "spacing" not in ecg.provenance
    y = labels(4)
    one, other = (again.generate(y, sampler="fitted", steps=3, seed=1, batch_size=n) for n in (4, 1))
    torch.testing.assert_close(
        one, other, rtol=0, atol=0.01
    )  # of about 1 mV; an untrained network magnifies rounding
    with pytest.raises(
        ValueError, match="steps is 4: this model has fitted solvers for 3 steps; sde-ode-dpmpp-2m takes any"
    ):
        again.step_table(sampler="fitted", steps=4)
    with pytest.raises(ValueError, match="leave it out"):
        again.step_table(sampler="fitted", steps=3, spacing="uniform")
    with pytest.raises(ValueError, match="this model has no fitted solvers"):
        SSSDECG.from_pretrained(path, device="cpu").step_table(sampler="fitted", steps=3)


def test_the_command_says_what_was_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fitted.safetensors"
    with_fits(saved(tmp_path, config()), FIT).save_checkpoint(path)
    said = ["generate", "--checkpoint", str(path), "--label", "AFIB", "--sampler", "fitted", "--seed", "1"]
    assert main([*said, "--out", str(tmp_path / "ecgs")]) == 0
    capsys.readouterr()
    assert main([*said, "--steps", "7", "--out", str(tmp_path / "more")]) != 0
    assert "fitted solvers for 3 steps" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "more").exists()


def test_fine_tuning_drops_what_was_fitted(tmp_path: Path) -> None:
    """Solvers and factors are of the weights they were found for. Fails if they outlive them."""
    from sssd.cli.train import _settings

    model = with_fits(saved(tmp_path, config()), FIT)
    content = model.config.model_dump()
    content["ddim_config"] |= {"sampler": "fitted", "ddim_timesteps": 3, "gains": {"fitted3": [0.9] * 8}}
    model.config = Config.model_validate(content)
    path = model.save_checkpoint(tmp_path / "fitted.safetensors")
    kept = _settings(None, path)[0].ddim_config
    assert (kept.fits, kept.gains, kept.sampler, kept.ddim_timesteps) == ([], {}, None, 3)


def test_settings_of_fine_tuning_fit_the_model_that_it_starts_from(tmp_path: Path) -> None:
    """Fails where the two are put together unchecked: the model that is written could not be read."""
    from sssd.cli.train import _settings

    content = config().model_dump()
    content["trainset_config"]["sampling_rate"] = 500
    content["train_config"]["augment"] = False
    path = saved(tmp_path, Config.model_validate(content))
    with pytest.raises(ValueError, match="^finetune with .*: train_config.augment is true .*to false$"):
        _settings("finetune", path)
