"""What generated records show of their statements, and drawing them again until they show what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..checks import counted
from ..signals.rules import RULES
from .console import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.progress import Progress as Bar

    from ..records import Records
    from ..request import Request

    Draw = Callable[[Request, int], NDArray[np.float32]]  # (request, seed) -> (n, 8, L) in mV

ATTEMPTS = 16  # how often --require-shown draws a record at most
HAVE_RULES = frozenset(rule.statement for rule in RULES)
Shown = Mapping[str, "bool | None"]  # statement -> whether the record shows it, of `signals.rules.shown`


def check_rules(asked: Sequence[Sequence[str]]) -> None:
    """Raise UsageError if a record is asked for by statements of which none has a rule."""
    for statements in asked:
        if not HAVE_RULES.intersection(statements):
            raise UsageError(
                f"--require-shown cannot judge {'+'.join(statements) or 'a record without statements'}: the "
                f"statements with a rule are {', '.join(sorted(HAVE_RULES))}"
            )


def measure(ecgs: Records, bar: Bar) -> list[Shown]:
    """Return which statements each record shows by the rules of its statements, which are measured in its signal."""
    from ..measurements import measurements
    from ..signals import rules

    task = bar.add_task("measuring", total=len(ecgs))
    found: list[Shown] = []
    for ecg in ecgs:
        found.append(rules.shown(rules.check(measurements(ecg), ecg.statements)))
        bar.update(task, advance=1)
    return found


def is_met(shown: Shown, asked: Sequence[str]) -> bool:
    """Return whether a record shows every statement that was asked for and has a rule."""
    return all(shown.get(statement) is True for statement in HAVE_RULES.intersection(asked))


def draw_until_shown(
    ecgs: Records, asked: Sequence[Sequence[str]], draw: Draw, *, seed: int, bar: Bar
) -> tuple[Records, list[Shown]]:
    """Draw the records again that do not show what was asked for; return all records and what they show.

    A record keeps its statements and takes the noise of another seed, `noise.seed_of_attempt`. So attempt k depends on
    the seed, its index and k alone, and not on the other records. A record that none of `ATTEMPTS` attempts satisfies
    stays as it was first drawn. asked: the statements that were asked for, of each record.
    """
    from ..noise import seed_of_attempt

    shown, attempts, signal = measure(ecgs, bar), [0] * len(ecgs), ecgs.eight.copy()
    for attempt in range(1, ATTEMPTS):
        rows = [i for i, found in enumerate(shown) if not is_met(found, asked[i])]
        if not rows:
            break
        request = ecgs.request.pick(rows)
        drawn = replace(ecgs, eight=draw(request, seed_of_attempt(seed, attempt)), request=request)
        for i, one, found in zip(rows, drawn.eight, measure(drawn, bar), strict=True):
            if is_met(found, asked[i]):
                signal[i], shown[i], attempts[i] = one, found, attempt
    return replace(ecgs, eight=signal, attempts=tuple(attempts)), shown


def unmet(shown: Sequence[Shown], asked: Sequence[Sequence[str]]) -> str:
    """Return what to tell of records that do not show what was asked for; empty if all do."""
    failed = sum(not is_met(found, statements) for found, statements in zip(shown, asked, strict=True))
    if not failed:
        return ""
    return (
        f"{failed} of {counted(len(shown), 'record')} did not show what was asked for in {ATTEMPTS} draws; they are as "
        'first drawn, and the manifest says which they are under "shown"'
    )


def counts(shown: Sequence[Shown]) -> list[str]:
    """Return a line for each statement with a rule, which says how many of the records show it."""
    by_statement: dict[str, list[bool | None]] = {}
    for record in shown:
        for statement, value in record.items():
            by_statement.setdefault(statement, []).append(value)
    return [
        f"{statement}: shown in {values.count(True)} of {counted(len(values), 'record')}"
        + (f", not measurable in {values.count(None)}" if None in values else "")
        for statement, values in by_statement.items()
    ]
