"""Which rows of docs/inputs.md the tests run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "inputs.md"
COVERED: set[str] = set()  # the first cells of the rows that a test runs
Test = TypeVar("Test", bound=Callable[..., Any])


def row(*first_cells: str) -> Callable[[Test], Test]:
    """Say which rows of the page a test runs, by their first cells."""
    COVERED.update(first_cells)
    return lambda test: test


def rows(names: str, cases: Sequence[tuple[Any, ...]]) -> Callable[[Test], Test]:
    """Parametrize a test by (row of the page, *values); several cases may run one row."""
    COVERED.update(case[0] for case in cases)
    return pytest.mark.parametrize(names, [pytest.param(*values, id=first) for first, *values in cases])


def rows_of_the_page() -> list[str]:
    """The first cells of all rows of all tables of the page, but not of their heads."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = [line.split(" | ")[0].removeprefix("|").strip() for line in lines if line.startswith("|")]
    heads = {k - 1 for k, cell in enumerate(first) if set(cell) <= set("-|: ")}
    return [cell for k, cell in enumerate(first) if k not in heads and k + 1 not in {h + 2 for h in heads}]
