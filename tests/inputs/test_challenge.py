"""Sets in the form of the PhysioNet challenges: diagnoses, age and sex are in the headers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sssd import Ecg
from sssd.cli import main
from sssd.data.prepare import prepare
from sssd.data.recordings import Recordings, not_stated, read, subset, write
from sssd.labels import CODES, STATEMENTS
from sssd.snomed import snomed

from .page import row, rows
from .records import beats_mv, labels_of, wfdb_record

SAME = "codes that are scored as the same: 59118001 and 713427006, 284470004 and 63593006 ..."
LINE = "{name}.mat {n} 500 {length} 05-May-2020 09:49:17"


def challenge(folder: Path, **comments: tuple[str, ...]) -> Path:
    """Records of 500 Hz with these comments, in two folders, as the challenges have them."""
    for k, (name, lines) in enumerate(comments.items()):
        signal = beats_mv(k, fs_hz=500)
        wfdb_record(folder / f"g{k % 2 + 1}", name, line=LINE, mat=True, signal_mv=signal, comments=lines)
    return folder


def dx(*codes: str) -> tuple[str, ...]:
    return ("Age: 74", "Sex: Female", f"Dx: {','.join(codes)}", "Rx: Unknown")


@row("a folder of headers with `#Dx:`, `#Age:` and `#Sex:`, as the PhysioNet challenges have them")
def test_a_challenge_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """AFIB and left bundle branch block by SNOMED CT; left axis deviation is none of the 71."""
    source = challenge(tmp_path / "set", A1=dx("164889003", "39732003"), A2=dx("164909002", "426783006"))
    manifest = prepare(source, tmp_path / "out")
    made = read(tmp_path / "out")
    assert made.record_id is not None and made.record_id.tolist() == ["g1/A1", "g2/A2"]
    assert made.label_names == CODES and labels_of(made) == ["AFIB", "CLBBB+SR"]
    assert made.age is not None and made.sex is not None
    assert (made.age.tolist(), made.sex.tolist()) == ([74, 74], [1, 1])
    for k in range(2):
        assert np.abs(made.signal_uv[k, :, 20:-20] / 1000 - beats_mv(k)[:, 20:-20]).max() < 0.02
    assert manifest["diagnoses_that_are_no_label"] == {"39732003 left axis deviation": 1}
    assert manifest["columns"]["#Dx"] == "labels, by SNOMED CT codes" and manifest["labels_from"] == "headers"
    assert "CC BY" not in manifest["licence"]
    assert main(["prepare", str(source), str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    assert "not stated, which does not mean absent" in said.err
    assert "diagnoses that are no label: 39732003 left axis deviation (1)" in said.out


@row("a folder of headers with `#Dx:`, `#Age:` and `#Sex:`, as the PhysioNet challenges have them")
@pytest.mark.parametrize(
    "lines", [("dx: 164889003",), (" DX : 164889003 ", "AGE: 74", "sex:F"), ("Dx:164889003",)]
)
def test_names_of_fields_in_any_case(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """Fails when such a folder is called none of a challenge."""
    prepare(challenge(tmp_path / "set", A1=lines), tmp_path / "out")
    assert labels_of(read(tmp_path / "out")) == ["AFIB"]


@row("a diagnosis that a header lacks")
def test_not_stated_is_not_absent(tmp_path: Path) -> None:
    source = challenge(tmp_path / "set", A1=dx("164889003"), A2=dx("39732003"))
    manifest = prepare(source, tmp_path / "out", statements=["AFIB", "LVH"])
    made = read(tmp_path / "out")
    assert made.stated is not None
    assert (
        made.stated.tolist() == made.labels.tolist() == [[1, 0], [0, 0]]
        and manifest["labels_not_stated"] == 3
    )
    again = subset(made, np.array([1, 0]))
    assert again.stated is not None and again.stated.tolist() == [[0, 0], [1, 0]]
    assert "75% of the labels" in str(not_stated(made))
    with pytest.raises(ValueError, match="0 for a label that is present"):
        Recordings(made.signal_uv, made.labels, made.label_names, stated=1 - made.labels)
    with pytest.raises(ValueError, match=r"stated is uint8 \(1, 2\); expected uint8 \(2, 2\)"):
        Recordings(made.signal_uv, made.labels, made.label_names, stated=made.stated[:1])
    whole = Recordings(made.signal_uv, made.labels, made.label_names)
    assert not_stated(whole) is None and read(write(tmp_path / "whole.npz", whole)).stated is None


@rows(
    "line, expected",
    [
        ("SNOMED CT codes, joined by commas or semicolons", "Dx: 426177001,270492004", "1AVB+SBRAD"),
        ("SNOMED CT codes, joined by commas or semicolons", " Dx : 426177001; 270492004", "1AVB+SBRAD"),
        (SAME, "Dx: 713427006,63593006", "CRBBB+PAC"),
        (SAME, "Dx: 59118001,284470004", "CRBBB+PAC"),
        ("words of CPSC 2018 in place of codes: `RBBB`, `AF`, `Normal`", "Dx: RBBB,AF", "AFIB+CRBBB"),
        ("words of CPSC 2018 in place of codes: `RBBB`, `AF`, `Normal`", "Dx: Normal", "NORM+SR"),
        ("a code that stands for none of the 71 statements, or `Unknown`", "Dx: 39732003", ""),
        ("a code that stands for none of the 71 statements, or `Unknown`", "Dx: 999", ""),
        ("a code that stands for none of the 71 statements, or `Unknown`", "Dx: Unknown", ""),
    ],
)  # fmt: skip
def test_diagnoses(tmp_path: Path, line: str, expected: str) -> None:
    challenge(tmp_path / "set", A1=(line,))
    manifest = prepare(tmp_path / "set", tmp_path / "out")
    assert labels_of(read(tmp_path / "out")) == [expected]
    assert bool(manifest["diagnoses_that_are_no_label"]) == (line[-1].isdigit() and not expected)


@row("ages and sexes of headers; `NaN`, `-1`, `Unknown`")
def test_patients_of_headers(tmp_path: Path) -> None:
    """What a header says of a patient and cannot be read is not known; the record is used."""
    found = {
        "A": ("74", "Female"),
        "B": ("NaN", "Unknown"),
        "C": ("-1", "M"),
        "D": ("300", "x"),
        "E": ("", ""),
    }
    headers = {name: (f"Age: {age}", f"Sex: {sex}", "Dx: 426783006") for name, (age, sex) in found.items()}
    prepare(challenge(tmp_path / "set", **headers), tmp_path / "out")
    made = read(tmp_path / "out")
    assert made.record_id is not None and made.age is not None and made.sex is not None
    order = np.argsort([name.split("/")[1] for name in made.record_id])
    np.testing.assert_array_equal(made.age[order], [74, np.nan, np.nan, 92, np.nan])
    np.testing.assert_array_equal(made.sex[order], [1, np.nan, 0, np.nan, np.nan])


@row("a header of the folder that cannot be read")
def test_a_bad_header_is_skipped(tmp_path: Path) -> None:
    source = challenge(tmp_path / "set", A1=dx("426783006"), A2=dx("426783006"))
    (source / "g1" / "A3.hea").write_text("nothing\n")
    manifest = prepare(source, tmp_path / "out")
    assert manifest["records"] == 2 and manifest["skipped"] == {"unreadable header": 1}


@row("a folder that is neither, without `--labels`")
def test_other_folders_need_a_table(tmp_path: Path) -> None:
    wfdb_record(tmp_path / "set", "A1", comments=("Age: 74",))
    with pytest.raises(FileNotFoundError, match=r"no ptbxl_database\.csv.*no headers with #Dx.*\(--labels\)"):
        prepare(tmp_path / "set", tmp_path / "out")


def test_the_mapping_agrees_with_ptb_xl() -> None:
    """The challenge gave PTB-XL's records codes; a code and its statement have as many of them.

    The six that differ are codes that the challenge used for other statements of PTB-XL as well.
    """
    path = Path(__file__).parents[2] / "src" / "sssd" / "snomed.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    records = {statement.code: statement.ptbxl_records for statement in STATEMENTS}
    mapped = [entry for entry in content["codes"] if entry["statement"]]
    differ = {
        entry["code"] for entry in mapped
        if entry["ptbxl"] and abs(entry["ptbxl"] - records[entry["statement"]]) > 0.03 * entry["ptbxl"]
    }  # fmt: skip
    assert differ == {"63593006", "164861001", "164873001", "164934002", "426783006", "428750005"}
    assert (
        len(mapped) == 68
        and len({entry["code"] for entry in content["codes"]}) == len(content["codes"]) == 133
    )
    assert "dx_mapping_scored.csv" in content["source"]
    assert all(snomed().statements[word] for word in content["words"])


@row("headers that `generate --format challenge` wrote")
def test_headers_of_generated_records(tmp_path: Path) -> None:
    """NORM has no code of its own."""
    Ecg(beats_mv(0), statements=("AFIB", "NORM")).save(tmp_path / "a.mat")
    prepare(tmp_path, tmp_path / "out")
    assert labels_of(read(tmp_path / "out")) == ["AFIB+NORM"]
