"""EDF+, DICOM and the form of the PhysioNet challenges: other readers read what is written, and so do we."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb as physionet
from scipy.io import loadmat

from sssd.cli import main
from sssd.data.prepare import prepare
from sssd.data.recordings import read as read_prepared
from sssd.io import dicom
from sssd.io.comments import ASKED, parsed
from sssd.io.folder import check_formats, save_set
from sssd.io.readers import read_raw
from sssd.io.recording import read_recording
from sssd.labels import CODES
from sssd.leads import CLINICAL, SSSD, reorder
from sssd.record import Ecg
from sssd.snomed import snomed, without_code

from .inputs.records import beats_mv, labels_of

HALF_A_UNIT = 0.0005 + 1e-6
SUFFIXES = (".edf", ".dcm", ".mat")


def _ecg(seed: int = 0, **changes: Any) -> Ecg:
    values: dict[str, Any] = {
        "signal": beats_mv(seed),
        "statements": ("AFIB", "LVH", "NORM"),
        "provenance": {
            "synthetic": True,
            "age": 70.4,
            "sex": "female",
            "note": " ".join(f"{n} #" for n in range(150)),
        },
    }
    return Ecg(**{**values, **changes})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
def test_records_come_back(tmp_path: Path, suffix: str, fs_hz: float) -> None:
    """Broken by values that are not rounded, by leads in another order, or by unordered lines (seen: all)."""
    signal = reorder(beats_mv(1, fs_hz=fs_hz, seconds=4.0), CLINICAL, SSSD)
    ecg = _ecg(signal=signal, fs_hz=fs_hz, leads=SSSD)
    path = ecg.save(tmp_path / f"r{suffix}")
    raw = read_raw(path)
    assert raw.fs_hz == fs_hz
    np.testing.assert_allclose(raw.signal_mv, ecg.signal, atol=HALF_A_UNIT)
    found = read_recording(tmp_path / "r", fs_hz=fs_hz, samples=None)  # without suffix
    np.testing.assert_allclose(found.signal_mv, reorder(signal, SSSD, CLINICAL), atol=HALF_A_UNIT)
    assert found.statements == ecg.statements and found.notes == ()
    assert parsed(found.comments) == (ecg.statements, ecg.provenance)
    assert (ASKED in found.comments) is ecg.synthetic
    again = _ecg(signal=signal, fs_hz=fs_hz, leads=SSSD).save(tmp_path / f"again{suffix}")
    if suffix != ".mat":  # whose header has the name of the record
        assert again.read_bytes() == path.read_bytes()
    with pytest.raises(FileExistsError):
        ecg.save(tmp_path / f"r{suffix}")


def test_edf_by_other_readers(tmp_path: Path) -> None:
    """Broken by a physical range of 32767 on both sides, or by labels without "ECG" (seen: both)."""
    pyedflib = pytest.importorskip("pyedflib")
    ecg = _ecg()
    with pyedflib.EdfReader(str(ecg.save(tmp_path / "r.edf"))) as file:
        assert file.getSignalLabels() == [f"ECG {lead}" for lead in CLINICAL]
        assert {file.getPhysicalDimension(k) for k in range(12)} == {"uV"}
        signal = np.stack([file.readSignal(k) for k in range(12)]) / 1000
        assert file.getSampleFrequency(0) == 100 and file.getSex() == "Female"
        assert "statements: AFIB, LVH, NORM" in file.readAnnotations()[2]
    np.testing.assert_allclose(signal, ecg.signal, atol=HALF_A_UNIT)


def test_edf_by_mne(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    ecg = _ecg()
    raw = mne.io.read_raw_edf(ecg.save(tmp_path / "r.edf"), verbose=False)
    np.testing.assert_allclose(raw.get_data() * 1000, ecg.signal, atol=HALF_A_UNIT)
    assert raw.info["sfreq"] == 100


def test_a_long_record_is_several_data_records(tmp_path: Path) -> None:
    """EDF limits a data record to 61440 bytes. Broken by one data record whatever its size (seen)."""
    pyedflib = pytest.importorskip("pyedflib")
    ecg = _ecg(signal=beats_mv(2, seconds=60))
    with pyedflib.EdfReader(str(ecg.save(tmp_path / "r.edf"))) as file:
        assert file.datarecords_in_file == 60 and file.getNSamples()[0] == 6000
    with pytest.raises(ValueError, match=r"EDF holds no 300 samples at 123\.4 Hz .*expected whole samples"):
        _ecg(signal=beats_mv(0)[:, :300], fs_hz=123.4).save(tmp_path / "odd.edf")
    assert not (tmp_path / "odd.edf").exists()


def test_dicom_by_another_reader(tmp_path: Path) -> None:
    """The samples of the record are every fifth of the file's. Broken by another factor or sensitivity (seen: both)."""
    ecgdatakit = pytest.importorskip("ecgdatakit")
    ecg = _ecg()
    found = ecgdatakit.FileParser().parse(ecg.save(tmp_path / "r.dcm"))
    assert [lead.label for lead in found.leads] == list(CLINICAL)
    assert {lead.sampling_rate for lead in found.leads} == {500} and len(found.leads[0].samples) == 5000
    for lead, row in zip(found.leads, ecg.signal, strict=True):
        np.testing.assert_allclose(lead.samples[::5], row, atol=HALF_A_UNIT)
    assert (found.patient.sex, found.patient.age) == ("F", 70)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of dicom3tools")
@pytest.mark.parametrize("changes", [{}, {"fs_hz": 250.0}, {"provenance": {}}])
def test_dicom_keeps_the_rules_of_its_object(tmp_path: Path, changes: dict[str, Any]) -> None:
    """dciodvfy checks modules, types and conditions of PS3.3. Broken by leaving out any attribute of type 1 (seen)."""
    path = _ecg(**changes).save(tmp_path / "r.dcm")
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert "TwelveLeadECG" in said.stderr and "Error" not in said.stderr, said.stderr


def test_dicom_between_the_samples(tmp_path: Path) -> None:
    """A sine of 10 Hz at 100 Hz is a sine of 10 Hz at 500 Hz. Broken by repeating samples (seen)."""

    def sine(fs_hz: float) -> np.ndarray:
        wave = np.cos(2 * np.pi * 10 * (np.arange(round(10 * fs_hz)) + 0.5 * fs_hz / 100) / fs_hz)
        return np.tile(wave, (12, 1))

    shift = sine(100.0)
    held = dicom._between(shift, 5)
    t = np.arange(5000) / 500
    expected = np.cos(2 * np.pi * 10 * (t + 0.005))
    assert np.abs(held[0, 100:-100] - expected[100:-100]).max() < 0.02
    np.testing.assert_allclose(held[:, ::5], shift, atol=1e-12)


def test_dicom_refuses_what_the_standard_does(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2000 Hz; a DICOM 12-lead ECG holds 200 to 1000 Hz"):
        _ecg(fs_hz=2000.0).save(tmp_path / "r.dcm")
    with pytest.raises(ValueError, match="20000 samples at 200 Hz; a DICOM 12-lead ECG holds 16384"):
        _ecg(signal=beats_mv(0, seconds=100)).save(tmp_path / "r.dcm")
    assert list(tmp_path.iterdir()) == []
    long = _ecg(signal=beats_mv(0, seconds=60))  # at 200 Hz, as at 500 Hz it is too long
    np.testing.assert_allclose(
        read_raw(long.save(tmp_path / "r.dcm")).signal_mv, long.signal, atol=HALF_A_UNIT
    )


def test_long_records_are_refused_before_they_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Broken by an error when the file is written, after all have been generated (seen)."""
    ask = [
        "generate",
        "--label",
        "NORM",
        "--duration",
        "100",
        "--format",
        "dicom",
        "--out",
        str(tmp_path / "no"),
    ]
    assert main(ask) == 2 and not (tmp_path / "no").exists()
    assert "20000 samples at 200 Hz; a DICOM 12-lead ECG holds 16384" in capsys.readouterr().err


def test_challenge_by_the_readers_of_the_challenges(tmp_path: Path) -> None:
    """Broken by rows in place of columns, or by another code of SNOMED CT (seen: both)."""
    ecg = _ecg()
    header = ecg.save(tmp_path / "A0001.mat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A0001.hea", "A0001.mat"]
    matrix = loadmat(tmp_path / "A0001.mat")["val"]
    np.testing.assert_allclose(matrix / 1000, ecg.signal, atol=HALF_A_UNIT)
    theirs = physionet.rdrecord(str(header.with_suffix("")))
    np.testing.assert_allclose(theirs.p_signal.T, ecg.signal, atol=HALF_A_UNIT)
    lines = header.read_text().splitlines()
    assert {"#Age: 70", "#Sex: Female", "#Dx: 164889003,164873001"} <= set(lines)  # "#Dx" without a space
    nobody = _ecg(statements=("NORM",), provenance={}).save(tmp_path / "B.mat").read_text().splitlines()
    assert {"#Age: Unknown", "#Sex: Unknown", "#Dx: Unknown"} <= set(nobody)


def test_codes_are_those_that_prepare_reads() -> None:
    """Each code that is written stands for its statement alone. Broken by the least used of several codes (seen)."""
    mapping = snomed()
    for statement, code in mapping.codes.items():
        assert mapping.statements[code] == (CODES.index(statement),)
    assert mapping.codes["CRBBB"] == "713427006" and mapping.codes["PVC"] == "164884008"
    assert without_code(("AFIB", "NORM", "SR")) == ("NORM",)


def test_a_generated_challenge_set_is_prepared(tmp_path: Path) -> None:
    """With all statements, also those without a code. Broken by the codes alone (seen)."""
    many = CODES[:60]
    ecgs = [_ecg(0), _ecg(1, statements=many), _ecg(2, statements=("SR",), provenance={"sex": "male"})]
    save_set(ecgs, tmp_path / "set", ["challenge"], names=["a", "b", "c"])
    prepare(tmp_path / "set", tmp_path / "out")
    made = read_prepared(tmp_path / "out")
    assert labels_of(made) == ["AFIB+LVH+NORM", "+".join(many), "SR"]
    assert made.age is not None and made.sex is not None
    np.testing.assert_array_equal(made.age, [70, 70, np.nan])
    np.testing.assert_array_equal(made.sex, [1, 1, 0])
    for k in range(3):
        assert np.abs(made.signal_uv[k] / 1000 - beats_mv(k)).max() < HALF_A_UNIT


def test_a_set_in_all_forms(tmp_path: Path) -> None:
    out = save_set([_ecg(0), _ecg(1)], tmp_path / "set", ["edf", "dicom", "npz"], names=["a", "b"])
    listed = ["a.dcm", "a.edf", "b.dcm", "b.edf", "ecgs.npz"]
    assert json.loads((out / "manifest.json").read_text())["files"] == listed
    with pytest.raises(ValueError, match=r"wfdb and challenge both write NAME\.hea"):
        check_formats(["wfdb", "challenge"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_record_without_noise_is_beside_it(tmp_path: Path, suffix: str) -> None:
    """Broken by writing the noisy record twice, or by leaving out the other (seen: both)."""
    clean = _ecg(0)
    noisy = Ecg(clean.signal + 0.1, statements=clean.statements, clean=clean)
    path = noisy.save(tmp_path / f"r{suffix}")
    np.testing.assert_allclose(read_raw(path).signal_mv, noisy.signal, atol=HALF_A_UNIT)
    np.testing.assert_allclose(read_raw(tmp_path / "r_clean").signal_mv, clean.signal, atol=HALF_A_UNIT)
    kind = {".edf": "edf", ".dcm": "dicom", ".mat": "challenge"}[suffix]
    names = {file.name for file in save_set([noisy], tmp_path / "set", [kind], names=["r"]).iterdir()}
    assert names == {file.name for file in tmp_path.glob("r*")} | {"manifest.json"}


def test_generate_writes_and_edit_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Broken by a note that is not printed (seen)."""
    ask = ["generate", "--label", "AFIB+NORM", "--exact", "--steps", "1", "--seed", "1", "--age", "70", "-q"]
    assert main([*ask, "--format", "edf,dicom,challenge", "--out", str(tmp_path / "made")]) == 0
    assert "no SNOMED CT code for NORM: headers have it in a comment" in capsys.readouterr().err
    made = sorted(path.name for path in (tmp_path / "made").glob("AFIB*"))
    assert made == [f"AFIB-NORM_00000.{suffix}" for suffix in ("dcm", "edf", "hea", "mat")]
    signals = [read_raw(tmp_path / "made" / name).signal_mv for name in made[:3]]
    for signal in signals[1:]:
        np.testing.assert_allclose(signal, signals[0], atol=1e-9)
    assert main([*ask, "--format", "wfdb,challenge", "--out", str(tmp_path / "no")]) == 2
    assert (
        "wfdb and challenge both write NAME.hea" in capsys.readouterr().err and not (tmp_path / "no").exists()
    )
    vary = ["vary", "--strength", "0.1", "--steps", "10", "--seed", "1", "-q", "--format", "npz"]
    assert main([*vary, str(tmp_path / "made" / made[0]), "--out", str(tmp_path / "varied")]) == 0
    said = json.loads((tmp_path / "varied" / "manifest.json").read_text())
    assert said["records"][0]["requested"] == ["AFIB", "NORM"]


@pytest.mark.parametrize("seconds", [10.5, 60.5, 61.01])
def test_edf_of_any_length(tmp_path, seconds):
    """Data records are a divisor of the length. Fails where they must last whole seconds, or are cut at the end."""
    ecg = Ecg(np.random.default_rng(1).normal(0, 0.3, (12, round(100 * seconds))), 100.0)
    raw = read_raw(ecg.save(tmp_path / "r.edf"))
    np.testing.assert_allclose(raw.signal_mv, ecg.signal, atol=HALF_A_UNIT)
