"""The one reader of CSV files with labels: what `generate`, corpora and `prepare` make of the same table."""

import numpy as np
import pytest

from sssd.cli.requests import read_requests
from sssd.corpora.plan import from_csv
from sssd.labels import CODES, encode, find
from sssd.tables.requests import read_label_table

NAMES = "labels,age,sex\nAFIB+LVH,71,female\n\nNORM,,0\natrial fibrillation,300,\n"
BITS = "row,NORM,age,atrial fibrillation\nfirst,1,50,0\nsecond,1.0,,1\n"


def written(tmp_path, text, encoding="utf-8"):
    file = tmp_path / "wanted.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names(tmp_path, encoding):
    """Fails when a blank line counts, age and sex swap, or PTB-XL's 300 is taken as an age."""
    table = read_label_table(written(tmp_path, NAMES, encoding), CODES)
    vectors, age, sex, heart_rate = zip(*table.rows, strict=True)
    assert table.by_name and np.array_equal(vectors, encode(["AFIB+LVH", "NORM", "AFIB"]))
    np.testing.assert_array_equal(age, [71, np.nan, 92])
    np.testing.assert_array_equal(sex, [1, 0, np.nan])
    assert np.isnan(heart_rate).all()


def test_columns(tmp_path):
    table = read_label_table(written(tmp_path, BITS), CODES)
    rows = list(table.rows)
    vectors = np.array([row.vector for row in rows])
    assert not table.by_name and vectors.sum() == 3
    assert vectors[:, find("NORM")].tolist() == [1, 1] and vectors[:, find("AFIB")].tolist() == [0, 1]
    assert rows[0].age == 50 and np.isnan(rows[1].age) and table.has == ("age",)


@pytest.mark.parametrize("text", [NAMES, BITS])
def test_commands_read_a_table_alike(tmp_path, text):
    """Fails when `generate` and `corpus create` part in labels, ages or sexes, or in what they complete."""
    file = written(tmp_path, text)
    rows, plan = read_requests(None, file, CODES), from_csv(file)
    assert np.array_equal(plan.vectors[plan.which], rows.vectors)
    np.testing.assert_array_equal(plan.age, rows.age.astype(np.float32))
    assert plan.by_name == rows.by_name.all() and plan.by_name == rows.by_name.any()
    if plan.sex is not None:
        named = {0.0: "male", 1.0: "female"}
        assert [named.get(value, "") for value in rows.sex] == plan.sex.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a column 'labels', or columns named by statements; got \\[\\]"),
        ("labels\n", "asks for nothing"),
        ("labels,age\nNORM\n", "row 1: 1 cell; the header has 2"),
        ("labels\nNORM\nNORMAL BEAT\n", "row 2: unknown statement"),
        ("labels,labels\nNORM,AFIB\n", "two columns called 'labels'"),
        ("AFIB,atrial fibrillation\n1,0\n", "two columns for AFIB"),
        ("a,NORM,AFIX\nx,1,0\n", "no column 'labels', and column 3, 'AFIX': .*did you mean AFIB"),
        ("NORM\n2\n", "row 1: '2' in 'NORM'; expected 0 or 1"),
        ("NORM\n0\n", "row 1: no statement is 1"),
        ("labels,sex\nNORM,woman\n", "row 1: sex is 'woman'"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        list(read_label_table(written(tmp_path, text), CODES).rows)
    assert "wanted.csv" in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_label_table(tmp_path / "none.csv", CODES)
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8"):
        list(read_label_table(written(tmp_path, "labels\nÄ\n", "latin-1"), CODES).rows)
