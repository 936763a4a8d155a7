"""Leads and samples that are missing, made by the model, while what is known is held fixed.

In each row of the table the predicted clean record is moved to one that has what is known (Wang et al. 2023, DDNM, eq.
13). The known leads are set, and the other leads are moved by linear regression on the error in the known ones. Any of
the twelve leads may be known: each is a sum of the eight that the model makes, so at each sample a known lead is a
linear equation for these. I and II give all limb leads; II alone is one equation for the two leads I and aVF.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..batch import Given
from ..checks import whole
from ..leads import CLINICAL, EIGHT, lead_of, to_twelve
from ..sampling import Sampling
from .change import Change, Own, circumstances_of, partial_sampling
from .source import Source, take

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG

Gaps = Sequence[tuple[float, float]]


def complete(
    model: SSSDECG,
    recording: Source,
    n: int,
    known: Sequence[str] | None,
    gaps: Gaps,
    own: Own,
    sampling: Sampling,
) -> Change:
    """Return the change that completes a recording to n records; see `SSSDECG.complete`."""
    n, gaps = whole("n", n), pairs_of(gaps)
    taken, fs_hz = take(model, recording, partial=True), model.fs_hz
    there = known_part(taken.twelve_mv, known, gaps, fs_hz)
    sampling = partial_sampling(model, sampling)
    project = projection(there, covariance(), model.device)
    leads_known = [lead for lead, row in zip(CLINICAL, there, strict=True) if np.isfinite(row).any()]
    facts = {
        **taken.facts,
        "operation": "complete",
        "known": "+".join(leads_known),
        "gaps_s": [[start, end] for start, end in gaps],
    }
    known_mv = determined(projection(there, covariance(), "cpu"), model.shape)
    circumstances = circumstances_of(model, known_mv, n)
    given = Given(known=project, circumstances=circumstances)
    return Change(own.of(model, taken).request(model, n), sampling, 1.0, given, facts)


def determined(project: Callable[[Tensor], Tensor], shape: tuple[int, int]) -> Tensor:
    """Return the leads (8, L) in mV that follow from what a projection knows, NaN where they do not."""
    leads, length = shape
    units = torch.eye(leads, dtype=torch.float32)[:, :, None].expand(-1, -1, length)  # one lead each
    at_zero, *moved = project(torch.cat((torch.zeros(1, leads, length, dtype=torch.float32), units)))
    fixed = torch.stack([(one - at_zero).abs() < 1e-4 for one in moved]).all(dim=0)
    return torch.where(fixed, at_zero, torch.nan)


def pairs_of(gaps: Any) -> list[tuple[float, float]]:
    """Return the start and the end of each gap in s; ValueError unless each gap is a pair of finite numbers."""
    try:
        pairs = np.asarray(list(gaps), dtype=np.float64)
    except (TypeError, ValueError):
        pairs = np.full((1, 2), np.nan)
    if pairs.size and (pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all()):
        raise ValueError(f"gaps is {gaps!r}: expected pairs of seconds, such as [(2, 4)]")
    return [(start, end) for start, end in pairs.reshape(-1, 2).tolist()]


def known_part(
    twelve_mv: NDArray[np.float64], known: Sequence[str] | None, gaps: Gaps, fs_hz: float
) -> NDArray[np.float64]:
    """Return leads (12, L) in mV with NaN in leads that are not `known`, and between the seconds of each gap.

    ValueError for a name that is no lead, a lead that the recording lacks, a gap outside of the recording, and where
    nothing is left that is known or that is missing.
    """
    there, length_s = twelve_mv.copy(), twelve_mv.shape[1] / fs_hz
    if isinstance(known, str):
        raise ValueError(f"known is {known!r}: expected a list of leads, such as ['I', 'II']")
    if known is not None:
        found = [lead_of(name) for name in known]
        wrong = [str(name) for name, lead in zip(known, found, strict=True) if lead is None or lead[1] < 0]
        if wrong or not found:
            raise ValueError(
                f"known is {', '.join(wrong) or 'empty'}: expected leads of {', '.join(CLINICAL)}"
            )
        rows = [CLINICAL.index(lead[0]) for lead in found if lead is not None]
        absent = [CLINICAL[row] for row in rows if np.isnan(twelve_mv[row]).all()]
        if absent:
            raise ValueError(f"known is {', '.join(absent)}, which the recording does not have")
        there[[row for row in range(len(CLINICAL)) if row not in rows]] = np.nan
    for start, end in gaps:
        if not 0 <= start < end <= length_s:
            raise ValueError(f"a gap from {start:g} to {end:g} s: expected a part of 0 to {length_s:g} s")
        there[:, round(start * fs_hz) : round(end * fs_hz)] = np.nan
    if not np.isfinite(there).any():
        raise ValueError("nothing is known of the recording: name leads that are, or a shorter gap")
    if np.isfinite(there).all():
        raise ValueError("nothing is missing in the recording: name the leads that are known, or a gap")
    return there


@cache
def covariance() -> NDArray[np.float64]:
    """Return the covariance (8, 8) of the leads in mV^2 over recordings of PTB-XL, each lead less its median."""
    text = resources.files("sssd.editing").joinpath("lead_covariance.json").read_text(encoding="utf-8")
    return np.array(json.loads(text)["covariance_mv2"])


def projection(
    known_mv: NDArray[np.float64], spread: NDArray[np.float64], device: torch.device | str
) -> Callable[[Tensor], Tensor]:
    """Return the function that moves records (B, 8, L) to those that have the known leads (12, L), NaN elsewhere.

    Both are in mV. What is known is A x = y at each sample; x moves to x + S A' (A S A')^-1 (y - A x), where `spread`,
    S (8, 8), is the covariance of the leads. It is the most probable record of a normal distribution about x, and from
    x = 0 it is linear regression on the known leads. Limb leads that contradict each other are met on average.
    """
    of_eight = to_twelve(np.eye(len(EIGHT)))  # (12, 8)
    mask = np.isfinite(known_mv)
    patterns, which = np.unique(mask, axis=1, return_inverse=True)
    keep = np.empty((mask.shape[1], len(EIGHT), len(EIGHT)), np.float32)
    add = np.empty((len(EIGHT), mask.shape[1]), np.float32)
    for k, pattern in enumerate(patterns.T):
        samples, rows = which.reshape(-1) == k, of_eight[pattern]
        back = spread @ rows.T @ np.linalg.pinv(rows @ spread @ rows.T, hermitian=True, rcond=1e-9)
        keep[samples] = np.eye(len(EIGHT)) - back @ rows
        add[:, samples] = back @ known_mv[pattern][:, samples]
    kept, added = torch.from_numpy(keep).to(device), torch.from_numpy(add).to(device)
    return lambda x: torch.einsum("lij,bjl->bil", kept, x) + added
