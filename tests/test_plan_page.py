"""The page that plans a hundred million records says what the measured figures give."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def plan():
    spec = importlib.util.spec_from_file_location("plan", ROOT / "benchmarks/plan.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_figures(plan):
    """Fails when a figure changed and the page did not: python benchmarks/plan.py --write."""
    assert plan.tables(json.loads(plan.FIGURES.read_text())) in plan.PAGE.read_text(encoding="utf-8")


def test_hours_and_cost(plan):
    """Fails when a rate is not divided by, or the slower of generating and writing is not taken."""
    table = plan.tables({
        "records": 3_600_000, "steps": 20, "price_per_tb_month": 20.0, "price_per_hour": {"one H200": 4.0},
        "generating": [{"on": "one H200", "records_per_s": 1000}],
        "writing": [{"format": "Parquet", "records_per_s": 2000, "bytes_per_record": 24_000, "files": 9},
                    {"format": "WFDB", "records_per_s": 500, "bytes_per_record": 25_000, "files": 9}],
    })  # fmt: skip
    assert "| one H200 | 1 | Parquet | 1,000 | 1.0 | 4 |" in table
    assert "| one H200 | 8 | WFDB | 4,000 | 0.2 | 8 |" in table
    assert "| Parquet | 9 | 0.09 | 2 | 2,000 records/s, 0.5 h |" in table
