"""The same recording with other statements, age, sex or heart rate, and the way from one recording to another.

edit         The recording is noised, and for each step of the sampler the noise is found by which it gives the
             recording back under its own statements (Huberman-Spiegelglas et al. 2024, edit-friendly DDPM inversion).
             The same noise under the wanted statements gives the edit. Under its own, a null edit, nothing changes.
             To another heart rate the recording is brought beforehand (`rate`), since its noise holds its beats. In
             the end, beats that moved are brought back (`beats`), unless the rhythm changes.
invert       The sampler without noise is run backwards (DDIM inversion, Song et al. 2021).
interpolate  The noise and the statements of two recordings are mixed, and the sampler is run forwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..batch import Given, noise_of
from ..checks import whole
from ..device import choose_precision
from ..labels import RHYTHMS, names_of
from ..leads import to_eight
from ..request import Request, conditions
from ..samplers import StepTable
from ..sampling import Sampling
from .change import (
    Change,
    Own,
    checked_strength,
    circumstances_of,
    circumstances_under,
    partial_sampling,
    partial_table,
)
from .rate import USUAL_BPM, moved, usual_bpm
from .source import Source, Taken, take

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG

STEPS = 50  # of a whole run, to invert
EDIT_STEPS = 25  # of a whole run; docs/recordings.md compares methods, strengths and guidance
OF_BEATS = RHYTHMS | {"PAC", "PVC", "PRC(S)", "2AVB", "3AVB"}  # statements that decide where the beats are
GUIDANCE = 4.0  # how much further an edit goes than the difference of the conditions,
GUIDED = 0.44  # in this share of the noise levels; above it, guidance would move the beats
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
    return _noise(model, taken, own.of(model, taken).request(model), table, precision)[0]


def edit(
    model: SSSDECG,
    recording: Source,
    wanted: Own,
    strength: float,
    own: Own,
    steps: int | None,
) -> Change:
    """Return the change that edits a recording, to one record; see `SSSDECG.edit`."""
    if wanted == Own():
        raise ValueError("there is nothing to edit: give statements, an age, a sex or a heart rate")
    steps = min(EDIT_STEPS, model.schedule.T) if steps is None else steps
    sampling = partial_sampling(model, Sampling("ddim", steps, 1.0, "trailing"))
    strength, taken = checked_strength(strength), take(model, recording)
    eight, before, beats = _at_wanted_rate(model, taken, wanted, own.of(model, taken))
    request, shown = wanted.otherwise(before).request(model), before.request(model)
    codes, own_codes = (set(names_of(one.vectors[0], model.label_names)) for one in (request, shown))
    brought = not torch.equal(eight, taken.eight)  # to another heart rate
    keeps = brought or not (beats or (codes ^ own_codes) & OF_BEATS)
    of_own, of_wanted = conditions_of(model, shown), conditions_of(model, request).clone()
    if brought:  # what a rate changes in the noise is in the moved recording already
        rates = [model.label_names.index(code) for code in ("SR", *USUAL_BPM) if code in model.label_names]
        of_wanted[:, rates] = of_own[:, rates]
    measured = circumstances_of(model, eight)
    given = Given(
        eight[None],
        own=of_own,
        guidance=GUIDANCE,
        guided_below=round(GUIDED * model.schedule.T),
        circumstances=circumstances_under(model, measured, of_own, of_wanted),
        own_circumstances=measured,
        keeps_beats=torch.tensor([keeps]),
    )
    facts = {**taken.facts, "operation": "edit", "strength": strength, "guidance": GUIDANCE, "guided": GUIDED}
    if beats or keeps:
        facts["beats"] = beats or "those of the recording, unless they would move too far"
    return Change(request, sampling, strength, given, facts)


def _at_wanted_rate(model: SSSDECG, taken: Taken, wanted: Own, own: Own) -> tuple[Tensor, Own, str]:
    """Bring a recording to the rate that is wanted; return it (8, L) in mV, what it shows then, and what was done.

    Where no other rate than its own is wanted, these are the recording as it is, `own` and "".
    """
    requests = wanted.otherwise(own).request(model), own.request(model)
    rates = [one.known["heart_rate"] for one in requests]
    asked, there = (np.nan if one is None else float(one[0]) for one in rates)
    codes, own_codes = (names_of(one.vectors[0], model.label_names) for one in requests)
    eight, fs_hz = to_eight(taken.twelve_mv), model.fs_hz
    if wanted.heart_rate is None:
        asked = usual_bpm(set(codes) - set(own_codes), eight, fs_hz)
    if np.isnan(asked) or asked == there:
        return taken.eight, own, ""
    made, said = moved(eight, own_codes, asked, fs_hz)
    if made is None:
        return taken.eight, own, said
    shown = replace(own, heart_rate=asked) if model.takes_heart_rate else own
    return torch.from_numpy(made).float(), shown, said


def interpolate(
    model: SSSDECG,
    first: Source,
    last: Source,
    n: int,
    steps: int | None,
    *,
    precision: str = "auto",
) -> Change:
    """Return the change that makes n records on the way from one recording to another; see `SSSDECG.interpolate`."""
    n, sampling = whole("n", n), _ddim(model, steps)
    table = partial_table(model, sampling, 1.0)
    ends = [take(model, one) for one in (first, last)]
    own = [Own().of(model, one).request(model) for one in ends]
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
    given = Given(
        start, slerp(noise[0], noise[1], share), circumstances=circumstances_between(model, ends, share)
    )
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


def conditions_of(model: SSSDECG, request: Request) -> Tensor:
    """Return the conditions (B, K) of a request."""
    return torch.from_numpy(conditions(request.vectors, len(request), model.classes, **request.known))


def circumstances_between(model: SSSDECG, ends: Sequence[Taken], share: Tensor) -> Tensor | None:
    """Return the circumstances (n, C) on the way from one recording to another, at shares (n, 1, 1)."""
    first, last = (circumstances_of(model, one.eight) for one in ends)
    return None if first is None or last is None else torch.lerp(first, last, share[:, 0])


def _noise(model: SSSDECG, taken: Taken, own: Request, table: StepTable, precision: str) -> Tensor:
    """Return the noise (1, 8, L) of a recording, on the CPU, where its statements are those of `own`."""
    return noise_of(
        model.model,
        table,
        conditions_of(model, own).to(model.device),
        model.scale.to_network(taken.eight[None].to(model.device)),
        rounds=ROUNDS,
        dtype=choose_precision(precision, model.device),
        circumstances=circumstances_of(model, taken.eight),
    ).cpu()
