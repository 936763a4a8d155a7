"""Beats, waves and voltages of signals for which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from sssd.leads import EIGHT
from sssd.signals import beats, voltage

T = np.arange(1000) / 100


def train(times_s: np.ndarray, *, p: float = 0.12, width_s: float = 0.012) -> np.ndarray:
    """One lead of P, QRS (1 mV) and T waves at the given times of R, 10 s at 100 Hz."""
    lead = np.zeros(1000)
    for r in times_s:
        for at, height, width in (
            (-0.16, p, 0.025),
            (-0.03, -0.15, 0.01),
            (0, 1.0, width_s),
            (0.28, 0.3, 0.05),
        ):
            lead += height * np.exp(-(((T - r - at) / width) ** 2) / 2)
    return lead


def eight(lead: np.ndarray, factors: dict[str, float] | None = None) -> np.ndarray:
    """A record (8, L) whose leads are multiples of one."""
    return np.stack([(factors or {}).get(name, 0.5) * lead for name in EIGHT])


def test_beats_and_rate() -> None:
    """Beats are where R is, T waves are none. Breaks with another unit than samples, or a rate of the mean interval."""
    times = np.arange(0.5, 9.7, 0.8)
    found = beats.find_beats(eight(train(times)), 100.0)
    assert len(found) == len(times) and np.abs(found - 100 * times).max() <= 3
    assert beats.heart_rate(found, 100.0) == pytest.approx(75, abs=0.5)
    late = np.array([0, 80, 160, 240, 400])  # one beat is missing
    assert beats.rr_s(late, 100.0) == pytest.approx(0.8) and beats.heart_rate(late, 100.0) == pytest.approx(
        75
    )
    assert beats.rr_variability(np.array([0, 80, 170, 250]), 100.0) == pytest.approx(100)
    assert beats.rr_variability(np.array([0, 80, 170, 250]), 200.0) == pytest.approx(50)
    for measure in (beats.heart_rate, beats.rr_variability):
        assert np.isnan(measure(found[:2], 100.0))
    assert not len(beats.find_beats(np.zeros((8, 1000)), 100.0))


def test_width() -> None:
    """Wider complexes are wider, whatever their height. Breaks when the width is in samples, or depends on the unit."""
    times = np.arange(0.6, 9.4, 0.8)
    widths = []
    for width_s in (0.012, 0.03):
        record = eight(train(times, width_s=width_s))
        at = beats.find_beats(record, 100.0)
        widths.append(beats.qrs_width(record, at, 100.0))
        assert beats.qrs_width(1000 * record, at, 100.0) == pytest.approx(widths[-1])
    assert 50 < widths[0] < 110 < widths[1] < 220


def test_voltages() -> None:
    """By construction. Breaks with V6 for V5 alone, S with its sign, or a limb lead that is left out."""
    times = np.arange(0.5, 9.7, 0.8)
    record = eight(train(times, p=0.0), {"V1": -1.5, "V5": 1.0, "V6": 2.5, "I": 0.2, "aVF": 0.3})
    at = beats.find_beats(record, 100.0)
    top = train(times, p=0.0).max() - np.median(train(times, p=0.0))
    assert voltage.sokolow_lyon(record, at, 100.0) == pytest.approx(4.0 * top, rel=0.02)
    span = np.ptp(train(times, p=0.0))
    assert voltage.limb_voltage(record, at, 100.0) == pytest.approx(0.4 * span, rel=0.02)  # II = I / 2 + aVF
    assert np.isnan(voltage.sokolow_lyon(record, at[:0], 100.0)) and np.isnan(
        voltage.limb_voltage(record, at[:0], 100.0)
    )


def test_p_waves() -> None:
    """P waves before every beat, none, or at no steady distance. Breaks when any peak before R counts."""
    pytest.importorskip("neurokit2")
    from sssd.signals import waves

    rng = np.random.default_rng(0)
    times = np.arange(0.5, 9.7, 0.8)
    noise = 0.004 * rng.standard_normal(1000)
    steady, absent = train(times) + noise, train(times, p=0.0) + noise
    wandering = absent.copy()
    for r in times:
        wandering += 0.12 * np.exp(-(((T - r + rng.uniform(0.12, 0.34)) / 0.025) ** 2) / 2)
    shares = []
    for lead in (steady, absent, wandering):
        found = waves.delineate(lead, 100.0)
        assert found is not None
        shares.append(waves.p_waves(lead, found).mean())
    assert shares[0] > 0.9 and shares[1] < 0.2 and shares[2] < 0.6
    assert waves.delineate(np.zeros(1000), 100.0) is None


def test_interpolation_is_band_limited():
    """Fails when a sine below half of the sampling rate is not reproduced between samples, or samples move."""
    from sssd.signals.interpolation import finer

    t = np.arange(400) / 100.0
    fine = np.arange(399 * 5 + 1) / 500.0
    for hz, error in ((1.0, 2e-3), (10.0, 5e-3), (25.0, 1e-2)):
        found = finer(np.sin(2 * np.pi * hz * t), 5)
        inside = slice(50, -50)
        assert np.abs(found - np.sin(2 * np.pi * hz * fine))[inside].max() < error
    noise = np.random.default_rng(0).normal(size=(3, 50))
    assert finer(noise, 4).shape == (3, 197) and np.allclose(finer(noise, 4)[:, ::4], noise)
    np.testing.assert_allclose(finer(np.ones(20), 5), 1.0)
    np.testing.assert_allclose(finer(noise, 1), noise, atol=1e-12)


@pytest.mark.parametrize("kind", ["muscle", "mains", "baseline"])
@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
def test_beats_are_found_in_noise(kind: str, fs_hz: float) -> None:
    """At 6 dB, all beats of a steady rhythm are found and nothing else.

    Fails when the slope is taken over one sample, or when the height of a peak does not count from the median slope.
    """
    from sssd.added_noise import Noise
    from sssd.leads import CLINICAL, to_twelve

    times = np.arange(0.5, 9.7, 0.8)
    fine = np.interp(np.arange(round(10 * fs_hz)) / fs_hz, T, train(times))
    clean = to_twelve(eight(fine))
    drawn = Noise(kind, 1.0, 50.0 if kind == "mains" else None).draw(0, 0, clean.shape[1], fs_hz, CLINICAL)
    power = ((clean - clean.mean(axis=1, keepdims=True)) ** 2).mean() / (drawn**2).mean()
    found = beats.find_beats(clean + drawn * np.sqrt(power / 10**0.6), fs_hz)
    assert len(found) == len(times) and np.abs(found / fs_hz - times).max() <= 0.05
