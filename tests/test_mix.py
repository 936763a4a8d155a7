"""Which statements recordings carry together, and what is said of requests that no recording resembles."""

import json
from pathlib import Path

import numpy as np
import pytest

from sssd import labels
from sssd.labels import CODES
from sssd.mix import carrying, hints, label_mix


def test_the_counts_are_those_of_the_statements():
    """Two routes: the vectors with their counts, and the table of what occurs together. Breaks with shifted bits."""
    vectors, counts = label_mix()
    together = json.loads(Path(labels.__file__).with_name("statements.json").read_text())["together"]
    assert vectors.shape == (len(counts), 71) and set(np.unique(vectors)) == {0, 1}
    assert [carrying([code]) for code in CODES] == together["counts"]
    for i, j, n in together["pairs"][::50]:
        assert carrying([CODES[i], CODES[j]]) == n
    assert carrying(["AFIB", "LVH"]) == sum(
        n
        for vector, n in zip(vectors, counts, strict=True)
        if vector[CODES.index("AFIB")] and vector[CODES.index("LVH")]
    )


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["SBRAD", "STACH"], "None of 17418 recordings of PTB-XL carries both SBRAD and STACH"),
        (["NORM", "AFIB"], "30 of 17418 recordings of PTB-XL carry both NORM and AFIB"),
        (["LVH", "NORM"], "1 of 17418 recordings of PTB-XL carries both LVH and NORM"),
    ],
)
def test_contradictions(statements, said):
    assert hints(statements) == [said]


@pytest.mark.parametrize(
    ("heart_rate", "said"),
    [
        (50, ["STACH is a rate of more than 100 /min, and 50 /min is asked for"]),
        (100, ["STACH is a rate of more than 100 /min, and 100 /min is asked for"]),
        (100.5, []),
        (None, []),
    ],
)
def test_a_heart_rate_against_a_statement(heart_rate, said):
    """Breaks when the limit itself counts as fast, or a rate says something of statements that have none."""
    assert hints(["STACH"], heart_rate) == said
    assert hints(["LVH"], heart_rate) == []


@pytest.mark.parametrize(
    "statements", [[], ["AFIB"], ["2AVB", "NORM"], ["AFIB", "LVH"], ["NORM", "SR"], ["IMI", "LVH", "PVC"]]
)
def test_no_hint(statements):
    """Breaks when usual companions are called a contradiction, or a rare statement, which has a note of its own."""
    assert hints(statements) == []


def test_many_statements():
    many = hints(["AFIB", "LVH", "PVC", "IMI", "SR", "NORM", "CLBBB"])
    assert len(many) == 5 and "4 more of these pairs" in many[3]
    assert many[4].startswith("7 statements are many: recordings carry 2.8 on average")
    assert hints(list(CODES))  # every one of the 71
