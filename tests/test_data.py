"""Sets of recordings, and their preparation from PTB-XL and from recordings of one's own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sssd.data.prepare import prepare
from sssd.data.recordings import Recordings, eight_leads_mv, read, subset, write
from sssd.labels import CODES
from sssd.leads import CLINICAL

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SAMPLE = SHARED / "ptbxl_sample"
SIGNALS = SHARED / "ptbxl_folds1-9" / "signals.npz"


def small(n: int = 4, length: int = 20) -> Recordings:
    rng = np.random.default_rng(0)
    return Recordings(
        signal_uv=rng.integers(-900, 900, (n, 12, length)).astype(np.int16),
        labels=np.eye(n, 3, dtype=np.uint8),
        label_names=("NORM", "AFIB", "SR"),
        strat_fold=np.arange(1, n + 1),
        record_id=np.arange(n) * 10,
    )


def sine_mv(fs_hz: float, seconds: float, hz: float = 5.0) -> np.ndarray:
    """(12, L): lead k is a sine of (k + 1) / 10 mV on a baseline of 0.3 mV."""
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    return 0.3 + np.outer((np.arange(12) + 1) / 10, np.sin(2 * np.pi * hz * t))


def write_wfdb(
    folder: Path,
    name: str,
    fs_hz: float,
    *,
    seconds: float = 10.0,
    unit: str = "mV",
    leads: tuple[str, ...] = CLINICAL,
    hz: float = 5.0,
) -> None:
    import wfdb

    scale = {"mV": 1.0, "uV": 1e3, "mmHg": 1.0}[unit]
    order = np.random.default_rng(1).permutation(len(leads))
    signal = sine_mv(fs_hz, seconds, hz)[: len(leads)] * scale
    wfdb.wrsamp(
        name,
        fs=fs_hz,
        units=[unit] * len(leads),
        sig_name=[leads[k].upper() if k % 2 else leads[k].lower() for k in order],
        p_signal=signal[order].T,
        fmt=["16"] * len(leads),
        adc_gain=[5000.0 / scale] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
    )


def table(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


# --- sets of recordings -------------------------------------------------------------------------------------


def test_write_then_read(tmp_path: Path) -> None:
    recordings = small()
    path = write(tmp_path / "signals.npz", recordings)
    for where in (path, tmp_path, str(tmp_path)):
        again = read(where)
        assert again.label_names == recordings.label_names and again.fs_hz == 100
        for name in ("signal_uv", "labels", "strat_fold", "record_id"):
            np.testing.assert_array_equal(getattr(again, name), getattr(recordings, name))
    with pytest.raises(FileExistsError, match="exists"):
        write(path, recordings)
    write(path, subset(recordings, np.array([True, False, False, True])), overwrite=True)
    assert read(path).record_id.tolist() == [0, 30]
    assert [p.name for p in tmp_path.iterdir()] == ["signals.npz"]


def test_read_without_leads_and_with_other_order(tmp_path: Path) -> None:
    recordings = small()
    parts = {"labels": recordings.labels.astype(np.int64), "label_names": np.array(recordings.label_names)}
    np.savez(tmp_path / "a.npz", signal_uv=recordings.signal_uv, ecg_id=np.arange(4), **parts)
    again = read(tmp_path / "a.npz")
    assert again.leads == CLINICAL and again.fs_hz == 100 and again.strat_fold is None
    assert again.record_id.tolist() == [0, 1, 2, 3] and again.labels.dtype == np.uint8
    order = np.random.default_rng(2).permutation(12)
    leads = np.array(CLINICAL)[order]
    np.savez(tmp_path / "b.npz", signal_uv=recordings.signal_uv[:, order], leads=leads, fs_hz=250, **parts)
    np.testing.assert_array_equal(read(tmp_path / "b.npz").signal_uv, recordings.signal_uv)
    assert read(tmp_path / "b.npz").fs_hz == 250


def test_eight_leads_are_in_mv_and_in_the_networks_order() -> None:
    recordings = small()
    eight = eight_leads_mv(recordings)
    assert eight.dtype == np.float32 and eight.shape == (4, 8, 20)
    rows = [CLINICAL.index(lead) for lead in ("I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF")]
    np.testing.assert_allclose(eight, recordings.signal_uv[:, rows] / 1000, rtol=1e-6)


def test_subset_by_positions_and_errors() -> None:
    recordings = small()
    assert subset(recordings, np.array([2, 0])).record_id.tolist() == [20, 0]
    with pytest.raises(ValueError, match="one value per recording"):
        subset(recordings, np.array([True]))


def test_read_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match=r"has no signals\.npz"):
        read(tmp_path)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="no NPZ file"):
        read(tmp_path / "text.npz")
    np.savez(tmp_path / "lacks.npz", signal_uv=small().signal_uv)
    with pytest.raises(ValueError, match="lacks labels, label_names"):
        read(tmp_path / "lacks.npz")
    names = np.array(["a"])
    np.savez(
        tmp_path / "float.npz", signal_uv=np.zeros((1, 12, 9)), labels=np.zeros((1, 1)), label_names=names
    )
    with pytest.raises(ValueError, match="float64.*expected int16"):
        read(tmp_path / "float.npz")
    for fold in ([np.inf, 1, 2, 3], [np.nan, 1, 2, 3], [0, 1, 2, 3], [1.5, 1, 2, 3], ["a", "b", "c", "d"]):
        known = small()
        parts = {
            "signal_uv": known.signal_uv,
            "labels": known.labels,
            "label_names": np.array(known.label_names),
        }
        np.savez(tmp_path / "fold.npz", strat_fold=np.array(fold), **parts)
        with pytest.raises(ValueError, match=r"fold\.npz': strat_fold holds values other than .* 1 to 10"):
            read(tmp_path / "fold.npz")
    whole = write(tmp_path / "whole.npz", small()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut short"):
        read(tmp_path / "cut.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((4, 2), np.uint8)}, r"expected uint8 \(4, 3\)"),
        ({"labels": np.full((4, 3), 2, np.uint8)}, "value 2"),
        ({"label_names": ("a", "a", "b")}, "twice"),
        ({"strat_fold": np.zeros(3)}, "strat_fold has shape"),
        ({"leads": CLINICAL[::-1]}, "expected I, II"),
        ({"fs_hz": 0.0}, "above 0"),
        ({"fs_hz": np.inf}, "above 0"),
    ],
)
def test_recordings_check_themselves(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recordings(**(vars(small()) | change))  # type: ignore[arg-type]


# --- preparing PTB-XL ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the shared sample of PTB-XL is absent")
def test_prepare_the_ptbxl_sample(tmp_path: Path) -> None:
    """Dropping statements of likelihood 0 or matching leads by position alone breaks this."""
    done: list[tuple[int, int]] = []
    manifest = prepare(SAMPLE, tmp_path / "out", progress=lambda *at: done.append(at))
    made = read(tmp_path / "out")
    known = read(SIGNALS)
    where = {int(ecg_id): n for n, ecg_id in enumerate(known.record_id)}
    rows = [where[int(ecg_id)] for ecg_id in made.record_id]
    assert len(made) == 91 and done[-1] == (91, 91)
    assert made.label_names == CODES == known.label_names
    np.testing.assert_array_equal(made.signal_uv, known.signal_uv[rows])
    np.testing.assert_array_equal(made.labels, known.labels[rows])
    np.testing.assert_array_equal(made.strat_fold, known.strat_fold[rows])
    assert manifest == json.loads((tmp_path / "out" / "prepare.json").read_text(encoding="utf-8"))
    assert manifest["records"] == 91 and sum(manifest["split"].values()) == 91
    assert manifest["records_per_label"]["SR"] == made.labels[:, CODES.index("SR")].sum()
    assert "CC BY 4.0" in manifest["licence"] and manifest["rate_conversion"].startswith("none")
    with pytest.raises(FileNotFoundError, match="no folder records500"):
        prepare(SAMPLE, tmp_path / "other", rate="500")


def ptbxl(folder: Path, scp_codes: list[dict[str, float]], rate: int = 500) -> Path:
    """A download of PTB-XL's layout with records of one rate, in folds 8, 9, ..."""
    records, suffix = folder / f"records{rate}", {100: "lr", 500: "hr"}[rate]
    records.mkdir(parents=True)
    rows: list[list[object]] = [["ecg_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr"]]
    for n, codes in enumerate(scp_codes, start=1):
        write_wfdb(records, f"{n:05d}_{suffix}", rate)
        rows.append([n, codes, n + 7, f"records100/{n:05d}_lr", f"records500/{n:05d}_hr"])
    table(folder / "ptbxl_database.csv", rows)
    return folder


def test_prepare_ptbxl_at_500_hz_with_chosen_statements(tmp_path: Path) -> None:
    source = ptbxl(tmp_path / "db", [{"NORM": 100.0, "SR": 0.0}, {"AFIB": 0.0}, {"LVH": 15.0}])
    out = tmp_path / "out"
    manifest = prepare(source, out, rate="500", statements=["atrial fibrillation", "SR"])
    made = read(out)
    assert made.label_names == ("AFIB", "SR")
    assert made.labels.tolist() == [[0, 1], [1, 0], [0, 0]] and manifest["records_without_label"] == 1
    assert manifest["split"] == {"train (folds 1-8)": 1, "validation (fold 9)": 1, "test (fold 10)": 1}
    assert "3 records at 500 Hz" in manifest["rate_conversion"]
    np.testing.assert_allclose(made.signal_uv[0, :, 20:-20] / 1e3, sine_mv(100, 10)[:, 20:-20], atol=0.01)
    with pytest.raises(FileExistsError, match="overwrite"):
        prepare(source, out, rate="500")
    prepare(source, out, rate="500", overwrite=True)
    assert read(out).label_names == CODES
    assert sorted(p.name for p in out.iterdir()) == ["prepare.json", "signals.npz"]


def test_prepare_ptbxl_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        prepare(tmp_path / "none", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"no ptbxl_database\.csv"):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="rate is '250'"):
        prepare(tmp_path, tmp_path / "out", rate="250")
    source = ptbxl(tmp_path / "db", [{"NORM": 100.0}, {"XYZ": 1.0}])
    with pytest.raises(ValueError, match="record 2 has the code 'XYZ'"):
        prepare(source, tmp_path / "out", rate="500")
    (source / "records500" / "00001_hr.dat").unlink()
    (source / "records500" / "00002_hr.hea").unlink()
    database = source / "ptbxl_database.csv"
    database.write_text(database.read_text().replace("XYZ", "SR"))
    with pytest.raises(ValueError, match=r"2 of 2 .*00001_hr\.dat' is missing.*no record .*00002_hr'"):
        prepare(source, tmp_path / "out", rate="500")
    assert not (tmp_path / "out").exists()


# --- preparing one's own recordings -------------------------------------------------------------------------


@pytest.mark.parametrize(("fs_hz", "unit"), [(500, "mV"), (250, "uV"), (360, "mV"), (257, "uV"), (100, "mV")])
def test_prepare_own_wfdb_keeps_a_5_hz_sine(tmp_path: Path, fs_hz: float, unit: str) -> None:
    """Shuffled leads, other units and rates. Continuing the edges with zeros breaks the edges' bound (the
    baseline is 0.3 mV), taking every fifth sample breaks the next test."""
    write_wfdb(tmp_path, "a", fs_hz, unit=unit)
    labels_csv = table(tmp_path / "labels.csv", [["record", "mine", "yours"], ["a", 1, 0]])
    prepare(tmp_path, tmp_path / "out", labels_csv=labels_csv)
    made = read(tmp_path / "out")
    got = made.signal_uv[0] / 1e3
    np.testing.assert_allclose(got[:, 20:-20], sine_mv(100, 10)[:, 20:-20], atol=0.012)
    np.testing.assert_allclose(got[0, :20], sine_mv(100, 10)[0, :20], atol=0.03)
    assert made.label_names == ("mine", "yours") and made.labels.tolist() == [[1, 0]]
    assert made.record_id.tolist() == ["a"] and made.leads == CLINICAL


def test_prepare_filters_what_100_hz_cannot_hold(tmp_path: Path) -> None:
    """A sine of 120 Hz would fold to 20 Hz: every fifth sample instead of the filter breaks this."""
    write_wfdb(tmp_path, "a", 500, hz=120.0)
    labels_csv = table(tmp_path / "labels.csv", [["record", "labels"], ["a.hea", "mine"]])
    prepare(tmp_path, tmp_path / "out", labels_csv=labels_csv)
    assert np.abs(read(tmp_path / "out").signal_uv[0, :, 20:-20] / 1e3 - 0.3).max() < 0.01


def test_prepare_crops_and_repeats(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "long", 500, seconds=30)
    write_wfdb(tmp_path, "short", 500, seconds=6)
    rows: list[list[object]] = [["record", "labels"], ["long", "a+b"], ["short.dat", ""]]
    labels_csv = table(tmp_path / "labels.csv", rows)
    manifest = prepare(tmp_path, tmp_path / "out", labels_csv=labels_csv, short="tile")
    made = read(tmp_path / "out")
    assert made.signal_uv.shape == (2, 12, 1000)
    assert (made.signal_uv[1, :, 600:] == made.signal_uv[1, :, :400]).all()
    np.testing.assert_allclose(made.signal_uv[0, :, -20:] / 1e3, sine_mv(100, 10)[:, -20:], atol=0.012)
    assert manifest["cut_to_first_10_s"] == manifest["repeated_to_10_s"] == 1
    assert made.label_names == ("a", "b") and made.labels.tolist() == [[1, 1], [0, 0]]


def test_prepare_npz_records(tmp_path: Path) -> None:
    leads = [*CLINICAL[::-1], "V7"]
    signal = np.vstack([sine_mv(200, 10)[::-1], np.zeros((1, 2000))])
    np.savez(tmp_path / "mv.npz", signal_mv=signal, leads=leads, fs_hz=200)
    np.savez(
        tmp_path / "uv.npz", signal_uv=np.rint(sine_mv(100, 10) * 1e3).astype(np.int16)[None], fs_hz=100.0
    )
    rows: list[list[object]] = [["file", "x", "strat_fold"], ["mv", "1", 9], ["uv.npz", "0.0", 10]]
    prepare(tmp_path, tmp_path / "out", labels_csv=table(tmp_path / "labels.csv", rows))
    made = read(tmp_path / "out")
    for signal_uv in made.signal_uv:
        np.testing.assert_allclose(signal_uv[:, 20:-20] / 1e3, sine_mv(100, 10)[:, 20:-20], atol=0.012)
    assert made.strat_fold.tolist() == [9, 10] and made.labels.tolist() == [[1], [0]]


def test_folds_follow_from_the_patient_or_the_record(tmp_path: Path) -> None:
    """Numbering folds by row, or hashing with Python's seeded hash, breaks this."""
    signal = np.rint(sine_mv(100, 10) * 1e3).astype(np.int16)
    for n in range(40):
        np.savez(tmp_path / f"{n}.npz", signal_uv=signal + n, fs_hz=100)
    rows = [[str(n), "1", f"p{n // 2}"] for n in range(40)]
    by_patient = table(tmp_path / "patient.csv", [["record", "x", "patient_id"], *rows])
    prepare(tmp_path, tmp_path / "a", labels_csv=by_patient)
    folds = read(tmp_path / "a").strat_fold
    assert (
        (folds[::2] == folds[1::2]).all() and len(set(folds.tolist())) > 5 and set(folds) <= set(range(1, 11))
    )
    by_record = table(tmp_path / "record.csv", [["record", "x"], *[row[:2] for row in rows[::-1]]])
    prepare(tmp_path, tmp_path / "b", labels_csv=by_record)
    other = read(tmp_path / "b")
    assert other.strat_fold[other.record_id == "0"].tolist() == [1]
    assert other.label_names == ("x",)


def test_prepare_own_errors_name_the_file(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "good", 100)
    write_wfdb(tmp_path, "few", 100, leads=CLINICAL[:-2])
    write_wfdb(tmp_path, "pressure", 100, unit="mmHg")
    (tmp_path / "broken.hea").write_text("this is no header\n")
    np.savez(tmp_path / "gap.npz", signal_mv=np.full((12, 9), np.nan), fs_hz=100)
    np.savez(tmp_path / "huge.npz", signal_mv=900 * sine_mv(100, 10), fs_hz=100)
    np.savez(tmp_path / "rateless.npz", signal_mv=np.zeros((12, 9)))
    np.savez(tmp_path / "flat.npz", signal_mv=np.zeros(12), fs_hz=100)
    np.savez(tmp_path / "twice.npz", signal_mv=np.zeros((13, 9)), leads=[*CLINICAL, "v1"], fs_hz=100)

    def check(rows: list[list[object]], message: str, error: type[Exception] = ValueError) -> None:
        with pytest.raises(error, match=message):
            prepare(tmp_path, tmp_path / "out", labels_csv=table(tmp_path / "labels.csv", rows))
        assert not (tmp_path / "out").exists()

    for record, message in {
        "few": r"few\.hea': lacks lead V5, V6",
        "pressure": r"pressure\.hea': lead .* is in 'mmHg'; expected mV",
        "broken": r"broken\.hea': the record line 'this is no header' states no number of leads",
        "gap": r"gap\.npz': has 108 missing samples in lead I",
        "huge": r"huge\.npz': the signal reaches 13\d\d mV",
        "rateless": r"rateless\.npz': holds signal_mv; expected .* fs_hz",
        "flat": r"flat\.npz': signal_mv is float64 \(12,\)",
        "twice": r"twice\.npz': has lead V1 twice",
    }.items():
        check([["record", "x"], [record, 0]], message)
    check([["record", "x"], ["absent", 1]], "no record .*absent")
    check([["record", "x"], ["good", "maybe"]], "row 1: 'maybe' in column 2, 'x'; expected 0 or 1")
    check([["record", "x"], ["good", 1], ["good", 1]], "row 2: lists the record 'good', which row 1 lists")
    check([["record", "x"], ["good"]], "1 cell; the header has 2")
    check([["record", "x"]], "lists no records")
    check([["record"], ["good"]], "has no labels")
    check([["labels", "age"], ["x", 1]], "no column names the recordings")
    for fold in ("11", "0", "inf", "1.5", "x", ""):
        check([["record", "x", "strat_fold"], ["good", 1, fold]], f"strat_fold '{fold}'; expected 1 to 10")
    with pytest.raises(FileNotFoundError, match="no table of labels"):
        prepare(tmp_path, tmp_path / "out", labels_csv=tmp_path / "none.csv")
    labels_csv = table(tmp_path / "labels.csv", [["record", "x"], ["good", 1]])
    with pytest.raises(ValueError, match="unknown statement 'y'"):
        prepare(tmp_path, tmp_path / "out", labels_csv=labels_csv, statements=["y"])
    with pytest.raises(ValueError, match="twice"):
        prepare(tmp_path, tmp_path / "out", labels_csv=labels_csv, statements=["x", "X"])
    with pytest.raises(ValueError, match="at least one"):
        prepare(tmp_path, tmp_path / "out", labels_csv=labels_csv, statements=[])
