"""Requests: from what a user gives to vectors, numbers, ages and sexes; and what goes into the network."""

import numpy as np
import pytest

from sssd.labels import CODES, complete, encode, find, has
from sssd.patient import Takes, columns, heart_rate_columns
from sssd.request import Classes, Request, Rows, complete_rows, conditions, make_request

PTBXL, PATIENT = Classes(CODES), Classes(CODES, Takes(patient=True))
ALL = Classes(CODES, Takes(patient=True, heart_rate=True))
OWN = Classes(("sick", "well"))


def test_rows_are_numbered_and_completed_by_their_number():
    """Fails when what is drawn depends on the row in the request, or the first number is ignored."""
    whole = make_request(["AFIB"] * 6, PTBXL, seed=3)
    later = make_request(["AFIB"] * 4, PTBXL, seed=3, first=2)
    assert list(whole.numbers) == [0, 1, 2, 3, 4, 5] and list(later.numbers) == [2, 3, 4, 5]
    assert np.array_equal(later.vectors, whole.vectors[2:])
    assert np.array_equal(whole.vectors, complete(encode(["AFIB"] * 6), seed=3, index=range(6)))
    assert not np.array_equal(whole.vectors, make_request(["AFIB"] * 6, PTBXL, seed=4).vectors)


def test_each_label_is_repeated_and_only_vectors_stay_as_they_are():
    """Fails when rows are repeated as a whole, vectors are completed, or the records without labels are not."""
    named = make_request(["AFIB", "NORM"], PTBXL, seed=0, num_samples=2, exact=True)
    assert named.requested == ("AFIB", "AFIB", "NORM", "NORM") and named.vectors.shape == (4, 71)
    whole = make_request(encode(["AFIB"]), PTBXL, seed=0, num_samples=50)
    assert np.array_equal(whole.vectors, encode(["AFIB"]).repeat(50, axis=0))
    drawn = make_request(None, PTBXL, seed=0, num_samples=50)
    assert has(drawn.vectors).any(axis=1).all() and drawn.requested == ("",) * 50


def test_a_part_is_its_rows():
    """Fails when numbers, ages or sexes of a part are those of other rows."""
    known = {"age": [30, None, 50], "sex": ["male", None, "female"], "heart_rate": [60, 70, None]}
    request = make_request(["AFIB", "NORM", "LVH"], ALL, seed=1, **known)
    part = request.part(slice(1, 3))
    assert len(part) == 2 and list(part.numbers) == [1, 2] and part.requested == ("NORM", "LVH")
    assert np.array_equal(part.vectors, request.vectors[1:])
    np.testing.assert_array_equal(part.age, [np.nan, 50])
    np.testing.assert_array_equal(part.sex, [np.nan, 1])
    np.testing.assert_array_equal(part.heart_rate, [70, np.nan])
    again = part.part(slice(1, 2))
    assert list(again.numbers) == [2] and again.requested == ("LVH",)


def test_only_rows_given_by_name_are_completed():
    vectors, nobody = encode(["AFIB", "AFIB"]), np.full(2, np.nan)
    rows = Rows(vectors, np.array([True, False]), nobody, nobody, nobody)
    many = complete_rows(rows.repeated(50), PTBXL, seed=0)
    assert has(many.vectors[:50]).sum() > 60 and np.array_equal(
        many.vectors[50:], vectors[:1].repeat(50, axis=0)
    )
    assert many.requested == ("AFIB",) * 100 and list(many.numbers) == list(range(100))
    exact = complete_rows(rows, PTBXL, seed=0, exact=True)
    assert np.array_equal(exact.vectors, vectors) and exact.age is None and exact.sex is None
    own = complete_rows(
        Rows(np.eye(2, dtype=np.float32), np.ones(2, bool), nobody, nobody, nobody), OWN, seed=0
    )
    assert np.array_equal(own.vectors, np.eye(2)), "nothing is known of what occurs beside these"


@pytest.mark.parametrize(
    "given",
    [
        {"num_samples": 2},
        {"exact": True},
        {"age": 50},
        {"sex": "male"},
        {"age": 50, "sex": "male"},
        {"heart_rate": 72},
    ],
)
def test_nothing_is_ignored_beside_a_request(given):
    request = make_request("AFIB", PATIENT, seed=0)
    assert make_request(request, PATIENT, seed=5) is request
    with pytest.raises(ValueError, match=f"^{next(iter(given))} is part of a Request"):
        make_request(request, PATIENT, seed=0, **given)


@pytest.mark.parametrize(
    ("labels", "classes", "how", "message"),
    [
        (None, PTBXL, {}, "nothing to generate"),
        (None, PTBXL, {"num_samples": 2, "exact": True}, "labels are missing"),
        (None, OWN, {"num_samples": 2}, "labels are missing"),
        ("AFIB", OWN, {}, "unknown statement 'AFIB'"),
        ("AFIB", Classes(("class_0",), named=False), {}, "the 1 classes of this model have no names"),
        ("AFIB", PTBXL, {"age": 50}, "age is given, but this model does not take it"),
        ("AFIB", PTBXL, {"sex": [None, "male"]}, "sex has 2 values: expected one"),
        ("AFIB", PATIENT, {"age": 121}, "age is 121: expected years"),
        (
            "AFIB",
            PATIENT,
            {"heart_rate": 72},
            "heart_rate is given, but this model does not take it: leave heart",
        ),
        ("AFIB", ALL, {"heart_rate": 24}, "heart_rate is 24: expected beats per minute, 25 to 250"),
        ("AFIB", ALL, {"heart_rate": "fast"}, "heart_rate is 'fast': expected beats per minute, 25 to 250"),
        (
            "AFIB",
            ALL,
            {"heart_rate": [60, 70]},
            "heart_rate has 2 values: expected one, or one for each of 1",
        ),
        ("AFIB", PATIENT, {"sex": "m"}, "sex is 'm': expected 'female' or 'male'"),
        ("AFIB", PTBXL, {"num_samples": 1.5}, "num_samples is 1.5: expected a whole number"),
        ("AFIB", PTBXL, {"num_samples": True}, "num_samples is True: expected a whole number"),
    ],
)
def test_wrong_requests(labels, classes, how, message):
    with pytest.raises(ValueError, match=message) as error:
        make_request(labels, classes, seed=0, **how)
    assert "\n" not in str(error.value)
    assert ("set trainset_config.label_names" in str(error.value)) == (not classes.named)


def test_strips_of_several_parts_have_an_age_and_a_heart_rate_each():
    """Fails when values are counted by parts: two rates for two parts of one strip meant the first, without a word."""
    how = {"seed": 0, "duration": (30, 30)}
    three = make_request(["NORM", "AFIB"], ALL, num_samples=3, age=[40, 50, 60], heart_rate=72, **how)
    assert three.age.tolist() == [40, 50, 60] and three.heart_rate.tolist() == [72] * 3 and three.sex is None
    assert three.course.shape == (3, 2, 71)
    with pytest.raises(
        ValueError, match="heart_rate has 2 values: expected one, or one for each of 1 record"
    ):
        make_request(["NORM", "AFIB"], ALL, heart_rate=[60, 120], **how)
    with pytest.raises(ValueError, match="age is given, but this model does not take it"):
        make_request(["NORM", "AFIB"], PTBXL, age=50, **how)
    with pytest.raises(ValueError, match="duration has 2 parts, and there are no labels"):
        make_request(None, ALL, num_samples=2, **how)


def test_a_model_without_classes_needs_no_labels():
    request = make_request(None, Classes(()), seed=0, num_samples=3)
    assert request.vectors.shape == (3, 0) and request.requested == ("", "", "")


def test_what_the_network_is_conditioned_on():
    """Fails when the columns of the patient come first, are missing, or are there for a model without."""
    vectors = encode(["AFIB", "NORM"])
    assert np.array_equal(conditions(vectors, 2, PTBXL), vectors)
    both = conditions(vectors, 2, PATIENT, age=[60, 80], sex="female")
    assert both.dtype == np.float32 and np.array_equal(both[:, :71], vectors)
    assert np.array_equal(both[:, 71:], columns([60, 80], "female", records=2))
    assert np.array_equal(conditions(vectors, 2, PATIENT)[:, 71:], np.zeros((2, 4)))
    for wrong, records in ((vectors[:, :70], 2), (both, 2), (vectors, 3), (vectors[0], 1)):
        with pytest.raises(ValueError, match=r"label vectors have shape .*: expected \(\d, 71\)"):
            conditions(wrong, records, PTBXL)
    with pytest.raises(ValueError, match="age is given"):
        conditions(vectors, 2, PTBXL, age=[60, 80])
    last = conditions(vectors, 2, ALL, sex="male", heart_rate=[50, None])
    assert np.array_equal(last[:, 71:75], columns(None, "male", records=2))
    assert np.array_equal(last[:, 75:], heart_rate_columns([50, None], records=2))
    alone = conditions(vectors, 2, Classes(CODES, Takes(heart_rate=True)), heart_rate=100)
    assert alone.shape == (2, 73) and alone[:, 71:].tolist() == [[1, 1]] * 2


def test_a_request_may_be_built_by_hand():
    request = Request(encode("AFIB"), ("AFIB",), (7,))
    assert list(request.numbers) == [7] and len(request) == 1 and find("AFIB") == 4
