"""The scale on which a network sees records, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dct, idct

from sssd.config.schema import Config
from sssd.scale import Scale, cosine_filter, factors, roll_off

LEADS = (0.5, 1, 2, 1, 1, 1, 1, 0.25)
SCALE = Scale(LEADS, 100.0, emphasis=True)


@pytest.mark.parametrize("emphasis", [False, True])
@pytest.mark.parametrize("length", [1000, 333])
def test_there_and_back(emphasis: bool, length: int) -> None:
    x = torch.randn(3, 8, length, generator=torch.Generator().manual_seed(0))
    scale = Scale(LEADS, 100.0, emphasis)
    torch.testing.assert_close(scale.to_mv(scale.to_network(x)), x, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(scale.to_network(scale.to_mv(x)), x, atol=2e-5, rtol=1e-4)


def test_without_emphasis_it_only_divides() -> None:
    x = torch.ones(8, 10)
    assert torch.equal(Scale(LEADS).to_network(x)[:, 0], 1 / torch.tensor(LEADS))
    assert torch.equal(Scale(LEADS).to_mv(x)[:, 0], torch.tensor(LEADS))


@pytest.mark.parametrize("frequency", [0.0, 5.0, 20.0, 40.0, 46.0])
def test_a_wave_is_raised_by_its_factor(frequency: float) -> None:
    """By the formula, on cosines that the transform holds exactly; broken by another frequency axis."""
    k = round(frequency * 20)
    wave = torch.cos(torch.pi * k * (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000).expand(8, 1000)
    raised = np.sqrt(1 + (frequency / 15) ** 2) * (1 + np.exp((frequency - 44.7) / 1.15))
    torch.testing.assert_close(SCALE.emphasised(wave), float(raised) * wave, atol=1e-3, rtol=1e-4)
    assert factors(1000, 100.0)[k] == pytest.approx(raised)


@pytest.mark.parametrize("length", [1, 2, 333, 1000])
def test_the_filter_multiplies_the_cosine_transform(length: int) -> None:
    """As scipy's transforms do; broken by cosines of i + j in place of i + j + 1."""
    by = np.random.default_rng(0).uniform(0.1, 30, length)
    x = np.random.default_rng(1).normal(size=(3, length))
    expected = idct(by * dct(x, norm="ortho"), norm="ortho")
    np.testing.assert_allclose(x @ cosine_filter(by).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_means_are_lowered_and_nothing_else() -> None:
    """Fails when the mean is raised in mV, or when another coefficient of the transform changes with it."""
    x = torch.randn(2, 8, 1000, generator=torch.Generator().manual_seed(1)) + 0.3
    whole, lowered = SCALE.to_mv(x), Scale(LEADS, 100.0, emphasis=True, mean=0.32).to_mv(x)
    mean = whole.mean(-1, keepdim=True)
    torch.testing.assert_close(lowered, whole - 0.68 * mean, atol=2e-6, rtol=1e-5)
    back = Scale(LEADS, 100.0, emphasis=True, mean=0.32).to_network(lowered)
    torch.testing.assert_close(back, x, atol=2e-5, rtol=1e-4)
    small = Scale(LEADS, 100.0, emphasis=True, mean=0.01).to_mv(x)  # beyond the largest factor
    torch.testing.assert_close(small, whole - 0.99 * mean, atol=2e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="mean is 0.5: only networks with emphasis have it"):
        Config.model_validate({"trainset_config": {"mean": 0.5}})


def test_the_filter_is_that_of_ptbxl() -> None:
    """The amplitudes measured on 300 pairs of records at 500 and 100 Hz, in the 200 strongest leads of each band."""
    measured = {35.5: 1.0, 40.5: 0.992, 41.5: 0.955, 42.5: 0.861, 43.5: 0.703, 44.5: 0.543, 45.5: 0.345}
    measured |= {46.5: 0.184, 47.5: 0.081, 48.5: 0.025, 49.5: 0.008}
    found = roll_off(np.array(list(measured), dtype=float))
    np.testing.assert_allclose(found, list(measured.values()), atol=0.04)


def test_errors_of_the_network_become_smaller_where_recordings_have_no_power() -> None:
    noise = torch.randn(8, 1000, generator=torch.Generator().manual_seed(0))
    power = np.abs(np.fft.rfft(SCALE.to_mv(noise).numpy() / np.array(LEADS)[:, None])) ** 2
    frequency = np.fft.rfftfreq(1000, 0.01)
    below, above = (power[:, (frequency >= a) & (frequency < b)].mean() for a, b in ((1, 5), (47, 50)))
    assert above < below / 300


def test_earlier_versions_read_configurations_without_emphasis() -> None:
    """The key is in a file only if the model needs it."""
    assert "emphasis" not in Config().content()["trainset_config"]
    raised = Config.model_validate({"trainset_config": {"emphasis": True}})
    assert raised.content()["trainset_config"]["emphasis"] is True


def test_records_do_not_depend_on_those_beside_them() -> None:
    x = torch.randn(5, 8, 1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(SCALE.to_mv(x)[2:3], SCALE.to_mv(x[2:3]))
