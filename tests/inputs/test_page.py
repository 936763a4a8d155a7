"""docs/inputs.md says what the tests of this folder run, and they run all that it says."""

from __future__ import annotations

import importlib
from pathlib import Path

from .page import COVERED, rows_of_the_page


def test_every_row_of_the_page_is_run_by_a_test() -> None:
    """Fails when the page promises something that no test runs, or a test runs what the page does not tell."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"{__package__}.{file.stem}")
    told = rows_of_the_page()
    assert len(told) == len(set(told)) > 20
    assert sorted(set(told) - COVERED) == []
    assert sorted(COVERED - set(told)) == []
