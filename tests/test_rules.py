"""Rules by statement: shares that are known, and recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sssd.evaluation import rhythm, rules

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "ptbxl_folds1-9" / "signals.npz"


def values(n: int, **given: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(given.get(name, [np.nan] * n), dtype=float) for name in rhythm.UNITS}


def test_rules_name_measures_that_exist() -> None:
    assert {rule.measure for rule in rules.RULES} <= set(rhythm.UNITS)
    assert {rule.sign for rule in rules.RULES} <= {">", ">=", "<"}


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


def test_limits() -> None:
    """Breaks when >= is read as >, or < as <=."""
    of = {rule.statement: rule for rule in rules.RULES}
    assert of["CLBBB"].obeyed(np.array([119.9, 120.0])).tolist() == [False, True]
    assert of["SBRAD"].obeyed(np.array([59.9, 60.0, np.nan])).tolist() == [True, False, False]
    assert of["STACH"].obeyed(np.array([100.0, 100.1])).tolist() == [False, True]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="real ECGs are not here")
def test_rules_of_recordings() -> None:
    """Recordings with a statement obey its rule more often than normal ones. Breaks with leads in the wrong order, or
    in another unit."""
    pytest.importorskip("neurokit2")
    with np.load(REAL) as arrays:
        names, labels = [str(name) for name in arrays["label_names"]], arrays["labels"]
        signal = arrays["signal_uv"][:, [0, 6, 7, 8, 9, 10, 11, 5]]

    def share(rule: rules.Rule, code: str) -> float:
        rows = np.flatnonzero(labels[:, names.index(code)])[:30]
        found = rhythm.rhythm_and_shape(signal[rows] / 1000.0)
        return float(rule.obeyed(found[rule.measure]).mean())

    for rule in rules.RULES:
        if labels[:, names.index(rule.statement)].sum() >= rules.LEAST_RECORDINGS:
            assert share(rule, rule.statement) > share(rule, "NORM") + 0.1, rule
