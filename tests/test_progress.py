"""Progress where there is no terminal: lines with what is done and the time left."""

from __future__ import annotations

import re

import pytest

from sssd import progress
from sssd.progress import make_lines


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_line_every_half_minute_tells_the_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 10 s for an iteration, the 100th of 360 is 2600 s from the end, and what a first run did does not count."""
    lines = make_lines("loss {task.fields[loss]}")
    task = lines.add_task("training", total=360, loss="-")
    lines.update(task, completed=90)
    for done in range(91, 101):
        clock.now += 10
        lines.update(task, completed=done, loss=f"0.{done}")
    printed = capsys.readouterr().err.splitlines()
    assert [line.split("training, ")[1].split(" of")[0] for line in printed] == ["93", "96", "99"]
    assert re.fullmatch(r" +90 s  training, 99 of 360, loss 0.99, 44 min left", printed[-1])


def test_short_runs_print_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = make_lines()
    task = lines.add_task("generating", total=100)
    for _ in range(100):
        clock.now += 0.29
        lines.advance(task)
    assert capsys.readouterr() == ("", "")


def test_a_new_task_is_told_at_once_where_asked_for(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = make_lines(each_task=True)
    for what in ("beats", "classifiers"):
        task = lines.add_task(what, total=7)
        lines.update(task, completed=0)
        clock.now += 1
        lines.update(task, completed=1)
    assert capsys.readouterr().err.splitlines() == [
        "     0 s  beats, 0 of 7",
        "     1 s  classifiers, 0 of 7",
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(60, "60 s left"), (300, "5 min left"), (9000, "2 h 30 min left"), (90000, "25 h 0 min left")],
)
def test_time_left_has_the_unit_that_fits(
    seconds: int, told: str, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = make_lines()
    task = lines.add_task("corpus", total=1 + seconds / 30)
    lines.update(task, completed=0)
    clock.now = 30
    lines.update(task, completed=1)
    assert capsys.readouterr().err.rstrip().endswith(f", {told}")
