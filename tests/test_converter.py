"""The converter that recorded PTB-XL, at 400 Hz and in steps of 5 uV."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sssd.config.schema import TrainsetConfig
from sssd.converter import FASTER, FILTER_REACH, REACH, STEP_MV, converted, kernels
from sssd.model_wrapper import SSSDECG
from sssd.scale import roll_off

LENGTH = 400


def waves(*, seed: int = 0, n: int = 4, length: int = LENGTH, hz: float = 30.0) -> Tensor:
    """Sums of sines below `hz` of 0.1 mV and phases of their own, (n, 8, length) float64."""
    random = torch.Generator().manual_seed(seed)
    frequency = torch.linspace(0.5, hz, 12, dtype=torch.float64)[:, None]
    phase = 6.3 * torch.rand(n, 8, 12, 1, dtype=torch.float64, generator=random)
    size = torch.rand(n, 8, 12, 1, dtype=torch.float64, generator=random)
    return (0.1 * size * torch.sin(2 * torch.pi * frequency * torch.arange(length) / 100 + phase)).sum(2)


def test_the_interpolation_gives_the_samples_between() -> None:
    """Fails with a kernel that is not centred, runs backwards, or has too little reach."""
    between, _ = kernels()
    frequency, at = 37.0, np.arange(-REACH, REACH + 1)
    for i in (0, 3):
        given = torch.from_numpy(np.sin(2 * np.pi * frequency * (i + at) / 100 + 0.4))
        there = np.sin(2 * np.pi * frequency * (i + np.arange(FASTER) / FASTER) / 100 + 0.4)
        np.testing.assert_allclose((between @ given).numpy(), there, atol=2e-3)
    np.testing.assert_allclose(between[0].numpy(), np.eye(2 * REACH + 1)[REACH], atol=1e-12)


@pytest.mark.parametrize("hz", [0.0, 10.0, 40.0, 44.7, 48.0, 60.0, 120.0])
def test_the_filter_is_that_of_recordings(hz: float) -> None:
    """Fails with another filter, rate or reach."""
    low_pass = kernels()[1][0].numpy()
    time = np.arange(-FASTER * FILTER_REACH, FASTER * FILTER_REACH + 1) / (100 * FASTER)
    assert low_pass @ np.cos(2 * np.pi * hz * time) == pytest.approx(float(roll_off(np.array(hz))), abs=1e-3)


def test_a_quiet_lead_comes_to_rest_on_a_step() -> None:
    """Fails with another size of the steps, or when what is not on a step stays there. aVF rests on half steps."""
    at = torch.tensor([0.0, 0.0024, 0.0076, -0.0051, 0.1012, 0.0, 0.0, 0.0012], dtype=torch.float64)
    found = converted(at[None, :, None].expand(1, 8, LENGTH))
    rest = torch.tensor([0.0, 0.0, 0.01, -0.005, 0.1, 0.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(found, rest[None, :, None].expand(1, 8, LENGTH), atol=1e-9, rtol=0)
    at[0], rest[0], rest[7] = 0.0051, 0.005, 0.0025  # II = aVF + I / 2 is nearest to 5 uV, and I is, too
    found = converted(at[None, :, None].expand(1, 8, LENGTH))
    torch.testing.assert_close(found[0, :, 200], rest, atol=1e-9, rtol=0)


def test_a_lead_stays_on_its_step_until_it_is_well_past_the_middle() -> None:
    """Fails without the hold, with one that lasts for ever, or one that looks ahead."""
    slow = STEP_MV * torch.linspace(0.4, 0.9, LENGTH, dtype=torch.float64)  # steps; HOLD is in the middle
    x = torch.zeros(1, 8, LENGTH, dtype=torch.float64)
    x[:, 1] = slow
    level = converted(x)[0, 1]
    middle = LENGTH // 2
    assert float(level[: middle - 40].abs().max()) < 1e-6
    assert float((level[middle + 40 :] - STEP_MV).abs().max()) < 1e-6
    back_and_forth = (
        STEP_MV * (0.5 + 0.1 * torch.sin(2 * torch.pi * 25 * torch.arange(LENGTH) / 100)).double()
    )
    x[:, 1] = back_and_forth
    still = converted(x)[0, 1, 50:-50]
    assert float(still.std()) < 1e-6  # the nearest step changes 50 times a second


def test_a_fast_lead_is_on_its_nearest_step_where_it_is_in_doubt() -> None:
    """Fails when a level is held that the lead has left by many steps."""
    x = waves(hz=40.0)
    assert float((converted(x) - x).abs().max()) < STEP_MV


def test_records_change_by_the_noise_of_the_steps() -> None:
    """A step's noise has a variance of a twelfth of its square, of which the filter leaves 45 of 200 Hz."""
    x = waves()
    change = converted(x) - x
    expected = STEP_MV * (roll_off(np.linspace(0, 200, 4001)) ** 2).mean() ** 0.5 / 12**0.5
    assert float(change[:, :7].std()) == pytest.approx(expected, rel=0.25)


def test_a_record_does_not_depend_on_the_others() -> None:
    x = waves().float()
    torch.testing.assert_close(converted(x)[2:3], converted(x[2:3]), atol=1e-6, rtol=0)
    assert converted(x).dtype == torch.float32 and converted(x[:0]).shape == (0, 8, LENGTH)


def test_only_records_at_100_hz_are_converted() -> None:
    """Fails when a converter of another rate would be taken for this one."""
    assert TrainsetConfig(converter=True).converter
    with pytest.raises(ValueError, match="converter is true and sampling_rate 500"):
        TrainsetConfig(converter=True, sampling_rate=500)


def test_the_model_that_ships_has_a_converter() -> None:
    """Fails when records that it makes from noise are not converted: too few of their samples then equal the next."""
    model = SSSDECG.from_pretrained(device="cpu")
    assert model.config.trainset_config.converter
    made = model.generate("NORM+SR", quality="draft", num_samples=8, seed=3, return_numpy=True)
    uv = np.rint(1000 * made[..., :990])
    assert (np.diff(uv) == 0).mean() > 0.85 * (np.abs(np.diff(uv)) == 1).mean()
    assert (uv[:, 1:7] % 5 == 0).mean() > 0.26  # a fifth without steps
