"""Heart rate and intervals that are shown beside a record, measured in ECGs for which they are known."""

import dataclasses

import numpy as np
import pytest

from sssd import measurements as module
from sssd.leads import EIGHT, to_twelve
from sssd.measurements import INTERVALS, intervals, measurements
from sssd.record import Ecg
from sssd.signals.voltage import axis


def measure(ecg):
    return intervals(measurements(ecg))


def heart(bpm, qt_s=0.38, *, wide=1.0, noise=0.003, seed=0):
    """An ECG of 12 leads, 10 s at 100 Hz, whose P, QRS and T waves are Gaussian bumps at the given rate."""
    t = np.arange(1000) / 100
    x = np.zeros(1000)
    for beat in np.arange(0.4, 11, 60 / bpm):
        for at, width, height in (
            (-0.16, 0.02, 0.15),
            (0, 0.012 * wide, 1.2),
            (0.03 * wide, 0.01 * wide, -0.25),
        ):
            x += height * np.exp(-(((t - beat - at) / width) ** 2) / 2)
        end = 0.035  # QRS begins before its R peak
        x += 0.3 * np.exp(-(((t - beat - (qt_s - end) + 0.08) / 0.04) ** 2) / 2)
    leads = np.linspace(0.7, 1.3, len(EIGHT))[:, None] * x
    return Ecg(to_twelve(leads + noise * np.random.default_rng(seed).standard_normal(leads.shape)))


@pytest.mark.parametrize("bpm", [40, 60, 75, 110, 160])
def test_heart_rate(bpm):
    """Fails when T waves count as beats, beats are missed, or the rate is not that of RR intervals."""
    rate = measure(heart(bpm, qt_s=0.38 if bpm < 100 else 0.28))["heart_rate_bpm"]
    assert abs(rate - bpm) <= 0.03 * bpm


def test_nothing_to_measure():
    """Fails when a record without beats gets a heart rate."""
    assert measure(Ecg(np.zeros((12, 1000), np.float32))) == dict.fromkeys(INTERVALS.values())


def test_intervals():
    """Fails when QT ends at another wave, is in samples, or QTc is not corrected for the heart rate."""
    short, long = (measure(heart(75, qt_s=qt_s)) for qt_s in (0.34, 0.44))
    assert 60 <= long["qt_ms"] - short["qt_ms"] <= 140
    assert 280 <= short["qt_ms"] <= 420
    assert long["qtc_ms"] == pytest.approx(long["qt_ms"] / np.sqrt(0.8), abs=8)
    assert 80 <= short["pr_ms"] <= 220


@pytest.mark.parametrize(("ratio", "measured"), [(1.0, True), (1.15, True), (0.5, False), (1.3, False)])
def test_two_methods_must_agree_on_the_rate(monkeypatch, ratio, measured):
    """Fails when a record is measured in which one method takes T waves for beats, or misses every second one."""
    delineate = module.delineate

    def other(lead, fs_hz):
        waves = delineate(lead, fs_hz)
        return dataclasses.replace(waves, r_peak=waves.r_peak / ratio)

    monkeypatch.setattr(module, "delineate", other)
    values = measurements(heart(75))
    assert bool(values) is measured


@pytest.mark.parametrize("degrees", [-90, -30, 0, 60, 120, 180])
def test_axis(degrees):
    """Fails when the axis turns the other way, aVF counts as large as I, or T waves enter."""
    turn = np.radians(degrees)
    t = np.arange(1000) / 100.0
    qrs = sum(np.exp(-(((t - beat) / 0.02) ** 2)) for beat in np.arange(0.5, 10, 0.8))
    wave_t = sum(np.exp(-(((t - beat - 0.3) / 0.05) ** 2)) for beat in np.arange(0.5, 9.5, 0.8))
    eight = np.zeros((8, 1000))
    eight[EIGHT.index("I")] = np.cos(turn) * qrs + 0.3 * wave_t
    eight[EIGHT.index("aVF")] = np.sqrt(3) / 2 * np.sin(turn) * qrs + 0.3 * wave_t
    found = axis(eight, np.arange(50, 1000, 80), 100.0)
    assert abs((found - degrees + 180) % 360 - 180) < 4
    assert np.isnan(axis(np.zeros((8, 1000)), np.arange(50, 1000, 80), 100.0))


def test_no_pr_without_p_waves():
    """Fails when PR is reported for statements without P waves, or with P waves that do not belong to the beats."""
    plain = measure(heart(75))
    for statement in ("AFIB", "AFLT", "3AVB"):
        ecg = dataclasses.replace(heart(75), statements=("LVH", statement))
        assert plain["pr_ms"] is not None and measure(ecg) == {**plain, "pr_ms": None}


def test_qrs():
    """Fails when the width includes the T wave, or does not grow with the width of the complex."""
    narrow, block = (measure(heart(75, wide=wide))["qrs_ms"] for wide in (1.0, 1.8))
    assert 60 <= narrow <= 105 and 120 <= block <= 180


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_not_measured(seed):
    """Fails when what is found in noise, white or with the spectrum of an ECG, is taken for beats."""
    white = np.random.default_rng(seed).standard_normal((8, 1000))
    smooth = np.apply_along_axis(np.convolve, 1, white, np.hanning(9), mode="same")
    for noise in (white, smooth):
        assert measurements(Ecg(to_twelve(0.2 * noise))) == {}


def test_a_heart_in_noise_is_measured():
    """Fails when ordinary noise, or beats that come irregularly, make a record unmeasurable."""
    assert measure(heart(75, noise=0.05))["heart_rate_bpm"] == pytest.approx(75, abs=2)


def test_qrs_without_an_end_is_not_measured():
    """Fails when the limit of the search for the ends of QRS is given as its width."""
    t = np.arange(1000) / 100
    x = np.interp((t - 0.3) % 1.0, [0, 0.35, 0.5, 0.65, 1.0], [0, 0.6, 1.4, 0.4, 0])  # no part of it is level
    leads = np.linspace(0.7, 1.3, len(EIGHT))[:, None] * x
    values = measurements(Ecg(to_twelve(leads)))
    assert "heart_rate" in values and "qrs_width" not in values


def test_beats_at_the_limit_of_the_search_are_not_measured():
    """Fails when the closest beats that can be found give a heart rate of 240."""
    x = np.zeros(1000)
    x[12::25] = 1.0
    assert measurements(Ecg(to_twelve(np.linspace(0.7, 1.3, 8)[:, None] * x))) == {}
