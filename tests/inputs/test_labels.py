"""Labels: the containers in which they come, their values, and names that somebody can ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sssd import Ecg
from sssd.cli import main
from sssd.data.prepare import prepare
from sssd.io import wfdb
from sssd.labels import CODES, encode, names_of
from sssd.record import as_statement
from sssd.request import Classes, Request, make_request

from .page import row, rows
from .records import labels_of, npz, prepared

AFIB = encode("AFIB")
NORM = CODES.index("NORM")
# rows of the page
ENTRIES = "lists, tuples, arrays, Series and indices of names or class indices"
VECTORS = "label vectors as an array, a tensor of any type, or a data frame"
NAMED = "a data frame whose columns are named by statements, in any order and number"
FRAME = "a data frame with unknown columns, a statement twice, or other values"
OTHER = "sets, mappings, masked values, tensors without values, and other types"
VALUES = "values below 0, above 1, or not finite: likelihoods of 0 to 100"
AMBIGUOUS = "as many zeros and ones as there are classes, in a list or in one dimension"
WIDTH = "vectors of another width, or in one dimension"
ALIKE = "labels that differ in case or signs only: `AFIB` and `afib`, `ST-` and `ST_`"
SIGNS = "a label without letters and digits, or with one of `+`, `,`, `;` or a bar"


def request(labels: object, names: tuple[str, ...] = CODES) -> Request:
    return make_request(labels, Classes(names), seed=0, exact=True)


@rows(
    "labels",
    [
        (ENTRIES, ["AFIB", "NORM"]),
        (ENTRIES, ("AFIB", NORM)),
        (ENTRIES, np.array(["AFIB", "NORM"])),
        (ENTRIES, np.array(["AFIB", "NORM"], object)),
        (ENTRIES, pd.Series(["AFIB", "NORM"])),
        (ENTRIES, pd.Index(["AFIB", "NORM"])),
        (ENTRIES, pd.Series([4, NORM])),
        (ENTRIES, torch.tensor([4, NORM])),
        (ENTRIES, pd.Categorical(["AFIB", "NORM"])),
        (VECTORS, encode(["AFIB", "NORM"]).astype(bool)),
        (VECTORS, torch.tensor(encode(["AFIB", "NORM"]))),
        (VECTORS,
         torch.tensor(encode(["AFIB", "NORM"])).bfloat16().requires_grad_()),
        (VECTORS, torch.tensor(encode(["AFIB", "NORM"])).half()),
        (VECTORS, pd.DataFrame(encode(["AFIB", "NORM"]))),
        (VECTORS, torch.tensor(encode(["AFIB", "NORM"])).to_sparse()),
        (VECTORS, torch.tensor(encode(["AFIB", "NORM"])).to_sparse_csr()),
        (VECTORS, np.ma.masked_array(encode(["AFIB", "NORM"]), mask=False)),
        (NAMED,
         pd.DataFrame({"NORM": [0, 1], "atrial fibrillation": [1, 0]})),
        (NAMED,
         pd.DataFrame(encode(["AFIB", "NORM"])[:, ::-1], columns=list(CODES[::-1]))),
    ],
)  # fmt: skip
def test_containers(labels: object) -> None:
    """Fails when the container decides what is meant, or breaks with a library's error."""
    assert request(labels).requested == ("AFIB", "NORM")
    assert np.array_equal(encode(labels), encode(["AFIB", "NORM"]))


@rows(
    "labels, said",
    [
        (FRAME, pd.DataFrame({"AFIX": [1]}), "did you mean AFIB"),
        (FRAME,
         pd.DataFrame({"AFIB": [1], "atrial fibrillation": [0]}), "two columns for one statement"),
        (FRAME, pd.DataFrame({"AFIB": ["yes"]}), "expected columns of 0 and 1"),
        (OTHER, {"AFIB", "LVH"}, r"\(set\); expected a statement's name"),
        (OTHER, {"AFIB": 1}, r"\(dict\); expected"),
        (OTHER, True, r"\(bool\); expected"),
        (OTHER, [None], "label 0 is None"),
        (OTHER, np.ma.masked_array(AFIB, mask=AFIB > 0), "labels are masked in places"),
        (OTHER, torch.tensor(AFIB, device="meta"), "of the device 'meta', which has no values"),
        (OTHER, torch.tensor(AFIB).to(torch.complex64), "labels have type complex64"),
        (OTHER, sparse.csr_matrix(AFIB), r"\(csr_matrix\); expected"),
        (OTHER, pd.Series(["AFIB", np.nan]), "label 1 is nan"),
        (VALUES, AFIB * 100, "is 100 at AFIB; expected 0 .* divide likelihoods"),
        (VALUES, torch.tensor(-AFIB), "label vector 0 is -1 at AFIB"),
        (VALUES, (AFIB * 2).astype(np.int64), "label vector 0 is 2 at AFIB"),
        (VALUES, AFIB * np.nan, "expected finite values"),
        (AMBIGUOUS, AFIB[0].astype(np.int64), "which may be a label vector or class indices"),
        (AMBIGUOUS, AFIB[0].astype(int).tolist(), "which may be a label vector"),
        (AMBIGUOUS, [AFIB[0].astype(int).tolist()], "which may be a label vector"),
        (WIDTH, AFIB[:, :70], r"shape \(1, 70\)"),
        (WIDTH, AFIB[0], r"shape \(71,\)"),
    ],
)  # fmt: skip
def test_labels_that_are_refused(labels: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        request(labels)


@row(AMBIGUOUS)
def test_few_classes_have_indices() -> None:
    """Indices of few classes may be zeros and ones; one record's list of all of them may not."""
    assert request([0, 1, 0], ("a", "b", "c")).requested == ("a", "b", "a")
    assert request([[0, 2], [1]], ("a", "b", "c")).requested == ("a+c", "b")
    with pytest.raises(ValueError, match=r"pass a vector as an array of shape \(1, 2\)"):
        request([[0, 1]], ("a", "b"))


@row("values between 0 and 1")
def test_values_in_between() -> None:
    assert request(AFIB * 0.75).vectors.max() == np.float32(0.75)


# --- names --------------------------------------------------------------------------------------------------


@rows(
    "text, said",
    [
        (ALIKE, "record,labels\nr1,AFIB\nr2,afib\n",
         "the labels 'AFIB' and 'afib' differ in case or signs only"),
        (ALIKE, "record,ST-,ST_\nr1,1,0\n",
         "the labels 'ST-' and 'ST_' differ"),
        (SIGNS, "record,ST+,NORM\nr1,1,0\n", r"a label called 'ST\+'"),
        (SIGNS, "record,labels\nr1,?\n", r"a label called '\?'"),
        (SIGNS, 'record,"a,b"\nr1,1\n', "a label called 'a,b'"),
        ("labels that are alike in their first 40 characters", f"record,labels\nr1,{'x' * 45}1\nr2,{'x' * 45}2\n",
         "differ after 40 characters only"),
    ],
)  # fmt: skip
def test_names_that_nobody_could_ask_for(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"table\.csv.*{said}"):
        prepared(tmp_path, text)
    assert not (tmp_path / "out").exists()


@row("labels in any script: `Ä`, `日本`")
@pytest.mark.parametrize("code", ["Ä", "Ö", "日本", "Ελληνικά", "50%", "%C3", "NORM", "é́"])
def test_labels_in_any_script(tmp_path: Path, code: str) -> None:
    """Fails when Ä and Ö are the same in a WFDB header, or a program that knows ASCII only sees another text."""
    made, _ = prepared(tmp_path, f"record,labels\nr1,{code}\nr2,NORM\n")
    assert labels_of(made) == [code, "NORM"] and as_statement(code) == code
    ecg = Ecg(np.random.default_rng(0).normal(size=(12, 100)), statements=(code, "SR"))
    header = wfdb.write(tmp_path / "r", ecg)
    assert header.read_bytes().isascii()
    assert wfdb.read(header).statements == (code, "SR")


@row("labels in any script: `Ä`, `日本`")
def test_long_labels_fit_into_a_header() -> None:
    """A line of a WFDB header has at most 255 characters."""
    code = as_statement("漢" * 100)
    _, *lines = wfdb.render("r", Ecg(np.eye(12), statements=(code, "NORM")))[0].splitlines()
    assert len(code) == 22 and max(map(len, lines)) <= 255
    with pytest.raises(ValueError, match="a statement is a code"):
        Ecg(np.eye(12), statements=("漢" * 30,))


@row("`--statements` with a statement that the table lacks")
def test_statements_may_be_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, manifest = prepared(tmp_path, "record,labels\nr1,AFIB\nr2,NORM\n", statements=["1AVB", "afib"])
    assert made.label_names == ("1AVB", "AFIB") and labels_of(made) == ["AFIB", ""]
    assert manifest["records_per_label"] == {"1AVB": 0, "AFIB": 1}
    with pytest.raises(ValueError, match="unknown statement 'AFIX'; did you mean AFIB"):
        prepare(
            tmp_path / "records", tmp_path / "new", labels_csv=tmp_path / "table.csv", statements=["AFIX"]
        )


@row("`--out=~/x`, where the shell leaves the `~`")
@pytest.mark.parametrize("form", ["--out=~/x", "--out ~/x"])
def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    npz(tmp_path / "home" / "records", "r1")
    (tmp_path / "labels.csv").write_text("record,labels\nr1,NORM\n")
    assert main(["prepare", "~/records", "~/data", "--labels=labels.csv", "-q"]) == 0
    assert (tmp_path / "home" / "data" / "signals.npz").is_file()
    common = ["generate", "--label=AFIB", "--steps=1", "--format=npz", "-q"]
    assert main([*common, *form.split(" ")]) == 0
    assert (tmp_path / "home" / "x" / "ecgs.npz").is_file() and not (tmp_path / "~").exists()


def test_names_of_one_vector() -> None:
    assert names_of(encode(pd.DataFrame({"LVH": [1], "AFIB": [1]}))[0]) == ("AFIB", "LVH")
