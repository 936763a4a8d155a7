"""The recording that is edited: as the model takes it, with what is known and what was done to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..io.raw import Raw
from ..io.recording import read_recording
from ..labels import find
from ..leads import to_eight
from ..record import Ecg

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG


@dataclass(frozen=True, eq=False)
class Taken:
    """A recording at the rate, of the length and with the leads of a model.

    twelve_mv: (12, L) float64 in mV, leads I II III aVR aVL aVF V1..V6; NaN where it is not known. statements: of the
    file or the `Ecg`, as far as the model knows them. facts: for the provenance of what is made of it. notes: in words,
    what was done to it.
    """

    twelve_mv: NDArray[np.float64]
    statements: tuple[str, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def eight(self) -> Tensor:
        """The leads (8, L) float32 in mV that the model takes, I V1..V6 aVF."""
        return torch.from_numpy(to_eight(self.twelve_mv)).float()

    @property
    def whole(self) -> bool:
        """Whether no lead and no sample is missing."""
        return bool(np.isfinite(self.twelve_mv).all())


Source = Taken | Ecg | Raw | str | os.PathLike[str]


def take(model: SSSDECG, source: Source, *, partial: bool = False) -> Taken:
    """Read a recording, a file of any form that `read_recording` takes or an `Ecg`, as the model takes it.

    One that was taken before stays as it is.
    partial: whether leads and samples may be missing. ValueError, with one message, if it cannot be used.
    """
    if isinstance(source, Taken):
        return source
    given = source if isinstance(source, Ecg | Raw) else Path(source)
    fs_hz, samples = model.fs_hz, model.shape[1]
    try:
        found = read_recording(given, fs_hz=fs_hz, samples=samples, partial=partial)
        if found.flat:
            raise ValueError(f"{', '.join(found.flat)} flat: expected 12 leads that change")
    except ValueError as error:
        name = "the recording" if not isinstance(given, Path) else f"the recording {str(given)!r}"
        raise ValueError(f"{name}: {error}") from None
    known = [code for code in found.statements if _knows(code, model.label_names)]
    left = [code for code in found.statements if code not in known]
    microvolts = np.nan_to_num(np.rint(found.signal_mv * 1e3), nan=-32768).astype("<i2")
    facts: dict[str, Any] = {"source": given.stem} if isinstance(given, Path) else {}
    facts["source_sha256"] = hashlib.sha256(microvolts.tobytes()).hexdigest()
    facts["source_statements"] = "+".join(known)
    notes = [*found.notes, *([f"the first {samples / fs_hz:g} s are used"] if found.cut else [])]
    notes += [f"the model does not know the statements {', '.join(left)}"] if left else []
    return Taken(found.signal_mv, tuple(known), facts, tuple(notes))


def _knows(code: str, names: Sequence[str]) -> bool:
    try:
        find(code, names)
    except ValueError:
        return False
    return True
