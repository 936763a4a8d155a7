"""`sssd-ecg benchmark` on a small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sssd import benchmark
from sssd.cli import main
from sssd.model_wrapper import SSSDECG

SMALL = Path(__file__).parent / "golden" / "sssd_ecg_small.pkl"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    load = SSSDECG.from_pretrained
    monkeypatch.setattr(benchmark.SSSDECG, "from_pretrained", lambda device: load(SMALL, device=device))


def test_rows_compare_with_as_many_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fails when a batch is not divided by its records, or DDIM is compared with one step."""
    target = tmp_path / "speed.json"
    assert (
        main(["benchmark", "--device", "cpu", "--only", "built-in", "--seconds", "0", "--json", str(target)])
        == 0
    )
    rows = json.loads(target.read_text())["rows"]
    yard = rows[0]["seconds"]
    assert [row["evaluations"] for row in rows] == [1, 1, 1, 20, 50, 20]
    for row in rows:
        assert row["times_faster"] == pytest.approx(yard * row["evaluations"] / row["seconds"])
        assert row["case"].replace(" ", "") and row["seconds"] > 0
    shown = capsys.readouterr().out
    assert "DDIM 50, batch 1" in shown and str(target) in shown


@pytest.mark.parametrize("wrong", [["--device", "tpu"], ["--precision", "fp8"], ["--only", "mine"]])
def test_wrong_requests(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err


def test_an_earlier_table_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "speed.json"
    target.write_text("mine")
    assert main(["benchmark", "--json", str(target)]) == 2
    assert target.read_text() == "mine" and "exists" in capsys.readouterr().err
