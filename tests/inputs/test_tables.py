"""Tables: every form of CSV file, the names of columns, and what a cell may hold."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest

from sssd.cli import main
from sssd.cli.requests import read_requests
from sssd.corpora.plan import from_csv
from sssd.data.prepare import prepare
from sssd.labels import CODES, encode, names_of
from sssd.patient import ABOVE_89
from sssd.request import Rows
from sssd.tables.requests import read_label_table

from .page import row, rows
from .records import labels_of, npz, prepared

TABLE = "record,labels\nr1,AFIB+LVH\nr2,NORM\nr3,\n"
EXPECTED = ["AFIB+LVH", "NORM", ""]


def asked(folder: Path, text: str) -> Rows:
    file = folder / "wanted.csv"
    file.write_text(text, encoding="utf-8", newline="")
    return read_requests(None, file, CODES)


def refused(folder: Path, text: str) -> str:
    """What both readers of tables say of one: the message, which names the file."""
    said = []
    for read in (lambda: asked(folder, text), lambda: prepared(folder, text)):
        with pytest.raises(ValueError) as error:
            read()
        said.append(str(error.value).replace("wanted.csv", "table.csv"))
        assert "table.csv" in said[-1] and "\n" not in said[-1]
    assert not (folder / "out").exists()
    return " / ".join(said)


# --- files --------------------------------------------------------------------------------------------------


@rows(
    "content",
    [
        ("columns separated by `,` `;` tab or a bar", TABLE.encode()),
        ("columns separated by `,` `;` tab or a bar", TABLE.replace(",", ";").encode()),
        ("columns separated by `,` `;` tab or a bar", TABLE.replace(",", "\t").encode()),
        ("columns separated by `,` `;` tab or a bar", TABLE.replace(",", "|").encode()),
        ("columns separated by `,` `;` tab or a bar", TABLE.replace(",", ";").replace("+", ",").encode()),
        ("a first line `sep=;`, also in quotes", b"sep=;\r\n" + TABLE.replace(",", ";").encode()),
        ("a first line `sep=;`, also in quotes", b'"sep=;"\r\n' + TABLE.replace(",", ";").encode()),
        ("a first line `sep=;`, also in quotes", b"sep=\t\n" + TABLE.replace(",", "\t").encode()),
        ("line ends of Windows or old Macs", TABLE.replace("\n", "\r\n").encode()),
        ("line ends of Windows or old Macs", TABLE.replace("\n", "\r").encode()),
        ("a byte order mark; UTF-16 with one", codecs.BOM_UTF8 + TABLE.encode()),
        ("a byte order mark; UTF-16 with one", TABLE.replace(",", "\t").encode("utf-16")),
        ("blank lines, also before the header", b"\n\n" + TABLE.replace("\n", "\n\n , \n").encode()),
        (
            "quoted cells with separators or line breaks",
            b'"record","labels","note"\nr1,"AFIB,LVH","a\nb"\nr2,NORM,\nr3,,","',
        ),
        ("spaces around cells", TABLE.replace(",", " , ").encode()),
    ],
)
def test_forms_of_a_table(tmp_path: Path, content: bytes) -> None:
    """Fails when a separator, a line end or a mark becomes part of a name, or a line is lost."""
    made, manifest = prepared(tmp_path, content)
    assert made.record_id is not None and made.record_id.tolist() == ["r1", "r2", "r3"]
    assert labels_of(made) == EXPECTED
    assert manifest["columns"]["record"] == "record" and manifest["columns"]["labels"] == "labels"


@row("columns separated by `,` `;` tab or a bar")
def test_requests_with_semicolons(tmp_path: Path) -> None:
    rows = asked(tmp_path, "labels;age;n\nAFIB+LVH;70,5;1\nNORM;;2\n")
    assert np.array_equal(rows.vectors, encode(["AFIB+LVH", "NORM"]))
    np.testing.assert_array_equal(rows.age, [70.5, np.nan])


@rows(
    "content, said",
    [
        (
            "broken quoting",
            b'record,labels\nr1,"AFIB\nr2,NORM\n',
            "row 1: .*quoted cell must end with its quote",
        ),
        ("broken quoting", b'record,labels\nr1,NORM\nr2,"AF"IB\n', "row 2: .*a quote inside is doubled"),
        ("another encoding", "record,labels\nr1,Ä\n".encode("latin-1"), "save the table as CSV in UTF-8"),
        ("a spreadsheet", b"PK\x03\x04 and more", "spreadsheet or an archive; save the table as CSV"),
        (
            "a row with more or fewer cells than the header",
            b"record,labels\nr1,NORM\nr2\n",
            "row 2: 1 cell; the header has 2",
        ),
        (
            "two columns of one name, also where pandas has called the second `AFIB.1`",
            b"record,AFIB,AFIB\nr1,1,0\n",
            "two columns called 'AFIB'",
        ),
        (
            "two columns of one name, also where pandas has called the second `AFIB.1`",
            b"record,AFIB,AFIB.1\nr1,1,0\n",
            "two columns called 'AFIB', the second as 'AFIB.1'",
        ),
        (
            "the header once more among the rows, where tables were joined",
            b"record,labels\nr1,NORM\nrecord,labels\nr2,AFIB\n",
            "row 2: the header is there again",
        ),
        (
            "columns without a name: the first, and those that are empty",
            b"record,labels,\nr1,NORM,\nr2,NORM,LVH\n",
            "row 2: 'LVH' is in column 3, which has no name",
        ),
        ("zeros and ones in place of a header", b"r1,1\nr2,0\n", "a column is called '1'"),
        ("an empty table", b"", "no records"),
        ("an empty table", b"record,labels\n\n", "no records"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=rf"table\.csv.*{said}"):
        prepared(tmp_path, content)
    assert not (tmp_path / "out").exists()


# --- columns ------------------------------------------------------------------------------------------------


@row("a column of patients: `patient_id`, `Patient_ID`, `subject_id`, `subject`, `pid` ...")
@pytest.mark.parametrize(
    "name", ["patient_id", "Patient_ID", "PatientID", "patient", "subject_id", "Subject", "PID"]
)
def test_one_patient_is_in_one_fold(tmp_path: Path, name: str) -> None:
    records = [f"r{k}" for k in range(12)]
    lines = [f"{record},NORM,{77 + k % 2}" for k, record in enumerate(records)]
    made, manifest = prepared(tmp_path, "\n".join([f"record,labels,{name}", *lines]), records=records)
    assert made.strat_fold is not None
    assert len(set(made.strat_fold[::2])) == len(set(made.strat_fold[1::2])) == 1
    assert manifest["columns"][name] == "patient"
    patients = {int(fold): entry["patients"] for fold, entry in manifest["folds"].items()}
    assert sum(patients.values()) == 2 and all(patients[fold] for fold in made.strat_fold.tolist())


@row(
    "one patient in several spellings: `77`, `77.0`, `77,0`, `077`; `p1` and `P1`; letters in either form of Unicode"
)
def test_spellings_of_a_patient(tmp_path: Path) -> None:
    """Fails when identities are compared as text. Hash of 77: the same fold as before, by another library."""
    ids = ["77", "77.0", "077", "7.7e1", " 77 ", '"77,0"', '"=""077"""', "'77", "77\u200b", "\uff17\uff17"]
    ids += ["M\u00fcller  J", "mu\u0308ller j", "Q1"]
    records = [f"r{k}" for k in range(len(ids))]
    lines = [f"{record},NORM,{who}" for record, who in zip(records, ids, strict=True)]
    made, _ = prepared(tmp_path, "\n".join(["record,labels,patient_id", *lines]), records=records)
    assert made.strat_fold is not None
    assert set(made.strat_fold[:10]) == {8} and len(set(made.strat_fold[10:12])) == 1


@row("a column of folds: `strat_fold`, `fold`, `Strat_Fold` ...")
@pytest.mark.parametrize("name", ["strat_fold", "Strat_Fold", "fold", "Fold"])
def test_names_of_folds(tmp_path: Path, name: str) -> None:
    made, manifest = prepared(tmp_path, f"record,labels,{name}\nr1,NORM,9\nr2,AFIB,10.0\nr3,,1\n")
    assert made.strat_fold is not None and made.strat_fold.tolist() == [9, 10, 1]
    assert made.label_names == ("AFIB", "NORM") and manifest["columns"][name] == "fold"
    assert [manifest["folds"]["9"]["patients"], manifest["folds"]["9"]["records"]] == [None, 1]


@row("one patient in two folds")
def test_a_patient_in_two_folds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"several folds have 1 patient in common \('77' in 2, 10\)"):
        prepared(tmp_path, "record,labels,subject,fold\nr1,NORM,77,2\nr2,NORM,77.0,10\nr3,NORM,78,2\n")


@row("a column of heart rates: `heart_rate`, `HeartRate`, `heart_rate_bpm`, `bpm` ...")
@row("heart rates from 25 to 250 in beats per minute: `72`, `72.5`, `72 bpm`, `72/min`")
@pytest.mark.parametrize("name", ["heart_rate", "HeartRate", "heart rate (bpm)", "bpm"])
def test_heart_rates(tmp_path: Path, name: str) -> None:
    """Fails if requests do not read them, or `prepare` takes them for a label."""
    cells = ["72", "72.5", "72 bpm", "72/min", "25", "250", ""]
    rows = asked(tmp_path, f"labels,{name}\n" + "".join(f"NORM,{cell}\n" for cell in cells))
    np.testing.assert_array_equal(rows.heart_rate, [72, 72.5, 72, 72, 25, 250, np.nan])
    for cell in ("24", "251", "72 Hz"):
        with pytest.raises(ValueError, match="row 1: heart_rate is .*: expected beats per minute, 25 to 250"):
            asked(tmp_path, f"labels,{name}\nNORM,{cell}\n")
    made, manifest = prepared(tmp_path, f"record,{name},AFIB\nr1,72,1\n")
    assert made.label_names == ("AFIB",) and made.heart_rate is None
    assert list(manifest["columns"].values()) == ["record", "not used", "label AFIB"]


@row("columns of age and sex: `age`, `Age`, `age_years`; `sex`, `gender`, `Gender` ...")
@pytest.mark.parametrize("names", ["age,sex", "Age,Gender", "AGE,Sex", "age (years),patient_sex"])
def test_names_of_age_and_sex(tmp_path: Path, names: str) -> None:
    rows = asked(tmp_path, f"labels,{names}\nAFIB,70,male\n")
    assert (rows.age.tolist(), rows.sex.tolist()) == ([70], [0])
    made, manifest = prepared(tmp_path, f"record,labels,{names}\nr1,AFIB,70,male\n")
    assert made.age is not None and made.sex is not None
    assert (made.age.tolist(), made.sex.tolist()) == ([70], [0]) and made.label_names == ("AFIB",)
    assert list(manifest["columns"].values()) == ["record", "labels", "age", "sex"]


@row("a column of labels: `labels`, `label`, `statements`, `scp_codes`, `diagnosis`, `Dx` ...")
@pytest.mark.parametrize("name", ["labels", "label", "Label", "statements", "scp_codes", "diagnosis", "Dx"])
def test_names_of_labels(tmp_path: Path, name: str) -> None:
    """Fails when `label` in a table with other columns is taken for a statement."""
    rows = asked(tmp_path, f"note,{name},device\nx,AFIB+LVH,y\n")
    assert names_of(rows.vectors[0]) == ("AFIB", "LVH")
    made, _ = prepared(tmp_path, f"record,device,{name}\nr1,x,AFIB+LVH\n")
    assert labels_of(made) == ["AFIB+LVH"]


@row("a column that names the recordings: `record`, `filename`, `path`, `ecg_id` ...; else the first column")
@pytest.mark.parametrize(
    "text",
    ["labels,Filename\nNORM,r1\n", ",record,labels\n0,r1,NORM\n", "patient_id,path,labels\n7,r1,NORM\n",
     "anything,id,labels\nr1,7,NORM\n", "filename_hr,filename_lr,ecg_id,labels\nx,r1,7,NORM\n",
     "anything,labels\nr1,NORM\n", "ecg_id,filename,labels\n7,r1,NORM\n", ",record,NORM\n0,r1,1\n"],
)  # fmt: skip
def test_names_of_recordings(tmp_path: Path, text: str) -> None:
    made, _ = prepared(tmp_path, text)
    assert made.record_id is not None and made.record_id.tolist() == ["r1"] and labels_of(made) == ["NORM"]


@row("other columns beside a column of labels")
def test_a_column_of_words_called_as_a_statement(tmp_path: Path) -> None:
    """PTB-XL's table has a column "pacemaker" with remarks. Fails when it is taken for the statement PACE."""
    made, manifest = prepared(tmp_path, 'record,labels,pacemaker\nr1,NORM,"ja, pacemaker"\nr2,AFIB,\n')
    assert labels_of(made) == ["NORM", "AFIB"] and manifest["columns"]["pacemaker"] == "not used"
    assert names_of(asked(tmp_path, "labels,pacemaker\nNORM,yes\n").vectors[0]) == ("NORM",)


@row("other columns beside a column of labels")
def test_other_columns_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, manifest = prepared(tmp_path, "record,labels,height,patient_weight,patient_id\nr1,NORM,180,80,1\n")
    assert manifest["columns"]["height"] == manifest["columns"]["patient_weight"] == "not used"
    arguments = [str(tmp_path / "records"), str(tmp_path / "new"), "--labels", str(tmp_path / "table.csv")]
    assert main(["prepare", *arguments]) == 0
    said = capsys.readouterr().out
    assert (
        "record is record; labels is labels; height, patient_weight are not used; patient_id is patient"
        in said
    )
    assert "patients by fold, 1 to 10: " in said


@row("columns of 0 and 1 (also 1.0, true, false), one for each label or statement")
def test_columns_of_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = asked(tmp_path, "AFIB;atrial flutter;Age\n1;0;70\nTrue;1,0;\n")
    assert [names_of(row) for row in rows.vectors] == [("AFIB",), ("AFIB", "AFLT")]
    made, manifest = prepared(tmp_path, "record,one,two\nr1,1,0\nr2,false,TRUE\n")
    assert labels_of(made) == ["one", "two"] and manifest["columns"]["two"] == "label two"
    arguments = [str(tmp_path / "records"), str(tmp_path / "new"), "--labels", str(tmp_path / "table.csv")]
    assert main(["prepare", *arguments]) == 0
    assert "one, two are 2 labels" in capsys.readouterr().out


LOOKS = (
    "a column that looks like patients, folds, ages or sexes under another name: `pat_id`, `is_train`, `partition`, "
    "`Alter`, `is_male` ..."
)
TWO = "two columns of one meaning, as `label` and `label_2`"


@rows(
    "text, said",
    [
        (LOOKS, "record,labels,Patients nr\nr1,NORM,3\n",
         "column 3, 'Patients nr', looks like patient .* call it 'patient_id', or remove it"),
        (LOOKS, "record,labels,split\nr1,NORM,train\n",
         "column 3, 'split', looks like fold"),
        (LOOKS, "record,labels,ageGroup\nr1,NORM,70\n",
         "column 3, 'ageGroup', looks like age"),
        *((LOOKS, f"record,labels,{name}\nr1,NORM,3\n", f"column 3, '{name}', looks like patient")
          for name in ("pat_id", "PatNr", "Patientennummer", "USUBJID", "pt_id", "SubjectNo")),
        *((LOOKS, f"record,labels,{name}\nr1,NORM,3\n", f"column 3, '{name}', looks like fold")
          for name in ("kfold", "Partition", "is_train", "test_set", "inTest", "set")),
        *((LOOKS, f"record,labels,{name}\nr1,NORM,3\n", f"column 3, '{name}', looks like age")
          for name in ("Alter", "pt_age", "age_at_ecg")),
        *((LOOKS, f"record,labels,{name}\nr1,NORM,3\n", f"column 3, '{name}', looks like sex")
          for name in ("is_male", "Geschlecht", "female")),
        (TWO, "record,labels,age,Age\nr1,NORM,3,4\n", "'age' and 'Age' both look like age"),
        (TWO, "record,label,labels\nr1,NORM,NORM\n", "'label' and 'labels' both look like"),
        (TWO, "record,label,label_2\nr1,NORM,NORM\n", "'label' and 'label_2' both look like"),
        (TWO, "record,Dx,Dx2\nr1,NORM,NORM\n", "'Dx' and 'Dx2' both look like"),
        ("statements as columns beside a column of labels", "record,labels,AFIB\nr1,NORM,1\n",
         "row 1: column 3, 'AFIB', is a statement beside the column 'labels'"),
    ],
)  # fmt: skip
def test_columns_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    message = refused(tmp_path, text)
    for one in message.split(" / "):
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(one)


@row("a first column that is no statement and holds only 0 and 1, in a table of requests")
def test_a_mistyped_statement_in_the_first_column(tmp_path: Path) -> None:
    """Fails when the first column may always name the rows."""
    with pytest.raises(ValueError, match="column 1 holds zeros and ones.*'AFIX'; did you mean AFIB"):
        asked(tmp_path, "AFIX,NORM\n1,1\n0.0,1\nFalse,1\n")
    assert names_of(asked(tmp_path, "row,NORM\n1,1\n").vectors[0]) == ("NORM",)
    assert names_of(asked(tmp_path, "name of mine,NORM\nx,1\n").vectors[0]) == ("NORM",)


@row("a column of labels that holds only 0 and 1")
def test_a_column_called_label_of_bits(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="column 'label' holds zeros and ones; call it by the name of the label"
    ):
        prepared(tmp_path, "record,label\nr1,1\nr2,0\n")


# --- cells --------------------------------------------------------------------------------------------------


@row(
    "several labels in one cell, joined by `+` `,` `;` or a bar, as a list or set, or as PTB-XL's mapping of "
    "likelihoods"
)
@pytest.mark.parametrize(
    "cell",
    ["AFIB+LVH", "AFIB,LVH", "AFIB, LVH", "AFIB|LVH", "AFIB;LVH", "['AFIB', 'LVH']", '["AFIB","LVH"]', "[AFIB, LVH]",
     "('AFIB', 'LVH')", "{'LVH', 'AFIB'}", "['AFIB', nan, 'LVH']", "{'AFIB': True, 'LVH': True, 'NORM': False}",
     "{'AFIB': 100.0, 'LVH': 0.0}", '{"LVH": 35, "AFIB": 0}', "AFIB+LVH+AFIB", "AFIB,"  "LVH,"],
)  # fmt: skip
def test_labels_in_one_cell(tmp_path: Path, cell: str) -> None:
    """Fails when such a cell becomes one label of that name."""
    quoted = '"' + cell.replace('"', '""') + '"'
    made, _ = prepared(tmp_path, f"record,labels\nr1,{quoted}\nr2,NORM\n")
    assert labels_of(made) == ["AFIB+LVH", "NORM"] and made.label_names == ("AFIB", "LVH", "NORM")
    assert names_of(asked(tmp_path, f"labels\n{quoted}\n").vectors[0]) == ("AFIB", "LVH")


@row("a list or mapping that cannot be read, or a mapping to zeros and ones")
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("['AFIB' 'LVH']", "is no list of labels"),
        ("{'AFIB': 'yes'}", "holds the likelihood 'yes'; expected 0 to 100"),
        ("{'AFIB': -1}", "holds the likelihood -1"),
        ("{'AFIB', 7}", "is no mapping of labels"),
        ("{'AFIB': 1, 'LVH': 0}", "may mean that a label with 0 is absent"),
        ("{AFIB: 1", "is no mapping of labels"),
    ],
)
def test_cells_that_are_no_labels(tmp_path: Path, cell: str, said: str) -> None:
    message = refused(tmp_path, f'record,labels\nr1,NORM\nr2,"{cell}"\n')
    assert message.count("row 2") == 2 and message.count(said) == 2


@row("`nan`, `NA`, `null`, `None` and the like, in any column and in lists")
@pytest.mark.parametrize("empty", ["", "nan", "NaN", "NA", "N/A", "null", "None", "<NA>"])
def test_missing_values(tmp_path: Path, empty: str) -> None:
    """Fails when nan is a label, or a patient that all unknown patients are."""
    records = [f"r{k}" for k in range(8)]
    lines = [f"{record},{'NORM' if k else empty},{empty},{empty},{empty}" for k, record in enumerate(records)]
    made, _ = prepared(tmp_path, "\n".join(["record,labels,patient_id,age,sex", *lines]), records=records)
    assert made.label_names == ("NORM",) and labels_of(made)[0] == ""
    assert made.strat_fold is not None and len(set(made.strat_fold)) > 2
    assert made.age is not None and np.isnan(made.age).all()
    rows = asked(tmp_path, f"labels,age,sex\nNORM,{empty},{empty}\n")
    assert np.isnan(rows.age).all() and np.isnan(rows.sex).all()


@row("ages in years; `070Y`, `006M`, `052W`, `003D`; `>89`, `90+` and PTB-XL's 300")
@pytest.mark.parametrize(
    ("cell", "years"),
    [("70", 70), ("70.5", 70.5), ("070Y", 70), ("70 years", 70), ("006M", 0.5), ("003D", 3 / 365.25), (">89", ABOVE_89),
     ("> 89", ABOVE_89), ("90+", ABOVE_89), (">=90", ABOVE_89), ("300", ABOVE_89), ("300.0", ABOVE_89), ("0", 0),
     ("052W", 52 * 7 / 365.25), ("89+", ABOVE_89)],
)  # fmt: skip
def test_ages(tmp_path: Path, cell: str, years: float) -> None:
    assert asked(tmp_path, f"labels,age\nNORM,{cell}\n").age.tolist() == [pytest.approx(years)]


@row("sexes `male`, `female`, `M`, `F` in any case, PTB-XL's 0 (male) and 1 (female); `unknown`")
@pytest.mark.parametrize(
    ("cell", "number"),
    [("male", 0), ("Male", 0), ("M", 0), ("m", 0), ("0", 0), ("0.0", 0), ("female", 1), ("FEMALE", 1), ("F", 1),
     ("f", 1), ("1", 1), ("1.0", 1), ("unknown", np.nan), ("U", np.nan)],
)  # fmt: skip
def test_sexes(tmp_path: Path, cell: str, number: float) -> None:
    np.testing.assert_array_equal(asked(tmp_path, f"labels,sex\nNORM,{cell}\n").sex, [number])


@row("other ages, sexes, heart rates, folds, or bits")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("record,labels,age\nr1,NORM,150\n", "row 1: age is 150: expected years, 0 to 120"),
        ("record,labels,age\nr1,NORM,-3\n", "row 1: age is -3"),
        ("record,labels,age\nr1,NORM,>65\n", "row 1: age is '>65'"),
        ("record,labels,age\nr1,NORM,old\n", "row 1: age is 'old'"),
        ("record,labels,sex\nr1,NORM,2\n", "row 1: sex is '2'"),
        ("record,AFIB,NORM\nr1,1,1\nr2,2,0\n", "row 2: '2' in "),
        ("record,AFIB,NORM\nr1,1,1\nr2,-1,0\n", "row 2: '-1' in "),
        ("record,AFIB,NORM\nr1,1,1\nr2,,0\n", "row 2: '' in "),
    ],
)
def test_values_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).count(said) == 2


@row("several errors in one table")
def test_all_wrong_rows_are_told_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, "record,labels,age\nr1,NORM,old\nr2,NORM,70\nr3,NORM,-1\n")
    assert said.count("row 1: age is 'old'") == said.count("row 3: age is -1") == 2
    lines = "\n".join(f"r{k},NORM,-1" for k in range(100))
    with pytest.raises(ValueError, match="row 8: age is -1.*and perhaps more$"):
        asked(tmp_path, f"record,labels,age\n{lines}\n")


@row("one recording listed twice, also as `r1`, `r1.dat` and `./r1`")
@pytest.mark.parametrize("other", ["r1", "r1.npz", "./r1", "x/../r1", ".\\r1"])
def test_a_recording_is_listed_once(tmp_path: Path, other: str) -> None:
    with pytest.raises(ValueError, match="row 2: lists the record 'r1', which row 1 lists"):
        prepared(tmp_path, f"record,labels\nr1,NORM\n{other},NORM\n")


@row("paths with backslashes, absolute paths inside the folder")
def test_paths(tmp_path: Path) -> None:
    inside = tmp_path / "records" / "r3.npz"
    made, _ = prepared(tmp_path, f"record,labels\na\\b\\r1,NORM\n{inside},NORM\n", records=("a/b/r1", "r3"))
    assert made.record_id is not None and made.record_id.tolist() == ["a/b/r1", "r3"]


@row("paths that lead out of the folder")
def test_paths_that_lead_out(tmp_path: Path) -> None:
    npz(tmp_path, "secret")
    for path in ("../secret", str(tmp_path / "secret.npz"), "."):
        with pytest.raises(ValueError, match="row 1: the recording .* is not in the folder"):
            prepared(tmp_path, f"record,labels\n{path},NORM\n")


@row("PTB-XL unpacked into a folder, or into a folder inside a folder")
def test_a_nested_download_of_ptbxl(tmp_path: Path) -> None:
    from tests.test_data import ptbxl

    ptbxl(tmp_path / "download/ptb-xl/ptb-xl-1.0.3", [{"NORM": 100.0}, {"AFIB": 0.0}], rate=100)
    manifest = prepare(tmp_path / "download", tmp_path / "out")
    assert manifest["records"] == 2 and manifest["columns"]["scp_codes"] == "labels"
    ptbxl(tmp_path / "download/ptb-xl/ptb-xl-1.0.1", [{"NORM": 100.0}], rate=100)
    with pytest.raises(ValueError, match="several downloads of PTB-XL"):
        prepare(tmp_path / "download", tmp_path / "other")


def test_commands_read_a_table_alike(tmp_path: Path) -> None:
    """Fails when `generate` and `corpus create` part in what they accept."""
    file = tmp_path / "wanted.csv"
    file.write_text("Label;Gender;Age;note\n['AFIB'];F;>89;x\nNORM|SR;;;\n")
    rows, plan = read_requests(None, file, CODES), from_csv(file)
    assert np.array_equal(plan.vectors[plan.which], rows.vectors)
    np.testing.assert_array_equal(rows.age, [ABOVE_89, np.nan])
    assert plan.age is not None and plan.age[0] == ABOVE_89
    assert read_label_table(file, CODES).taken_for == {
        "Label": "labels", "Gender": "sex", "Age": "age", "note": "not used"
    }  # fmt: skip
