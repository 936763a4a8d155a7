"""Signal files of other hands: formats of WFDB, segments and frames, tables of samples, marks of missing samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb

from sssd import Ecg
from sssd.io.recording import read_recording
from sssd.io.wfdb_header import RecordingError
from sssd.leads import CLINICAL, lead_of

from .page import row, rows
from .records import beats_mv, npz, prepared, wfdb_record

STEP = 0.0006  # mV: half a microvolt, and what rounding to float adds
LINE = "{file} FORMAT GAIN(0)/mV 16 0 0 0 0 {lead}"


def error_mv(path: Path) -> float:
    """The largest difference from `beats_mv(1)` in mV, away from the ends, where filters see other samples."""
    return float(np.abs(read_recording(path).signal_mv - beats_mv(1))[:, 20:-20].max())


# --- formats ------------------------------------------------------------------------------------------------

FORMATS = "signal files of the formats 8, 16, 24, 32, 61, 80, 160, 212, 310, 311 and FLAC (508, 516, 524)"


@row(FORMATS)
@pytest.mark.parametrize("form", ["16", "24", "32", "80", "212", "508", "516", "524"])
def test_formats_that_the_library_writes(tmp_path: Path, form: str) -> None:
    if form.startswith("5"):
        pytest.importorskip("soundfile")
    gain = {"80": 40.0, "508": 40.0, "212": 400.0}.get(form, 1000.0)
    wfdb.wrsamp(
        "a", fs=100, units=["mV"] * 12, sig_name=list(CLINICAL), p_signal=beats_mv(1).T.copy(), fmt=[form] * 12,
        adc_gain=[gain] * 12, baseline=[0] * 12, write_dir=str(tmp_path)
    )  # fmt: skip
    assert error_mv(tmp_path / "a") < 0.51 / gain + STEP


def _differences(units: np.ndarray) -> bytes:
    return np.diff(units, axis=1, prepend=units[:, :1]).astype("i1").T.tobytes()


def _packed_311(units: np.ndarray) -> bytes:
    flat = (units.T.reshape(-1) & 0x3FF).astype("<u4")  # 12,000 samples, three in each 32 bits
    return (flat[::3] | flat[1::3] << 10 | flat[2::3] << 20).astype("<u4").tobytes()


def _packed_310(units: np.ndarray) -> bytes:
    flat = units.T.reshape(-1) & 0x3FF
    first, second, third = flat[::3], flat[1::3], flat[2::3]
    words = np.stack([first << 1 | (third & 0x1F) << 11, second << 1 | (third >> 5 & 0x1F) << 11], axis=1)
    return words.astype("<u2").tobytes()


@row(FORMATS)
@pytest.mark.parametrize(
    ("form", "gain", "pack"),
    [
        ("61", 1000, lambda units: units.T.astype(">i2").tobytes()),
        ("160", 1000, lambda units: (units.T + 32768).astype("<u2").tobytes()),
        ("8", 40, _differences),
        ("310", 100, _packed_310),
        ("311", 100, _packed_311),
    ],
)
def test_formats_that_others_write(
    tmp_path: Path, form: str, gain: int, pack: Callable[[np.ndarray], bytes]
) -> None:
    units = np.rint(beats_mv(1) * gain).astype(np.int64)
    wfdb_record(tmp_path, "a", signal=LINE.replace("FORMAT", form).replace("GAIN", str(gain)))
    header = tmp_path / "a.hea"
    lines = header.read_text().splitlines()
    for k, first in enumerate(units[:, 0].tolist()):  # format 8 begins at the first value of the header
        lines[k + 1] = lines[k + 1].replace(" 16 0 0 0 0 ", f" 16 0 {first} 0 0 ")
    header.write_text("\n".join(lines) + "\n")
    (tmp_path / "a.dat").write_bytes(pack(units))
    assert error_mv(tmp_path / "a") < 0.51 / gain + STEP


# --- headers ------------------------------------------------------------------------------------------------


@row("tabs and spaces, comments and blank lines anywhere")
@pytest.mark.parametrize("sign", [b"\x85", b"\x0b", b"\x0c", b"\x1c", "\u2028".encode(), "\x85".encode()])
def test_signs_in_comments_that_end_no_line(tmp_path: Path, sign: bytes) -> None:
    """Fails when the three dots of Windows, or another sign at which Python ends lines, make a line of a signal."""
    header = wfdb_record(tmp_path, "a")
    header.write_bytes(header.read_bytes() + b"# Patient" + sign + b" M\xfcller\r\n#Age: 5\r\n")
    assert error_mv(tmp_path / "a") < STEP
    assert "Age: 5" in read_recording(tmp_path / "a").comments


@row("more or fewer lines of signals, or of segments, than the first line says")
@pytest.mark.parametrize("stated", [8, 11, 13, 24])
def test_numbers_of_signals_that_differ(tmp_path: Path, stated: int) -> None:
    """Fails when the WFDB library's own words are all that a user reads."""
    wfdb_record(tmp_path, "a", line=f"a {stated} 100 {{length}}")
    with pytest.raises(RecordingError, match=f"states {stated} signals and has 12 lines for them") as error:
        read_recording(tmp_path / "a")
    assert error.value.reason == "unreadable header"


@row("names that may mean another thing: `I-II`, `aVR-`, `V1-V2`, `MLII`")
@pytest.mark.parametrize(
    "name", ["I-II", "II-I", "I - aVF", "aVR-", "V1-", "V1-V2", "MLII", "VI", "V7", "I II", "1"]
)
def test_names_that_are_no_lead(name: str) -> None:
    """Fails when I-II, the difference of two leads, is read as III, which is II-I."""
    assert lead_of(name) is None


@row("`Lead I`, `lead_ii`, `ECG V1`, `MDC_ECG_LEAD_V1`")
@pytest.mark.parametrize(
    ("name", "lead"),
    [("V-1", "V1"), ("v 1", "V1"), ("aV F", "aVF"), ("aV-R", "aVR"), ("a V L", "aVL"), ("avf_", "aVF"),
     ("EKG II", "II"), ("V1 (\u00b5V)", "V1"), ("ECG: V3", "V3"), ("lead-iii", "III")],
)  # fmt: skip
def test_names_that_are_a_lead(name: str, lead: str) -> None:
    assert lead_of(name) == (lead, 1)


# --- segments and frames ------------------------------------------------------------------------------------

SEGMENTS = "records of several segments, with their leads in any order and unit"


def _segments(folder: Path, **second: object) -> None:
    """Two segments, s0 and s1; `second` is what s1 has otherwise."""
    wfdb_record(folder, "s0", signal_mv=beats_mv(1)[:, :500])
    wfdb_record(folder, "s1", **{"signal_mv": beats_mv(1)[:, 500:]} | second)  # type: ignore[arg-type]


@rows(
    "header, second",
    [
        (SEGMENTS, "a/2 12 100 1000\ns0 500\ns1 500\n", {}),
        (SEGMENTS, "a/2 12 100\ns0 500\ns1 500\n", {}),
        (SEGMENTS, "a/2 12 1e2 1000 1984\ns0 500\ns1 500\n", {"line": "{name}.mat {n} 1e2 {length} 1984"}),
        (SEGMENTS, "a/3 12 100 1000\nlayout 0\ns0 500\ns1 500\n", {}),
        (
            SEGMENTS,
            "a/2 12 100 1000\ns0 500\ns1 500\n",
            {"leads": CLINICAL[::-1], "signal_mv": beats_mv(1)[::-1, 500:]},
        ),
        (
            SEGMENTS,
            "a/2 12 100 1000\ns0 500\ns1 500\n",
            {"signal": LINE.replace("FORMAT", "16").replace("GAIN(0)/mV", "1(0)/uV")},
        ),
    ],
)
def test_segments_are_joined(tmp_path: Path, header: str, second: dict[str, object]) -> None:
    """Fails when leads are joined by their places, or the unit of the first segment is taken for all."""
    _segments(tmp_path, **second)
    (tmp_path / "a.hea").write_text(header)
    assert error_mv(tmp_path / "a") < STEP


@rows(
    "header, second, reason, said",
    [
        (BAD := "segments with a gap, of another rate, cut off, missing, or outside of the folder",
         "a/3 12 100 1500\ns0 500\n~ 500\ns1 500\n", {}, "missing samples", "has 6000 missing samples"),
        (BAD, "a/2 12 100 1000\ns0 500\ns1 500\n", {"leads": CLINICAL[:11], "signal_mv": beats_mv(1)[:11, 500:]},
         "missing samples", "has 500 missing samples in lead V6"),
        (BAD, "a/2 12 100 1000\ns0 500\ns1 500\n", {"line": "{name} {n} 200 {length}"}, "unreadable header",
         "the segment 's1' has 500 samples at 200 Hz; the header states 500 at 100 Hz"),
        (BAD, "a/2 12 100 1000\ns0 500\ns1 500\n", {"line": "{name} {n} 100 499"}, "unreadable header", "499 samples"),
        (BAD, "a/2 12 100 1000\ns0 500\nx 500\n", {}, "missing file", "its segment 'x' is missing"),
        (BAD, "a/2 12 100 1000\ns0 500\na 500\n", {}, "missing file", "its segment 'a' is missing"),
        (BAD, "a/2 12 100 1000\ns0 500\n../s1 500\n", {}, "unreadable header", "has the segment '../s1 500'"),
        ("more or fewer lines of signals, or of segments, than the first line says",
         "a/3 12 100 1000\ns0 500\ns1 500\n", {}, "unreadable header", "states 3 segments and has 2 lines"),
    ],
)  # fmt: skip
def test_segments_that_cannot_be_joined(
    tmp_path: Path, header: str, second: dict[str, object], reason: str, said: str
) -> None:
    _segments(tmp_path, **second)
    (tmp_path / "a.hea").write_text(header)
    with pytest.raises(RecordingError, match=said) as error:
        read_recording(tmp_path / "a")
    assert error.value.reason == reason


@row("several samples of a lead in a frame")
def test_several_samples_in_a_frame(tmp_path: Path) -> None:
    """Fails when they are averaged, which delays the signal by half of a sample, and filters it."""
    units = np.rint(beats_mv(1, fs_hz=200) * 1000).astype("<i2").reshape(12, -1, 2)
    (tmp_path / "a.dat").write_bytes(units.transpose(1, 0, 2).tobytes())
    signals = [f"a.dat 16x2 1000(0)/mV 16 0 0 0 0 {lead}" for lead in CLINICAL]
    (tmp_path / "a.hea").write_text("\n".join([f"a 12 100 {units.shape[1]}", *signals]) + "\n")
    found = read_recording(tmp_path / "a")
    assert found.source_fs_hz == 200 and error_mv(tmp_path / "a") < 0.001

    frames = np.concatenate(
        [units[:1, :, 0].T, units[1:].transpose(1, 0, 2).reshape(len(units[0]), -1)], axis=1
    )
    (tmp_path / "a.dat").write_bytes(frames.astype("<i2").tobytes())  # lead I has half of the samples
    signals[0] = signals[0].replace("16x2", "16")
    (tmp_path / "a.hea").write_text("\n".join([f"a 12 100 {units.shape[1]}", *signals]) + "\n")
    found = read_recording(tmp_path / "a")
    assert found.source_fs_hz == 100 and found.notes == (
        "leads with more than 100 samples a second are averaged",
    )
    expected = np.where(np.arange(12)[:, None] == 0, units[:, :, 0], units.mean(axis=2)) / 1000
    assert np.abs(found.signal_mv - expected).max() < STEP

    (tmp_path / "a.hea").write_text(
        "\n".join([f"a 12 50 {units.shape[1] // 2}", *signals]).replace("16x2", "16x3")
    )
    (tmp_path / "a.hea").write_text((tmp_path / "a.hea").read_text().replace("16 1000", "16x2 1000", 1))
    with pytest.raises(RecordingError, match="leads with 2, 3 samples in a frame") as error:
        read_recording(tmp_path / "a")
    assert error.value.reason == "sampling rate"


# --- tables of samples --------------------------------------------------------------------------------------


def _table(
    separator: str = ",", point: str = ".", time: str = "time_s", lead: str = "{}", scale: float = 1.0
) -> str:
    seconds = np.arange(1000) / (0.1 if time == "time_ms" else 100.0)
    lines = [separator.join([time, *map(lead.format, CLINICAL)])]
    for t, values in zip(seconds, beats_mv(1).T * scale, strict=True):
        lines.append(separator.join(f"{value:.6f}".replace(".", point) for value in (t, *values)))
    return "\n".join(lines) + "\n"


SAVED = "CSV that a spreadsheet has saved: other separators, decimal commas, quotes, UTF-16"
NAMED = "CSV with other units in the names: `time_ms`, `I (uV)`"


@rows(
    "content",
    [
        (SAVED, _table(";").encode()),
        (SAVED, _table(";", ",").encode()),
        (SAVED, _table("\t", ",").encode("utf-16")),
        (SAVED, b"sep=;\r\n" + _table(";", ",").replace("\n", "\r\n").encode()),
        (SAVED, ('"' + _table('","').replace("\n", '"\n"')).rstrip('"').encode()),
        (SAVED, _table().encode("utf-8-sig")),
        (NAMED, _table(time="time_ms").encode()),
        (NAMED, _table(time="Time (s)").encode()),
        (NAMED, _table(lead="{} (uV)", scale=1000).encode()),
        (NAMED, _table(lead="{} [\u00b5V]", scale=1000).encode()),
        (NAMED, _table(lead="ECG {} (mV)").encode()),
    ],
)
def test_tables_of_samples(tmp_path: Path, content: bytes) -> None:
    """Fails when a table of `generate` cannot be read after a spreadsheet has saved it, or a unit is lost."""
    (tmp_path / "a.csv").write_bytes(content)
    found = read_recording(tmp_path / "a")
    assert found.source_fs_hz == 100 and error_mv(tmp_path / "a") < 2e-6


@row("CSV: no `time_s`, rows of another length, or times that do not rise evenly")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_table().replace("\n", "\ns" + ",mV" * 12 + "\n", 1), "could not convert string to float: 's'"),
        (_table(lead="{} (mmHg)"), "lacks lead"),
        (_table().replace("time_s", "time"), "expected time_s"),
        (_table()[:-30], "row 1000: .* cells; the header has 13"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RecordingError, match=said) as error:
        read_recording(tmp_path / "a")
    assert "\n" not in str(error.value)


# --- missing samples, units of EDF and DICOM ----------------------------------------------------------------

MARKS = "missing samples: NaN, infinite, WFDB's mark, -32768 in 16 bits of NPZ, DICOM's padding value"


@row(MARKS)
def test_marks_of_missing_samples(tmp_path: Path) -> None:
    """Fails when the mark is a voltage, of which the filter to 100 Hz leaves a few mV, so that no check sees it."""
    units = np.rint(beats_mv(1, fs_hz=500) * 1000).astype(np.int16)
    units[3, 700] = -32768
    npz(tmp_path / "records", "r1", signal_mv=None, signal_uv=units, fs_hz=500.0)
    with pytest.raises(ValueError, match=r"missing samples \(1\): .* has 1 missing samples in lead aVR"):
        prepared(tmp_path, "record,labels\nr1,NORM\n", records=())


@row(MARKS)
def test_the_padding_value(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    file = Ecg(beats_mv(1, fs_hz=500), 500).save(tmp_path / "a.dcm")
    held = pydicom.dcmread(file)
    group = held.WaveformSequence[0]
    units = np.frombuffer(group.WaveformData, "<i2").copy()
    units[:24] = 2000
    group.WaveformData = units.tobytes()
    group.add_new("WaveformPaddingValue", "OW", np.int16(2000).tobytes())
    held.save_as(file)
    with pytest.raises(RecordingError, match="has 24 missing samples"):
        read_recording(file)


def _edf(folder: Path, **fields: bytes) -> Path:
    """An EDF file, with other texts in its header for every lead."""
    pytest.importorskip("edfio")
    file = Ecg(beats_mv(1), 100).save(folder / "a.edf", overwrite=True)
    content = bytearray(file.read_bytes())
    signals = int(content[252:256])
    for name, text in fields.items():
        at = 256 + signals * {"unit": 96, "least": 104, "most": 112}[name]
        for k in range(12):
            content[at + 8 * k : at + 8 * k + 8] = text.ljust(8)
    file.write_bytes(content)
    return file


@row("uV with a micro sign, of either kind, in UTF-8 or Latin-1")
@pytest.mark.parametrize("unit", [b"\xb5V", b"\xc2\xb5V", b"UV"])
def test_the_micro_sign_of_edf(tmp_path: Path, unit: bytes) -> None:
    assert error_mv(_edf(tmp_path, unit=unit)) < STEP


@row("EDF: no unit, no calibration, or BDF in its place")
def test_edf_without_a_unit(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Fails when numbers without a calibration are taken for uV."""
    for fields in ({"unit": b""}, {"unit": b"digital"}, {"least": b"0", "most": b"0"}):
        file = _edf(tmp_path, **fields)
        with pytest.raises(RecordingError) as error:
            read_recording(file)
        assert error.value.reason == "unit" and error_mv_in_uv(file) < STEP
    file.write_bytes(b"\xffBIOSEMI" + file.read_bytes()[8:])
    with pytest.raises(RecordingError, match="is no EDF file"):
        read_recording(file)
    assert not recwarn.list


def error_mv_in_uv(file: Path) -> float:
    return float(np.abs(read_recording(file, unit="uV").signal_mv - beats_mv(1)).max())
