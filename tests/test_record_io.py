"""Records and their files: what is written comes back, and a write is complete or leaves nothing."""

import csv as standard_csv
import dataclasses
import errno
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb as physionet

from sssd.data import recordings
from sssd.io import csv_table, files, folder, npz, units, wfdb
from sssd.io.folder import manifest_json, save_set
from sssd.io.readers import read_raw
from sssd.leads import CLINICAL, SSSD
from sssd.record import Ecg, as_statement

SAMPLE = Path(__file__).resolve().parents[2] / "shared/data/ptbxl_sample/records100/00000/00008_lr.hea"


def _ecg(seed: int = 0, **changes: Any) -> Ecg:
    signal = np.random.default_rng(seed).normal(0, 0.7, (12, 300))
    values: dict[str, Any] = {
        "signal": signal,
        "statements": ("NORM", "SR"),
        "provenance": {"synthetic": True},
    }
    return Ecg(**{**values, **changes})


def _left(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_record_holds_a_copy_and_knows_its_length() -> None:
    signal = np.zeros((12, 250))
    ecg = Ecg(signal, fs_hz=500)
    signal[:] = 1
    assert ecg.signal.dtype == np.float32
    assert not ecg.signal.any()
    assert ecg.duration_s == 0.5
    assert not ecg.synthetic
    assert _ecg().synthetic
    with pytest.raises(ValueError, match="read-only"):
        ecg.signal[0, 0] = 1


def test_record_is_data_that_does_not_change() -> None:
    """Each field has one type, whatever was given. Broken by keeping what the caller can still change (seen)."""
    given = {"nested": {"b": (1, 2)}, "synthetic": True}
    ecg = Ecg(np.zeros((12, 2)), fs_hz=np.float32(100), leads=list(SSSD), statements=["SR"], provenance=given)
    given["nested"]["b"] = 3  # type: ignore[index]
    assert (type(ecg.fs_hz), ecg.leads, ecg.statements) == (float, SSSD, ("SR",))
    assert ecg.provenance == {"nested": {"b": [1, 2]}, "synthetic": True}
    with pytest.raises(dataclasses.FrozenInstanceError):
        ecg.fs_hz = 500  # type: ignore[misc]
    assert len({ecg, ecg, _ecg()}) == 2 and "array" not in repr(ecg)
    assert Ecg(np.zeros((12, 2)), fs_hz=0.5).duration_s == 4
    assert as_statement("a b,c" + 60 * "d") == "a_b_c" + 35 * "d"


def test_lead_by_its_name() -> None:
    ecg = _ecg()
    np.testing.assert_array_equal(ecg.lead("V1"), ecg.signal[CLINICAL.index("V1")])
    with pytest.raises(ValueError, match="no lead 'V9'; choose one of I, II"):
        ecg.lead("V9")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signal": np.zeros((8, 100))}, r"shape \(8, 100\); an ECG needs \(12, L\)"),
        ({"signal": np.zeros((12, 1))}, "L at least 2"),
        ({"signal": np.full((12, 9), np.nan)}, "NaN or infinite values in I, II"),
        ({"fs_hz": 0}, "fs_hz must be a positive number"),
        ({"fs_hz": "100"}, "fs_hz must be a positive number of samples per second; got '100'"),
        ({"fs_hz": np.inf}, "fs_hz must be a positive number"),
        ({"provenance": None}, "provenance must be a mapping of names to JSON values; got None"),
        ({"leads": CLINICAL[:8]}, "each once"),
        ({"statements": "NORM"}, r"write \('NORM',\)"),
        ({"statements": ("sinus rhythm",)}, "without spaces"),
        ({"provenance": {"seed": np.zeros(2)}}, "JSON values only"),
        ({"provenance": {"a": np.inf}}, "JSON values only"),
        ({"provenance": {"a: b": 1}}, "provenance name"),
    ],
)
def test_record_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ecg(**changes)


def test_wfdb_comes_back_within_half_a_unit(tmp_path: Path) -> None:
    """Broken by truncating in place of rounding or by another gain (seen: both)."""
    provenance = {"seed": 7, "note": "a  b\n" * 80, "nested": {"b": [1, 2.5], "a": None}, "synthetic": True}
    statements = tuple(f"CODE_{i}" for i in range(71))
    ecg = _ecg(fs_hz=123.4, leads=SSSD, statements=statements, provenance=provenance)
    header = ecg.save(tmp_path / "r_01")
    assert _left(tmp_path) == ["r_01.dat", "r_01.hea"]
    assert max(len(line) for line in header.read_text().splitlines()) <= 255
    theirs = physionet.rdrecord(str(tmp_path / "r_01"))
    assert theirs.units == ["mV"] * 12
    assert np.abs(theirs.p_signal.T - ecg.signal).max() <= 0.0005 + 1e-7
    for path in (header, tmp_path / "r_01", tmp_path / "r_01.dat"):
        ours = wfdb.read(path)
        assert np.abs(ours.signal - ecg.signal).max() <= 0.0005 + 1e-6
        assert (ours.fs_hz, ours.leads, ours.statements) == (ecg.fs_hz, ecg.leads, ecg.statements)
        assert ours.provenance == provenance


def test_wfdb_files_are_those_of_the_reference_writer(tmp_path: Path) -> None:
    """Broken by a checksum that is not taken modulo 65536, or by another order of samples (seen: both)."""
    ecg = _ecg(provenance={}, statements=("NORM", "SR"))
    ecg.save(tmp_path / "r")
    (tmp_path / "theirs").mkdir()
    physionet.wrsamp(
        "r",
        fs=100,
        units=["mV"] * 12,
        sig_name=list(CLINICAL),
        d_signal=np.rint(ecg.signal.T.astype(np.float64) * 1000).astype(np.int64),
        fmt=["16"] * 12,
        adc_gain=[1000.0] * 12,
        baseline=[0] * 12,
        comments=["statements: NORM, SR"],
        write_dir=str(tmp_path / "theirs"),
    )
    assert (tmp_path / "r.dat").read_bytes() == (tmp_path / "theirs/r.dat").read_bytes()
    assert (tmp_path / "r.hea").read_text().split() == (tmp_path / "theirs/r.hea").read_text().split()


@pytest.mark.parametrize(("unit", "per_mv"), [("uV", 1e3), ("mV", 1.0), ("V", 1e-3)])
def test_wfdb_reads_other_units(tmp_path: Path, unit: str, per_mv: float) -> None:
    """Broken by a wrong scale, or by dividing by it (seen: both)."""
    ecg = _ecg()
    physionet.wrsamp(
        "r",
        fs=100,
        units=[unit] * 12,
        sig_name=list(CLINICAL),
        p_signal=ecg.signal.T.astype(np.float64) * per_mv,
        fmt=["16"] * 12,
        write_dir=str(tmp_path),
    )
    np.testing.assert_allclose(wfdb.read(tmp_path / "r").signal, ecg.signal, atol=2e-4)
    header = (tmp_path / "r.hea").read_text()
    (tmp_path / "r.hea").write_text(header.replace(f"/{unit} ", "/bpm "))
    with pytest.raises(ValueError, match=r"r\.hea': lead I is in 'bpm'; expected mV, uV or V"):
        wfdb.read(tmp_path / "r")
    (tmp_path / "r.hea").write_text(header.replace(" V1\n", " V9\n"))
    with pytest.raises(ValueError, match=r"r\.hea': lacks lead V1; it has"):
        wfdb.read(tmp_path / "r")


def test_wfdb_lines(tmp_path: Path) -> None:
    """No line has more than 255 characters, short values stay on one, and the order of keys does not matter.

    Broken by a longer line, by a statement that is cut at its hyphen, or by keys as they come (seen: all).
    """
    statements = tuple(f"SOME-LONG-CODE-{i}" for i in range(71))
    provenance = {
        40 * "n": 400 * "x",
        "short": 99 * "y ",
        "a": {"c": 1, "b": 2},
        "long": {"c": 400 * "z", "b": 2},
    }
    other = {"long": {"b": 2, "c": 400 * "z"}, "a": {"b": 2, "c": 1}, "short": 99 * "y ", 40 * "n": 400 * "x"}
    header, _ = wfdb.render("r", _ecg(statements=statements, provenance=provenance))
    assert header == wfdb.render("r", _ecg(statements=statements, provenance=other))[0]
    assert max(map(len, header.splitlines())) == 255
    assert sum(line.startswith("# provenance.short: ") for line in header.splitlines()) == 1
    ecg = _ecg(statements=statements, provenance=provenance)
    path = wfdb.write(tmp_path / "r", ecg)
    again = wfdb.read(path)
    assert (again.statements, again.provenance) == (statements, provenance)
    with pytest.raises(FileExistsError):
        wfdb.write(tmp_path / "r", ecg)


def test_values_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    """Broken by clipping or by wrapping around (seen: the check taken out)."""
    signal = np.zeros((12, 10))
    signal[3, 4] = -32.768
    for name in ("r.hea", "r.npz"):
        with pytest.raises(
            ValueError, match=r"reaches 32\.768 mV; 16-bit integers of 1 uV hold at most \+-32\.767 mV"
        ):
            Ecg(signal).save(tmp_path / name)
    with pytest.raises(ValueError, match="no NaN"):
        units.microvolts(np.array([np.nan]))
    assert _left(tmp_path) == []
    np.testing.assert_array_equal(units.microvolts(np.array([-32.767, 32.767])), [-32767, 32767])


@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the PTB-XL sample beside the repository")
def test_reads_a_record_of_ptb_xl() -> None:
    ecg = wfdb.read(SAMPLE)
    assert ecg.signal.shape == (12, 1000)
    assert ecg.leads == CLINICAL
    lead = {name: ecg.lead(name) for name in CLINICAL}
    assert np.abs(lead["I"] + lead["III"] - lead["II"]).max() < 0.0025


def test_npz_comes_back_exactly(tmp_path: Path) -> None:
    """Broken by truncating to microvolts or by keeping rows in the order given (seen: both)."""
    units = np.random.default_rng(1).integers(-32767, 32768, (3, 12, 40)).astype(np.int16)
    labels = np.eye(3, 4)
    labels[0, 3] = 1
    ecgs = [
        Ecg(row[[CLINICAL.index(name) for name in SSSD]] / 1000, 250.0, SSSD, provenance={"seed": i})
        for i, row in enumerate(units)
    ]
    path = npz.write(tmp_path / "s.npz", ecgs, labels=labels, label_names=["A", "B", "C", "D"])
    with np.load(path, allow_pickle=False) as data:
        np.testing.assert_array_equal(data["signal_uv"], units)
        np.testing.assert_array_equal(data["labels"], labels)
        assert (data["signal_uv"].dtype, data["labels"].dtype) == (np.int16, np.uint8)
        assert (tuple(data["leads"]), float(data["fs_hz"])) == (CLINICAL, 250.0)
    back = npz.read(path)
    assert [ecg.statements for ecg in back] == [("A", "D"), ("B",), ("C",)]
    assert [ecg.provenance for ecg in back] == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    again = npz.write(tmp_path / "t.npz", back, labels=labels, label_names=["A", "B", "C", "D"])
    assert again.read_bytes() == path.read_bytes()


def test_npz_labels(tmp_path: Path) -> None:
    """Broken by rounding labels that are weights (seen: uint8 for all)."""
    weights = np.array([[0.25, 0.75]], dtype=np.float32)
    npz.write(tmp_path / "w.npz", [_ecg()], labels=weights, label_names=("A", "B"))
    with np.load(tmp_path / "w.npz") as data:
        np.testing.assert_array_equal(data["labels"], weights)
    _ecg().save(tmp_path / "own.npz")
    assert npz.read(tmp_path / "own.npz")[0].statements == ("NORM", "SR")
    with pytest.raises(ValueError, match=r"labels have shape \(1, 2\)"):
        npz.write(tmp_path / "x.npz", [_ecg()], labels=weights, label_names=("A",))
    with pytest.raises(ValueError, match="300 samples at 100 Hz, 300 samples at 250 Hz"):
        npz.write(tmp_path / "x.npz", [_ecg(), _ecg(fs_hz=250)])
    with pytest.raises(ValueError, match="no ECGs to write"):
        npz.write(tmp_path / "x.npz", [])
    for half in ({"labels": weights}, {"label_names": ("A", "B")}):
        with pytest.raises(ValueError, match="labels and label_names belong together"):
            npz.write(tmp_path / "x.npz", [_ecg()], **half)
    with pytest.raises(FileExistsError):
        npz.write(tmp_path / "own.npz", [_ecg()])


def test_npz_reads_the_bare_form(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", signal_uv=np.ones((2, 12, 5), np.int16), ecg_id=np.array([11, 12]))
    back = npz.read(tmp_path / "bare.npz")
    assert [(ecg.leads, ecg.fs_hz, ecg.provenance) for ecg in back] == [
        (CLINICAL, 100.0, {"ecg_id": 11}),
        (CLINICAL, 100.0, {"ecg_id": 12}),
    ]
    with pytest.raises(FileNotFoundError, match="there is no file"):
        npz.read(tmp_path / "none.npz")
    damaged = bytearray((tmp_path / "bare.npz").read_bytes())
    damaged[damaged.index(b"NUMPY") + 200] ^= 255  # a sample
    (tmp_path / "damaged.npz").write_bytes(damaged)
    np.savez(tmp_path / "pickle.npz", signal_uv=np.array([{"code": "runs"}], dtype=object))
    for name in ("damaged.npz", "pickle.npz"):  # no pickle is ever read
        with pytest.raises(ValueError, match=rf"{name}' is damaged: "):
            npz.read(tmp_path / name)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "bare.npz").read_bytes()[:200])
    with pytest.raises(ValueError, match="is not an NPZ archive, or is cut short"):
        npz.read(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", x=1)
    with pytest.raises(ValueError, match="lacks signal_uv"):
        npz.read(tmp_path / "other.npz")
    signal = np.zeros((2, 12, 9), np.int16)
    for parts, message in (
        (
            {"provenance": np.array(["{}", "seed 7"])},
            "provenance of record 1 is 'seed 7'; expected a JSON object",
        ),
        ({"provenance": np.array(["{}", "[1]"])}, "expected a JSON object"),
        ({"provenance": np.array("{}")}, r"provenance has shape \(\); expected one value per ECG"),
        ({"ecg_id": np.arange(3)}, r"ecg_id has shape \(3,\)"),
        ({"labels": np.zeros((2, 1))}, r"labels have shape \(2, 1\)"),
        ({"fs_hz": np.inf}, "fs_hz is float64 inf; expected one sampling rate above 0"),
        ({"fs_hz": np.zeros(2)}, "other.npz'"),
        ({"leads": np.array(["I"])}, "each once"),
    ):
        np.savez(tmp_path / "other.npz", signal_uv=signal, **parts)
        with pytest.raises(ValueError, match=message) as caught:
            npz.read(tmp_path / "other.npz")
        assert "other.npz" in str(caught.value)


def test_readers_of_npz_refuse_the_same_files(tmp_path: Path) -> None:
    """By the same words, whatever is wrong. Broken by a reader with checks of its own, which let LZMA's errors out."""
    signal = np.random.default_rng(0).integers(-900, 900, (1, 12, 100), dtype=np.int16)
    np.savez(tmp_path / "whole.npz", signal_uv=signal, fs_hz=np.float64(100))
    whole = (tmp_path / "whole.npz").read_bytes()
    files.write_bytes(tmp_path / "text.npz", b"hello")
    files.write_bytes(tmp_path / "cut.npz", whole[: len(whole) // 2])
    np.savez(tmp_path / "object.npz", signal_uv=np.array([{"code": "runs"}], dtype=object))
    with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("signal_uv.npy", signal.tobytes())
    packed = bytearray((tmp_path / "lzma.npz").read_bytes())
    packed[60:200] = bytes(140)  # of what is compressed
    files.write_bytes(tmp_path / "lzma.npz", bytes(packed), overwrite=True)
    for name, said in (
        ("text.npz", "is no NPZ file: it is not an NPZ archive, or is cut short; copy it again"),
        ("cut.npz", "is no NPZ file: it is not an NPZ archive, or is cut short; copy it again"),
        ("object.npz", "is damaged: Object arrays cannot be loaded"),
        ("lzma.npz", "is damaged: Corrupt input data; expected arrays of numbers and texts"),
    ):
        for read in (npz.read, recordings.read, read_raw):
            with pytest.raises(ValueError, match=f"{name}' {said}"):
                read(tmp_path / name)


def test_what_is_no_array_in_an_npz_file_is_left_out(tmp_path: Path) -> None:
    """Broken by taking the bytes of such a file for an array."""
    np.savez(tmp_path / "more.npz", signal_uv=np.ones((2, 12, 5), np.int16))
    with zipfile.ZipFile(tmp_path / "more.npz", "a") as archive:
        archive.writestr("labels.npy", b"of another program")
    assert len(npz.read(tmp_path / "more.npz")) == 2
    with pytest.raises(ValueError, match="lacks labels, label_names"):
        recordings.read(tmp_path / "more.npz")


def test_csv_comes_back_to_a_microvolt(tmp_path: Path) -> None:
    """Broken by fewer than three decimals (seen: two)."""
    ecg = _ecg(fs_hz=500, provenance={})
    path = ecg.save(tmp_path / "r.csv")
    with path.open(newline="") as file:
        header, *rows = list(standard_csv.reader(file))
    table = np.array(rows, dtype=float)
    assert header == ["time_s", *CLINICAL]
    np.testing.assert_allclose(table[:, 0], np.arange(300) / 500, atol=1e-9)
    assert np.abs(table[:, 1:].T - ecg.signal).max() <= 0.0005 + 1e-7
    assert "-0.000," not in path.read_text()


def test_a_table_of_a_generated_record_says_so(tmp_path: Path) -> None:
    """Broken by a table that hides its origin, that our reader takes for leads, or whose cells a comma could split."""
    from sssd.io.readers import read_raw

    pandas = pytest.importorskip("pandas")
    provenance = {"synthetic": True, "requested": 'NORM+"a#b"'}
    path = _ecg(statements=("NORM", '"a#b"', "LAO/LAE"), provenance=provenance).save(tmp_path / "r.csv")
    table = pandas.read_csv(path)
    assert set(table.synthetic) == {1} and set(table.requested) == {"NORM %22a%23b%22"}
    assert set(table.statements) == {"NORM %22a%23b%22 LAO/LAE"} and len(table) == 300
    raw = read_raw(path)
    assert raw.names == CLINICAL and raw.statements == ("NORM", '"a#b"', "LAO/LAE")
    assert np.isfinite(raw.signal_mv).all()


@pytest.mark.parametrize("name", ["r.hea", "r", "r.npz", "r.csv", "r.svg"])
def test_existing_files_stay(tmp_path: Path, name: str) -> None:
    """Broken by leaving `overwrite` out on the way from `save` to a writer (seen: csv)."""
    ecg = _ecg()
    ecg.save(tmp_path / name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="overwrite"):
        _ecg(1).save(tmp_path / name)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    _ecg(1).save(tmp_path / name, overwrite=True)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert after != before


def test_save_refuses_other_suffixes_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"use one of \.hea, \.dat, \.npz"):
        _ecg().save(tmp_path / "r.xyz")
    with pytest.raises(FileNotFoundError, match="create it first"):
        _ecg().save(tmp_path / "missing" / "r.csv")
    with pytest.raises(ValueError, match="record name"):
        _ecg().save(tmp_path / "a b")
    with pytest.raises(FileNotFoundError, match="no WFDB header"):
        wfdb.read(tmp_path / "r")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by writing into place, or by not clearing the temporary folder (seen: both)."""

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write = Path.write_bytes

    def full_at_the_header(path: Path, content: bytes) -> int:  # after the samples have been written
        return full() if path.suffix == ".hea" else write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_at_the_header)
    with pytest.raises(
        OSError, match=r"^no space left on the disk for .*r\.dat': nothing was written"
    ) as caught:
        _ecg().save(tmp_path / "r")
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="^no space left on the disk for .*out'"):
        save_set([_ecg()], tmp_path / "a" / "out", ["csv", "npz"], names=["r"])
    assert _left(tmp_path) == []


def test_a_failed_move_leaves_neither_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by not taking the first file back when the second cannot be moved (seen)."""
    move = os.replace

    def only_samples(source: Path, target: Path) -> None:
        if target.suffix == ".hea":
            raise PermissionError("no")
        move(source, target)

    monkeypatch.setattr(os, "replace", only_samples)
    with pytest.raises(PermissionError):
        _ecg().save(tmp_path / "r")
    assert _left(tmp_path) == []


def _moves_fail_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Moving a finished file to this name fails; moving earlier files away and back does not."""
    move = os.replace

    def failing(source: str | Path, target: str | Path) -> None:
        if Path(target).name == name and Path(source).parent.name in ("new", "set"):
            raise PermissionError("no")
        move(source, target)

    monkeypatch.setattr(os, "replace", failing)


@pytest.mark.parametrize("links", [True, False])
def test_a_failed_move_brings_the_old_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Broken by moving over the first of two files without keeping it (seen)."""
    _ecg().save(tmp_path / "r")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _moves_fail_at(monkeypatch, "r.hea")
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no hard links here")))
    with pytest.raises(PermissionError):
        _ecg(1).save(tmp_path / "r", overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["a.csv", "a.hea", "manifest.json"])
def test_a_failed_move_brings_the_old_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Broken by deleting the old files before the new ones are in place (seen)."""
    out = save_set([_ecg()], tmp_path / "out", ["csv", "wfdb"], names=["a"])
    save_set([_ecg()], tmp_path / "out", ["csv"], names=["old"], overwrite=True)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    _moves_fail_at(monkeypatch, name)
    with pytest.raises(PermissionError):
        save_set([_ecg(1)], out, ["csv", "wfdb"], names=["a"], overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_files_are_on_the_disk_before_they_are_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by moving first, or by flushing nothing (seen: both)."""
    calls: list[str] = []
    flush, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("flush"), flush(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("move"), move(a, b))[1])
    files.write_bytes(tmp_path / "a", b"text")
    assert calls == ["flush", "move", "flush"]  # the file, and after the move the folder that names it


def test_files_are_not_replaced_unasked(tmp_path: Path) -> None:
    """Broken by another default of `overwrite`, or by moving a file over a folder (seen: both)."""
    (tmp_path / "folder").mkdir()
    path = files.write_bytes(tmp_path / "a", b"old")
    with pytest.raises(FileExistsError, match="exists; choose another name"), files.replacing(path):
        pytest.fail("it was not refused")
    with pytest.raises(FileExistsError, match="exists; choose another name"):
        files.write_bytes(path, b"new")
    with pytest.raises(FileExistsError, match="is a folder; give the name of a file"):
        files.write_bytes(tmp_path / "folder", b"new", overwrite=True)
    assert path.read_bytes() == b"old"


def test_one_file_is_replaced_in_one_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody ever sees the file missing. Broken by moving the old file away first (seen)."""
    path = files.write_bytes(tmp_path / "a", b"old")
    for module, name in ((os, "link"), (shutil, "copy2")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("the old file was moved"))
    files.write_bytes(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new" and _left(tmp_path) == ["a"]


@pytest.mark.parametrize(("count", "calls"), [(2, ["file", "file"]), (3, ["all"])])
def test_a_folder_of_many_files_is_flushed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, calls: list[str]
) -> None:
    """Broken by flushing nothing, or by leaving files open (seen: both)."""
    for i in range(count):
        (tmp_path / str(i)).write_text("text")
    (tmp_path / "folder").mkdir()
    seen: list[str] = []
    opened: list[int] = []
    flush, close = os.fsync, os.close
    monkeypatch.setattr(files, "MANY", 2)
    monkeypatch.setattr(
        os, "fsync", lambda handle: (seen.append("file"), opened.append(handle), flush(handle))
    )
    monkeypatch.setattr(os, "close", lambda handle: (opened.remove(handle), close(handle)))
    monkeypatch.setattr(os, "sync", lambda: seen.append("all"), raising=False)
    files.sync_files(tmp_path)
    assert (seen, opened) == (calls, [])


def test_comments_of_others_are_not_ours(tmp_path: Path) -> None:
    """Broken by taking every comment that begins with our words for JSON, or by joining two values of one name (seen).

    A long value with '#' and spaces at the ends of its lines comes back too (seen: '#' lost).
    """
    provenance = {"seed": 7, "note": "# " * 300, "synthetic": True}
    header = _ecg(provenance=provenance).save(tmp_path / "r")
    ours = header.read_text()
    before = (
        "# provenance.place: Boston\n# statements: see the report\n# provenance.a b: 1\n# provenance.n: 7e0\n"
    )
    after = "# provenance.site: 'x'\n# provenance.seed: nine\n# provenance.seed: 9\n# statements: not ours either\n"
    first = ours.index("# statements")
    header.write_text(ours[:first] + before + ours[first:] + after)
    ecg = wfdb.read(header)
    assert (ecg.statements, ecg.provenance) == (("NORM", "SR"), provenance)


def test_set_holds_what_its_manifest_lists(tmp_path: Path) -> None:
    ecgs = [_ecg(i) for i in range(2)]
    out = save_set(
        ecgs,
        tmp_path / "new" / "out",
        ["wfdb", "npz", "csv", "svg"],
        names=["a", "b"],
        labels=np.eye(2),
        label_names=["NORM", "SR"],
        manifest={"seed": 7},
    )
    records = [f"{name}.{suffix}" for name in "ab" for suffix in ("csv", "dat", "hea", "svg")]
    assert _left(out) == sorted([*records, "ecgs.npz", "manifest.json", "overview.svg"])
    assert json.loads((out / "manifest.json").read_text()) == {
        "files": sorted([*records, "ecgs.npz", "overview.svg"]),
        "kind": "sssd-ecg set",
        "seed": 7,
    }
    assert _left(out.parent) == ["out"]
    assert [ecg.statements for ecg in npz.read(out / "ecgs.npz")] == [("NORM",), ("SR",)]
    np.testing.assert_allclose(wfdb.read(out / "b").signal, ecgs[1].signal, atol=0.000501)


def test_set_replaces_only_its_own(tmp_path: Path) -> None:
    """Broken by replacing a folder that holds other files too (seen: the check left out)."""
    out = tmp_path / "out"
    out.mkdir()  # empty: fine
    save_set([_ecg()], out, ["csv"], names=["a"])
    assert _left(out) == ["a.csv", "manifest.json"]
    with pytest.raises(FileExistsError, match="not empty; choose another or pass overwrite=True"):
        save_set([_ecg()], out, ["csv"], names=["b"])
    save_set([_ecg()], out, ["csv", "wfdb"], names=["b"], overwrite=True)
    assert _left(out) == ["b.csv", "b.dat", "b.hea", "manifest.json"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="also holds 'notes.txt'"):
        save_set([_ecg()], out, ["csv"], names=["c"], overwrite=True)
    for text in ("{}", "[1]", "no json", '{"kind": "sssd-ecg set", "files": 3}'):
        foreign = tmp_path / f"foreign{len(text)}"
        foreign.mkdir()
        (foreign / "manifest.json").write_text(text)
        with pytest.raises(FileExistsError, match="was not written by sssd-ecg"):
            save_set([_ecg()], foreign, ["csv"], names=["c"], overwrite=True)
        assert (foreign / "manifest.json").read_text() == text
    assert _left(out) == ["b.csv", "b.dat", "b.hea", "manifest.json", "notes.txt"]


def test_a_set_is_on_the_disk_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by leaving either flush out, or by renaming first (seen)."""
    calls: list[str] = []
    rename = os.rename
    monkeypatch.setattr(folder, "sync_files", lambda path: calls.append("files"))
    monkeypatch.setattr(folder, "sync", lambda path: calls.append("folder"))
    monkeypatch.setattr(os, "rename", lambda a, b: (calls.append("rename"), rename(a, b))[1])
    save_set([_ecg()], tmp_path / "out", ["csv"], names=["a"])
    assert calls == ["files", "rename", "folder"]


def test_set_reports_its_progress_and_refuses_a_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    out = save_set(
        [_ecg(), _ecg(1)],
        tmp_path / "out",
        ["csv", "csv"],
        names=["a", "b"],
        progress=lambda *at: seen.append(at),
    )
    assert (seen, _left(out)) == ([(1, 2), (2, 2)], ["a.csv", "b.csv", "manifest.json"])
    with pytest.raises(FileExistsError, match="a.csv' is a file; choose another folder"):
        save_set([_ecg()], out / "a.csv", ["csv"], names=["a"], overwrite=True)


def test_a_manifest_cannot_name_a_folder(tmp_path: Path) -> None:
    """Broken by replacing whatever a manifest lists: a folder of the user's would go with the set (seen)."""
    out = save_set([_ecg()], tmp_path / "out", ["csv"], names=["a"])
    (out / "mine").mkdir()
    (out / "mine" / "notes.txt").write_text("mine")
    (out / "manifest.json").write_text(json.dumps({"kind": "sssd-ecg set", "files": ["a.csv", "mine"]}))
    with pytest.raises(FileExistsError, match="also holds 'mine'"):
        save_set([_ecg()], out, ["csv"], names=["b"], overwrite=True)
    assert (out / "mine" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("existing", [False, True])
def test_failed_set_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool) -> None:
    """Broken by building the folder in place (seen)."""
    out = tmp_path / "out"
    if existing:
        save_set([_ecg()], out, ["csv"], names=["old"])
    before = [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*"))]
    render, calls = csv_table.render, []

    def second_fails(ecg: Ecg) -> str:
        calls.append(ecg)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return render(ecg)

    monkeypatch.setattr(folder.csv_table, "render", second_fails)
    with pytest.raises(KeyboardInterrupt):
        save_set([_ecg(), _ecg()], out, ["csv"], names=["a", "b"], overwrite=True)
    assert [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*"))] == before


@pytest.mark.parametrize(
    ("formats", "names", "message"),
    [
        (["xml"], ["a", "b"], "unknown format xml; choose from wfdb, npz"),
        ([], ["a", "b"], r"unknown format \(none\)"),
        (["csv"], ["a"], "2 ECGs need as many different names"),
        (["csv"], ["a", "A"], "2 ECGs need as many different names"),
        (["csv"], ["a", "../b"], "record name"),
        (["npz"], ["a", "ecgs"], "record name"),
    ],
)
def test_set_refuses(tmp_path: Path, formats: list[str], names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_set([_ecg(), _ecg()], tmp_path / "out", formats, names=names)
    assert _left(tmp_path) == []


def test_manifest_is_stable() -> None:
    """Broken by writing keys as they come (seen: sort_keys left out)."""
    a = manifest_json({"b": 1, "a": {"d": 1, "c": 2}})
    assert a == manifest_json({"a": {"c": 2, "d": 1}, "b": 1})
    with pytest.raises(ValueError, match="JSON values only"):
        manifest_json({"a": float("nan")})


def test_a_set_reports_each_record_and_writes_provenance_in_one_order(tmp_path: Path) -> None:
    """Fails if progress is not reported, or the provenance in ecgs.npz depends on the order of its keys."""
    told: list[tuple[int, int]] = []
    ecgs = [
        dataclasses.replace(_ecg(), provenance={"b": 1, "a": 2}),
        dataclasses.replace(_ecg(1), provenance={"a": 2, "b": 1}),
    ]
    out = save_set(
        ecgs, tmp_path / "out", ["npz"], names=["x", "y"], progress=lambda *done: told.append(done)
    )
    assert told == [(1, 2), (2, 2)]
    first, second = np.load(out / "ecgs.npz")["provenance"]
    assert first == second == '{"a": 2, "b": 1}'
