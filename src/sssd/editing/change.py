"""A change of a recording, before it is computed: a request, a sampling, and what the run is given.

    recording, what it shows (Own), what is wanted of it  ->  Change  ->  records

`vary`, `edit` and `complete` return a change. A model computes it at once, the service together with other requests,
and a corpus for each recording of a folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from ..batch import Given
from ..checks import number
from ..circumstances import of_recordings, takes_circumstances, with_statements
from ..labels import encode
from ..records import Records
from ..request import Request
from ..samplers import StepTable
from ..samplers.adapter import is_scheduler
from ..sampling import RunKeywords, Sampling
from ..schedule import Schedule
from ..signals.heart_rate import measured_heart_rates

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..model_wrapper import SSSDECG
    from .source import Taken

PARTIAL, STEPS = "sde-dpmpp-2m", 20  # the sampler of changes, and its steps of a whole run


class PatientKeywords(TypedDict, total=False):
    """The keywords for the age and the sex of the patient, and for the heart rate."""

    age: Any
    sex: Any
    heart_rate: Any


class OwnKeywords(PatientKeywords, total=False):
    """The keywords of `vary`, `invert` and `complete` that say what the recording shows, see `Own`."""

    statements: Sequence[str] | str | None


@dataclass(frozen=True)
class Own:
    """What a recording shows, and the age and sex of its patient.

    statements: codes or words, as a sequence or joined by "+"; None for those that the recording carries. Without any,
    the model is not conditioned. age, sex: as in `generate`; None where unknown. heart_rate: None to measure it, where
    the model takes it.
    """

    statements: Sequence[str] | str | None = None
    age: Any = None
    sex: Any = None
    heart_rate: Any = None

    def of(self, model: SSSDECG, taken: Taken) -> Own:
        """Return the same with the statements that the recording carries, and the heart rate that is measured in it."""
        statements = taken.statements if self.statements is None else self.statements
        rate = self.heart_rate
        if rate is None and model.takes_heart_rate and taken.whole:
            fs_hz = model.fs_hz
            rate = measured_heart_rates(taken.eight[None].numpy(), fs_hz)
        return replace(self, statements=statements, heart_rate=rate)

    def otherwise(self, other: Own) -> Own:
        """Return the same, with what is None here taken from `other`."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **said)

    def request(self, model: SSSDECG, n: int = 1) -> Request:
        """Return a request for n records. ValueError if the model cannot make them."""
        patient = {"age": self.age, "sex": self.sex, "heart_rate": self.heart_rate}
        return request_for(model, self.statements or (), n, **patient)


@dataclass(frozen=True, eq=False)
class Change:
    """A change of a recording, ready to be computed.

    request: for the records. sampling: resolved. strength: the share of the noise levels at which the run starts.
    given: where the run starts, and what it holds fixed. facts: for the provenance.
    """

    request: Request
    sampling: Sampling
    strength: float
    given: Given
    facts: dict[str, Any]

    @property
    def evaluations(self) -> int:
        """How often the network is evaluated in each step, at most."""
        return 1 if self.given.own is None else 3 if self.given.guidance else 2

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


def circumstances_of(model: SSSDECG, eight_mv: Tensor, n: int = 1) -> Tensor | None:
    """Return the circumstances (n, C) of a recording (8, L) in mV for n records, NaN for leads with NaN.

    None if the network does not take them.
    """
    if not takes_circumstances(model.model):
        return None
    whole = eight_mv.isfinite().all(dim=1)
    found = of_recordings(model.model, eight_mv.nan_to_num()[None].numpy(), model.fs_hz)
    return torch.where(whole.repeat(found.shape[1] // len(whole)), found, torch.nan).expand(n, -1)


def circumstances_under(
    model: SSSDECG, measured: Tensor | None, own: Tensor, wanted: Tensor
) -> Tensor | None:
    """Return circumstances (B, C) that were measured in recordings, as they would be with other statements.

    own, wanted: conditions (B, K) with the statements that they have, and those that they are to have.
    """
    if measured is None or not takes_circumstances(model.model):
        return None
    return with_statements(model.model, measured, own, wanted)


def partial_sampling(model: SSSDECG, sampling: Sampling) -> Sampling:
    """Return the sampling, resolved. ValueError for samplers that are made for whole runs.

    A transformer for which none is named has `PARTIAL` over its usual steps, whatever its standard is for whole runs.
    """
    if sampling.is_left_to(model.config):
        steps = min(STEPS, model.schedule.T) if sampling.steps is None else sampling.steps
        sampling = replace(sampling, sampler=PARTIAL, steps=steps)
    chosen = sampling.resolve(model.config)
    if is_scheduler(chosen.sampler) or chosen.sampler == "fitted":
        raise ValueError("recordings are changed with a sampler that takes any steps, such as ddim or unipc")
    return chosen


def checked_strength(strength: Any) -> float:
    """Return the strength; ValueError unless it is above 0 and at most 1."""
    checked = number(strength)
    if not 0.0 < checked <= 1.0:
        raise ValueError(f"strength is {strength!r}: expected above 0 (hardly changed) to 1 (from noise)")
    return checked


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
