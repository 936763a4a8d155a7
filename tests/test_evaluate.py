"""Figures of the evaluation against closed forms and other tools; the whole of it; the command; sampler quality."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from sssd.cli import main  # noqa: E402
from sssd.data.recordings import Recordings, eight_leads_mv, subset, write  # noqa: E402
from sssd.evaluation import amplitude, auc, memorisation, quality, rhythm, spectrum, table  # noqa: E402
from sssd.evaluation.evaluate import ORDER, evaluate  # noqa: E402
from sssd.evaluation.kernel import kernel_distance  # noqa: E402
from sssd.evaluation.manifold import precision_recall_density_coverage  # noqa: E402
from sssd.evaluation.sets import aligned, at_100_hz, pair_rows, size_warnings, split  # noqa: E402
from sssd.leads import to_twelve  # noqa: E402
from sssd.presets import PRESETS  # noqa: E402
from sssd.samplers import key_of  # noqa: E402
from sssd.signals import beats, waves  # noqa: E402
from sssd.signals.rates import interpolated  # noqa: E402
from tests.test_evaluation import one_thread, pulses  # noqa: E402, F401

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("AFIB", "NORM", "PACE")


def ecgs(n: int, seed: int, *, scale: float = 1.0) -> Recordings:
    """3 s of pulses at 80 per minute; AFIB is irregular, NORM is not, PACE is carried by every third record."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((n, 3), np.uint8)
    labels[::2, 0], labels[1::2, 1], labels[::3, 2] = 1, 1, 1
    x = []
    for i in range(n):
        steady = rng.uniform(0.1, 0.4) + np.arange(0, 3, 0.75)
        x.append(pulses(steady + (rng.uniform(-0.2, 0.2, 4) if labels[i, 0] else 0), length=300))
    x = scale * np.stack(x) * (1 + 0.5 * labels[:, 2, None, None]) + 0.02 * rng.standard_normal((n, 8, 300))
    return Recordings(np.rint(1000 * to_twelve(x.astype(np.float32))).astype(np.int16), labels, NAMES)


# --- figures ----------------------------------------------------------------------------------------------


def test_areas_are_those_of_scikit_learn() -> None:
    """Weights as repeated records, ties included, and the plain area. Breaks when ties count whole."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 60), rng.integers(0, 7, 60) / 7
    weights = np.stack([np.ones(60), rng.multinomial(60, np.full(60, 1 / 60))])
    ours = auc.weighted_auc(y, score, weights)
    for row, area in zip(weights, ours, strict=True):
        assert area == pytest.approx(roc_auc_score(y, score, sample_weight=row), abs=1e-12)
    assert np.isnan(auc.weighted_auc(np.ones(4, int), np.arange(4.0), np.ones((1, 4)))).all()


def test_macro_areas_are_those_of_scikit_learn() -> None:
    """Tied scores in float32, a statement of five records, one of four, and one that four lack.

    Breaks when a rare statement counts, or the mean is one over all records and statements together.
    """
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(2)
    y = np.zeros((90, 4), np.uint8)
    for column, records in enumerate((30, 5, 4, 86)):
        y[rng.permutation(90)[:records], column] = 1
    p = np.round(rng.random((90, 4), np.float32) + 0.2 * y, 1).astype(np.float32)
    expected = [roc_auc_score(y[:, k], p[:, k]) for k in (0, 1)]
    found = auc.macro_auc(y, [p], auc.frequent(y), resamples=1)
    assert found is not None and found["mean"] == pytest.approx(np.mean(expected), abs=1e-12)
    of = auc.by_statement(y, [p], auc.frequent(y), "ABCD")
    assert of == pytest.approx(dict(zip("AB", expected, strict=True)), abs=1e-12)
    assert auc.single_auc(y[:, 1], p[:, 1]) == of["B"]


def test_interval_of_the_macro_area() -> None:
    """It holds 95 % of resampled means, and narrows with records. Breaks when records are drawn without replacement."""
    rng = np.random.default_rng(1)
    widths = []
    for n in (100, 1600):
        y = rng.integers(0, 2, (n, 2))
        scores = [y + rng.normal(0, 1.5, (n, 2)) for _ in range(3)]
        found = auc.macro_auc(y, scores, np.array([0, 1]), resamples=200)
        assert found is not None and found["low"] < found["mean"] < found["high"]
        assert found["mean"] == pytest.approx(np.mean(found["values"])) and found["std"] > 0
        widths.append(found["high"] - found["low"])
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.35)
    assert auc.macro_auc(y, scores, np.array([], int)) is None
    assert auc.frequent(np.array([[1, 1, 0]] * 5 + [[0, 1, 0]] * 5)).tolist() == [0]


def test_kernel_distance_is_that_of_scikit_learn() -> None:
    """Its polynomial kernel, the diagonals left out. Breaks when they are kept, or the sets have one size."""
    from sklearn.metrics.pairwise import polynomial_kernel

    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((30, 5)), rng.standard_normal((40, 5)) + 0.5
    aa, bb, ab = (polynomial_kernel(p, q, degree=3, coef0=1) for p, q in ((a, a), (b, b), (a, b)))
    expected = (aa.sum() - np.trace(aa)) / (30 * 29) + (bb.sum() - np.trace(bb)) / (40 * 39) - 2 * ab.mean()
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)
    halves = [kernel_distance(*np.split(rng.standard_normal((200, 5)), 2)) for _ in range(30)]
    assert abs(np.mean(halves)) < 0.02  # unbiased
    with pytest.raises(ValueError, match="two rows or more"):
        kernel_distance(a, b[:1])


def test_manifolds_by_hand() -> None:
    """Points on a line, k = 1. Breaks when a point counts as its own neighbour, or balls of the wrong set are taken."""
    real, made = np.array([[0.0], [1.0], [10.0], [12.0]]), np.array([[0.5], [0.9], [30.0]])
    found = precision_recall_density_coverage(real, made, k=1)  # real balls: 1, 1, 2, 2; made: 0.4, 0.4, 29.1
    assert found["precision"] == pytest.approx(2 / 3)  # 30 is in none
    assert found["density"] == pytest.approx(4 / 3)  # 0.5 and 0.9 are each in two
    assert found["coverage"] == pytest.approx(2 / 4)
    assert found["recall"] == pytest.approx(3 / 4)  # 1, 10 and 12; 0 is 0.5 from a ball of 0.4
    with pytest.raises(ValueError, match="more than 3 of each"):
        precision_recall_density_coverage(real, made, k=3)


def test_manifolds_are_those_of_prdc(capsys: pytest.CaptureFixture[str]) -> None:
    prdc = pytest.importorskip("prdc")
    rng = np.random.default_rng(3)
    real, made = rng.standard_normal((60, 6)), 0.8 * rng.standard_normal((50, 6)) + 0.3
    expected = prdc.compute_prdc(real, made, nearest_k=5)
    assert precision_recall_density_coverage(real, made) == pytest.approx(expected)


def test_spectrum_of_a_sine() -> None:
    """Twice the amplitude is 6 dB more at every frequency; the peak is where it should be, of its power.
    Breaks when the distance is of amplitudes, not of powers."""
    t = np.arange(1024) / 100
    x = np.sin(2 * np.pi * 12.5 * t)[None, None] + 1e-3 * np.random.default_rng(4).standard_normal(
        (3, 2, 1024)
    )
    frequency, p = spectrum.power(x)
    assert frequency[p[0].argmax()] == pytest.approx(12.5, abs=0.1)
    assert p[0].sum() * (frequency[1] - frequency[0]) == pytest.approx(0.5, rel=0.02)
    _, louder = spectrum.power(2 * x)
    assert spectrum.spectral_distance_db(frequency, louder, p) == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert spectrum.spectral_distance_db(frequency, p, p) == 0


def test_amplitudes_and_correlations_of_leads() -> None:
    """Breaks when offsets count, or a lead is compared with another record's."""
    rng = np.random.default_rng(5)
    base = rng.standard_normal((40, 1, 500))
    x = np.concatenate([base, -2 * base, rng.standard_normal((40, 1, 500))], axis=1) + 7
    c = amplitude.lead_correlation(x)
    assert c[0, 1] == pytest.approx(-1) and abs(c[0, 2]) < 0.05
    assert amplitude.lead_correlation_error(x, x) == 0
    assert amplitude.lead_correlation_error(x * np.array([1, -1, 1])[:, None], x) == pytest.approx(
        2 / 3, abs=0.05
    )
    flat = amplitude.lead_correlation(np.concatenate([x, np.zeros((40, 1, 500))], axis=1))
    assert np.isfinite(flat).all() and flat[3, 0] == 0
    q = amplitude.quantiles(x)
    assert q[0, 3] == pytest.approx(0, abs=0.02) and q[0, 5] == pytest.approx(1.645, abs=0.1)
    assert q[1] == pytest.approx(-2 * q[0, ::-1], abs=0.1)


def test_beats_of_a_known_rhythm() -> None:
    """80 per minute, no variability, like beats; jitter and noise are seen. Breaks when RR is not in seconds, or a
    record's beats are compared with another's."""
    rng = np.random.default_rng(6)
    steady = pulses(np.arange(0.4, 10, 0.75))
    uneven = pulses(0.4 + np.cumsum(rng.uniform(0.5, 1.1, 12)))
    noisy = steady + 0.3 * rng.standard_normal(steady.shape)
    told: list[int] = []
    found = rhythm.rhythm_and_shape(
        np.stack([steady, uneven, noisy, 0 * steady]), on_record=lambda: told.append(1)
    )
    assert set(found) == set(rhythm.UNITS) and len(told) == 4
    assert found["heart_rate"][0] == pytest.approx(80, abs=1) and found["rr_variability"][0] < 15
    assert found["rr_variability"][1] > 100
    assert found["beat_likeness"][0] > 0.98 > 0.9 > found["beat_likeness"][2]
    assert all(np.isnan(values[3]) for values in found.values())


def test_likeness_by_its_definition() -> None:
    """The mean over pairs, written out. Breaks when a beat is compared with itself."""
    x = np.random.default_rng(7).standard_normal((2, 300))
    peaks = np.array([10, 60, 130, 200, 290])  # the first and the last beat are not whole
    cut = [x[:, p - 25 : p + 40] for p in (60, 130, 200)]
    cut = [(c - c.mean(1, keepdims=True)).ravel() for c in cut]
    pairs = [
        np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in ((cut[0], cut[1]), (cut[0], cut[2]), (cut[1], cut[2]))
    ]
    assert beats.likeness(x, peaks, 100) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert np.isnan(beats.likeness(x, peaks[:2], 100))


def test_points_of_waves_go_to_their_beats() -> None:
    """The detector leaves points out. Breaks when the second onset is taken for the second beat's."""
    peaks = np.array([100, 200, 300])
    assert waves.beside([90, 290], peaks, before=True) == pytest.approx([90, np.nan, 290], nan_ok=True)
    assert waves.beside([110, np.nan, 210.0], peaks) == pytest.approx([110, 210, np.nan], nan_ok=True)


def test_intervals_of_a_simulated_heart() -> None:
    """A P wave 160 ms before each QRS of 80 ms, a T wave of 0.3 mV. Breaks with samples for milliseconds, or leads
    in the wrong order."""
    t = np.arange(1000) / 100
    lead = np.zeros(1000)
    for r in np.arange(0.5, 9.7, 0.8):
        for at, height, width in (
            (-0.16, 0.12, 0.025),
            (-0.03, -0.15, 0.01),
            (0, 1.0, 0.012),
            (0.035, -0.2, 0.01),
            (0.28, 0.3, 0.05),
        ):
            lead += height * np.exp(-(((t - r - at) / width) ** 2) / 2)
    record = np.zeros((1, 8, 1000))
    record[0, 0], record[0, 7] = lead, lead / 2  # II = I / 2 + aVF
    found = {name: values[0] for name, values in rhythm.rhythm_and_shape(record).items()}
    assert found["heart_rate"] == pytest.approx(75, abs=0.5)
    assert found["pr"] == pytest.approx(190, abs=40) and found["qrs"] == pytest.approx(80, abs=30)
    assert found["t"] == pytest.approx(0.3, abs=0.05) and abs(found["st"]) < 0.05
    assert 380 < found["qtc"] < 520


def test_membership() -> None:
    """Nearer members are found out. Breaks with the sign of the distance."""
    assert memorisation.membership_auc(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == 1
    assert memorisation.membership_auc(np.array([0.3, 0.4]), np.array([0.3, 0.4])) == 0.5


# --- all of it --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared() -> tuple[dict[str, Any], set[str]]:
    """Records like the real ones against these, and what was told on the way."""
    told: set[str] = set()
    stage = lambda what, *_: told.add(what)  # noqa: E731
    return evaluate(ecgs(24, 0), ecgs(18, 2), ecgs(16, 1), seeds=1, epochs=2, width=2, on_stage=stage), told


def test_evaluate_tells_good_from_bad(compared: tuple[dict[str, Any], set[str]]) -> None:
    """Like records pass; halved, unsteady copies of training records do not. Breaks when sets are mixed up."""
    real, unseen, made = ecgs(24, 0), ecgs(16, 1), ecgs(18, 2)
    good, told = compared
    assert json.loads(json.dumps(good, allow_nan=False)) == good
    assert tuple(good) == ORDER
    assert good["about"]["records"] == {"train": 24, "test": 16, "synthetic": 18}
    assert good["fidelity"]["amplitude"]["std_ratio"] == pytest.approx([1] * 12, abs=0.1)
    assert good["privacy"]["nearest_distance_ratio"] == pytest.approx(1, abs=0.3)
    steady = good["rhythm"]["beat_regularity"]
    for part, records in (("synthetic", made), ("real", unseen)):
        regularity = rhythm.beat_regularity(eight_leads_mv(records))
        assert steady[part] == pytest.approx(np.median(regularity))
    assert steady["statements"]["AFIB"]["synthetic"] < steady["statements"]["NORM"]["synthetic"]
    assert set(good["utility"]["statements"]["real"]) == {"AFIB", "NORM", "PACE"}
    told_apart = good["detectability"]
    assert (
        told_apart["records"] == 16
        and told_apart["same_labels"] == 1.0
        and told_apart["deep_trained_on"] == 0
    )
    assert set(told_apart["simple"]) == set(told_apart["simple_real"]) and "raw" in told_apart["deep"]
    assert told_apart["bands"]["edges_hz"][-1] == 50 and len(told_apart["bands"]["difference"]) == 9
    for pair in told_apart["examples"]["most"] + told_apart["examples"]["least"]:
        same = made.labels[pair["synthetic"]] == unseen.labels[pair["test"]]
        assert same.all() and pair["score"] == pytest.approx(pair["score"])
    assert told_apart["examples"]["most"][0]["score"] >= told_apart["examples"]["least"][0]["score"]
    (irregular, absent) = good["rules"]
    assert irregular["statement"] == "AFIB" and irregular["recorded"]["records"] == 12 + 8
    assert irregular["generated"]["records"] == 9 and irregular["generated"]["share"] > 0.7
    assert good["warnings"] == []
    assert good["heart_rate"] is None
    assert {"training classifiers", "beats and intervals", "nearest training records"} <= told

    halved = Recordings((real.signal_uv // 2).astype(np.int16), real.labels, real.label_names)
    halved = replace(halved, heart_rate=np.where(np.arange(24) < 8, np.nan, 80.0))
    bad = evaluate(real, halved, unseen, seeds=1, epochs=1, width=2)
    assert bad["heart_rate"]["records"] == 8 and bad["heart_rate"]["share"] > 0.8
    (row,) = [row for row in table.rows(bad) if "asked" in row.name]
    assert row.section == "rhythm" and row.synthetic == f"{100 * bad['heart_rate']['share']:.0f} % of 8"
    assert bad["fidelity"]["amplitude"]["std_ratio"] == pytest.approx([0.5] * 12, abs=0.05)
    assert bad["privacy"]["nearest_distance_ratio"] < 0.2  # a smaller amplitude does not hide a copy
    assert bad["privacy"]["membership_inference_auc"] > 0.95
    assert bad["detectability"]["bands"]["difference"] == pytest.approx([-0.6] * 9, abs=0.35)
    chance = bad["detectability"]["bands_real"]
    assert chance == good["detectability"]["bands_real"] != good["detectability"]["bands"]
    assert chance["difference"] == pytest.approx([0] * 9, abs=0.35)
    pair = bad["privacy"]["nearest_pairs"][0]
    assert pair["synthetic"] == pair["train"]
    assert bad["fidelity"]["spectrum"]["distance_db"] == pytest.approx(20 * np.log10(2), abs=1.5)


def at_500_hz(records: Recordings) -> Recordings:
    fine = [np.rint(interpolated(one.astype(np.float64))) for one in records.signal_uv]
    return replace(records, signal_uv=np.stack(fine).astype(np.int16), fs_hz=500.0)


@pytest.mark.slow
def test_evaluate_at_500_hz() -> None:
    """Statements and copies are looked for in the records at 100 Hz, and bands reach up to 250 Hz."""
    real, made, unseen = ecgs(16, 0), ecgs(16, 1), ecgs(16, 2)
    fine = [at_500_hz(records) for records in (real, made, unseen)]
    assert np.abs(at_100_hz(fine[0]).signal_uv - real.signal_uv.astype(int))[..., 20:-20].max() <= 30
    assert at_100_hz(real) is real
    found = evaluate(*fine, seeds=1, epochs=1, width=2)
    slow = evaluate(real, made, unseen, seeds=1, epochs=1, width=2)
    assert "at 100 Hz" in found["about"]["classifier"] and "at 100 Hz" not in slow["about"]["classifier"]
    assert found["detectability"]["bands"]["edges_hz"][-4:] == [75, 100, 150, 250]
    assert found["privacy"]["nearest_distance_ratio"] == pytest.approx(
        slow["privacy"]["nearest_distance_ratio"], rel=0.05
    )
    steady = [result["rhythm"]["beat_regularity"]["synthetic"] for result in (found, slow)]
    assert steady[0] == pytest.approx(steady[1], abs=0.1)


def test_pairs_of_records() -> None:
    """Same labels first, each row once; at random only where few are the same. Breaks when a row is used twice, or rows
    of the two sides are exchanged."""
    a = np.array([[1, 0], [1, 0], [0, 1], [1, 1]], np.uint8)
    b = np.array([[0, 1], [1, 0], [0, 0], [1, 0], [1, 0]], np.uint8)
    rows, others, same = pair_rows(a, b)
    assert sorted(rows) == [0, 1, 2] and len(set(others)) == 3 and same == 1
    assert (a[rows] == b[others]).all()
    rows, others, same = pair_rows(a, 1 - np.ones_like(b))
    assert sorted(rows) == [0, 1, 2, 3] and len(set(others)) == 4 and same == 0


def test_unequal_sizes_are_told() -> None:
    """Breaks when 300 generated records against 3,000 real ones pass without a word."""
    train, test, few = ecgs(60, 0), ecgs(20, 1), ecgs(12, 2)
    assert size_warnings(train, test, ecgs(60, 3)) == []
    utility, distances = size_warnings(train, test, few)
    assert "training on 12 generated records with training on 60 real ones" in utility
    assert "12 generated records for 20 test records" in distances


def test_sets_that_do_not_fit() -> None:
    """Breaks when label names are compared by place: the same names in another order are the same."""
    real, made = ecgs(24, 0), ecgs(8, 1)
    for other, message in (
        (Recordings(made.signal_uv, made.labels, ("a", "b", "c")), "no label in common: they have a, b, c"),
        (Recordings(made.signal_uv[..., :280], made.labels, NAMES), "280 samples at 100 Hz"),
        (subset(made, np.arange(4)), "synthetic set has 4 records"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(real, other, seeds=1)
    turned = Recordings(made.signal_uv, made.labels[:, ::-1], NAMES[::-1])
    assert np.array_equal(aligned("synthetic", turned, real).labels, made.labels)
    with pytest.raises(ValueError, match="2 real test records"):
        evaluate(subset(real, np.arange(8)), made, seeds=1)
    with pytest.raises(ValueError, match="seeds is 0"):
        evaluate(real, made, seeds=0)


def test_the_test_set() -> None:
    """Fold 9 where there is one, fold 10 never; else a random quarter, the same always. Breaks when they overlap."""
    real = ecgs(60, 0)
    train, test, _ = split(Recordings(real.signal_uv, real.labels, NAMES, strat_fold=np.arange(60) % 10 + 1))
    assert train.strat_fold is not None and test.strat_fold is not None
    assert (set(train.strat_fold), set(test.strat_fold)) == (set(range(1, 9)), {9})
    train, test, words = split(real)
    assert (len(train), len(test)) == (45, 15) and "random quarter" in words
    whole = {record.tobytes() for part in (train, test) for record in part.signal_uv}
    assert len(whole) == 60
    assert np.array_equal(split(real)[1].signal_uv, test.signal_uv)


# --- the command ------------------------------------------------------------------------------------------


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Files in, table, JSON and a page that needs no other file out; nothing is overwritten unasked. Breaks when a
    folder that `generate` wrote is not read."""
    from sssd.evaluation import classifier

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(classifier, "train", quick(classifier.train))
    write("real.npz", ecgs(40, 0))
    Path("made").mkdir()
    write("made/ecgs.npz", ecgs(12, 1))
    command = ["evaluate", "--real", "real.npz", "--synthetic", "made", "--seeds", "1"]
    command += ["--device", "cpu", "--json", "out.json", "--html", "out.html"]
    assert main(command) == 0
    shown = capsys.readouterr()
    printed = shown.out
    assert "beat regularity" in printed and "12 synthetic records against 10 real ones" in printed
    assert (
        "warning: utility compares training on 12 generated records with training on 30 real ones" in printed
    )
    assert "What gives the records away" in printed and "AFIB: RMSSD > 100 ms" in printed
    assert re.search(r"training classifiers, \d+ of 150\n", shown.err) and "detectability, " in shown.err
    result = json.loads(Path("out.json").read_text())
    assert 0 < result["rhythm"]["beat_regularity"]["real"] < 1
    assert isinstance(result["rhythm"]["beat_regularity"]["synthetic"], float)
    assert isinstance(result["fidelity"]["frechet_distance"], float)
    page = Path("out.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) == 8 and all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "Nearest pairs side by side" in page and "<script" not in page
    assert "Most and least detectable records side by side" in page and "45 to 50 Hz" in page
    assert main(command) == 2
    assert "out.json' exists" in capsys.readouterr().err
    assert main([*command[:4], "nothing", "--seeds", "1"]) == 2
    capsys.readouterr()
    assert main([*command[:-2], "--overwrite", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def quick(train):  # type: ignore[no-untyped-def]
    return lambda x, y, **how: train(x, y, **{**how, "epochs": 1, "width": 2})


# --- the quality of a sampler -----------------------------------------------------------------------------


def test_quality_of_a_sampler() -> None:
    """By hand: ratios per seed, distances less what real gives, the worst on top. Breaks when the excess is not taken
    away, or a better distance than DDPM's counts above 1."""
    real = [{"frechet": 1.0, "rhythm": 0.1}] * 2
    ddpm = [
        {"utility": 0.9, "adherence": 0.8, "frechet": 2.0, "rhythm": 0.3},
        {"utility": 0.8, "adherence": 0.8, "frechet": 3.0, "rhythm": 0.3},
    ]
    fast = [
        {"utility": 0.81, "adherence": 0.84, "frechet": 3.0, "rhythm": 0.2},
        {"utility": 0.80, "adherence": 0.80, "frechet": 3.5, "rhythm": 0.5},
    ]
    found = quality.quality({"ddpm200": ddpm, "fast": fast}, real)
    assert found["fast"]["utility"]["values"] == pytest.approx([0.9, 1.0])
    assert found["fast"]["adherence"]["values"] == pytest.approx([1.05, 1.0])
    assert found["fast"]["frechet"]["values"] == pytest.approx([0.5, 0.8])
    assert found["fast"]["rhythm"]["values"] == pytest.approx([1.0, 0.5])
    headline = found["fast"]["headline"]
    assert (headline["figure"], headline["mean"]) == ("frechet", pytest.approx(0.65))
    half = 12.706 * np.std([0.5, 0.8], ddof=1) / np.sqrt(2)  # Student's t of one degree of freedom
    assert headline["high"] - headline["mean"] == pytest.approx(half, rel=1e-4)
    assert all(of["mean"] == 1 for of in found["ddpm200"].values())
    assert quality.ratio("frechet", 1.0, 0.9, real=1.0) == 1  # both below what real records tell apart
    one = quality.quality({"ddpm200": ddpm[:1], "fast": [{"utility": 0.45}]}, real[:1])
    assert one["fast"]["headline"] == {
        "figure": "utility",
        "mean": 0.5,
        "low": None,
        "high": None,
        "values": [0.5],
    }
    with pytest.raises(ValueError, match="no set named 'ddpm200'"):
        quality.quality({"fast": fast}, real)
    with pytest.raises(ValueError, match="1 seeds"):
        quality.quality({"ddpm200": ddpm, "fast": fast[:1]}, real)


def test_rhythm_distance() -> None:
    """0 for the same values, 1 for apart or absent ones. Breaks when NaNs count as values."""
    same = {name: np.arange(10.0) for name in quality.MEASURES}
    holes = {name: np.append(values, np.nan) for name, values in same.items()}
    assert quality.rhythm_distance(holes, same) == 0
    assert quality.rhythm_distance({name: values + 100 for name, values in same.items()}, same) == 1
    assert quality.rhythm_distance({name: values * np.nan for name, values in same.items()}, same) == 1


def test_table_of_samplers(tmp_path: Path) -> None:
    """From folders of sets to table and plot; what was measured is not measured again. Breaks when a set for training
    is taken for one of the test labels."""
    real = ecgs(40, 0)
    fold = np.where(np.arange(40) < 24, 1, 9)
    write(tmp_path / "real.npz", Recordings(real.signal_uv, real.labels, NAMES, strat_fold=fold))
    (tmp_path / "7").mkdir()
    for i, name in enumerate(("ddpm200", "fast", "train_ddpm200", "train_fast")):
        write(tmp_path / "7" / f"{name}.npz", ecgs(16, i + 1))
        (tmp_path / "7" / f"{name}.json").write_text(
            json.dumps(
                {"evaluations": 200 // (i + 1), "seconds": 1.6 / (i + 1), "records": 16, "device": "cpu"}
            )
        )

    def script(words: list[object]) -> str:
        command = [sys.executable, str(ROOT / "scripts" / "sampler_quality.py"), *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr

    command = [
        "--real",
        tmp_path / "real.npz",
        "--sets",
        tmp_path / "7",
        "--figures",
        tmp_path / "figures.json",
    ]
    command += [
        "--table",
        tmp_path / "table.md",
        "--epochs",
        1,
        "--width",
        2,
    ]
    script([*command, "--only", "classifiers"])
    assert "rhythm" not in json.loads((tmp_path / "figures.json").read_text())["fast"]["0"]
    script([*command, "--workers", 1])
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| real", "", ""],
        ["| ddpm200", "200", "100.00"],
        ["| fast", "100", "50.00"],
    ]
    assert lines[3].split(" | ")[4:8] == ["100.0"] * 4
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == {"real", "ddpm200", "fast"}
    assert set(figures["fast"]["0"]) == {"utility", "adherence", "frechet", "rhythm"}
    assert "seed 0" not in script(command)


def test_pages_are_written_from_what_was_measured(
    compared: tuple[dict[str, Any], set[str]], tmp_path: Path
) -> None:
    """A figure in each cell. Breaks when a key of `evaluate` has another name, or columns are exchanged."""
    measured, docs = tmp_path / "measured", tmp_path / "docs"
    (measured / "all").mkdir(parents=True)
    docs.mkdir()
    for name, marks in (("model_card", "measured"), ("samplers", "quality")):
        (docs / f"{name}.md").write_text(f"above\n<!-- {marks} -->\nold\n<!-- /{marks} -->\nbelow\n")
    (measured / "samplers.md").write_text("| sampler |\n")
    other = json.loads(json.dumps(compared[0]))
    other["utility"]["ratio"], other["privacy"]["membership_inference_auc"] = 0.1234, None
    draft = PRESETS["draft"]
    for row, result in (
        ("ddpm200", compared[0]),
        (key_of(draft.sampler, draft.steps, spacing=draft.spacing), other),
    ):
        (measured / f"{row}.json").write_text(json.dumps(result))
    rated = replace(ecgs(8, 3), heart_rate=np.full(8, 80.0))
    write(measured / "all" / "rate_ddpm200.npz", rated)
    script = [sys.executable, str(ROOT / "scripts" / "model_pages.py"), str(measured), "--docs", str(docs)]
    subprocess.run(script, check=True, capture_output=True)
    page = (docs / "model_card.md").read_text()
    assert page.startswith("above\n") and page.endswith("below\n") and "old" not in page
    assert "| sampler |" in (docs / "samplers.md").read_text()
    cells = {
        line[0]: line
        for line in ([c.strip() for c in li.split("|")[1:-1]] for li in page.splitlines())
        if line
    }
    assert cells[""][2:] == ["recordings", "DDPM 200", "draft"]
    (ratio,) = [line for name, line in cells.items() if name.startswith("utility")]
    assert ratio[3:] == [f"{compared[0]['utility']['ratio']:.3f}", "0.123"]
    empty = {name for name, line in cells.items() if not line[3] and name[:1] not in ("-", "")}
    assert empty == {"the same, SBRAD"}  # nobody has it here
    assert (
        not cells["membership inference: AUC"][4] and cells["heart rate asked for, within 5 /min: share"][3]
    )


def test_names_of_sets() -> None:
    """What scripts/make_evaluation_sets.py makes of a name. Breaks when a longer sampler's name is cut short."""
    script = runpy.run_path(str(ROOT / "scripts" / "make_evaluation_sets.py"))
    sampling = script["sampling"]
    real = replace(ecgs(4, 0), strat_fold=np.array([1, 9, 8, 9]))
    for prefix, rows in {"": [1, 3], "rate_": [1, 3], "train_": [0, 2], "all_": [1, 3, 0, 2]}.items():
        found = script["label_vectors"](f"{prefix}ddpm200", real, None, 7, 9)
        assert (found == real.labels[rows]).all()
    assert sampling("train_ddpm200") == {"sampler": "ddpm", "steps": 200}
    assert sampling("ddim20_eta0.5_log_snr") == {
        "sampler": "ddim", "steps": 20, "ddim_eta": 0.5, "spacing": "log_snr",
    }  # fmt: skip
    assert sampling("dpmpp-3m-exact10") == {"sampler": "dpmpp-3m-exact", "steps": 10}
    with pytest.raises(SystemExit, match="'unipc' is no set"):
        sampling("unipc")


def test_real_plus_synthetic(tmp_path: Path) -> None:
    """Each way with its gain over real records. Breaks when a way is trained on the test fold, whose labels are turned
    round here: what was learnt from the others is then worse than chance."""
    pytest.importorskip("sklearn")
    real = ecgs(104, 0)
    fold = np.where(np.arange(104) < 64, 1, 9)
    labels = np.where(fold[:, None] == 9, 1 - real.labels, real.labels).astype(np.uint8)
    write(tmp_path / "real.npz", Recordings(real.signal_uv, labels, NAMES, strat_fold=fold))
    for i in (1, 2):
        write(tmp_path / f"{i}.npz", ecgs(64, i))
    command = [sys.executable, ROOT / "scripts" / "real_plus_synthetic.py", "--real", tmp_path / "real.npz"]
    command += ["--synthetic", tmp_path / "1.npz", tmp_path / "2.npz", "--json", tmp_path / "of.json"]
    command += ["--seeds", "2", "--epochs", "30", "--width", "4", "--ways", "real, then real", "both"]
    command += ["2 generated sets, then real"]
    told = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    of = json.loads((tmp_path / "of.json").read_text())
    assert {way: len(seeds) for way, seeds in of.items()} == dict.fromkeys(of, 2) and len(of) == 4
    assert all(np.mean([list(seed.values()) for seed in seeds]) < 0.45 for seeds in of.values())
    few = subprocess.run(list(map(str, [*command, "--records", "3"])), capture_output=True, text=True)
    assert few.returncode == 1 and "expected 10 or more" in few.stderr
    lines = [line for line in told.splitlines() if line.startswith("2 generated sets, then real ")]
    mean = np.mean([list(seed.values()) for seed in of["2 generated sets, then real"]])
    assert len(lines) == 2 and f" {mean:.4f} " in lines[0], "all, and rare ones, which all are"
    assert "+0.0000 +- 0.0000" in next(line for line in told.splitlines() if line.startswith("real  "))
