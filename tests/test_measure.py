"""Heart rate and intervals beside a record, on ECGs of known ones."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("fastapi")

from sssd.leads import EIGHT, to_twelve
from sssd.record import Ecg
from sssd.server.measure import NOTHING, measure


def heart(bpm, qt_s=0.38, *, wide=1.0, noise=0.003, seed=0):
    """An ECG with P, QRS and T as bumps at the given rate: 12 leads, 10 s at 100 Hz."""
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
    """Fails when T waves count as beats, beats are missed, or the rate is taken from another interval."""
    rate = measure(heart(bpm, qt_s=0.38 if bpm < 100 else 0.28))["heart_rate_bpm"]
    assert abs(rate - bpm) <= 0.03 * bpm


def test_nothing_to_measure():
    """Fails when a record without beats gets a rate."""
    assert measure(Ecg(np.zeros((12, 1000), np.float32))) == NOTHING


def test_intervals():
    """Fails when QT is taken to another wave, is in samples, or is not corrected by the rate."""
    short, long = (measure(heart(75, qt_s=qt_s)) for qt_s in (0.34, 0.44))
    assert 60 <= long["qt_ms"] - short["qt_ms"] <= 140
    assert 280 <= short["qt_ms"] <= 420
    assert long["qtc_ms"] == pytest.approx(long["qt_ms"] / np.sqrt(0.8), abs=8)
    assert 80 <= short["pr_ms"] <= 220


def test_no_pr_without_p_waves():
    """Fails when a PR is told of a record that is said to have no P waves, or none that belong to its beats."""
    plain = measure(heart(75))
    for statement in ("AFIB", "AFLT", "3AVB"):
        ecg = dataclasses.replace(heart(75), statements=("LVH", statement))
        assert plain["pr_ms"] is not None and measure(ecg) == {**plain, "pr_ms": None}


def test_qrs():
    """Fails when the width is not of the complex: too wide where T is taken along, the same for a block."""
    narrow, block = (measure(heart(75, wide=wide))["qrs_ms"] for wide in (1.0, 1.8))
    assert 60 <= narrow <= 105 and 120 <= block <= 180
