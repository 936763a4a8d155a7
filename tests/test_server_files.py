"""Recordings sent as files, and records answered as EDF and DICOM: the same numbers, hostile files, no disk."""

import base64
import io
import resource
import sys
import zipfile
import zlib

import edfio
import numpy as np
import pydicom
import pytest
import wfdb

from sssd import Ecg
from sssd.io import dicom, edf, uploads
from sssd.io.raw import read_wfdb
from sssd.io.readers import read_raw
from sssd.server.routes import shared
from tests.inputs.records import beats_mv
from tests.service import no_disk, recording, service
from tests.test_server_recordings import ASKED, ROUTES, signals
from tests.test_wrapper import tiny

FS_HZ = 250.0


@pytest.fixture(scope="module")
def up():
    with service(tiny(), records=12) as running:
        yield running


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sent(files):
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One recording in every form: {suffix: files by name}."""
    ecg = Ecg(beats_mv(3, seconds=1.0, fs_hz=FS_HZ), FS_HZ, statements=("NORM", "SR"))
    made = {}
    for suffix in (".hea", ".mat", ".npz", ".csv", ".edf", ".dcm"):
        folder = tmp_path_factory.mktemp("form")
        ecg.save(folder / f"r{suffix}")
        made[suffix] = contents(folder)
    return made


FORMS = (".hea", ".mat", ".npz", ".csv", ".edf", ".dcm")


@pytest.mark.parametrize("suffix", FORMS)
def test_a_file_in_memory_reads_as_on_the_disk(files, tmp_path, suffix):
    for name, content in files[suffix].items():
        (tmp_path / name).write_bytes(content)
    there = read_raw(tmp_path / f"r{suffix}")
    here = uploads.read_files(files[suffix])
    np.testing.assert_array_equal(here.signal_mv, there.signal_mv)
    assert (here.names, here.fs_hz, here.gain) == (there.names, there.fs_hz, there.gain)
    assert (here.comments, here.statements, here.notes) == (there.comments, there.statements, there.notes)


@pytest.mark.parametrize("format", ["16", "212", "80", "24", "32"])
@pytest.mark.parametrize("rows", [12, 3])
def test_wfdb_reads_as_the_library_reads_it(tmp_path, format, rows):
    """Every format, a missing sample, a baseline, gains of their own, names with spaces, an odd number of samples."""
    signal = beats_mv(1, seconds=1.004, fs_hz=FS_HZ)[:rows]
    signal[1, 7] = np.nan
    names = ["MLII", "lead V5 x", *(f"V{k}" for k in range(1, 5)), *"abcdef"][:rows]
    gains = [20.0 + k for k in range(rows)]
    wfdb.wrsamp(
        "r", fs=FS_HZ, units=["mV", "uV", *["mV"] * (rows - 2)], sig_name=names, p_signal=signal.T,
        fmt=[format] * rows, write_dir=str(tmp_path), adc_gain=gains, baseline=list(range(rows)), comments=["Age: 3"],
    )  # fmt: skip
    there, here = read_wfdb(tmp_path / "r.hea"), uploads.read_files(contents(tmp_path))
    np.testing.assert_array_equal(here.signal_mv, there.signal_mv)
    assert np.isnan(here.signal_mv).sum() == 1
    assert (here.names, here.fs_hz, here.gain) == (there.names, there.fs_hz, there.gain)
    assert here.comments == there.comments


def test_a_header_with_two_signal_files_and_few_words(tmp_path):
    """Without gain, baseline, unit and number of samples; the library says what these are by default."""
    a, b = (np.arange(k, 2000 + k, dtype="<i2") for k in (0, 500))
    (tmp_path / "a.dat").write_bytes(a.tobytes())
    (tmp_path / "b.dat").write_bytes(b"head" + b[:1000].tobytes())
    (tmp_path / "r.hea").write_text("r 3 250 1000\na.dat 16\na.dat 16\nb.dat 16+4 100/mV 16 5 0 0 0 V1\n")
    here = uploads.read_files(contents(tmp_path))
    np.testing.assert_allclose(here.signal_mv[0], a[::2] / 200.0)
    np.testing.assert_allclose(here.signal_mv[1], a[1::2] / 200.0)
    np.testing.assert_allclose(here.signal_mv[2], (b[:1000] - 5) / 100.0)
    there = read_wfdb(tmp_path / "r.hea")
    np.testing.assert_array_equal(here.signal_mv, there.signal_mv)


@pytest.mark.parametrize("suffix", FORMS)
def test_the_service_reads_every_form(up, files, suffix):
    """What is read, sent back as numbers, gives what the files give; what was done is said."""
    told = up.get("/v1/recordings", {"files": sent(files[suffix])})
    assert told["whole"] and "resampled from 250 to 100 Hz" in told["notes"]
    statements = [] if suffix == ".csv" else ["NORM", "SR"]  # tables of recordings have none
    assert told["recording"]["statements"] == statements and np.shape(told["recording"]["signal"]) == (
        12,
        64,
    )
    for path in ROUTES:
        body = {name: value for name, value in ASKED[path].items() if name != "recording"}
        of_files = up.get(path, {**body, "files": sent(files[suffix])})
        of_numbers = up.get(path, {**body, "recording": told["recording"]})
        np.testing.assert_allclose(signals(of_files), signals(of_numbers), atol=3e-3)
        assert of_files["provenance"]["source_statements"] == "+".join(statements)


def test_missing_leads_are_read_and_completed(up):
    ecg = recording()
    part = {**ecg, "leads": ecg["leads"][:2], "signal": ecg["signal"][:2]}
    told = up.get("/v1/recordings", {"recording": part})
    assert not told["whole"] and told["recording"]["signal"][11] == [None] * 64
    assert "V1, V2, V3, V4, V5, V6 are missing" in told["notes"]
    made = up.get("/v1/complete", {"recording": told["recording"], "steps": 4, "seed": 7})
    np.testing.assert_allclose(signals(made)[0][:2], ecg["signal"][:2], atol=2e-3)


@pytest.mark.parametrize("suffix", ["edf", "dcm"])
def test_records_are_answered_as_edf_and_dicom(up, suffix):
    """Read by edfio and pydicom: the numbers that the same request has in JSON."""
    asked = {"statements": ["NORM"], "steps": 4, "seed": 7, "duration": 3}
    form = {"edf": "application/x-edf", "dcm": "application/dicom"}[suffix]
    told = up.get("/v1/ecgs", asked)["records"][0]
    status, headers, content = up.ask("/v1/ecgs", asked, accept=form)
    assert status == 200 and headers["content-type"] == form
    assert headers["content-disposition"] == f'attachment; filename="NORM_steps4_seed_7_0.{suffix}"'
    if suffix == "edf":
        rows = np.stack([one.data for one in edfio.read_edf(content).signals]) / 1e3
    else:
        rows = pydicom.dcmread(io.BytesIO(content)).waveform_array(0).T[:, ::5] / 1e3
    np.testing.assert_allclose(rows, told["signal"], atol=1.1e-3)
    status, _, again = up.ask(f"/v1/ecgs/NORM.{suffix}?steps=4&seed=7&duration=3")
    assert status == 200 and again == content
    for path in ROUTES:
        assert up.ask(path, ASKED[path], accept=form)[0] == 200
    status, said = up.refusal("/v1/ecgs", {**asked, "noise": "muscle:20uV"}, accept=form)
    assert status == 406 and f"noise is given, and {form} has no place" in said
    assert up.refusal("/v1/ecgs", {**asked, "count": 2, "duration": None}, accept=form)[0] == 406


def test_what_dicom_cannot_hold_is_refused_before_it_is_made(up):
    status, said = up.refusal(
        "/v1/ecgs", {"statements": ["NORM"], "steps": 4, "duration": 100}, accept="application/dicom"
    )
    assert status == 406 and "DICOM 12-lead ECG holds 16384" in said


def test_a_service_without_the_packages_says_so(up, files, monkeypatch):
    monkeypatch.setattr(shared, "find_spec", lambda name: None)
    body = {"statements": ["NORM"], "steps": 4}
    status, said = up.refusal("/v1/ecgs", body, accept="application/x-edf")
    assert status == 406 and "pip install 'sssd-ecg[clinical]'" in said
    monkeypatch.setitem(sys.modules, "edfio", None)
    status, said = up.refusal("/v1/recordings", {"files": sent(files[".edf"])})
    assert status == 422 and "pip install 'sssd-ecg[clinical]'" in said


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def claiming(shape):
    """An archive whose array claims a shape that it does not have."""
    array, file = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "<i2", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("signal_uv.npy", array.getvalue() + b"\0" * 100)
        archive.writestr("fs_hz.npy", npy(np.float64(100)))
    return file.getvalue()


def npy(value):
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def deflated_dicom():
    """A DICOM file that unpacks to much more than it has."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    head = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(head, meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(400)) + packer.flush()
    return b"\0" * 128 + b"DICM" + head.getvalue() + packed


HEADER = b"r 1 250 100\nr.dat 16 200/mV 16 0 0 0 0 II\n"
SCREAM = "x" * 500


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "at least 1 item"),
        ({"r.txt": b"hello"}, "got 'r.txt'; expected a WFDB header"),
        ({"r.dat": b"hello"}, "expected a WFDB header with its signal file"),
        ({"a.csv": b"", "b.csv": b""}, "got 'a.csv', 'b.csv'"),
        ({"a.edf": b"", "r.dat": b""}, "expected a WFDB header"),
        ({"r.hea": HEADER}, "its signal file 'r.dat' is missing"),
        ({"r.hea": HEADER, "r.dat": b"12"}, "has 1 samples, and the header states 100"),
        ({"r.hea": b"r 1 250 100\n/etc/passwd 16 200/mV 16 0 0 0 0 II\n"}, "outside of its folder"),
        ({"r.hea": b"r 1 250 100\n../r.dat 16 200/mV 16 0 0 0 0 II\n"}, "outside of its folder"),
        ({"r.hea": b"r 1 250 100\nr.dat 8 200/mV 16 0 0 0 0 II\n", "r.dat": bytes(200)}, "of format 8"),
        ({"r.hea": b"r 1 250 100\nr.dat 16x4 200/mV 16 0 0 0 0 II\n", "r.dat": bytes(900)}, "in a frame"),
        ({"r.hea": b"r 1 250 100\nr.dat 16 2e2e2/mV\n", "r.dat": bytes(900)}, "a gain of"),
        ({"r.hea": b"r 1 250 100\nr.dat\n", "r.dat": bytes(900)}, "the signal line"),
        ({"r.hea": b"r 1 250 99999999999\nr.dat 16\n", "r.dat": bytes(900)}, "the header states 99999999999"),
        ({"r.hea": b"r/2 12 250 100\na 50\nb 50\n"}, "consists of segments"),
        ({"r.hea": b"\xff\xfe\0\0"}, "no number of leads"),
        ({"r.npz": b"PK\x03\x04" + bytes(100)}, "cannot be read as an NPZ record"),
        ({"r.npz": npz(signal_uv=np.zeros((12, 2_000_000), np.int16))}, "unpacks to 48000"),
        ({"r.npz": claiming((12, 10**9))}, "cannot be read as an NPZ record"),
        ({"r.npz": claiming((10**9, 10**9, 10**9))}, "cannot be read as an NPZ record"),
        ({"r.npz": npz(signal_uv=np.array([object()]), fs_hz=np.float64(100))}, "cannot be read as an NPZ"),
        ({"r.csv": b"time_s,I\n0,1\n"}, "expected time_s and leads"),
        ({"r.csv": b"\xff" * 100}, "CSV"),
        ({"r.csv": b"time_s,I\n" + b"0,1e999\n1,2\n2,3\n"}, "is sampled at 1 Hz"),
        ({"r.edf": b"0       " + b"9" * 2000}, "cannot be read as an EDF file"),
        ({"r.edf": b"\xffBIOSEMI" + bytes(900)}, "is no EDF file"),
        (
            {"r.csv": b"time_s,II\n" + b"".join(b"%.2f,%d\n" % (k / 100, k % 7) for k in range(50))},
            "at least 0.64 s",
        ),
        ({"r.dcm": b"hello"}, "cannot be read as a DICOM ECG"),
        ({"r": bytes(128) + b"DICM" + bytes(900)}, "lacks the 12 leads; its waveforms are none"),
        ({"r.dcm": deflated_dicom()}, "is a compressed DICOM file"),
        ({SCREAM[:150]: b"x"}, "expected a WFDB header"),
        ({"\0\n\u202e.txt": b"x"}, r"'\x00\n\u202e.txt'"),
    ],
)
def test_hostile_files_are_refused_in_one_line(up, given, message):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status, said = up.refusal("/v1/recordings", {"files": sent(given)})
    assert status == 422 and message in said and "\n" not in said and len(said) < 600, said
    assert "--" not in said  # options of commands mean nothing here
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"files": {"a.csv": "a.b"}}, "not in base64"),
        ({"files": {"a.csv": 7}}, "files.a.csv"),
        ({"files": {f"{k}.csv": "" for k in range(5)}}, "at most 4 items"),
        ({"files": {"": ""}}, "at least 1 character"),
        ({}, "as numbers (recording) or as files"),
        ({"files": {"a.csv": ""}, "recording": recording()}, "and not both"),
        (
            {"files": {"a.csv": ""}, "path": "/etc/passwd"},
            "unknown key 'path'; the known keys are recording, files",
        ),
        ({"recording": recording(file="x")}, "the known keys are fs_hz"),
    ],
)
def test_what_is_no_recording_is_said_in_one_line(up, body, message):
    status, said = up.refusal("/v1/recordings", body)
    assert status == 422 and message in said and "\n" not in said, said


@pytest.mark.parametrize("suffix", FORMS)
def test_damaged_files_never_break_the_service(files, suffix):
    """Bytes are changed, cut off and repeated at random: a recording or one message, whatever it is, and no crash."""
    random = np.random.default_rng(7)
    for _ in range(60):
        given = {}
        for name, content in files[suffix].items():
            data = bytearray(content)
            for place in random.integers(0, min(len(data), 2000), random.integers(1, 12)):
                data[place] = random.integers(256)
            cut = random.integers(0, len(data)) if random.random() < 0.3 else len(data)
            given[name] = bytes(data[:cut]) * (2 if random.random() < 0.1 else 1)
        try:
            uploads.read_files(given, seconds=11.0)
        except ValueError as error:
            assert len(str(error)) <= 404 and str(error).isprintable()


@pytest.mark.parametrize("suffix", FORMS)
def test_files_that_are_sent_never_touch_the_disk(up, files, suffix):
    """Fails where an upload is kept for a moment, or a name in it is opened."""
    body = {"files": sent(files[suffix])}
    up.get("/v1/recordings", body)  # modules that are imported late
    with no_disk():
        up.get("/v1/recordings", body)


def test_what_is_written_in_memory_is_what_files_hold(tmp_path):
    ecg = Ecg(beats_mv(2), 100.0, statements=("AFIB",))
    assert ecg.save(tmp_path / "r.edf").read_bytes() == edf.render(ecg)
    assert ecg.save(tmp_path / "r.dcm").read_bytes() == dicom.render(ecg)
