"""docs/comparison.md is what benchmarks/comparison.py writes, and the measure that is our own does what it says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def comparison() -> ModuleType:
    spec = importlib.util.spec_from_file_location("comparison", ROOT / "benchmarks" / "comparison.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, without the line below its head."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([rows[0], *rows[2:]])
    return found


def test_the_page_is_written_by_the_script(comparison: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by a cell or a sentence that is changed by hand (seen)."""
    text = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    _, time, figures = _tables(text)
    rows = {
        name: {row[0]: float(row[k]) for row in figures[1:]} for k, name in enumerate(figures[0]) if k > 1
    }
    seconds = {name: float(value) for name, value, _ in time[1:]}
    told = dict(re.findall(r"(ecgen-eval|ecgen|deepfake-ecg|neurokit2) ([\d.]+\d)", text))
    monkeypatch.setattr(comparison, "installed", told.get)
    ((command, records),) = re.findall(r"Written by `(.* --records (\d+))` on ", text)
    made = comparison.page(rows, seconds, int(records), command)

    def same_day(
        page: str,
    ) -> str:  # and machine; what follows from a rounded time may differ in its last digit
        page = re.sub(r"^Written by .*$", "", page, flags=re.MULTILINE)
        return re.sub(r"^(\| [^|]+ \| [\d.]+ \|) [\d.]+ \|$", r"\1", page, flags=re.MULTILINE)

    assert same_day(made) == same_day(text)


def test_the_autocorrelation_difference(comparison: ModuleType) -> None:
    """It is 0 for a set and itself, whatever its scale and offset, and tells rhythms apart.

    Broken by sums in place of correlations (seen).
    """
    t = np.arange(1000) / 100
    random = np.random.default_rng(0)

    def waves(hertz: float) -> Any:
        phase = random.uniform(0, 2 * np.pi, (20, 12, 1))
        return np.sin(2 * np.pi * hertz * t + phase)

    slow = waves(1.0)
    assert comparison.autocorrelation_difference(slow, 3 * slow + 1) < 1e-12
    assert comparison.autocorrelation_difference(slow, waves(1.0)) < 0.01
    assert comparison.autocorrelation_difference(slow, waves(1.5)) > 0.3
