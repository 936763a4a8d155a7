"""Beats, waves and voltages of signals for which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from sssd.leads import EIGHT
from sssd.signals import beats, filters, voltage, waves

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


def test_filters_and_peaks_are_those_of_scipy() -> None:
    """Fails with one tap fewer, a base that is a sample off, another end of the signal, or no plateaus."""
    from scipy import ndimage, signal

    rng = np.random.default_rng(0)
    for length, fs_hz in ((1000, 100.0), (997, 500.0), (5000, 2500.0)):
        x = 0.1 * rng.standard_normal(length).cumsum() + 3.0
        sections = signal.butter(5, 0.5, "highpass", output="sos", fs=fs_hz)
        close = {"rtol": 0.0, "atol": 1e-10}
        np.testing.assert_allclose(filters.highpass(x, 0.5, fs_hz), signal.sosfiltfilt(sections, x), **close)
        size = int(fs_hz / 50)
        wanted = signal.filtfilt(np.ones(size), [size], x)
        np.testing.assert_allclose(filters.averaged_both_ways(x, size), wanted, **close)
        for size in (50, 75):
            wanted = ndimage.uniform_filter1d(x, size, mode="nearest")
            np.testing.assert_allclose(filters.smoothed(x, size), wanted, **close)
        both = np.stack((x, -x))
        wanted = signal.resample_poly(both, 5, 1, axis=-1)
        np.testing.assert_allclose(filters.upsampled(both, 5), wanted, **close)
        rough = np.round(x, 1)  # which has plateaus
        for y in (x, rough, -rough, rough[:3], rough[:1], np.zeros(9)):
            peaks = filters.maxima(y)
            np.testing.assert_array_equal(peaks, signal.find_peaks(y)[0])
            for within in (None, 50, 51):
                found = filters.prominences(y, peaks, within)
                for ours, theirs in zip(found, signal.peak_prominences(y, peaks, within), strict=True):
                    np.testing.assert_array_equal(ours, theirs)
            high = peaks[y[peaks] >= np.median(y)]
            wanted, _ = signal.find_peaks(y, height=np.median(y), distance=25)
            np.testing.assert_array_equal(filters.apart(high, y[high], 25), wanted)


def test_waves_are_those_of_neurokit() -> None:
    """Every point of 40 leads. Fails with a width, a limit or a rule of the delineation that is another."""
    neurokit2 = pytest.importorskip("neurokit2")
    rng = np.random.default_rng(0)
    names = {"p_onset": "P_Onsets", "p_peak": "P_Peaks", "p_end": "P_Offsets", "qrs_onset": "R_Onsets"}
    names |= {"qrs_end": "R_Offsets", "t_onset": "T_Onsets", "t_peak": "T_Peaks", "t_end": "T_Offsets"}
    compared = 0
    for k in range(40):
        fs_hz, rate = (100, 500)[k % 2], int(rng.integers(40, 150))
        lead = neurokit2.ecg_simulate(
            duration=10, sampling_rate=fs_hz, heart_rate=rate, noise=0.1 * (k % 5), random_state=k
        )
        lead = lead + rng.uniform(0, 0.3) * np.sin(np.arange(len(lead)) / fs_hz * rng.uniform(0.2, 2.0))
        clean = neurokit2.ecg_clean(lead, sampling_rate=fs_hz)
        _, peaks = neurokit2.ecg_peaks(clean, sampling_rate=fs_hz)
        peaks = peaks["ECG_R_Peaks"]
        found = waves.delineate(lead, float(fs_hz))
        if len(peaks) < 3:
            assert found is None
            continue
        assert found is not None
        np.testing.assert_array_equal(found.r_peak, peaks)
        _, theirs = neurokit2.ecg_delineate(clean, peaks, sampling_rate=fs_hz, method="prominence")
        for ours, name in names.items():
            before = ours.startswith(("p_", "qrs_onset"))
            wanted = waves.beside(theirs[f"ECG_{name}"], peaks, before=before)
            np.testing.assert_array_equal(getattr(found, ours), wanted)
        compared += 1
    assert compared > 30
