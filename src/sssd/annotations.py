"""Annotations of a record: where P, QRS and T begin, peak and end, and the kind of each beat.

A generated record has no truth of its own. Its annotations are what two methods of delineation agree on: a network that
learnt from cardiologists' marks and reads eight leads (`signals.delineator`), and prominence in lead II
(`signals.waves`). What only one of them finds is left out and counted. An onset or end that they place differently by
more than `TOLERANCE_S` is left out. Onsets and ends are the network's, peaks are those of lead II.

Symbols are those of WFDB (PhysioNet), as in the QT database: "(" and ")" around "p", "t" or the symbol of a beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .leads import EIGHT
from .record import Annotation, Ecg, parts_of
from .signals.delineator import FS_HZ, WAVES, Delineator, probabilities, trained, waves_of
from .signals.waves import delineate

Floats = NDArray[np.float64]

TOLERANCE_S = {"P": 0.03, "QRS": 0.03, "T": 0.05}  # between the two methods
FINE_HZ = 500.0  # lead II is resampled to at least this rate
NO_P = frozenset({"AFIB", "AFLT"})
CONDUCTED = {
    "PACE": "/",
    "CLBBB": "L",
    "CRBBB": "R",
}  # statement -> symbol of all its beats, the first that is there
RHYTHMS = {  # statement -> WFDB's name of the rhythm, the first that is there
    "PACE": "(P",
    "AFIB": "(AFIB",
    "AFLT": "(AFL",
    "PSVT": "(SVTA",
    "SVTAC": "(SVTA",
    "BIGU": "(B",
    "TRIGU": "(T",
    "2AVB": "(BII",
    "SBRAD": "(SBR",
    "SR": "(N",
}
ECTOPIC = frozenset({"PVC", "BIGU", "TRIGU", "PAC", "PRC(S)", "SVARR", "PSVT"})  # statements of mixed beats
ALIKE, UNLIKE = 0.9, 0.6  # correlation of a QRS complex with the median of them all
WIDE_S = 0.12  # a QRS complex of a ventricular beat lasts at least so long,
WIDER_S = 0.02  # and by so much longer than the median of all complexes
HALF_QRS_S = 0.12  # of a complex whose shape is compared, to either side of its middle
EARLY = 0.85  # of the median RR interval


class Delineation(NamedTuple):
    """What two methods agree on.

    waves: for P, QRS and T, onset, peak and end of each in s, (n, 3); NaN where they disagree. qrs_s: onset
    and end of each QRS complex by the network, (n, 2). found: for P, QRS and T, the times in s at which each of the two
    methods has a wave, by the network and by prominence.
    """

    waves: dict[str, Floats]
    qrs_s: Floats
    found: dict[str, tuple[Floats, Floats]]

    def left_out(self, wave: str, first: float, last: float) -> int:
        """Return how many waves from the second `first` until `last` only one of the methods found."""
        both, *alone = (
            int(np.sum((at >= first) & (at < last))) for at in (self.waves[wave][:, 1], *self.found[wave])
        )
        return max(0, max(alone) - both)


def annotate(ecg: Ecg) -> Ecg:
    """Return the record with annotations of its waves and beats; those that it has stay.

    A record with noise is annotated by its `clean` record. The provenance says how many waves of each kind were left
    out.
    """
    if ecg.clean is not None:
        clean = annotate(ecg.clean)
        told = {"annotations": clean.provenance["annotations"]}
        return replace(ecg, clean=clean, annotations=clean.annotations, provenance={**ecg.provenance, **told})
    found = delineation(ecg)
    made: list[Annotation] = []
    left_out = dict.fromkeys(WAVES, 0)
    for statements, first, last in parts_of(ecg):
        for wave in WAVES:
            if wave != "P" or not NO_P.intersection(statements):
                left_out[wave] += found.left_out(wave, first, last)
        beats = _between(found.waves["QRS"], first, last)
        symbols = {
            "P": ["" if NO_P.intersection(statements) else "p"] * len(found.waves["P"]),
            "QRS": beat_symbols(ecg, found.qrs_s[beats], statements),
            "T": ["t"] * len(found.waves["T"]),
        }
        for wave in WAVES:
            here = _between(found.waves[wave], first, last)
            for points, peak in zip(found.waves[wave][here], symbols[wave], strict=False):
                for at, symbol in zip(points, ("(", peak, ")"), strict=True):
                    if peak and np.isfinite(at):
                        made.append(Annotation(round(float(at) * ecg.fs_hz), symbol, wave))
    annotations = tuple(sorted((*ecg.annotations, *made), key=lambda one: one.sample))
    told = {"annotations": {"left_out": left_out}}
    return replace(ecg, annotations=annotations, provenance={**ecg.provenance, **told})


def notes_of(parts: Sequence[tuple[int, Sequence[str]]]) -> tuple[Annotation, ...]:
    """Return the annotations of a record whose statements change; parts: the first sample and the statements of each.

    Each part begins with a note of its statements and, where WFDB has a name for its rhythm, with that.
    """
    made = []
    for sample, statements in parts:
        rhythm = next((name for code, name in RHYTHMS.items() if code in statements), "")
        made += [Annotation(sample, "+", note=rhythm)] if rhythm else []
        made.append(Annotation(sample, '"', note="+".join(statements)))
    return tuple(made)


def _between(waves: Floats, first: float, last: float) -> NDArray[np.bool_]:
    return np.asarray((waves[:, 1] >= first) & (waves[:, 1] < last), dtype=np.bool_)


def delineation(ecg: Ecg, model: Delineator | None = None) -> Delineation:
    """Return the waves of a record on which both methods agree. model: another network than the one that ships."""
    from scipy.signal import resample_poly  # here, because importing it takes as long as making a record

    eight = np.stack([ecg.lead(name) for name in EIGHT]).astype(np.float64)
    ratio = Fraction(FS_HZ / ecg.fs_hz).limit_denominator(5000)
    if ratio != 1:
        eight = resample_poly(eight, ratio.numerator, ratio.denominator, axis=1, padtype="edge")
    learnt = waves_of(probabilities(model or trained(), eight))
    finer = max(1, round(FINE_HZ / ecg.fs_hz))
    lead = resample_poly(ecg.lead("II").astype(np.float64), finer, 1, padtype="edge")
    prominent = delineate(lead, finer * ecg.fs_hz)
    middles = {wave: learnt[wave].mean(axis=1) for wave in WAVES}
    if prominent is None:
        nothing = np.zeros(0)
        return Delineation(
            {wave: np.zeros((0, 3)) for wave in WAVES},
            np.zeros((0, 2)),
            {wave: (middles[wave], nothing) for wave in WAVES},
        )
    seconds = {name: value / prominent.fs_hz for name, value in vars(prominent).items() if name != "fs_hz"}
    other = {
        "P": np.stack((seconds["p_onset"], seconds["p_peak"], seconds["p_end"]), axis=1),
        "QRS": np.stack((seconds["qrs_onset"], seconds["r_peak"], seconds["qrs_end"]), axis=1),
        "T": np.stack((seconds["t_onset"], seconds["t_peak"], seconds["t_end"]), axis=1),
    }
    both = {wave: agreed(learnt[wave], other[wave], TOLERANCE_S[wave]) for wave in WAVES}
    waves = {wave: points for wave, (points, _) in both.items()}
    found = {wave: (middles[wave], other[wave][np.isfinite(other[wave][:, 1]), 1]) for wave in WAVES}
    return Delineation(waves, learnt["QRS"][both["QRS"][1]], found)


def agreed(learnt: Floats, prominent: Floats, tolerance_s: float) -> tuple[Floats, NDArray[np.intp]]:
    """Return onset, peak and end (n, 3) in s of the waves that both have, and their places (n,) in `learnt`.

    learnt: onsets and ends (m, 2). prominent: onsets, peaks and ends (b, 3), NaN where none was found. Both have a wave
    if its peak is in between. An end is NaN where they differ by more than the tolerance.
    """
    found, places = [], []
    for place, (onset, end) in enumerate(learnt):
        inside = np.flatnonzero((prominent[:, 1] >= onset - 0.01) & (prominent[:, 1] <= end + 0.01))
        if len(inside) != 1:
            continue
        other = prominent[inside[0]]
        keep = np.abs(np.array([onset, end]) - other[[0, 2]]) <= tolerance_s  # False for NaN
        found.append([onset if keep[0] else np.nan, other[1], end if keep[1] else np.nan])
        places.append(place)
    return np.array(found).reshape(-1, 3), np.array(places, dtype=np.intp)


def beat_symbols(ecg: Ecg, qrs_s: Floats, statements: Sequence[str]) -> list[str]:
    """Return the WFDB symbol of each beat, given onset and end of its QRS complex in s, (n, 2).

    "L", "R" and "/" follow from the statements CLBBB, CRBBB and PACE, others are "N". In records whose statements speak
    of ectopic beats, a beat is "V" if it is both unlike the others and wide, and "Q" (unclassifiable) if only one of
    these holds, or it comes early.
    """
    usual = next((symbol for code, symbol in CONDUCTED.items() if code in statements), "N")
    if not ECTOPIC.intersection(statements):
        return [usual] * len(qrs_s)
    return [{"unlike": "V", "alike": usual}.get(kind, "Q") for kind in kinds(ecg, qrs_s)]


def kinds(ecg: Ecg, qrs_s: Floats) -> list[str]:
    """Say of each beat whether it is "unlike" others in shape and width, "alike" in both and in time, or "unsure"."""
    if not len(qrs_s):
        return []
    half, at = round(HALF_QRS_S * ecg.fs_hz), np.rint(qrs_s.mean(axis=1) * ecg.fs_hz).astype(int)
    eight = np.stack([ecg.lead(name) for name in EIGHT]).astype(np.float64)
    padded = np.pad(eight - np.median(eight, axis=1, keepdims=True), ((0, 0), (half, half)), mode="edge")
    cut = np.array([padded[:, one : one + 2 * half + 1] for one in at]).reshape(len(at), -1)
    middle = np.median(cut, axis=0)
    likeness = (cut @ middle) / np.maximum(np.linalg.norm(cut, axis=1) * np.linalg.norm(middle), 1e-9)
    width = qrs_s[:, 1] - qrs_s[:, 0]
    wide = (width >= WIDE_S) & (width >= np.median(width) + WIDER_S)
    interval = np.diff(qrs_s[:, 0], prepend=np.nan)
    early = interval < EARLY * (np.median(interval[1:]) if len(at) > 1 else np.nan)
    return [
        "unlike"
        if like < UNLIKE and broad
        else "alike"
        if like > ALIKE and not broad and not soon
        else "unsure"
        for like, broad, soon in zip(likeness, wide, early, strict=True)
    ]
