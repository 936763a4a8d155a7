"""The measures, on signals whose answer is known."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sssd.data.recordings import Recordings, eight_leads_mv, subset  # noqa: E402
from sssd.evaluation import amplitude, auc, classifier, frechet, measure, memorisation, rhythm  # noqa: E402
from sssd.leads import EIGHT, to_twelve  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "ptbxl_folds1-9" / "signals.npz"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks of two channels lose more to threads than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pulses(times_s: np.ndarray, *, leads: int = 8, length: int = 1000) -> np.ndarray:
    """One record (leads, length) at 100 Hz of narrow bells at the given times, in mV."""
    t = np.arange(length) / 100
    beat = np.exp(-(((t - times_s[:, None]) / 0.03) ** 2)).sum(0)
    return (beat * np.linspace(0.5, 1.5, leads)[:, None]).astype(np.float32)


def toy(n: int, seed: int, length: int = 300) -> Recordings:
    """Noise whose statement A lifts lead I by 2 mV; three names, of which C has no record."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((n, 3), np.uint8)
    labels[::2, 0] = 1
    labels[: n // 2, 1] = 1
    x = rng.standard_normal((n, 8, length)).astype(np.float32)
    x[::2, 0] += 2
    signal = np.rint(1000 * to_twelve(x)).astype(np.int16)
    return Recordings(signal, labels, ("A", "NORM", "C"))


def test_regularity_of_known_rhythms() -> None:
    """A steady beat of period p repeats (1 - p/L) of itself; jittered beats do not.

    Breaks if r is rescaled for the overlap or if the lag range starts at 0.
    """
    steady = pulses(np.arange(0.4, 10, 0.8))
    rng = np.random.default_rng(0)
    jittered = pulses(np.cumsum(rng.uniform(0.4, 1.6, 12)))
    values = rhythm.beat_regularity(np.stack([steady, jittered, 5 * jittered + 1]))
    assert values[0] == pytest.approx(1 - 80 / 999, abs=0.02)
    assert values[1] < 0.5
    assert values[2] == pytest.approx(values[1], rel=1e-4)


def test_regularity_equals_its_definition() -> None:
    """Against the sums written out. Breaks if lags wrap around or the mean of e is kept."""
    x = np.random.default_rng(1).standard_normal((2, 3, 260))
    for record, value in zip(x, rhythm.beat_regularity(x), strict=True):
        e = np.abs(np.diff(record, axis=-1)).sum(0)
        e -= e.mean()
        sums = [float(e[:-k] @ e[k:]) for k in range(35, 201)]
        assert value == pytest.approx(max(sums) / float(e @ e), rel=1e-9)


def test_regularity_of_flat_and_short_records() -> None:
    assert np.isnan(rhythm.beat_regularity(np.zeros((1, 8, 1000)))).all()
    with pytest.raises(ValueError, match="at least 202 samples"):
        rhythm.beat_regularity(np.zeros((1, 8, 200)))


@pytest.mark.skipif(not REAL.exists(), reason="real ECGs are not here")
def test_regularity_of_real_records() -> None:
    """The published values of fold 9. Breaks with other leads, lags or normalisation."""
    with np.load(REAL) as arrays:
        rows = arrays["strat_fold"] == 9
        x = arrays["signal_uv"][rows][:, [0, 6, 7, 8, 9, 10, 11, 5]] / 1000
        labels, names = arrays["labels"][rows], [str(name) for name in arrays["label_names"]]
    values = rhythm.beat_regularity(x)
    medians = rhythm.median_by_statement(values, labels, names, ["NORM", "STACH", "PVC", "AFIB"])
    assert np.median(values) == pytest.approx(0.625, abs=5e-4)
    assert [round(m, 2) for m in medians.values()] == [0.58, 0.78, 0.39, 0.23]


def test_heart_rate() -> None:
    """75 beats per minute are found, a flat record has none. Breaks if the rate is the number of beats."""
    rates = rhythm.heart_rates(np.stack([pulses(np.arange(0.4, 10, 0.8)), np.zeros((8, 1000))]))
    assert rates[0] == pytest.approx(75, abs=1)
    assert np.isnan(rates[1])


def test_medians_by_statement() -> None:
    """NaNs and absent statements are left out. Breaks if every record counts for every statement."""
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    values = np.array([1.0, 3.0, np.nan])
    assert rhythm.median_by_statement(values, labels, "abc", "abc") == {"a": 2.0, "b": 3.0}
    with pytest.raises(ValueError, match="'d' is not among the 3"):
        rhythm.median_by_statement(values, labels, "abc", "d")


def test_amplitude_ratio() -> None:
    """Half the signal on another offset has ratio one half. Breaks if record means count as amplitude."""
    x = np.random.default_rng(2).standard_normal((5, 8, 100))
    offset = np.arange(5)[:, None, None]
    assert amplitude.amplitude_ratio(x / 2 + offset, x) == pytest.approx(np.full(8, 0.5))
    assert amplitude.median_amplitude_ratio(x / 2 + offset, x) == pytest.approx(np.full(8, 0.5))
    with pytest.raises(ValueError, match="same leads"):
        amplitude.amplitude_ratio(x[:, :7], x)


def test_frechet_distance_of_gaussians() -> None:
    """The closed form where covariances commute. Breaks if the root of the product is not doubled."""
    a = np.random.default_rng(3).standard_normal((50, 4))
    a -= a.mean(0)
    a = a @ np.linalg.inv(np.linalg.cholesky(np.cov(a, rowvar=False))).T  # covariance exactly the identity
    scale, shift = np.array([1.0, 2.0, 3.0, 0.5]), np.array([1.0, 0.0, -2.0, 0.0])
    expected = 5.0 + ((scale - 1) ** 2).sum()
    assert frechet.frechet_distance(a, a * scale + shift) == pytest.approx(expected)
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_nearest_finds_shifted_and_scaled_copies() -> None:
    """A copy shifted, scaled and offset is at distance 0. Breaks if lags, gain or offset matter."""
    rng = np.random.default_rng(4)
    training = rng.standard_normal((7, 8, 200)).astype(np.float32)
    copies = 3 * np.roll(training[[5, 2]], 40, axis=-1) + 1
    distance, row = memorisation.nearest(
        np.concatenate([copies, rng.standard_normal((30, 8, 200))]), training
    )
    assert row[:2].tolist() == [5, 2]
    assert distance[:2] == pytest.approx([0, 0], abs=2e-3)
    assert distance[2:].min() > 1
    summary = memorisation.compare(distance[:2], distance[2:])
    assert summary.median < 0.01 and summary.share_near == 1


def test_nearest_equals_its_definition() -> None:
    """Against all shifts written out. Breaks if the spectra are not conjugated: shapes run backwards."""
    rng = np.random.default_rng(5)
    x, training = rng.standard_normal((2, 2, 3, 20))
    distance, _ = memorisation.nearest(x, training)

    def unit(record: np.ndarray) -> np.ndarray:
        record = record - record.mean(-1, keepdims=True)
        return record / np.sqrt((record**2).sum())

    for record, value in zip(x, distance, strict=True):
        gaps = [
            np.linalg.norm(unit(record) - np.roll(unit(other), k, axis=-1))
            for other in training
            for k in range(20)
        ]
        assert value == pytest.approx(min(gaps), abs=1e-4)


def test_macro_auc_counts_frequent_statements_only() -> None:
    """Breaks if statements below `min_positives` count."""
    y = np.zeros((20, 3), np.uint8)
    y[:6, 0], y[:6, 1], y[:4, 2] = 1, 1, 1
    p = np.stack([y[:, 0], np.zeros(20), -y[:, 2].astype(float)], axis=1)
    for least, expected in ((5, 0.75), (4, 0.5)):
        found = auc.macro_auc(y, [p], auc.frequent(y, min_positives=least), resamples=1)
        assert found is not None and found["mean"] == pytest.approx(expected)
    assert not len(auc.frequent(y, min_positives=50))


def test_classifier_learns_and_follows_its_seed() -> None:
    """Breaks if labels are shuffled apart from records, or randomness does not come from the seed."""
    data, unseen = toy(64, 0, length=64), toy(40, 1, length=64)
    x, new = eight_leads_mv(data), eight_leads_mv(unseen)
    state = torch.get_rng_state()
    model = classifier.train(x, data.labels, seed=1, epochs=20, width=8)
    assert torch.equal(torch.get_rng_state(), state)
    p = classifier.predict(model, new)
    assert p.shape == (40, 3) and auc.single_auc(unseen.labels[:, 0], p[:, 0]) > 0.9
    assert classifier.features(model, new).shape == (40, 32)

    def start(seed: int) -> np.ndarray:
        small = classifier.train(x[:8], data.labels[:8], seed=seed, epochs=1, width=2)
        return classifier.predict(small, new[:4])

    assert np.array_equal(start(1), start(1)) and not np.array_equal(start(1), start(2))


def test_a_classifier_goes_on_from_another() -> None:
    """One epoch more of what it knows; the other stays as it was. Breaks if it begins anew, or shares weights."""
    data, unseen = toy(64, 0, length=64), toy(40, 1, length=64)
    x, new = eight_leads_mv(data), eight_leads_mv(unseen)
    first = classifier.train(x, data.labels, seed=1, epochs=20, width=8)
    before = classifier.predict(first, new)
    after = classifier.train(x, data.labels, seed=2, epochs=1, width=8, init=first)

    def first_auc(model: classifier.Classifier) -> float:
        return auc.single_auc(unseen.labels[:, 0], classifier.predict(model, new)[:, 0])

    assert first_auc(after) > 0.9
    assert np.array_equal(classifier.predict(first, new), before)
    assert not np.array_equal(classifier.predict(after, new), before)
    fresh = classifier.train(x, data.labels, seed=2, epochs=1, width=8)
    assert first_auc(fresh) < 0.9


def test_prediction_does_not_depend_on_company() -> None:
    """One record alone is read as it is among others. Breaks if batch statistics are used in prediction."""
    data = toy(8, 0)
    x = eight_leads_mv(data)
    model = classifier.train(x, data.labels, epochs=3, width=4)
    together = classifier.predict(model, x)
    assert classifier.predict(model, x[3:4]) == pytest.approx(together[3:4], abs=1e-5)


def test_records_are_read_in_windows() -> None:
    """With nothing between input and features, they are the mean of three overlapping windows' means.

    Breaks if the last window is dropped or windows do not overlap by half.
    """
    x = eight_leads_mv(toy(3, 0, length=1000))
    model = classifier.Classifier(8, 3, width=2)
    model.stem = model.stages = torch.nn.Sequential()
    expected = np.mean([x[..., start : start + 500].mean(-1) for start in (0, 250, 500)], axis=0)
    assert classifier.WINDOW == 500
    assert classifier.features(model, x) == pytest.approx(expected, abs=1e-5)


def test_measure_of_a_perfect_and_a_copied_set() -> None:
    """Records of the same source pass; the training records themselves are found out.

    Breaks if a synthetic set is compared with the wrong real one.
    """
    train, test = toy(64, 0), toy(32, 1)
    copied = subset(train, np.arange(32))
    told: list[str] = []
    result = measure.measure(
        train,
        test,
        {"good": toy(32, 2), "copied": copied},
        {"good": toy(64, 3)},
        seeds=(0,),
        epochs=1,
        width=2,
        on_stage=told.append,
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    good, copies = result["synthetic"]["good"], result["synthetic"]["copied"]
    assert good["labels_as_real"] and good["amplitude"]["mean"] == pytest.approx(1, abs=0.05)
    assert good["memorisation"]["median"] == pytest.approx(1, abs=0.05)
    assert copies["memorisation"]["median"] < 0.01 and copies["memorisation"]["share_near"] == 1
    assert 0 < good["adherence"]["mean"] < 1 and result["utility"]["good"]["ratio"] > 0
    assert "classifier trained on good, seed 0" in told
    other = Recordings(test.signal_uv, test.labels, ("A", "B", "C"))
    with pytest.raises(ValueError, match="the same label names"):
        measure.measure(train, test, {"other": other})


def test_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From files to table and JSON. Breaks if the leads of an 8-lead and a 12-lead file are mixed up."""
    data = toy(24, 0)
    common = {"labels": data.labels, "label_names": np.array(data.label_names)}
    fold = np.where(np.arange(24) < 16, 1, 9)
    np.savez(tmp_path / "real.npz", signal_uv=data.signal_uv, strat_fold=fold, **common)
    half = (eight_leads_mv(data)[16:] * 500).astype(np.int16)
    test = {**common, "labels": data.labels[16:]}
    np.savez(tmp_path / "made.npz", signal_uv=half, leads=EIGHT, **test)
    main = runpy.run_path(str(ROOT / "scripts" / "measure_model.py"))["main"]
    command = ["--real", "real.npz", "--synthetic-test", "half=made.npz", "--json", "out.json"]
    monkeypatch.chdir(tmp_path)
    main([*command, "--seeds", "0"])
    ratios = json.loads((tmp_path / "out.json").read_text())["synthetic"]["half"]["amplitude"]["ratio"]
    assert ratios == pytest.approx([0.5] * 8, abs=0.01)
    printed = capsys.readouterr().out
    assert "half" in printed and "0.50" in printed
    with pytest.raises(FileExistsError, match="out.json exists already"):
        main(command)
