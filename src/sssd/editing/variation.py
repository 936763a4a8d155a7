"""More records like a recording, at a chosen distance (SDEdit, Meng et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..batch import Given
from ..checks import whole
from ..sampling import Sampling
from .change import Change, Own, checked_strength, circumstances_of, partial_sampling
from .source import Source, take

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG


def vary(
    model: SSSDECG,
    recording: Source,
    n: int,
    strength: float,
    own: Own,
    sampling: Sampling,
) -> Change:
    """Return the change that makes n variations of a recording; see `SSSDECG.vary`.

    Noise is added to the recording up to a share `strength` of the noise levels, and the sampler goes on from there.
    """
    n, strength = whole("n", n), checked_strength(strength)
    sampling, taken = partial_sampling(model, sampling), take(model, recording)
    given = Given(start=taken.eight.expand(n, -1, -1), circumstances=circumstances_of(model, taken.eight, n))
    facts = {**taken.facts, "operation": "vary", "strength": strength}
    return Change(own.of(model, taken).request(model, n), sampling, strength, given, facts)
