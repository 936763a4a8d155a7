"""More records like a recording, at a chosen distance (SDEdit, Meng et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..checks import whole
from ..records import Records
from ..sampling import Given, Sampling
from .source import Source, partial_table, records_of, request_for, take

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..model_wrapper import SSSDECG, RunKeywords


def vary(
    model: SSSDECG,
    recording: Source,
    n: int,
    strength: float,
    *,
    statements: Sequence[str] | str | None,
    patient: dict[str, Any],
    sampling: Sampling,
    seed: int,
    leads: str | Sequence[str],
    **run: Unpack[RunKeywords],
) -> Records:
    """Return n variations of a recording; see `SSSDECG.vary`.

    Noise is added to the recording up to a share `strength` of the noise levels, and the sampler goes on from there.
    """
    n, table, taken = whole("n", n), partial_table(model, sampling, strength), take(model, recording)
    request = request_for(model, taken.statements if statements is None else statements, n, **patient)
    given = Given(start=taken.eight.expand(n, -1, -1))
    signal = model.sample(request, table, seed=seed, given=given, **run)
    return records_of(
        model,
        signal,
        request,
        table,
        taken,
        seed=seed,
        precision=run.get("precision", "auto"),
        leads=leads,
        operation="vary",
        strength=float(strength),
    )
