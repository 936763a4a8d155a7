"""Detectability and band powers, on signals whose answer is known and on recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sssd.evaluation import detectability, spectrum  # noqa: E402
from tests.test_evaluation import one_thread  # noqa: E402, F401

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "ptbxl_folds1-9" / "signals.npz"
EIGHT = [0, 6, 7, 8, 9, 10, 11, 5]  # rows of the eight leads among the clinical twelve


def stand_in(n: int, seed: int, *, length: int = 1000, fs_hz: float = 100.0) -> np.ndarray:
    """Records like ECGs, (n, 8, L) in mV: beats at a rate of their own, wander, and noise that differs by lead."""
    rng = np.random.default_rng(seed)
    t = np.arange(length) / fs_hz
    shapes = np.random.default_rng(0).normal(0, 1, 8)  # of the leads, the same in all records
    x = np.zeros((n, 8, length))
    for record in x:
        times = np.arange(rng.uniform(0, 1), length / fs_hz, rng.uniform(0.6, 1.1))
        beat = sum(np.exp(-(((t - at) / 0.02) ** 2)) for at in times)
        beat = beat + 0.3 * sum(np.exp(-(((t - at - 0.3) / 0.06) ** 2)) for at in times)
        record += (shapes + rng.normal(0, 0.3, 8))[:, None] * beat
        record += rng.normal(0, 0.05, (8, 1)) * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * t)
        record += 10 ** rng.uniform(-2.8, -2.0, (8, 1)) * rng.standard_normal((8, length))
    return x


def tone(frequency_hz: float, *, n: int = 1, length: int = 990) -> np.ndarray:
    return np.tile(np.sin(2 * np.pi * frequency_hz * np.arange(length) / 100 + 0.3), (n, 8, 1))


# --- power in bands ---------------------------------------------------------------------------------------


def test_power_is_in_its_band() -> None:
    """A sine of amplitude 1 mV has the power 1/2 mV^2, all in its band. Breaks with amplitudes for powers, or when the
    sum over bands is not the variance."""
    for frequency, band in ((0.7, 1), (10, 4), (47, 8)):
        levels = spectrum.band_levels(tone(frequency))[0, 0]
        assert levels.argmax() == band and 10 ** levels[band] == pytest.approx(0.5, rel=0.02)
        assert 10 ** levels[band] > 50 * (10**levels).sum() - 50 * 10 ** levels[band]
    x = stand_in(4, 0)
    noise = np.random.default_rng(1).standard_normal((200, 2, 990))
    assert (10 ** spectrum.band_levels(noise)).sum(-1).mean() == pytest.approx(1, rel=0.01)
    shifted = spectrum.band_levels(x + 3.0)
    assert shifted == pytest.approx(spectrum.band_levels(x), abs=1e-6)
    assert spectrum.band_levels(10 * x) == pytest.approx(spectrum.band_levels(x) + 2, abs=1e-3)


def test_bands_reach_the_nyquist_frequency() -> None:
    """Breaks when 50 Hz itself is in no band, or records at 500 Hz have none above it."""
    assert spectrum.edges(100)[-1] == 50 and len(spectrum.edges(100)) == 10
    assert spectrum.edges(500)[-5:] == (50.0, 75.0, 100.0, 150.0, 250.0) and spectrum.edges(80)[-2:] == (
        35.0,
        40.0,
    )
    alternating = np.tile(np.resize([1.0, -1.0], 990), (1, 8, 1))
    assert 10 ** spectrum.band_levels(alternating)[0, 0, 8] == pytest.approx(1)
    with pytest.raises(ValueError, match="100 samples at 100 Hz have no frequency between 0.5 and 1 Hz"):
        spectrum.band_levels(np.zeros((1, 8, 100)))


def test_difference_of_bands() -> None:
    """Twice the amplitude is 0.6 decades; a spread that is halved, and one between leads, are seen where they are.
    Breaks when a spread is taken over records and leads together, or the ratio is turned round."""
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((60, 8, 990)) * np.logspace(0, 1, 8)[:, None]  # leads differ in every record
    level = rng.normal(0, 0.3, (60, 1, 1))  # decades of amplitude, for a whole record
    own = rng.normal(0, 0.3, (60, 8, 1))  # for each of its leads
    recorded = 10 ** (level + own) * noise
    louder = spectrum.band_difference(recorded, 2 * recorded)
    assert louder.difference == pytest.approx(np.full(9, 0.602), abs=1e-3)
    assert louder.spread == pytest.approx(np.ones(9)) and louder.spread_between_leads == pytest.approx(
        np.ones(9)
    )
    alike = spectrum.band_difference(recorded, 10 ** (level + 0.5 * own) * noise)
    assert alike.spread_between_leads[3:] == pytest.approx(np.full(6, 0.5), abs=0.1)
    assert alike.spread[3:].mean() == pytest.approx(np.sqrt(1.25 / 2), abs=0.08)
    steady = spectrum.band_difference(recorded, 10 ** (0.5 * level + own) * noise)
    assert steady.spread_between_leads[3:] == pytest.approx(np.ones(6), abs=0.05)
    assert steady.spread[3:].mean() == pytest.approx(np.sqrt(1.25 / 2), abs=0.08)


def test_the_offset_of_a_lead_does_not_show_in_its_steps() -> None:
    """Breaks when steps of whole microvolts keep rounding errors, whose size depends on how large the samples are."""
    uv = np.random.default_rng(1).integers(-3, 4, (20, 8, 990))
    found = [
        detectability.features(detectability.prepared((uv + offset) / 1000))[:, -32:] for offset in (0, 900)
    ]
    np.testing.assert_array_equal(*found)


def test_nothing_passes_outside_a_band() -> None:
    """What is inside stays as it is, without a shift; what is outside is gone. Breaks with a filter that delays, or one
    that leaves a thousandth."""
    inside, outside = tone(10), tone(45)
    found = spectrum.band_limited(inside + outside, 1, 15)
    assert np.abs(found - inside)[..., 100:-100].max() < 0.02
    assert 10 ** spectrum.band_levels(found)[0, 0, 5:].max() < 1e-5
    assert np.abs(spectrum.band_limited(outside, 0, 20))[..., 20:-20].max() < 0.02
    ramp = np.tile(np.linspace(0, 1, 990), (1, 8, 1))  # its ends differ by 1 mV
    assert np.abs(spectrum.band_limited(ramp, 1, 15))[..., 50:-50].max() < 0.01
    assert spectrum.band_limited(inside, 0, 50) == pytest.approx(inside)


# --- features ---------------------------------------------------------------------------------------------


def test_features_are_where_their_names_say() -> None:
    """Lead V2 alone is changed, in one way at a time. Breaks when leads and groups are transposed."""
    names = detectability.feature_names(spectrum.edges(), detectability.EIGHT)
    x = stand_in(1, 3)
    before = detectability.features(x)[0]
    assert len(names) == len(before) == 15 * 8
    v2 = detectability.EIGHT.index("V2")
    for change, group in (
        (0.5 * tone(48, length=1000)[0, 0], "power 45-50 Hz"),
        (np.eye(1, 1000, 500)[0] * 90, "maximum"),
    ):
        y = x.copy()
        y[0, v2] += change
        moved = detectability.features(y)[0] - before
        assert names[int(np.abs(moved).argmax())] == f"{group}, V2"
        assert not moved[[k for k, name in enumerate(names) if not name.endswith(", V2")]].any()
    median_slope = before[names.index("50 % quantile of |dx|, I")]
    assert median_slope == pytest.approx(np.median(np.abs(np.diff(x[0, 0]))), abs=1e-6)


def test_features_of_a_band_see_nothing_else() -> None:
    """45 Hz is added: in 1 to 15 Hz no feature moves. Breaks when extremes or slopes are those of the whole signal."""
    x = stand_in(3, 4, length=990)
    limits = detectability.simple_views()["1-15 Hz"]
    assert limits == (1, 3, 8, 15)
    a, b = (detectability.features(part, limits) for part in (x, x + 0.2 * tone(45)))
    assert np.abs(a - b).max() < 0.03
    assert np.abs(detectability.features(x) - detectability.features(x + 0.2 * tone(45))).max() > 1


def test_records_are_cut_and_rounded() -> None:
    """Breaks when the last 0.1 s, or anything below 1 uV, gives a record away."""
    x = stand_in(2, 5)
    y = x.copy()
    y[..., 990:] += 5.0
    y += 1e-9
    assert np.array_equal(detectability.prepared(x), detectability.prepared(y))
    assert detectability.prepared(x).shape[-1] == 990
    x[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="no numbers"):
        detectability.prepared(x)


def test_importance_of_features() -> None:
    """The second of two columns decides, in either direction. Breaks when nothing is shuffled, or when less in
    generated records counts as nothing."""
    rng = np.random.default_rng(15)
    recorded, generated = rng.standard_normal((2, 40, 2))
    generated[:, 1] -= 5.0
    columns = detectability.group_columns(2, 2)
    _, falls = detectability.cross_validated_boosting(recorded, generated, groups=columns)
    assert falls[1] > 0.3 and abs(falls[0]) < 0.05
    for a, b in ((recorded, generated), (generated, recorded)):
        first = detectability.single_features(a, b, ("noise", "shift"))[0]
        assert first.name == "shift" and first.auc > 0.99
        assert first.generated - first.recorded == pytest.approx(np.median(b[:, 1]) - np.median(a[:, 1]))


# --- the whole of it --------------------------------------------------------------------------------------


def test_partition_keeps_pairs_together() -> None:
    """Breaks when a recording is fitted on and its like is tested, or a row is tested twice."""
    tested = []
    for fitted, unseen in detectability.partition(10, 0):
        assert not set(fitted % 10) & set(unseen % 10) and len(fitted) + len(unseen) == 20
        tested += unseen.tolist()
    assert sorted(tested) == list(range(20))


def test_copies_of_the_recordings_give_a_half() -> None:
    """The same records on both sides are told by nothing: 0.5 exactly. Breaks when a pair is parted: what was learnt of
    a recording then speaks against its copy, and the AUC is near 0."""
    x = stand_in(48, 6)[:, :2]
    found = detectability.detectability(x, x, seeds=1, deep_seeds=0, lead_names=("I", "V1"))
    assert all(area.mean == pytest.approx(0.5, abs=1e-12) for area in found.simple.values())
    assert found.spectra["0-50 Hz"]["precision"] == 1


def test_like_records_and_noise() -> None:
    """Other records of the same source give 0.5, white noise 1.0, and the reasons are named. Breaks when a score is
    turned round, or a set is compared with itself."""
    recorded, like = stand_in(72, 7)[:, :3], stand_in(72, 8)[:, :3]
    how = {"deep_seeds": 0, "lead_names": ("I", "V1", "V2")}
    good = detectability.detectability(recorded, like, seeds=2, **how)
    assert set(good.simple) == {"raw", "0.5-35 Hz", "0.5-25 Hz", "1-15 Hz"} and good.deep == {}
    for area in good.simple.values():
        assert abs(area.mean - 0.5) < 0.13
        assert area.low < area.mean < area.high and len(area.values) == 2
    assert max(group.alone for group in good.groups) < 0.7
    assert good.spectra["0-50 Hz"]["recall"] > 0.7 and good.spectra["0-50 Hz"]["records"] == 72

    noise = np.random.default_rng(9).standard_normal(recorded.shape) * recorded.std()
    bad = detectability.detectability(recorded, noise, seeds=1, **how)
    assert all(area.mean > 0.95 for area in bad.simple.values())
    assert bad.spectra["0-50 Hz"]["precision"] == 0
    assert bad.generated_score.mean() > 0.9 > 0.1 > bad.recorded_score.mean()

    hiss = like + 0.02 * tone(48, n=72, length=1000)[:, :3]  # 0.2 of 10 uV: a tone that only one band holds
    told = detectability.detectability(recorded, hiss, seeds=1, **how)
    assert told.groups[0].name == "power 45-50 Hz" and told.groups[0].alone > 0.95
    assert told.groups[0].permuted == max(group.permuted for group in told.groups)
    assert (
        told.features[0].name.startswith("power 45-50 Hz")
        and told.features[0].generated > told.features[0].recorded
    )
    assert told.simple["raw"].mean > 0.95 and told.simple["0.5-25 Hz"].mean < 0.65
    assert told.bands.difference.argmax() == 8


def test_the_deep_one() -> None:
    """Noise is found out; what is above 20 Hz only raw. Breaks when the low-pass is left out, or a network is tested on
    what it was trained on."""
    pytest.importorskip("torch")
    recorded, like = stand_in(32, 10, length=220), stand_in(32, 11, length=220)
    how = {"seeds": 1, "epochs": 25, "width": 4}
    fits: list[int] = []
    noise = 0.5 * np.random.default_rng(12).standard_normal(recorded.shape)
    bad = detectability.deep(recorded, noise, advance=lambda: fits.append(1), **how)
    assert set(bad) == {"raw", "below 20 Hz"} and len(fits) == 8
    assert all(area.mean > 0.9 for area in bad.values())
    hiss = 0.3 * tone(40, n=64, length=220)
    train = (stand_in(64, 13, length=220), stand_in(64, 14, length=220) + hiss)
    parted = detectability.deep(recorded, like + hiss[:32], train=train, **how)
    assert parted["raw"].mean > 0.9 and parted["below 20 Hz"].mean < 0.75
    alike = detectability.deep(recorded, like, **how)
    assert abs(alike["raw"].mean - 0.5) < 0.25


def test_sets_that_cannot_be_compared() -> None:
    x = stand_in(8, 0, length=300)
    with pytest.raises(ValueError, match="give as many of one kind"):
        detectability.detectability(x, x[:7])
    with pytest.raises(ValueError, match="4 records of each kind: expected 8 or more"):
        detectability.detectability(x[:4], x[:4])


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="real ECGs are not here")
def test_recordings_against_recordings() -> None:
    """Random halves of the recordings give 0.5 in every band, and close spectra."""
    with np.load(REAL) as arrays:
        rows = np.flatnonzero(arrays["strat_fold"] >= 8)
        rows = np.random.default_rng(0).permutation(rows)
        x = arrays["signal_uv"][np.sort(rows)][:, EIGHT] / 1000
    x = x[np.argsort(np.argsort(rows))]
    n = len(x) // 2
    found = detectability.detectability(x[:n], x[n : 2 * n], seeds=1, deep_seeds=0)
    assert all(abs(area.mean - 0.5) < 0.05 for area in found.simple.values())
    assert np.abs(found.bands.difference).max() < 0.1
    assert found.bands.spread == pytest.approx(np.ones(9), abs=0.15)
    assert found.spectra["0-50 Hz"]["precision"] > 0.7 and found.spectra["0-50 Hz"]["recall"] > 0.7
