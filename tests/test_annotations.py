"""Annotations: what two methods agree on, the symbols of beats, and files that other readers take."""

import csv
import json
import sys

import numpy as np
import pytest
import wfdb as physionet

from sssd import Ecg
from sssd.added_noise import add_noise
from sssd.annotations import Delineation, agreed, annotate, beat_symbols, delineation, notes_of
from sssd.cli import main
from sssd.io import npz
from sssd.leads import to_twelve
from sssd.record import Annotation
from sssd.signals.delineator import WAVES, waves_of
from tests.test_cli import checkpoint  # noqa: F401

# wave: (centre after the beat in s, standard deviation in s, height in mV)
SHAPE = {
    "P": (-0.16, 0.018, 0.15),
    "Q": (-0.025, 0.008, -0.1),
    "R": (0.0, 0.011, 1.2),
    "S": (0.028, 0.01, -0.25),
    "T": (0.27, 0.04, 0.35),
}
WIDE = {"R": (0.0, 0.03, -1.6), "S": (0.06, 0.03, 0.7), "T": (0.3, 0.05, -0.4)}
FACTORS = np.array([0.8, -0.5, 0.3, 0.6, 1.1, 1.2, 1.0, 0.9])  # of the leads I V1..V6 aVF


def record(at, *, fs_hz=100.0, seconds=10.0, ectopic=(), **changes):
    """A record of Gaussian waves with beats at these seconds; those of the numbers `ectopic` are wide."""
    time, lead = np.arange(round(seconds * fs_hz)) / fs_hz, 0.0
    for i, beat in enumerate(at):
        for centre, width, height in (WIDE if i in ectopic else SHAPE).values():
            lead = lead + height * np.exp(-0.5 * ((time - beat - centre) / width) ** 2)
    return Ecg(to_twelve(FACTORS[:, None] * lead), fs_hz, **changes)


BEATS = 0.6 + 0.8 * np.arange(12)


def marks(ecg, wave, symbol=None):
    return [
        one.sample / ecg.fs_hz
        for one in ecg.annotations
        if one.wave == wave and one.symbol == (symbol or one.symbol)
    ]


@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
def test_waves_are_where_they_were_put(fs_hz):
    """Fails when marks are shifted, or resampling moves them."""
    ecg = annotate(record(BEATS, fs_hz=fs_hz))
    beats = marks(ecg, "QRS", "N")
    assert len(beats) >= 10
    for wave, symbol, part in (("P", "p", "P"), ("QRS", "N", "R"), ("T", "t", "T")):
        for at in marks(ecg, wave, symbol):
            assert np.abs(at - BEATS - SHAPE[part][0]).min() <= 0.011
    for wave, part, first in (("P", "P", "("), ("T", "T", "(")):
        centre, width, _ = SHAPE[part]
        for symbol, sign in ((first, -1), (")", 1)):
            placed = np.array(
                [at - BEATS[np.abs(at - BEATS - centre).argmin()] - centre for at in marks(ecg, wave, symbol)]
            )
            assert len(placed) >= 8 and (sign * placed > width).all() and (sign * placed < 4.5 * width).all()
    onsets, ends = marks(ecg, "QRS", "("), marks(ecg, "QRS", ")")
    assert 0.05 < np.median(ends) - np.median(onsets) < 0.14 or len(onsets) != len(ends)


def test_every_bracket_closes_around_its_peak():
    ecg = annotate(record(BEATS))
    for wave in WAVES:
        order = "".join(
            "x" if one.symbol not in "()" else one.symbol for one in ecg.annotations if one.wave == wave
        )
        assert order.replace("(", "").replace(")", "") == "x" * order.count("x")
        assert "((" not in order and "))" not in order and ")x" not in order.replace(")(", "")
    samples = [one.sample for one in ecg.annotations]
    assert samples == sorted(samples)


def test_a_shifted_record_has_shifted_marks():
    first, second = (annotate(record(BEATS + shift, seconds=12)) for shift in (0.0, 0.5))
    for wave, symbol in (("QRS", "N"), ("P", "p"), ("T", "t"), ("QRS", "(")):
        a, b = np.array(marks(first, wave, symbol)), np.array(marks(second, wave, symbol)) - 0.5
        assert len(set(np.round(a, 2)) & set(np.round(b, 2))) >= 0.8 * len(a)


def test_only_what_both_methods_have_is_kept():
    """Fails when an end on which they differ is kept, a wave of one of them is, or NaN counts as agreement."""
    learnt = np.array([[1.0, 1.1], [2.0, 2.1], [3.0, 3.1], [4.0, 4.1]])
    prominent = np.array([[1.01, 1.05, 1.2], [np.nan, 2.05, 2.1], [3.2, 3.25, 3.3], [4.0, np.nan, 4.1]])
    found, places = agreed(learnt, prominent, 0.03)
    np.testing.assert_array_equal(found, [[1.0, 1.05, np.nan], [np.nan, 2.05, 2.1]])
    np.testing.assert_array_equal(places, [0, 1])
    assert agreed(learnt, np.zeros((0, 3)), 0.03)[0].shape == (0, 3)


def test_ends_are_where_the_probability_is_one_half():
    p = np.zeros((3, 200))
    p[1, 50:60] = 1.0
    p[1, 49], p[1, 60] = 0.25, 0.4
    p[1, 55] = 0.1  # bridged
    p[2, :20] = p[2, 190:] = 1.0  # cut off by the ends
    p[0, 100:102] = 0.9  # too short
    waves = waves_of(p)
    np.testing.assert_allclose(waves["QRS"], [[(49 + 1 / 3) / 100, (59 + 0.5 / 0.6) / 100]])
    assert len(waves["P"]) == len(waves["T"]) == 0


def test_a_record_without_beats_has_no_marks():
    for signal in (np.zeros((12, 1000)), np.random.default_rng(0).normal(0, 0.01, (12, 1000))):
        ecg = annotate(Ecg(signal))
        assert not marks(ecg, "QRS", "N") or len(marks(ecg, "QRS", "N")) < 5
    assert annotate(Ecg(np.zeros((12, 1000)))).annotations == ()


def test_statements_decide_the_symbols_of_all_beats_and_leave_out_p_waves():
    for statements, symbol in (
        (("NORM",), "N"),
        (("CLBBB",), "L"),
        (("CRBBB", "SR"), "R"),
        (("PACE", "CLBBB"), "/"),
    ):
        assert set(beat_symbols(record(BEATS), np.array([[1.0, 1.1]]), statements)) == {symbol}
    ecg = annotate(record(BEATS, statements=("AFIB",)))
    assert not marks(ecg, "P") and marks(ecg, "QRS", "N")
    assert ecg.provenance["annotations"]["left_out"]["P"] == 0


def test_a_wide_and_unlike_beat_is_ventricular_where_statements_speak_of_some():
    """Fails when shape or width alone decides, or when the statements are not asked."""
    early = np.sort(np.append(BEATS[:-1], BEATS[5] + 0.45))
    at = int(np.flatnonzero(np.isclose(early, BEATS[5] + 0.45))[0])
    signal = record(early, ectopic=[at])
    spans = np.stack((early - 0.045, early + 0.05), axis=1)
    spans[at] = early[at] - 0.08, early[at] + 0.1
    symbols = beat_symbols(signal, spans, ("PVC",))
    assert symbols[at] == "V" and symbols.count("V") == 1 and symbols.count("N") >= 9
    narrow = spans.copy()
    narrow[at] = early[at] - 0.03, early[at] + 0.05
    assert beat_symbols(signal, narrow, ("PVC",))[at] == "Q"
    assert set(beat_symbols(signal, spans, ("SR",))) == {"N"}
    soon = beat_symbols(record(early), np.stack((early - 0.045, early + 0.05), axis=1), ("PAC",))
    assert soon[at] == "Q" and soon.count("N") >= 9


def test_a_record_with_noise_is_annotated_by_the_one_without():
    clean = record(BEATS)
    noisy = annotate(add_noise(clean, "muscle:200uV", seed=1))
    assert noisy.annotations == annotate(clean).annotations == noisy.clean.annotations
    assert noisy.provenance["annotations"] == noisy.clean.provenance["annotations"]
    assert add_noise(annotate(clean), "muscle:200uV", seed=1).annotations == noisy.annotations


def test_what_is_left_out_is_counted():
    lead = record(BEATS).signal.copy()
    found = delineation(Ecg(lead))
    lead[:, 410:515] = 0  # a beat is gone
    fewer = delineation(Ecg(lead))
    assert len(fewer.waves["QRS"]) == len(found.waves["QRS"]) - 1
    for wave in WAVES:
        whole = fewer.left_out(wave, 0.0, 10.0)
        assert 0 <= whole <= len(BEATS)
        assert fewer.left_out(wave, 0.0, 5.0) + fewer.left_out(wave, 5.0, 10.0) >= whole


@pytest.mark.parametrize(
    ("parts", "left_out"),
    [
        ([(0, ("NORM",))], 3),
        ([(0, ("NORM",)), (500, ("AFIB",))], 2),
        ([(0, ("AFIB",)), (500, ("NORM",))], 1),
        ([(0, ("AFIB",)), (500, ("AFLT",))], 0),
    ],
)
def test_p_waves_are_counted_in_parts_that_may_have_some(monkeypatch, parts, left_out):
    """Fails when a part with AFIB, where none are marked, hides those that are left out in the others (seen)."""
    one_alone = np.array([1.0, 2.0, 7.0]), np.zeros(0)
    found = Delineation(
        {w: np.zeros((0, 3)) for w in WAVES}, np.zeros((0, 2)), dict.fromkeys(WAVES, one_alone)
    )
    monkeypatch.setattr(sys.modules["sssd.annotations"], "delineation", lambda ecg: found)
    told = {"parts": ["+".join(statements) for _, statements in parts]}
    ecg = annotate(Ecg(np.zeros((12, 1000)), annotations=notes_of(parts), provenance=told))
    assert ecg.provenance["annotations"]["left_out"] == {"P": left_out, "QRS": 3, "T": 3}


@pytest.mark.parametrize(
    "wrong", [[Annotation(5, "N"), Annotation(4, "N")], [Annotation(-1, "N")], [Annotation(1000, "N")]]
)
def test_annotations_are_in_the_record_and_in_order(wrong):
    with pytest.raises(ValueError, match="annotations must be at samples 0 to 999"):
        record(BEATS, annotations=wrong)


def test_files_come_back_through_other_readers(tmp_path):
    ecg = annotate(
        record(
            BEATS,
            annotations=(
                Annotation(0, "+", note="(N"),
                Annotation(400, '"', note="NORM+SR"),
                Annotation(400, "+", note="(AFIB"),
            ),
        )
    )
    ecg.save(tmp_path / "a.hea")
    read = physionet.rdann(str(tmp_path / "a"), "atr")
    assert read.fs == 100 and read.symbol == [one.symbol for one in ecg.annotations]
    assert read.sample.tolist() == [one.sample for one in ecg.annotations]
    assert [note.rstrip("\x00") for note in read.aux_note] == [one.note for one in ecg.annotations]
    numbers = {"P": 0, "QRS": 1, "T": 2, "": 0}
    assert read.num.tolist() == [numbers[one.wave] if one.symbol in "()" else 0 for one in ecg.annotations]

    ecg.save(tmp_path / "a.csv")
    with (tmp_path / "a_annotations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["sample"]) for row in rows] == read.sample.tolist()
    assert [row["symbol"] for row in rows] == read.symbol
    np.testing.assert_allclose([float(row["time_s"]) for row in rows], read.sample / 100)

    ecg.save(tmp_path / "a.npz")
    assert npz.read(tmp_path / "a.npz")[0].annotations == ecg.annotations
    bare = npz.render([ecg, record(BEATS)])
    (tmp_path / "b.npz").write_bytes(bare)
    assert [len(one.annotations) for one in npz.read(tmp_path / "b.npz")] == [len(ecg.annotations), 0]
    assert len(ecg.plot().axes[0].texts) > len(record(BEATS).plot().axes[0].texts) + 10


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("annotation_record", [7], "annotation_record is 7"),
        ("annotation_sample", [1, 2], "different lengths"),
    ],
)
def test_archives_of_others_are_not_trusted(tmp_path, name, value, message):
    data = {
        "annotation_record": [0], "annotation_sample": [3], "annotation_symbol": ["N"],
        "annotation_wave": [""], "annotation_note": [""], name: value,
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", signal_uv=np.ones((1, 12, 10), np.int16), **data)
    with pytest.raises(ValueError, match=message):
        npz.read(tmp_path / "a.npz")


def test_the_command_writes_annotations(tmp_path, checkpoint, monkeypatch):  # noqa: F811
    """The tiny network makes no beats, so its records are given some."""
    monkeypatch.setattr("sssd.records.to_twelve", lambda eight, leads: record(BEATS, seconds=10).signal)
    given = ["generate", "--checkpoint", str(checkpoint), "--label", "NORM", "--seed", "3", "--annotate"]
    assert (
        main([*given, "--noise", "muscle:50uV", "--format", "wfdb,npz,csv", "--out", str(tmp_path / "x")])
        == 0
    )
    files = json.loads((tmp_path / "x/manifest.json").read_text())["files"]
    assert {"NORM_00000.atr", "NORM_00000_clean.atr", "NORM_00000_annotations.csv"} < set(files)
    read = physionet.rdann(str(tmp_path / "x/NORM_00000"), "atr")
    assert read.symbol.count("N") >= 10
