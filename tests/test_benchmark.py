"""`sssd-ecg benchmark` on a small network."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from sssd import benchmark
from sssd.benchmark import Row
from sssd.cli import main
from sssd.model_wrapper import SSSDECG
from sssd.presets import PRESETS, Preset

ORIGINAL = benchmark.command_seconds
SMALL = Path(__file__).parent / "golden" / "sssd_ecg_small.pkl"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    load = SSSDECG.from_pretrained
    monkeypatch.setattr(
        benchmark.SSSDECG, "from_pretrained", lambda path=None, *, device: load(SMALL, device=device)
    )
    monkeypatch.setattr(benchmark, "PRESETS", {"draft": Preset("ddim", 1), "best": PRESETS["best"]})
    monkeypatch.setattr(benchmark, "CORPUS_QUALITY", "draft")
    monkeypatch.setattr(benchmark, "BATCH", {"cpu": 3})
    monkeypatch.setattr(benchmark, "CORPUS", {"cpu": 5})
    monkeypatch.setattr(benchmark, "command_seconds", lambda quality, where, precision: 2.0)


def test_rows_compare_with_as_many_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fails when a batch is not divided by its records, or DDIM is compared with one step."""
    target = tmp_path / "speed.json"
    assert (
        main(["benchmark", "--device", "cpu", "--only", "built-in", "--seconds", "0", "--json", str(target)])
        == 0
    )
    content = json.loads(target.read_text())
    rows = content["rows"]
    yard = rows[0]["seconds"]
    assert [row["evaluations"] for row in rows[:6]] == [1, 1, 1, 20, 50, 20]
    for row in rows[:6]:
        assert row["times_faster"] == pytest.approx(yard * row["evaluations"] / row["seconds"])
        assert row["case"].replace(" ", "") and row["seconds"] > 0
    cases = [row["case"] for row in rows[6:]]
    for quality in ("draft", "best"):
        for case in ("one record, 8 leads", "one record, 12 leads", "batch 3", "first record from"):
            assert any(found.startswith(f"{quality}: {case}") for found in cases)
    assert sum("corpus of 5 in Parquet, verified" in case for case in cases) == 1
    assert any("Ray" in one["case"] and "GPU" in one["why"] for one in content["missing"])
    shown = capsys.readouterr().out
    assert "DDIM 50, batch 1" in shown and str(target) in shown and "Missing: the service" in shown
    assert "Here 1 ECG takes" in shown and content["summary"].count("(draft)") == 3


def test_the_sentence_says_how_long_each_quality_takes() -> None:
    """Broken by 8 leads that are taken for 12 (seen), or a corpus for a batch."""

    def row(quality: str, case: str, seconds: float, records: int = 1) -> Row:
        return Row("builtin", f"{quality}: {case}", "float32", seconds, 1, None, quality, records)

    rows = [
        Row("builtin", "1 step, batch 1", "float32", 9.0, 1, 1.0),
        *(row("draft", "one record, 8 leads", 0.007), row("draft", "one record, 12 leads", 0.0095)),
        *(row("draft", "batch 32", 0.0011, 32), row("draft", "corpus of 64", 5.0, 64)),
        *(row("best", "one record, 8 leads", 0.9), row("best", "one record, 12 leads", 2.04)),
        row("best", "batch 32", 1.3, 32),
    ]
    assert benchmark.sentence(rows) == (
        "Here 1 ECG takes 9.5 ms (draft), 2 s (best); 1,000 ECGs take 1.1 s (draft), 22 minutes (best); and "
        "1,000,000 ECGs take 18 minutes (draft), 15 days (best)."
    )
    assert benchmark.sentence(rows[:1]) is None
    words = {
        59.96: "1 minute",
        60: "1 minute",
        59: "59 s",
        3599: "1 hour",
        86400: "1 day",
        0.9996: "1 s",
        1.0: "1 s",
    }
    assert {seconds: benchmark.in_words(seconds) for seconds in words} == words


def test_a_first_call_counts_only_if_it_is_long() -> None:
    """Broken by measuring what takes minutes twice."""
    calls: list[int] = []

    def slow() -> None:
        calls.append(1)
        time.sleep(0.02)

    assert benchmark.median_seconds(slow, torch.device("cpu"), longest=0.001) >= 0.02
    assert len(calls) == 1
    benchmark.median_seconds(slow, torch.device("cpu"), repeats=2, longest=10)
    assert len(calls) == 4


@pytest.mark.slow
def test_the_command_line_is_timed() -> None:
    """With the built-in model. Broken by a command that is refused."""
    assert 0.1 < ORIGINAL("draft", torch.device("cpu"), "float32") < 300


@pytest.mark.parametrize("wrong", [["--device", "tpu"], ["--precision", "fp8"], ["--only", "mine"]])
def test_wrong_requests(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err


def test_an_earlier_table_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "speed.json"
    target.write_text("mine")
    assert main(["benchmark", "--json", str(target)]) == 2
    assert target.read_text() == "mine" and "exists" in capsys.readouterr().err


def test_the_random_numbers_of_the_caller_go_on() -> None:
    """Fails when a measurement seeds PyTorch's generator (seen); the network and its inputs are always the same."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = benchmark.random_published(torch.device("cpu"))
    x, cond, _ = benchmark.inputs(model, 2)
    assert torch.equal(torch.get_rng_state(), before)
    again = benchmark.random_published(torch.device("cpu"))
    assert again.model_hash == model.model_hash
    assert all(torch.equal(a, b) for a, b in zip((x, cond), benchmark.inputs(again, 2), strict=False))
