"""The same recording with other statements, by the noise that belongs to it (DDIM inversion, Song et al. 2021).

The sampler without noise is run backwards with the recording's own statements, and forwards with the wanted ones. With
the same statements it gives the recording back, which is called a null edit; what changes is due to the statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..checks import whole
from ..device import choose_precision
from ..request import Request, conditions
from ..samplers import StepTable
from ..sampling import Given, Sampling, noise_of
from .change import Change, Own, partial_sampling, partial_table, request_for
from .source import Source, Taken, take

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG

STEPS = 50  # of a whole run; docs/recordings.md compares numbers of steps and of rounds
STRENGTH = 0.6  # of an edit
ROUNDS = 2  # network evaluations by which one step is run backwards


def invert(
    model: SSSDECG,
    recording: Source,
    strength: float,
    own: Own,
    steps: int | None,
    *,
    precision: str = "auto",
) -> Tensor:
    """Return the noise (8, L) of a recording; see `SSSDECG.invert`."""
    taken, table = take(model, recording), partial_table(model, _ddim(model, steps), strength)
    return _noise(model, taken, own.request(model, taken), table, precision)[0]


def edit(
    model: SSSDECG,
    recording: Source,
    wanted: Sequence[str] | str,
    strength: float,
    own: Own,
    steps: int | None,
    *,
    precision: str = "auto",
) -> Change:
    """Return what gives the recording other statements, as a set of one record; see `SSSDECG.edit`."""
    sampling, taken = _ddim(model, steps), take(model, recording)
    table = partial_table(model, sampling, strength)
    request = request_for(model, wanted, age=own.age, sex=own.sex, heart_rate=own.heart_rate)
    noise = _noise(model, taken, own.request(model, taken), table, precision)
    facts = {**taken.facts, "operation": "edit", "strength": float(strength), "rounds": ROUNDS}
    return Change(request, sampling, strength, Given(taken.eight[None], noise), facts)


def interpolate(
    model: SSSDECG,
    first: Source,
    last: Source,
    n: int,
    steps: int | None,
    *,
    precision: str = "auto",
) -> Change:
    """Return what makes n records on the way from one recording to another; see `SSSDECG.interpolate`."""
    n, sampling = whole("n", n), _ddim(model, steps)
    table = partial_table(model, sampling, 1.0)
    ends = [take(model, one) for one in (first, last)]
    own = [Own().request(model, one) for one in ends]
    noise = [
        _noise(model, taken, request, table, precision) for taken, request in zip(ends, own, strict=True)
    ]
    share = (
        torch.linspace(0.0, 1.0, n, dtype=torch.float32)[:, None, None]
        if n > 1
        else torch.full((1, 1, 1), 0.5, dtype=torch.float32)
    )
    weights = share[:, 0].double().numpy()
    vectors = (1 - weights) * own[0].vectors + weights * own[1].vectors
    request = model.request(vectors.astype(np.float32))
    start = torch.lerp(ends[0].eight[None], ends[1].eight[None], share)
    given = Given(start, slerp(noise[0], noise[1], share))
    facts = {
        **ends[0].facts,
        "operation": "interpolate",
        "to_sha256": ends[1].facts["source_sha256"],
        "rounds": ROUNDS,
    }
    return Change(request, sampling, 1.0, given, facts)


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Return the points on the arc from noise a to noise b (1, 8, L) at shares (n, 1, 1): (n, 8, L).

    Between two samples of white noise the points of the arc are white noise, unlike those of the straight line, whose
    variance is smaller (Shoemake 1985; Song et al. 2021, appendix D.5).
    """
    cosine = (a * b).sum() / (a.norm() * b.norm())
    angle = torch.arccos(cosine.clamp(-1.0, 1.0))
    if float(angle) < 1e-4:
        return torch.lerp(a, b, share)
    mixed: Tensor = (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
    return mixed


def _ddim(model: SSSDECG, steps: int | None) -> Sampling:
    steps = min(STEPS, model.schedule.T) if steps is None else steps
    return partial_sampling(model, Sampling("ddim", steps, 0.0, "trailing"))


def _noise(model: SSSDECG, taken: Taken, own: Request, table: StepTable, precision: str) -> Tensor:
    """Return the noise (1, 8, L) of a recording, on the CPU, where its statements are those of `own`."""
    device = model.device
    cond = torch.from_numpy(conditions(own.vectors, 1, model.classes, **own.known))
    x0 = model.scale.to_network(taken.eight[None].to(device))
    dtype = choose_precision(precision, device)
    return noise_of(model.model, table, cond.to(device), x0, rounds=ROUNDS, dtype=dtype).cpu()
