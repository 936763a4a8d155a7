"""What is made of a recording, before it is computed: a request, a table, and what the run is given.

    recording, what it shows (Own), what is wanted of it  ->  Change  ->  records

`vary`, `edit` and `complete` return a change. A model computes it at once, the service beside others, and a corpus
makes it of each recording of a folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from ..labels import encode
from ..records import Records
from ..request import Request
from ..samplers import StepTable
from ..samplers.adapter import is_scheduler
from ..sampling import Given, RunKeywords, Sampling
from ..schedule import Schedule

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..model_wrapper import SSSDECG
    from .source import Taken


class OwnKeywords(TypedDict, total=False):
    """The keywords of `vary`, `invert`, `edit` and `complete`, see `Own`, that say what the recording is."""

    statements: Sequence[str] | str | None
    age: Any
    sex: Any
    heart_rate: Any


@dataclass(frozen=True)
class Own:
    """What a recording shows, and of whom.

    statements: codes or words, as a sequence or joined by "+"; None for those that the recording carries. Without any,
    the model is not conditioned. age, sex, heart_rate: as in `generate`; None where unknown.
    """

    statements: Sequence[str] | str | None = None
    age: Any = None
    sex: Any = None
    heart_rate: Any = None

    def request(self, model: SSSDECG, taken: Taken, n: int = 1) -> Request:
        """Return a request for n records of what the recording shows. ValueError if the model cannot make it."""
        statements = taken.statements if self.statements is None else self.statements
        return request_for(model, statements, n, age=self.age, sex=self.sex, heart_rate=self.heart_rate)


@dataclass(frozen=True, eq=False)
class Change:
    """What is made of a recording, ready to be computed.

    request: of the records. sampling: resolved. strength: the share of the noise levels at which the run starts.
    given: what the run is given. facts: for the provenance.
    """

    request: Request
    sampling: Sampling
    strength: float
    given: Given
    facts: dict[str, Any]

    def records(
        self, model: SSSDECG, *, seed: int, leads: str | Sequence[str], **run: Unpack[RunKeywords]
    ) -> Records:
        """Compute the records."""
        table = partial_table(model, self.sampling, self.strength)
        signal = model.sample(self.request, table, seed=seed, given=self.given, **run)
        precision = run.get("precision", "auto")
        made = model.records(signal, self.request, table, seed=seed, precision=precision, leads=leads)
        return replace(made, how={**made.how, **self.facts})


def request_for(model: SSSDECG, statements: Sequence[str] | str, n: int = 1, **patient: Any) -> Request:
    """Return a request for n records with exactly these statements; without any, the model is not conditioned.

    statements: codes or words, as a sequence or joined by "+". patient: age, sex and heart_rate.
    ValueError for one that the model does not know.
    """
    vectors = np.zeros((1, len(model.label_names)), np.float32)
    if statements:
        named = statements if isinstance(statements, str) else list(statements)
        vectors = encode([named], model.label_names)
    return model.request(np.repeat(vectors, n, axis=0), **patient)


def partial_sampling(model: SSSDECG, sampling: Sampling) -> Sampling:
    """Return the sampling, resolved. ValueError for samplers that are made for whole runs."""
    chosen = sampling.resolve(model.config)
    if is_scheduler(chosen.sampler) or chosen.sampler == "fitted":
        raise ValueError("recordings are changed with a sampler that takes any steps, such as ddim or unipc")
    return chosen


def checked_strength(strength: Any) -> float:
    """Return the strength; ValueError unless it is above 0 and at most 1."""
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0.0 < strength <= 1.0:
        raise ValueError(f"strength is {strength!r}: expected above 0 (hardly changed) to 1 (from noise)")
    return float(strength)


def partial_table(model: SSSDECG, sampling: Sampling, strength: float) -> StepTable:
    """Return the table that starts at a share of the noise levels, 0 < strength <= 1, with that share of the steps.

    A table over the first levels of a schedule is a table of the schedule, so that nothing else is needed. ValueError
    for another strength, and for samplers that are made for whole runs.
    """
    strength, chosen = checked_strength(strength), partial_sampling(model, sampling)
    assert chosen.steps is not None
    levels = max(1, round(strength * model.schedule.T))
    steps = None if chosen.sampler == "ddpm" else min(levels, max(1, round(strength * chosen.steps)))
    table = replace(chosen, steps=steps).table(Schedule(model.schedule.abar[:levels]), model.config)
    assert isinstance(table, StepTable)
    return replace(table, gain=np.ones(1))  # gains are calibrated for whole runs
