"""Tables as spreadsheets and pandas write them, and cells that may mean another thing than one label."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sssd.data.prepare import prepare
from sssd.labels import find, names_of

from .page import row, rows
from .records import labels_of, prepared
from .test_tables import asked, refused


@row("columns without a name: the first, and those that are empty")
@pytest.mark.parametrize(
    "text",
    [
        "record;AFIB;LVH;;\nr1;1;0;;\nr2;0;1;;\n;;;;\n",
        ",record,AFIB,LVH\n0,r1,1,0\n1,r2,0,1\n",
        "Unnamed: 0.1,Unnamed: 0,record,AFIB,LVH\n0,0,r1,1,0\n1,1,r2,0,1\n",
        "level_0,index,record,AFIB,LVH\n0,0,r1,1,0\n1,1,r2,0,1\n",
    ],
)
def test_columns_without_a_name(tmp_path: Path, text: str) -> None:
    """Fails when the index that pandas writes, once or twice, becomes a label, or an empty column is refused."""
    made, _ = prepared(tmp_path, text)
    assert made.label_names == ("AFIB", "LVH") and labels_of(made) == ["AFIB", "LVH"]
    requests = asked(tmp_path, "AFIB;LVH;;\n1;0;;\n0;1;;\n")
    assert [names_of(vector) for vector in requests.vectors] == [("AFIB",), ("LVH",)]


@pytest.mark.parametrize(
    "how", [{}, {"index": False}, {"sep": ";", "decimal": ","}, {"quoting": 1}, {"na_rep": "NA"}]
)
def test_what_pandas_writes(tmp_path: Path, how: dict[str, object]) -> None:
    """A table with missing values makes pandas write whole numbers as 9.0, or 9,0 in half of Europe."""
    frame = pd.DataFrame(
        {
            "record": ["r1", "r2", "r3"],
            "strat_fold": pd.Series([9.0, 10.0, 1.0]),
            "patient_id": [77.0, np.nan, 78.0],
            "age": [70.5, np.nan, 300.0],
            "AFIB": [True, False, True],
            "LVH": [0.0, 1.0, 0.0],
        }
    )
    text = io.StringIO()
    frame.to_csv(text, **how)  # type: ignore[call-overload]
    made, _ = prepared(tmp_path, text.getvalue())
    assert labels_of(made) == ["AFIB", "LVH", "AFIB"] and made.label_names == ("AFIB", "LVH")
    assert made.strat_fold is not None and made.strat_fold.tolist() == [9, 10, 1]
    np.testing.assert_array_equal(made.age, [70.5, np.nan, 92])


@row('`="077"`')
def test_texts_that_are_kept(tmp_path: Path) -> None:
    made, _ = prepared(tmp_path, 'record,labels,strat_fold\n"=""r1""","=""AFIB""",="9"\n')
    assert made.record_id is not None and made.record_id.tolist() == ["r1"]
    assert made.strat_fold is not None and made.strat_fold.tolist() == [9] and labels_of(made) == ["AFIB"]


@row("`unknown`, `missing`, `-` or `?` for a patient")
@pytest.mark.parametrize("unknown", ["unknown", "Unknown", "missing", "-", "?"])
def test_unknown_patients_are_not_one(tmp_path: Path, unknown: str) -> None:
    """Fails when all unknown patients are one, so that all of their recordings are in one fold."""
    records = [f"r{k}" for k in range(8)]
    lines = [f"{record},NORM,{unknown}" for record in records]
    made, _ = prepared(tmp_path, "\n".join(["record,labels,patient_id", *lines]), records=records)
    assert made.strat_fold is not None and len(set(made.strat_fold)) > 2


FAULT = "a spreadsheet's fault, as `#REF!`, for labels or patients"
OTHERWISE = (
    "statements joined by other signs, with a number, or negated: `AFIB LVH`, `AFIB/LVH`, `AFIB: 80`, `no AFIB`, "
    "`-AFIB`"
)
NUMBERS = (
    "numbers in place of labels: `0.0 1.0`, `[0. 1.]`, `True`, and `1.6E+08`, which a spreadsheet has rounded"
)


@rows(
    "cell, said",
    [
        *((FAULT, cell, "is no list of labels") for cell in ("#REF!", "#VALUE!", "#NAME?", "#DIV/0!")),
        *(
            (OTHERWISE, cell, "written in a way that is not known")
            for cell in ("AFIB LVH", "AFIB/LVH", "AFIB & LVH", "AFIB and LVH", "AFIB\u00a0LVH", "AFIB_LVH", "AFIB-LVH",
                         "AFIB:100", "AFIB (80%)", "AFIB=1", "no AFIB", "not AFIB", "-AFIB", "!AFIB", "NORM+no AFIB")
        ),
        *((NUMBERS, cell, "is no list of labels") for cell in ("0.0 1.0", "[0. 1. 0.]", "0 1 0", "True", "0.5")),
        (NUMBERS, "1.64889E+08", "is a number that a spreadsheet has rounded"),
        ("likelihoods between 0 and 1", "{'AFIB': 0.9, 'LVH': 0.1}", "holds likelihoods between 0 and 1"),
    ],
)  # fmt: skip
def test_cells_that_are_not_one_label(tmp_path: Path, cell: str, said: str) -> None:
    """Fails when such a cell becomes one label of that name, or a label that the recording does not have."""
    message = refused(tmp_path, f'record,labels\nr1,NORM\nr2,"{cell}"\n')
    assert message.count("row 2") == 2 and message.count(said) == 2


@row(FAULT)
def test_patients_that_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 1: patient '#REF!'; expected a number or a name"):
        prepared(tmp_path, "record,labels,patient_id\nr1,NORM,#REF!\n")


@row("a mapping to True and False")
@row(NUMBERS)
@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("{'AFIB': False}", ""),
        ("{'AFIB': True, 'LVH': False}", "AFIB"),
        ("5", "5"),
        ("5.0", "5"),
        ("426783006.0", "426783006"),
        ("right bundle; left", "left+right bundle"),
        ("AV block, no pause", "AV block+no pause"),
        ("LVH voltage", "LVH voltage"),
        ("LAO/LAE", "LAO/LAE"),
    ],
)
def test_cells_that_are_labels(tmp_path: Path, cell: str, labels: str) -> None:
    """Fails when a label of the user's own is refused, or one that is False counts."""
    made, _ = prepared(tmp_path, f'record,labels\nr1,"{cell}"\nr2,NORM\n')
    assert labels_of(made) == [labels, "NORM"]


@row("two names of one statement: `AFIB` and `atrial fibrillation`")
def test_two_names_of_one_statement(tmp_path: Path) -> None:
    """Fails when one statement becomes two labels, so that half of its recordings are examples against it."""
    for text in (
        "record,labels\nr1,AFIB\nr2,atrial fibrillation\n",
        "record,AFIB,atrial fibrillation\nr1,1,0\nr2,0,1\n",
    ):
        with pytest.raises(
            ValueError, match="'AFIB' and 'atrial fibrillation' are names of one statement, AFIB"
        ):
            prepared(tmp_path, text)
    made, _ = prepared(tmp_path, "record,labels\nr1,atrial fibrillation\nr2,mine\n")
    assert made.label_names == ("atrial fibrillation", "mine")


@pytest.mark.parametrize("name", ["-AFIB", "\u2212AFIB", " !AFIB", "~AFIB"])
def test_a_negated_statement_is_not_that_statement(name: str) -> None:
    with pytest.raises(ValueError, match="unknown statement .*did you mean AFIB"):
        find(name)
    assert find("-mine", ("x", "-mine")) == 1


@row("paths with backslashes, absolute paths inside the folder")
def test_a_folder_that_is_a_link(tmp_path: Path) -> None:
    """Absolute paths may name the folder by either of its names."""
    prepared(tmp_path, "record,labels\nr1,NORM\n")
    (tmp_path / "link").symlink_to(tmp_path / "records")
    table = tmp_path / "table.csv"
    for source, other in (("link", "records"), ("records", "link")):
        table.write_text(f"record,labels\n{tmp_path / other / 'r1.npz'},NORM\n")
        made = prepare(tmp_path / source, tmp_path / f"of {source}", labels_csv=table)
        assert made["records"] == 1
