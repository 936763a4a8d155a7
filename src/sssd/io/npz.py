"""A set of ECGs in one NumPy archive.

    signal_uv     int16 (n, 12, L) in microvolts; leads I II III aVR aVL aVF V1..V6
    labels        uint8 or float32 (n, K)
    label_names   (K,)
    leads         (12,)
    fs_hz         samples per second
    provenance    (n,) JSON texts
    annotation_record, annotation_sample, annotation_symbol, annotation_wave, annotation_note
                  (m,) each, the annotations of all records; only where there are any
    clean_uv      as signal_uv, without the noise that was added; only where noise was

Only signal_uv is needed to read a set.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..labels import has
from ..leads import CLINICAL, reorder
from ..record import Ecg
from . import annotation_files
from .arrays import read_arrays
from .files import write_bytes
from .raw import rate_of
from .units import microvolts


def write(
    path: str | Path,
    ecgs: Sequence[Ecg],
    *,
    labels: np.ndarray | None = None,
    label_names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ECGs of one length and sampling rate and return the path.

    labels (n, K) and label_names (K,) are given together; without them the statements that occur become the labels.
    ValueError if lengths, rates or shapes differ or a value is beyond +-32.767 mV; FileExistsError if the file exists
    and `overwrite` is not set.
    """
    return write_bytes(path, render(ecgs, labels=labels, label_names=label_names), overwrite=overwrite)


def render(
    ecgs: Sequence[Ecg],
    *,
    labels: np.ndarray | None = None,
    label_names: Sequence[str] | None = None,
) -> bytes:
    """Return the content of the archive; see `write`."""
    if not ecgs:
        raise ValueError("there are no ECGs to write; expected at least one")
    forms = sorted({(ecg.signal.shape[1], ecg.fs_hz) for ecg in ecgs})
    if len(forms) > 1:
        found = ", ".join(f"{length} samples at {fs_hz:g} Hz" for length, fs_hz in forms)
        raise ValueError(f"a set holds ECGs of one length and sampling rate; got {found}")
    if (labels is None) != (label_names is None):
        raise ValueError("labels and label_names belong together; give both or neither")
    if labels is None or label_names is None:
        label_names = sorted({code for ecg in ecgs for code in ecg.statements})
        labels = np.array([[name in ecg.statements for name in label_names] for ecg in ecgs], dtype=np.uint8)
    labels = np.asarray(labels)
    if labels.shape != (len(ecgs), len(label_names)):
        expected = (len(ecgs), len(label_names))
        raise ValueError(
            f"labels have shape {labels.shape}; expected one row per ECG and one name per column, {expected}"
        )
    whole = ((labels == 0) | (labels == 1)).all()
    clean = [ecg.clean for ecg in ecgs if ecg.clean is not None]
    if len(clean) not in (0, len(ecgs)):
        raise ValueError(
            f"noise was added to {len(clean)} of {len(ecgs)} ECGs; a set holds all or none of these"
        )
    beside: dict[str, Any] = {"clean_uv": _signals(clean)} if clean else {}
    if any(ecg.annotations for ecg in ecgs):
        beside |= annotation_files.arrays(ecgs)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        signal_uv=_signals(ecgs),
        **beside,
        labels=labels.astype(np.uint8 if whole else np.float32),
        label_names=np.array(label_names, dtype=np.str_),
        leads=np.array(CLINICAL),
        fs_hz=np.float64(ecgs[0].fs_hz),
        provenance=np.array([json.dumps(ecg.provenance, sort_keys=True) for ecg in ecgs]),
    )
    return file.getvalue()


def _signals(ecgs: Sequence[Ecg]) -> np.ndarray:
    return np.stack([microvolts(reorder(ecg.signal, ecg.leads, CLINICAL)) for ecg in ecgs])  # (n, 12, L)


def read(path: str | Path) -> list[Ecg]:
    """Read a set as records. The statements of a record are those that its labels have (sssd.labels.has).

    Without `leads` the clinical order is assumed, without `fs_hz` 100 Hz. record_id and ecg_id, if present, become part
    of the provenance. FileNotFoundError if there is no such file; ValueError if it is not a set of ECGs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    data = read_arrays(path)
    if "signal_uv" not in data or data["signal_uv"].ndim != 3:
        raise ValueError(f"{str(path)!r} is not a set of ECGs: it lacks signal_uv (n, 12, L) in microvolts")
    try:
        return _records(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{str(path)!r}: {error}") from None


def _records(data: dict[str, np.ndarray]) -> list[Ecg]:
    count = len(data["signal_uv"])
    names = data.get("label_names", np.zeros(0, dtype=np.str_))
    labels = data.get("labels", np.zeros((count, len(names))))
    if labels.shape != (count, len(names)):
        raise ValueError(f"labels have shape {labels.shape}; expected {(count, len(names))}")
    fs_hz = rate_of(data["fs_hz"]) if "fs_hz" in data else 100.0
    leads = tuple(str(name) for name in np.asarray(data.get("leads", CLINICAL)).astype(np.str_))
    each = {key: data[key] for key in ("provenance", "record_id", "ecg_id") if key in data}
    for key, values in each.items():
        if values.shape != (count,):
            raise ValueError(f"{key} has shape {values.shape}; expected one value per ECG, {(count,)}")
    texts, clean = each.pop("provenance", None), data.get("clean_uv")
    if clean is not None and clean.shape != data["signal_uv"].shape:
        raise ValueError(f"clean_uv has shape {clean.shape}; expected that of signal_uv")
    marks, ecgs = annotation_files.from_arrays(data, count), []
    for i, signal in enumerate(data["signal_uv"]):
        provenance: dict[str, Any] = {} if texts is None else _provenance(str(texts[i]), i)
        provenance |= {key: values[i].item() for key, values in each.items()}
        statements = tuple(str(name) for name in names[has(labels[i])])
        ecg = Ecg(signal / np.float32(1000.0), fs_hz, leads, statements, provenance, marks[i])
        if clean is not None:
            facts = {key: value for key, value in provenance.items() if key != "noise"}
            ecg = replace(ecg, clean=replace(ecg, signal=clean[i] / np.float32(1000.0), provenance=facts))
        ecgs.append(ecg)
    return ecgs


def _provenance(text: str, i: int) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"the provenance of record {i} is {text[:40]!r}; expected a JSON object")
    return content
