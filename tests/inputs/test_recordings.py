"""Recordings: names of leads, headers, rates, amplitudes, lengths, and what is left out."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sssd import Ecg
from sssd.checks import counted
from sssd.cli import main
from sssd.data import recordings
from sssd.data.prepare import prepare
from sssd.io import npz as npz_files
from sssd.io import wfdb as wfdb_files
from sssd.io.recording import read_recording
from sssd.io.wfdb_header import RecordingError
from sssd.leads import CLINICAL, EIGHT

from .page import row, rows
from .records import beats_mv, npz, prepared, wfdb_record

STEP = 0.0006  # mV: half a microvolt, and what rounding to float adds


def same(signal: np.ndarray, seed: int, tolerance: float = STEP) -> bool:
    return bool(np.abs(signal - beats_mv(seed)).max() < tolerance)


# --- leads --------------------------------------------------------------------------------------------------


@rows(
    "form",
    [
        ("leads in any order and case: `avr`, `AVR`", "{upper}"),
        ("`Lead I`, `lead_ii`, `ECG V1`, `MDC_ECG_LEAD_V1`", "Lead {0}"),
        ("`Lead I`, `lead_ii`, `ECG V1`, `MDC_ECG_LEAD_V1`", "lead_{lower}"),
        ("`Lead I`, `lead_ii`, `ECG V1`, `MDC_ECG_LEAD_V1`", "ECG {0}"),
        ("`Lead I`, `lead_ii`, `ECG V1`, `MDC_ECG_LEAD_V1`", "MDC_ECG_LEAD_{upper}"),
        ("`Lead I`, `lead_ii`, `ECG V1`, `MDC_ECG_LEAD_V1`", "{0} [mV]"),
    ],
)
def test_names_of_leads(tmp_path: Path, form: str) -> None:
    order = [5, 0, 11, 3, 1, 2, 8, 9, 10, 4, 7, 6]
    names = [form.format(CLINICAL[k], lower=CLINICAL[k].lower(), upper=CLINICAL[k].upper()) for k in order]
    wfdb_record(tmp_path, "a", leads=names, signal_mv=beats_mv(1)[order])
    npz(tmp_path, "b", leads=names, signal_mv=beats_mv(1)[order])
    for name in "ab":
        found = read_recording(tmp_path / name)
        assert same(found.signal_mv, 1) and found.notes == () and found.derived == ()


@row("`DI`, `DII`, `DIII` or `D1` to `D3`; `C1` to `C6`; `-aVR`")
def test_other_names_of_leads(tmp_path: Path) -> None:
    names = ["DI", "D2", "diii", "-aVR", "aVL", "aVF", *(f"C{k}" for k in range(1, 7))]
    signal = beats_mv(1)
    signal[3] *= -1
    npz(tmp_path, "a", leads=names, signal_mv=signal)
    assert same(read_recording(tmp_path / "a").signal_mv, 1)


@row("eight leads or more, with V1 to V6 and two limb leads")
@pytest.mark.parametrize("pair", [("I", "II"), ("II", "III"), ("I", "aVF"), ("aVR", "aVL"), ("aVF", "I")])
def test_leads_that_follow(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Einthoven and Goldberger: any two limb leads give the other four. Fails when a sign or a half is wrong."""
    names = [*CLINICAL[6:], *pair]
    npz(tmp_path, "a", leads=names, signal_mv=np.stack([beats_mv(1)[CLINICAL.index(lead)] for lead in names]))
    found = read_recording(tmp_path / "a")
    assert same(found.signal_mv, 1, 1e-9)
    assert found.derived == tuple(lead for lead in CLINICAL[:6] if lead not in pair)
    assert f"{', '.join(found.derived)} follow from the other limb leads" in found.notes


@row("other signals beside the 12 leads, in any unit")
def test_other_signals_are_ignored(tmp_path: Path) -> None:
    signal = np.vstack([beats_mv(1), np.full((2, 1000), np.nan)])
    npz(tmp_path, "a", leads=[*CLINICAL, "V7", "RESP"], signal_mv=signal)
    assert same(read_recording(tmp_path / "a").signal_mv, 1)
    header = wfdb_record(
        tmp_path, "b", leads=[*CLINICAL, "ART"], signal_mv=np.vstack([beats_mv(1), np.ones(1000)])
    )
    header.write_text(header.read_text().replace("mV 16 0 0 0 0 ART", "mmHg 16 0 0 0 0 ART"))
    assert same(read_recording(tmp_path / "b").signal_mv, 1)


@rows(
    "names, said",
    [
        ("a lead that is missing and does not follow", CLINICAL[:-1], "lacks lead V6; it has I, II"),
        (
            "a lead that is missing and does not follow",
            ("I", *CLINICAL[6:]),
            "lacks lead II, III, aVR, aVL, aVF",
        ),
        ("a lead that is missing and does not follow", (*CLINICAL[:10], "V5R", "V6"), "lacks lead V5"),
        ("a lead that is there twice", (*CLINICAL, "Lead V1"), "has lead V1 twice"),
    ],
)
def test_leads_that_are_refused(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    npz(tmp_path, "a", leads=names, signal_mv=beats_mv(1)[[0] * len(names)])
    with pytest.raises(RecordingError, match=said) as error:
        read_recording(tmp_path / "a")
    assert error.value.reason == "leads"


# --- headers ------------------------------------------------------------------------------------------------


@rows(
    "line",
    [
        ("a record's name that is a file (`E1.mat`) or a path (`median/a`)", "{name}.mat {n} 100 {length}"),
        ("a record's name that is a file (`E1.mat`) or a path (`median/a`)", "median/{name} {n} 100 {length}"),
        ("a record's name that is a file (`E1.mat`) or a path (`median/a`)", "ü {n} 100 {length}"),
        ("dates and times of any form, as a year alone", "{name} {n} 100 {length} 1984"),
        ("dates and times of any form, as a year alone", "{name} {n} 100 {length} 05-May-2020 09:49:17"),
        ("dates and times of any form, as a year alone", "{name} {n} 100 {length} 9.30 --/--/2001"),
        ("0 samples in the header, or none: the number is not known", "{name} {n} 100 0"),
        ("0 samples in the header, or none: the number is not known", "{name} {n} 100"),
        ("rates like `5e2`, `+500`, `500.`, `500/1000(0)`", "{name} {n} 1e2 {length}"),
        ("rates like `5e2`, `+500`, `500.`, `500/1000(0)`", "{name} {n} +100 {length}"),
        ("rates like `5e2`, `+500`, `500.`, `500/1000(0)`", "{name} {n} 100. {length}"),
        ("rates like `5e2`, `+500`, `500.`, `500/1000(0)`", "{name} {n} 100/1000(0) {length}"),
        ("tabs and spaces, comments and blank lines anywhere", "\n# first\n\n {name}\t{n}  100 {length}"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mat", [False, True])
def test_record_lines(tmp_path: Path, line: str, mat: bool) -> None:
    """Fails when a legal or harmless record line is refused, or its rate or length is read wrongly."""
    wfdb_record(tmp_path, "a", line=line, mat=mat)
    found = read_recording(tmp_path / "a")
    assert found.source_fs_hz == 100 and same(found.signal_mv, 1)
    assert wfdb_files.read(tmp_path / "a").fs_hz == 100


@row("rates like `5e2`, `+500`, `500.`, `500/1000(0)`")
def test_the_time_axis_of_5e2(tmp_path: Path) -> None:
    """Fails when 5e2 is 5 Hz."""
    wfdb_record(tmp_path, "a", line="a 12 5e2 {length}", signal_mv=beats_mv(1, fs_hz=500))
    found = read_recording(tmp_path / "a")
    assert found.source_fs_hz == 500 and np.abs(found.signal_mv - beats_mv(1))[:, 20:-20].max() < 0.02
    assert found.notes == ("resampled from 500 to 100 Hz",)


@row("records of several segments, with their leads in any order and unit")
def test_segments(tmp_path: Path) -> None:
    """Fails when a number after a slash is taken for a path, or a path that ends in a number for segments."""
    for k in range(2):
        wfdb_record(tmp_path, f"s{k}", signal_mv=beats_mv(1)[:, 500 * k : 500 * (k + 1)])
    (tmp_path / "a.hea").write_text("a/2 12 100 1000 9:30:00 01/02/2001\ns0 500\ns1 500\n")
    assert same(read_recording(tmp_path / "a").signal_mv, 1)
    wfdb_record(tmp_path, "7", line="median/7 {n} 100 {length}")
    assert same(read_recording(tmp_path / "7").signal_mv, 1)


@row("no rate in the header")
def test_a_header_without_a_rate(tmp_path: Path) -> None:
    wfdb_record(tmp_path, "a", line="a 12", signal_mv=beats_mv(1, fs_hz=250))
    found = read_recording(tmp_path / "a")
    assert found.source_fs_hz == 250 and "250 Hz is taken" in found.notes[0]


@rows(
    "rate",
    [
        ("a rate that is negative, 0, `nan`, infinite, or no ECG's", rate)
        for rate in ("-500", "0", "nan", "inf", "x", "5")
    ],
)
def test_rates_that_are_refused(tmp_path: Path, rate: str) -> None:
    wfdb_record(tmp_path, "a", line="a 12 " + rate + " {length}")
    with pytest.raises(RecordingError, match="sampl.*; expected") as error:
        read_recording(tmp_path / "a")
    assert error.value.reason == "sampling rate"


@rows(
    "unit, per_mv, encoding",
    [
        ("uV with a micro sign, of either kind, in UTF-8 or Latin-1", "µV", 1000, "utf-8"),
        ("uV with a micro sign, of either kind, in UTF-8 or Latin-1", "μV", 1000, "utf-8"),
        ("uV with a micro sign, of either kind, in UTF-8 or Latin-1", "µV", 1000, "latin-1"),
        ("uV with a micro sign, of either kind, in UTF-8 or Latin-1", "ÂµV", 1000, "utf-8"),
        ("mV, uV, nV and V in any case", "UV", 1000, "utf-8"),
        ("mV, uV, nV and V in any case", "v", 0.001, "utf-8"),
        ("mV, uV, nV and V in any case", "mv", 1, "utf-8"),
        ("mV, uV, nV and V in any case", "nV", 1e6, "utf-8"),
    ],
)
def test_units(tmp_path: Path, unit: str, per_mv: float, encoding: str) -> None:
    """Fails when a micro sign is dropped, so that uV becomes V. The integers are microvolts."""
    signal = f"{{file}} 16 {1000 / per_mv!r}(0)/{unit} 16 0 0 0 0 {{lead}}"
    wfdb_record(tmp_path, "a", signal=signal, encoding=encoding)
    assert same(read_recording(tmp_path / "a").signal_mv, 1)


@row("signal files in MATLAB's format, as in the PhysioNet challenges")
def test_mat_files(tmp_path: Path) -> None:
    wfdb_record(tmp_path, "a", mat=True)
    for name in ("a", "a.hea", "a.mat"):
        assert same(read_recording(tmp_path / name).signal_mv, 1)


@row("signal files of unusual names")
def test_names_of_signal_files(tmp_path: Path) -> None:
    wfdb_record(
        tmp_path,
        "a.1 (copy)",
        signal="other.name.dat 16 1000(0)/mV 16 0 0 0 0 {lead}",
        line="a {n} 100 {length}",
    )
    (tmp_path / "a.1 (copy).dat").rename(tmp_path / "other.name.dat")
    assert same(read_recording(tmp_path / "a.1 (copy).hea").signal_mv, len("a.1 (copy)"))


@row("a signal file outside of the folder")
@pytest.mark.parametrize("name", ["../a.dat", "/etc/passwd", "..\\a.dat"])
def test_signal_files_outside(tmp_path: Path, name: str) -> None:
    """Fails when a header can have files of the machine read."""
    wfdb_record(tmp_path / "in", "a", signal=name.replace("\\", "\\") + " 16 1000(0)/mV 16 0 0 0 0 {lead}")
    wfdb_record(tmp_path, "a")
    with pytest.raises(RecordingError, match="names a signal file outside of its folder"):
        read_recording(tmp_path / "in" / "a")


@row("NPZ: `fs_hz` as an array of one number, `signal_uv` or `signal_mv` (12, L) or (1, 12, L)")
@pytest.mark.parametrize("rate", [np.array([100.0]), np.array([[100]]), 100, np.float32(100)])
def test_npz_records(tmp_path: Path, rate: object) -> None:
    npz(tmp_path, "a", fs_hz=rate)
    npz(
        tmp_path,
        "b",
        fs_hz=rate,
        signal_mv=None,
        signal_uv=np.rint(beats_mv(1)[None] * 1000).astype(np.int16),
    )
    assert all(same(read_recording(tmp_path / name).signal_mv, 1) for name in "ab")


@row(
    "sets of ECGs (`signals.npz`, `ecgs.npz`): leads by any of these names, a rate as an array of one number"
)
def test_sets(tmp_path: Path) -> None:
    uv = np.rint(beats_mv(1)[None] * 1000).astype(np.int16)
    leads = [f"Lead {name}".encode() for name in CLINICAL[::-1]]
    parts = {"labels": np.ones((1, 1), np.uint8), "label_names": np.array(["NORM"]), "leads": leads}
    np.savez(tmp_path / "ecgs.npz", signal_uv=uv[:, ::-1], fs_hz=np.array([250.0]), **parts)
    assert (recordings.read(tmp_path).fs_hz, npz_files.read(tmp_path / "ecgs.npz")[0].fs_hz) == (250, 250)
    assert np.array_equal(recordings.read(tmp_path).signal_uv, uv)
    np.testing.assert_allclose(
        npz_files.read(tmp_path / "ecgs.npz")[0].lead("V6"), uv[0, 11] / 1000, rtol=1e-6
    )
    for rate in (np.array([100.0, 250.0]), -100.0, np.nan, "100"):
        np.savez(tmp_path / "ecgs.npz", signal_uv=uv[:, ::-1], fs_hz=rate, **parts)
        for read in (recordings.read, npz_files.read):
            with pytest.raises(
                ValueError, match=r"ecgs\.npz': fs_hz is .*; expected one sampling rate above 0"
            ):
                read(tmp_path / "ecgs.npz")


@row("NPZ: other contents, several rates, pickled objects")
@pytest.mark.parametrize(
    "parts",
    [{"fs_hz": np.array([100.0, 200.0])}, {"fs_hz": "100 Hz"}, {"fs_hz": -100}, {"signal_mv": np.array([{}])},
     {"signal_uv": np.zeros((12, 9))}, {"fs_hz": None}, {"signal_mv": np.full((12, 1000), "x")}],
)  # fmt: skip
def test_npz_records_that_are_refused(tmp_path: Path, parts: dict[str, object]) -> None:
    npz(tmp_path, "a", **parts)
    with pytest.raises(RecordingError):
        read_recording(tmp_path / "a")


# --- amplitude and length -----------------------------------------------------------------------------------


@row("an amplitude that no ECG has: below 0.15 mV or above 12 mV (median of the leads)")
def test_wrong_gains_are_told(tmp_path: Path) -> None:
    """Fails when a gain that is plainly wrong passes in silence."""
    wfdb_record(tmp_path / "records", "r4", signal="{file} 16 20000(0)/mV 16 0 0 0 0 {lead}")
    _, manifest = prepared(tmp_path, "record,labels\nr1,NORM\nr2,NORM\nr3,NORM\nr4,NORM\n")
    assert list(manifest["implausible_amplitude_mv"]) == ["r4"]
    assert any(
        "an amplitude that ECGs do not have in 1 recording (r4 0.0" in text for text in manifest["warnings"]
    )
    assert any("; --unit says what the numbers are" in text for text in manifest["warnings"])
    assert read_recording(tmp_path / "records" / "r4").notes[0].endswith("may state a wrong gain or unit")
    large = 20 * beats_mv(1) / np.ptp(beats_mv(1), axis=1, keepdims=True)
    found = read_recording(npz(tmp_path, "large", signal_mv=large))
    assert not found.plausible and "where ECGs have about 1 mV" in found.notes[0]


@row("an amplitude below 0.01 mV, of which rounding to 1 uV would leave nothing")
def test_lost_amplitudes_are_skipped(tmp_path: Path) -> None:
    """2,000,000 per mV in place of 1000, as in public sets."""
    wfdb_record(tmp_path / "records", "x", signal="{file} 16 2000000(0)/mV 16 0 0 0 0 {lead}")
    what = skipped_as(tmp_path, "amplitude")[0]["what"]
    assert "its amplitude is 0.000" in what and what.endswith("(--unit says what the numbers are)")
    with pytest.raises(RecordingError) as caught:
        read_recording(tmp_path / "records" / "x")
    assert "--" not in str(caught.value), "an option that only `prepare` has"


@row("`--unit uV` (mV, V): the stored numbers are in this unit, whatever the file says")
def test_a_unit_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = "{file} 16 2000000(7)/mV 16 0 0 0 0 {lead}"
    source, table = tmp_path / "in", tmp_path / "labels.csv"
    wfdb_record(source, "a", signal=wrong, signal_mv=beats_mv(1) + 0.007)
    npz(source, "b", signal_mv=1000 * beats_mv(1))
    for name in "ab":
        assert same(read_recording(source / name, unit="uV").signal_mv, 1)
    table.write_text("record,labels\na,X\n")
    assert main(["prepare", str(source), str(tmp_path / "out"), "--labels", str(table), "--unit", "uV"]) == 0
    assert "note" not in capsys.readouterr().err
    with pytest.raises(ValueError, match="unit is 'pV'; expected uV, mV or V"):
        read_recording(source / "a", unit="pV")


@row("a gain of the header that gives a set of five or more an unlikely median amplitude")
def test_a_gain_that_is_wrong_for_a_set(tmp_path: Path) -> None:
    """4880 in place of 1000: each record is plausible, all together are not."""
    names = [f"r{k}" for k in range(6)]
    for k, name in enumerate(names):
        wfdb_record(
            tmp_path / "records",
            name,
            signal="{file} 16 4880(0)/mV 16 0 0 0 0 {lead}",
            signal_mv=beats_mv(k) * 1.3,
        )
    lines = "\n".join(["record,labels", *(f"{name},NORM" for name in names)])
    _, manifest = prepared(tmp_path, lines, records=())
    assert manifest["implausible_amplitude_mv"] == {}
    assert manifest["implausible_gains"]["4880"]["records"] == 6
    assert any(
        "headers state 4880 units per mV have a median amplitude of 0." in text
        for text in manifest["warnings"]
    )


def skipped_as(folder: Path, reason: str, **options: object) -> list[dict[str, str]]:
    """Prepare r1 to r3, which are all right, and whatever else lies in the folder; the rows of skipped.csv."""
    others = sorted({file.stem for file in (folder / "records").iterdir()})
    lines = "\n".join(["record,labels", *(f"{name},NORM" for name in ("r1", "r2", "r3", *others))])
    made, manifest = prepared(folder, lines, **options)  # type: ignore[arg-type]
    assert made.record_id is not None and made.record_id.tolist() == ["r1", "r2", "r3"]
    assert manifest["skipped"] == {reason: len(others)} and manifest["records"] == 3
    assert any(
        f"skipped {counted(len(others), 'recording')} ({len(others)} {reason}" in text
        for text in manifest["warnings"]
    )
    with (folder / "out" / "skipped.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@row("a value beyond +-32.767 mV")
def test_too_large(tmp_path: Path) -> None:
    npz(tmp_path / "records", "x", signal_mv=beats_mv(1) * 1000)
    assert "reaches" in skipped_as(tmp_path, "amplitude")[0]["what"]


@row("missing samples: NaN, infinite, WFDB's mark, -32768 in 16 bits of NPZ, DICOM's padding value")
def test_missing_samples(tmp_path: Path) -> None:
    gap = beats_mv(1)
    gap[3, 100:110] = np.nan
    npz(tmp_path / "records", "x", signal_mv=gap)
    marked = beats_mv(1)
    marked[7, 5] = -32.768
    wfdb_record(tmp_path / "records", "y", signal_mv=marked)
    infinite = beats_mv(1)
    infinite[0, 7] = np.inf
    npz(tmp_path / "records", "z", signal_mv=infinite)
    found = skipped_as(tmp_path, "missing samples")
    assert "has 1 missing samples in lead I;" in found[2]["what"]
    assert "has 10 missing samples in lead aVR" in found[0]["what"]
    assert "has 1 missing samples in lead V2" in found[1]["what"]


@row("recordings shorter than 10 s")
def test_short_recordings(tmp_path: Path) -> None:
    npz(tmp_path / "records", "x", signal_mv=beats_mv(1)[:, :600])
    npz(tmp_path / "records", "y", signal_mv=beats_mv(1)[:, :1])
    found = skipped_as(tmp_path, "short")
    assert [entry["record"] for entry in found] == ["x", "y"]
    assert found[0]["what"] == "lasts 6 s; expected at least 10 s (--short tile repeats it)"


@row("`--short tile`")
def test_short_recordings_are_repeated(tmp_path: Path) -> None:
    npz(tmp_path, "a", signal_mv=beats_mv(1)[:, :300])
    found = read_recording(tmp_path / "a", short="tile")
    assert found.repeated and found.notes == ("repeated from its beginning, as it lasts 3 s",)
    for start in (0, 300, 600):
        np.testing.assert_array_equal(found.signal_mv[:, start : start + 300], beats_mv(1)[:, :300])
    npz(tmp_path, "b", signal_mv=beats_mv(1)[:, :90])
    with pytest.raises(RecordingError, match="or 1 s to repeat it"):
        read_recording(tmp_path / "b", short="tile")


@row("recordings longer than 10 s")
def test_long_recordings(tmp_path: Path) -> None:
    npz(tmp_path, "a", signal_mv=beats_mv(1, seconds=30))
    assert read_recording(tmp_path / "a").cut and same(read_recording(tmp_path / "a").signal_mv, 1)
    assert read_recording(tmp_path / "a", samples=None).signal_mv.shape == (12, 3000)


@row("a flat lead")
def test_flat_leads_are_told(tmp_path: Path) -> None:
    flat = beats_mv(1)
    flat[8] = 0.3
    npz(tmp_path / "records", "x", signal_mv=flat)
    made, manifest = prepared(tmp_path, "record,labels\nr1,NORM\nx,NORM\n")
    assert manifest["flat_leads"] == {"x": ["V3"]} and len(made) == 2
    assert "flat leads in 1 recording: V3 of x" in manifest["warnings"]


@row("a recording that is flat in all leads")
def test_flat_recordings(tmp_path: Path) -> None:
    npz(tmp_path / "records", "x", signal_mv=np.zeros((12, 1000)))
    npz(tmp_path / "records", "y", signal_mv=np.full((12, 1000), 0.3))
    assert {entry["what"] for entry in skipped_as(tmp_path, "flat")} == {"is flat in all leads"}


@row("a signal file that is missing or cut off")
def test_signal_files_that_are_missing_or_cut(tmp_path: Path) -> None:
    for name in "xy":
        wfdb_record(tmp_path / "records", name)
        data = tmp_path / "records" / f"{name}.dat"
        data.write_bytes(data.read_bytes()[:1001])
    assert "shorter than the header says" in skipped_as(tmp_path, "cut signal file")[1]["what"]
    (tmp_path / "more").mkdir()
    wfdb_record(tmp_path / "more" / "records", "x")
    (tmp_path / "more" / "records" / "x.dat").unlink()
    assert skipped_as(tmp_path / "more", "missing file")[0]["what"] == "its signal file 'x.dat' is missing"


@row("a recording of the table that is not there")
def test_recordings_that_are_missing(tmp_path: Path) -> None:
    made, manifest = prepared(tmp_path, "record,labels\nr1,NORM\nr2,NORM\nx,NORM\n")
    assert len(made) == 2 and manifest["skipped"] == {"missing file": 1}


@row("more than half of the recordings cannot be used")
def test_too_many_bad_recordings(tmp_path: Path) -> None:
    npz(tmp_path / "records", "x", signal_mv=np.zeros((12, 1000)))
    with pytest.raises(
        ValueError, match=r"3 of 5 .*: missing file \(2\): .*/y' .*; .*/z' .* -- flat \(1\): .*x\.npz'"
    ) as error:
        prepared(tmp_path, "record,labels\nr1,NORM\nr2,NORM\nx,NORM\ny,NORM\nz,NORM\n")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
    assert len(prepared(tmp_path, "record,labels\nr1,NORM\nr2,NORM\nx,NORM\ny,NORM\n")[0]) == 2


@row("`--strict`")
def test_strict_stops(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"2 of 4 .*missing file \(2\): .*/y'.*/z'"):
        prepared(tmp_path, "record,labels\nr1,NORM\nr2,NORM\ny,NORM\nz,NORM\n", strict=True)
    assert not (tmp_path / "out").exists()


@row("recordings with the same samples in different folds")
def test_identical_recordings(tmp_path: Path) -> None:
    npz(tmp_path / "records", "x")
    npz(tmp_path / "records", "y")
    _, manifest = prepared(tmp_path, "record,labels,fold\nr1,NORM,1\nx,NORM,1\ny,NORM,10\n")
    assert manifest["identical_in_several_folds"] == [["x", "y"]]
    assert "the recordings x and y are identical and in different folds" in manifest["warnings"]


def test_skipped_csv_goes_when_nothing_is_skipped(tmp_path: Path) -> None:
    prepared(tmp_path, "record,labels\nr1,NORM\nr2,NORM\nx,NORM\n")
    assert (tmp_path / "out" / "skipped.csv").is_file()
    table = tmp_path / "table.csv"
    table.write_text("record,labels\nr1,NORM\n")
    with pytest.raises(FileExistsError):
        prepare(tmp_path / "records", tmp_path / "out", labels_csv=table)
    prepare(tmp_path / "records", tmp_path / "out", labels_csv=table, overwrite=True)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["prepare.json", "signals.npz"]


# --- one recording, for commands that change it -------------------------------------------------------------


def test_one_recording_at_a_wanted_rate_and_length(tmp_path: Path) -> None:
    """A file and an `Ecg` give the same, in the clinical order, and the notes say what was done."""
    order = (*EIGHT, "II", "III", "aVR", "aVL")
    rows = [CLINICAL.index(lead) for lead in order]
    ecg = Ecg(beats_mv(1, fs_hz=250, seconds=12)[rows], 250, order)
    npz(tmp_path, "a", leads=order, fs_hz=250, signal_mv=ecg.signal)
    for source in (ecg, tmp_path / "a", str(tmp_path / "a.npz")):
        found = read_recording(source, fs_hz=500, samples=5000)
        assert found.signal_mv.shape == (12, 5000) and found.ecg.fs_hz == 500 and found.ecg.leads == CLINICAL
        assert np.abs(found.signal_mv - beats_mv(1, fs_hz=500))[:, :4900].max() < 0.02
        assert found.notes == ("resampled from 250 to 500 Hz",) and found.cut
    at_100 = (
        read_recording(ecg).signal_mv,
        read_recording(tmp_path / "a").signal_mv,
    )  # of a file 1 s more is read
    np.testing.assert_allclose(*at_100, atol=1e-5)
    with pytest.raises(ValueError, match="short is 'cut'"):
        read_recording(ecg, short="cut")


@row("CSV: a column `time_s` and one in mV for each lead, as `generate` writes it")
def test_a_file_is_read_alike_in_every_form(tmp_path: Path) -> None:
    ecg = Ecg(np.round(beats_mv(1, fs_hz=250), 3), 250.0, statements=("AFIB",))
    found = []
    for name in ("a.hea", "b.npz", "c.csv"):
        found.append(read_recording(ecg.save(tmp_path / name)))
        assert found[-1].source_fs_hz == 250
        np.testing.assert_allclose(found[-1].signal_mv, found[0].signal_mv, atol=1e-4)
    assert [one.statements for one in found] == [("AFIB",), ("AFIB",), ()]
    np.testing.assert_allclose(read_recording(tmp_path / "c").signal_mv, found[2].signal_mv)


@row("CSV: no `time_s`, rows of another length, or times that do not rise evenly")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I,II\n1,2\n1,2\n", "expected time_s"),
        ("time_s,I\n0,1\n0.01,2\n0.05,3\n", "does not rise evenly"),
        ("time_s,I\n0,1\n0.01,2,3\n", "cannot be read as a table"),
        ("", "expected time_s"),
    ],
)
def test_tables_that_are_no_recording(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recording(tmp_path / "a.csv")


@rows(
    "parts, said",
    [
        (SET := "sets of ECGs with labels that nobody could ask for, or with marks of missing samples",
         {"label_names": ["AFIB", "afib"]}, "'AFIB' and 'afib' differ in case or signs only"),
        (SET, {"label_names": ["A+B", "C"]}, "nobody could ask for a label called 'A[+]B'"),
        (SET, {"signal_uv": np.full((2, 12, 1000), -32768, np.int16)}, "holds -32768, by which WFDB marks missing"),
    ],
)  # fmt: skip
def test_sets_that_are_refused(tmp_path: Path, parts: dict[str, object], said: str) -> None:
    """Fails when a model is trained on labels without a name, or on a mark of missing samples as a voltage."""
    good = {"signal_uv": np.zeros((2, 12, 1000), np.int16), "labels": np.eye(2, dtype=np.uint8)}
    good |= {"label_names": [b"AFIB", b"LVH"]}
    np.savez(tmp_path / "good.npz", **good)
    assert recordings.read(tmp_path / "good.npz").label_names == ("AFIB", "LVH")
    np.savez(tmp_path / "bad.npz", **(good | parts))
    with pytest.raises(ValueError, match=said):
        recordings.read(tmp_path / "bad.npz")


# --- EDF and DICOM ------------------------------------------------------------------------------------------


@row("EDF and EDF+ with the 12 leads (`pip install '.[clinical]'`)")
def test_edf(tmp_path: Path) -> None:
    """Plain EDF in mV, with another signal of another rate beside the leads."""
    edfio = pytest.importorskip("edfio")
    signals = [
        edfio.EdfSignal(row, 500, label=lead, physical_dimension="mV", physical_range=(-8.192, 8.191))
        for lead, row in zip(CLINICAL, beats_mv(1, fs_hz=500), strict=True)
    ]
    edfio.Edf([*signals, edfio.EdfSignal(np.zeros(10), 1, label="SpO2")]).write(tmp_path / "a.EDF")
    found = read_recording(tmp_path / "a.EDF", fs_hz=500, samples=None)
    assert np.abs(found.signal_mv - beats_mv(1, fs_hz=500)).max() < STEP and found.source_fs_hz == 500
    in_units = read_recording(tmp_path / "a.EDF", fs_hz=500, samples=2000, unit="uV")
    assert found.signal_mv.shape[1] == 5000
    np.testing.assert_allclose(in_units.signal_mv, found.signal_mv[:, :2000] * 4, atol=0.002)


@rows(
    "rate, cut, reason",
    [
        (
            EDF_ROW := "EDF: leads at several rates, interruptions (EDF+D), a file that is cut off",
            250,
            0,
            "rate",
        ),
        (EDF_ROW, 500, 3000, "unreadable"),
        (EDF_ROW, 500, 0, "missing samples"),
    ],
)
def test_edf_that_cannot_be_used(tmp_path: Path, rate: int, cut: int, reason: str) -> None:
    edfio = pytest.importorskip("edfio")
    signals = [
        edfio.EdfSignal(row, 500, label=lead)
        for lead, row in zip(CLINICAL, beats_mv(1, fs_hz=500), strict=True)
    ]
    signals[3] = edfio.EdfSignal(beats_mv(1, fs_hz=rate)[3], rate, label="aVR")
    content = edfio.Edf(signals).to_bytes()
    if reason == "missing samples":
        content = content[:192] + b"EDF+D" + content[197:]
    (tmp_path / "a.edf").write_bytes(content[: cut or None])
    with pytest.raises(RecordingError) as caught:
        read_recording(tmp_path / "a")
    assert reason in caught.value.reason


def _dicom(file: Path, **changes: object) -> None:
    """A DICOM file of 4 s at 500 Hz; `changes` are attributes of its first channel."""
    pydicom = pytest.importorskip("pydicom")
    held = pydicom.dcmread(Ecg(beats_mv(1, fs_hz=500, seconds=4), 500).save(file.with_name("made.dcm")))
    file.with_name("made.dcm").unlink()
    channel = held.WaveformSequence[0].ChannelDefinitionSequence[0]
    for name, value in changes.items():
        delattr(channel, name) if value is None else setattr(channel, name, value)
    held.save_as(file)


@row(
    "DICOM: the first group of waveforms with leads, by their codes or labels, whatever the name of the file "
    "(`pip install '.[clinical]'`)"
)
def test_dicom(tmp_path: Path) -> None:
    _dicom(tmp_path / "IM000001", ChannelSourceSequence=None, ChannelLabel="Lead I", ChannelSensitivity="2")
    found = read_recording(tmp_path / "IM000001", fs_hz=500, samples=None)
    expected = beats_mv(1, fs_hz=500, seconds=4)
    expected[0] *= 2
    assert np.abs(found.signal_mv - expected).max() < 2 * STEP and found.source_fs_hz == 500


@row("DICOM: other objects, no unit, a file that is cut off")
def test_dicom_that_cannot_be_used(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    _dicom(tmp_path / "a.dcm", ChannelSensitivityUnitsSequence=None)
    with pytest.raises(RecordingError, match="lead I has no unit") as caught:
        read_recording(tmp_path / "a", samples=None)
    assert caught.value.reason == "unit"
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:4000])
    with pytest.raises(RecordingError) as caught:
        read_recording(tmp_path / "cut")
    assert caught.value.reason in ("unreadable", "leads")
    held = pydicom.dcmread(tmp_path / "a.dcm")
    del held.WaveformSequence
    held.save_as(tmp_path / "other.dcm")
    with pytest.raises(RecordingError, match="lacks the 12 leads; its waveforms are none") as caught:
        read_recording(tmp_path / "other")
    assert caught.value.reason == "leads"
