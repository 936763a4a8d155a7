"""Rules by statement: shares that are known, and recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sssd.evaluation import rhythm, rules
from sssd.signals.rules import RULES, Rule, check, shown

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "ptbxl_folds1-9" / "signals.npz"


def values(n: int, **given: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(given.get(name, [np.nan] * n), dtype=float) for name in rhythm.UNITS}


def test_rules_name_measures_that_exist() -> None:
    assert {rule.measure for rule in RULES} <= set(rhythm.UNITS)
    assert {rule.sign for rule in RULES} <= {">", ">=", "<"}


def test_shares_by_hand() -> None:
    """At the limit, above, below, and not measured. Breaks when records without the statement count, a record that
    cannot be measured is left out, or the sides are exchanged."""
    names = ("NORM", "1AVB", "CLBBB")
    labels = np.zeros((25, 3), np.uint8)
    labels[:20, 1], labels[:, 0] = 1, 1
    recorded = values(25, pr=[200.0] * 4 + [np.nan] * 4 + [220.0] * 12 + [300.0] * 5)
    made_labels = np.zeros((10, 3), np.uint8)
    made_labels[:, 1] = 1
    made = values(10, pr=[201.0] * 5 + [150.0] * 5)
    (found,) = rules.compare(recorded, labels, made, made_labels, names)
    assert (found["statement"], found["rule"]) == ("1AVB", "PR > 200 ms")
    assert found["recorded"]["records"] == 20 and found["recorded"]["share"] == pytest.approx(0.6)
    assert found["generated"]["share"] == pytest.approx(0.5) and found["generated"]["records"] == 10
    assert found["generated"]["low"] == pytest.approx(0.2366, abs=1e-3)  # Wilson's interval of 5 in 10
    assert found["enough"] is True and found["passed"] is False
    made["pr"][5] = 201.0
    assert rules.compare(recorded, labels, made, made_labels, names)[0]["passed"] is True
    few = rules.compare(values(19, pr=[300.0] * 19), labels[:19], made, made_labels, names)[0]
    assert few["enough"] is False and few["passed"] is None
    few = rules.compare(recorded, labels, values(9, pr=[300.0] * 9), made_labels[:9], names)[0]
    assert few["enough"] is False and few["passed"] is None


def test_limits() -> None:
    """Breaks when >= is read as >, or < as <=."""
    of = {rule.statement: rule for rule in RULES}
    assert of["CLBBB"].obeyed(np.array([119.9, 120.0])).tolist() == [False, True]
    assert of["SBRAD"].obeyed(np.array([59.9, 60.0, np.nan])).tolist() == [True, False, False]
    assert of["STACH"].obeyed(np.array([100.0, 100.1])).tolist() == [False, True]


def test_the_words_of_a_check_agree_with_its_verdict() -> None:
    """Breaks when a value is compared as measured but written rounded, or a unit or factor is lost."""
    values = {"qrs_width": 106.2, "p_waves": 0.9, "sokolow_lyon": 3.5, "pr": float("nan")}
    block, p, voltage, pr = (check(values, [code])[-1] for code in ("CLBBB", "AFIB", "LVH", "1AVB"))
    assert (block.words, block.shown) == ("QRS: measured 106 ms, expected 120 or more", False)
    assert (p.words, p.shown) == ("beats with a P wave: measured 90 %, expected less than 50", False)
    assert voltage.words.endswith("measured 3.50 mV, expected 3.5 or more") and voltage.shown is True
    assert (pr.words, pr.value, pr.shown) == ("PR: not measurable, expected more than 200 ms", None, None)
    assert check({"qrs_width": 119.6}, ["CLBBB"])[0].shown is True  # it is written as 120
    assert check({"heart_rate": 100.4}, ["STACH"])[0].shown is False
    for rule in RULES:
        assert check({rule.measure: rule.limit}, [rule.statement]) and check({}, [rule.statement])[0].words


def test_a_statement_is_shown_if_all_of_its_rules_are_obeyed() -> None:
    """Breaks when one rule of several is enough, or what was not measured counts as shown or as broken."""

    def of(**values: float) -> dict[str, bool | None]:
        return shown(check(values, ["AFIB", "NORM"]))

    assert of(rr_variability=200.0, p_waves=0.1) == {"AFIB": True}
    assert of(rr_variability=200.0, p_waves=0.9) == {"AFIB": False}
    assert of(rr_variability=200.0) == {"AFIB": None}
    assert of(p_waves=0.9) == {"AFIB": False}


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="real ECGs are not here")
def test_rules_of_recordings() -> None:
    """Recordings with a statement obey its rule more often than normal ones. Breaks with leads in the wrong order, or
    in another unit."""
    with np.load(REAL) as arrays:
        names, labels = [str(name) for name in arrays["label_names"]], arrays["labels"]
        signal = arrays["signal_uv"][:, [0, 6, 7, 8, 9, 10, 11, 5]]

    def share(rule: Rule, code: str) -> float:
        rows = np.flatnonzero(labels[:, names.index(code)])[:30]
        found = rhythm.rhythm_and_shape(signal[rows] / 1000.0)
        return float(rule.obeyed(found[rule.measure]).mean())

    for rule in RULES:
        if labels[:, names.index(rule.statement)].sum() >= rules.LEAST[0]:
            assert share(rule, rule.statement) > share(rule, "NORM") + 0.1, rule
