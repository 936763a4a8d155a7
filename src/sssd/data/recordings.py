"""A set of real or generated 12-lead ECGs with their labels, and the NPZ file it is kept in.

signal_uv int16 (n, 12, L) microvolts, leads I II III aVR aVL aVF V1..V6; labels uint8 (n, K); label_names
(K,); leads (12,); fs_hz; optional strat_fold (n,), record_id (n,), age (n,) in years and sex (n,), 0 male and 1 female,
both NaN where unknown; optional heart_rate (n,), the beats per minute that a generated record was asked for, NaN where
none were, or in its place the provenance (n,) that `generate` writes; optional coarse (n,), 1 where a signal is wrong
in detail, for example because it was filtered or rescaled, so that it is trained on only under noise that hides this;
optional stated (n, K), 1 where the source says whether the label is present and 0 where it says nothing, so that the
label's 0 does not mean absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import read_arrays
from ..io.files import replacing
from ..io.raw import rate_of
from ..labels import check_names
from ..leads import CLINICAL, lead_names, reorder, to_eight
from ..patient import ages, heart_rates, sexes

FILE = "signals.npz"  # its name inside a folder of prepared data
GENERATED = "ecgs.npz"  # and inside a folder that `generate` wrote
OPTIONAL = ("strat_fold", "record_id", "age", "sex", "heart_rate", "coarse")  # one value per recording each


@dataclass(frozen=True)
class Recordings:
    """n recordings of 12 leads in the clinical order. ValueError if the parts do not fit together."""

    signal_uv: NDArray[np.int16]  # (n, 12, L) microvolts
    labels: NDArray[np.uint8]  # (n, K) 0 or 1
    label_names: tuple[str, ...]  # (K,)
    leads: tuple[str, ...] = CLINICAL
    fs_hz: float = 100.0
    strat_fold: NDArray[np.int64] | None = None  # (n,) 1-8 train, 9 validation, 10 test
    record_id: NDArray[Any] | None = None  # (n,)
    age: NDArray[np.float64] | None = None  # (n,) years, NaN: unknown
    sex: NDArray[np.float64] | None = None  # (n,) 0 male, 1 female, NaN: unknown
    heart_rate: NDArray[np.float64] | None = None  # (n,) beats per minute that were asked for, NaN: none were
    coarse: NDArray[np.uint8] | None = None  # (n,) 1: the signal is wrong in detail; None: none is
    stated: NDArray[np.uint8] | None = (
        None  # (n, K) 0: not known whether the label is present; None: all are known
    )

    def __post_init__(self) -> None:
        signal, labels = self.signal_uv, self.labels
        if signal.dtype != np.int16 or signal.ndim != 3 or signal.shape[1] != 12:
            raise ValueError(
                f"signal_uv is {signal.dtype} {signal.shape}; expected int16 (n, 12, L) in microvolts"
            )
        if labels.dtype != np.uint8 or labels.shape != (len(signal), len(self.label_names)):
            expected = (len(signal), len(self.label_names))
            raise ValueError(f"labels are {labels.dtype} {labels.shape}; expected uint8 {expected}")
        if labels.size and labels.max() > 1:
            raise ValueError(f"labels hold the value {labels.max()}; expected 0 and 1")
        if len(set(self.label_names)) < len(self.label_names):
            raise ValueError("label_names holds a name twice; expected each once")
        if tuple(self.leads) != CLINICAL:
            raise ValueError(f"leads are {', '.join(self.leads)}; expected {', '.join(CLINICAL)}")
        if not 0 < self.fs_hz < np.inf:
            raise ValueError(f"fs_hz is {self.fs_hz}; expected a sampling rate above 0")
        if self.stated is not None:
            if self.stated.dtype != np.uint8 or self.stated.shape != labels.shape:
                raise ValueError(
                    f"stated is {self.stated.dtype} {self.stated.shape}; expected uint8 {labels.shape}"
                )
            if (labels > self.stated).any() or self.stated.max(initial=0) > 1:
                raise ValueError("stated is not 0 or 1, or 0 for a label that is present")
        for name in OPTIONAL:
            part = getattr(self, name)
            if part is not None and part.shape != (len(signal),):
                raise ValueError(
                    f"{name} has shape {part.shape}; expected one per recording, {(len(signal),)}"
                )

    def __len__(self) -> int:
        return len(self.signal_uv)


def read(path: str | Path) -> Recordings:
    """Read an NPZ file, or the signals.npz or ecgs.npz of a folder.

    Leads in another order are put into the clinical one. Absent leads mean the clinical order, an absent
    fs_hz 100 Hz; ecg_id stands for record_id. FileNotFoundError where nothing is there; ValueError if the
    file is no set of ECGs, samples are missing, or nobody could ask for one of the labels by its name.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in (FILE, GENERATED) if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(
                f"the folder {str(path)!r} has no {FILE}, nor {GENERATED}; prepare the recordings first"
            )
        path = found[0]
    if not path.is_file():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
    data = read_arrays(path)
    missing = [name for name in ("signal_uv", "labels", "label_names") if name not in data]
    if missing:
        raise ValueError(
            f"{str(path)!r} lacks {', '.join(missing)}; expected signal_uv, labels and label_names"
        )
    try:
        signal, labels = data["signal_uv"], data["labels"]
        if "leads" in data:
            order = lead_names([str(name) for name in data["leads"].astype(np.str_)])
            signal = signal if order == CLINICAL else reorder(signal, order)
        names = tuple(np.atleast_1d(data["label_names"]).astype(np.str_).tolist())
        check_names(names, "label_names")
        if signal.dtype == np.int16 and signal.min(initial=0) == np.iinfo(np.int16).min:
            raise ValueError(
                "signal_uv holds -32768, by which WFDB marks missing samples; leave these records out"
            )
        if labels.dtype != np.uint8 and np.isin(labels, (0, 1)).all():
            labels = labels.astype(np.uint8)
        fold = data.get("strat_fold")
        if fold is not None and not np.isin(fold, range(1, 11)).all():
            raise ValueError("strat_fold holds values other than the whole numbers 1 to 10")
        return Recordings(
            signal_uv=signal,
            labels=labels,
            label_names=names,
            fs_hz=rate_of(data["fs_hz"]) if "fs_hz" in data else 100.0,
            strat_fold=None if fold is None else fold.astype(np.int64),
            record_id=data.get("record_id", data.get("ecg_id")),
            age=ages(data["age"]) if "age" in data else None,
            sex=sexes(data["sex"]) if "sex" in data else None,
            heart_rate=_asked_heart_rates(data),
            coarse=_flags(data["coarse"]) if "coarse" in data else None,
            stated=data.get("stated"),
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{str(path)!r}: {error}") from error


def _asked_heart_rates(data: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """Return the heart rates (n,) that records were asked for, None if none was."""
    if "heart_rate" in data:
        return heart_rates(data["heart_rate"])
    asked = [_asked_heart_rate(str(text)) for text in np.atleast_1d(data.get("provenance", np.array([])))]
    return None if all(rate is None for rate in asked) else heart_rates(asked)


def _asked_heart_rate(provenance: str) -> Any:
    try:
        told = json.loads(provenance)
    except (ValueError, RecursionError):
        return None  # another program's
    return told.get("heart_rate") if isinstance(told, dict) else None


def _flags(values: NDArray[Any]) -> NDArray[np.uint8]:
    if not np.isin(values, (0, 1)).all():
        raise ValueError("coarse holds values other than 0 and 1")
    return values.astype(np.uint8)


def write(path: str | Path, recordings: Recordings, *, overwrite: bool = False) -> Path:
    """Write an NPZ file, complete or not at all, and return its path. FileExistsError if it exists."""
    path = Path(path)
    with replacing(path, overwrite=overwrite) as (part,):
        save(part, recordings)
    return path


def save(path: Path, recordings: Recordings) -> None:
    """Write the NPZ file straight to `path`, for callers that move it into place themselves."""
    optional = {name: getattr(recordings, name) for name in (*OPTIONAL, "stated")}
    arrays: dict[str, Any] = {name: part for name, part in optional.items() if part is not None}
    arrays |= {"signal_uv": recordings.signal_uv, "labels": recordings.labels}
    arrays |= {"label_names": np.array(recordings.label_names, dtype=np.str_)}
    arrays |= {"leads": np.array(recordings.leads), "fs_hz": np.float64(recordings.fs_hz)}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def subset(recordings: Recordings, mask: NDArray[Any]) -> Recordings:
    """Return the recordings where a boolean mask (n,) is true, or at the given integer positions."""
    mask = np.asarray(mask)
    if mask.ndim != 1 or (mask.dtype == np.bool_ and len(mask) != len(recordings)):
        raise ValueError(
            f"mask has shape {mask.shape}; expected one value per recording, ({len(recordings)},)"
        )
    if mask.dtype != np.bool_:
        mask = mask.astype(np.int64)
    optional = {name: getattr(recordings, name) for name in (*OPTIONAL, "stated")}
    return Recordings(
        signal_uv=recordings.signal_uv[mask],
        labels=recordings.labels[mask],
        label_names=recordings.label_names,
        leads=recordings.leads,
        fs_hz=recordings.fs_hz,
        **{name: None if part is None else part[mask] for name, part in optional.items()},
    )


def not_stated(recordings: Recordings) -> str | None:
    """Return a note that some labels are not stated, for whoever takes a 0 for absent; None where all are."""
    if recordings.stated is None or recordings.stated.all():
        return None
    share = float((recordings.stated == 0).mean())
    return f"whether {share:.0%} of the labels are present is not stated; they are taken as absent here"


def eight_leads_mv(recordings: Recordings) -> NDArray[np.float32]:
    """Return the eight independent leads (n, 8, L) float32 in mV, I V1..V6 aVF: what the network sees."""
    eight: NDArray[np.float32] = to_eight(recordings.signal_uv).astype(np.float32)
    eight *= np.float32(1e-3)
    return eight
