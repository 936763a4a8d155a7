"""Records as the answer that the client accepts: JSON, NPZ, a ZIP of WFDB records, CSV, a picture. All in memory."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ..io import csv_table, npz, wfdb
from ..plot import draw, paper
from ..record import Ecg

_DRAWING = threading.Lock()  # matplotlib's settings are global


@dataclass(frozen=True)
class Form:
    """A form of answer. several: whether it holds more than one record."""

    media_type: str
    suffix: str
    several: bool
    encode: Callable[[Sequence[Ecg], Mapping[str, Any]], bytes]


def signal_json(signal: np.ndarray) -> NDArray[np.float64]:
    """A signal (12, L) in mV to 1 uV, for `to_json`."""
    return np.ascontiguousarray(np.round(signal.astype(np.float64), 3) + 0.0)  # + 0.0: no -0.0


def record_json(ecg: Ecg, measured: Mapping[str, float | None] | None = None) -> dict[str, Any]:
    """One record as values for `to_json`; see schemas.Record."""
    return {
        "statements": list(ecg.statements),
        "requested": ecg.provenance["requested"],
        "seed": ecg.provenance["seed"],
        "index": ecg.provenance["index"],
        "age": ecg.provenance.get("age"),
        "sex": ecg.provenance.get("sex"),
        "fs_hz": ecg.fs_hz,
        "unit": "mV",
        "leads": list(ecg.leads),
        "signal": signal_json(ecg.signal),
        "measured": measured,
    }


def to_json(value: Any) -> bytes:
    """JSON of what the service made, arrays included: ten times as fast as Python's, and other threads wait for it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def problem_json(detail: str) -> bytes:
    """ASCII, so that nothing a client sent can fail to be encoded."""
    return json.dumps({"detail": detail}, separators=(",", ":")).encode("ascii")


def _json(ecgs: Sequence[Ecg], how: Mapping[str, Any]) -> bytes:
    return to_json({"records": [record_json(ecg) for ecg in ecgs], "provenance": dict(how)})


def _npz(ecgs: Sequence[Ecg], how: Mapping[str, Any]) -> bytes:
    return npz.render(ecgs)


def _zip(ecgs: Sequence[Ecg], how: Mapping[str, Any]) -> bytes:
    """WFDB records with PhysioNet's list of them, RECORDS."""
    file = io.BytesIO()
    names = [f"ecg_{ecg.provenance['seed']}_{ecg.provenance['index']}" for ecg in ecgs]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, ecg in zip(names, ecgs, strict=True):
            header, data = wfdb.render(name, ecg)
            archive.writestr(zipfile.ZipInfo(f"{name}.hea"), header, zipfile.ZIP_DEFLATED)
            archive.writestr(zipfile.ZipInfo(f"{name}.dat"), data, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("RECORDS"), "".join(f"{name}\n" for name in names))
    return file.getvalue()


def _csv(ecgs: Sequence[Ecg], how: Mapping[str, Any]) -> bytes:
    return csv_table.render(ecgs[0]).encode("ascii")


def _picture(suffix: str) -> Callable[[Sequence[Ecg], Mapping[str, Any]], bytes]:
    def encode(ecgs: Sequence[Ecg], how: Mapping[str, Any]) -> bytes:
        with _DRAWING:
            return draw(paper(ecgs[0]), suffix)

    return encode


JSON = Form("application/json", "json", True, _json)
FORMS = (
    JSON,
    Form("application/x-npz", "npz", True, _npz),
    Form("application/zip", "zip", True, _zip),
    Form("text/csv", "csv", False, _csv),
    Form("image/png", "png", False, _picture("png")),
    Form("image/svg+xml", "svg", False, _picture("svg")),
    Form("application/pdf", "pdf", False, _picture("pdf")),
)
ALIASES = {"application/octet-stream": "application/x-npz"}


def choose(accept: str | None) -> Form | None:
    """The form that an Accept header (RFC 9110, 12.5.1) prefers, JSON where it does not care; None: we have none."""
    best: tuple[float, int, Form] | None = None
    ranges = [_range(part) for part in (accept or "*/*").split(",") if part.strip()]
    for order, form in enumerate(FORMS):
        quality, exactness = 0.0, -1
        for name, q in ranges:
            level = _match(ALIASES.get(name, name), form.media_type)
            if level > exactness:  # the most exact range that fits counts
                quality, exactness = q, level
        if quality > 0.0 and (best is None or (quality, -order) > best[:2]):
            best = quality, -order, form
    return best[2] if best else None


def _range(part: str) -> tuple[str, float]:
    """'text/csv;q=0.5' -> its name and quality; one that is no number from 0 to 1 counts as 0."""
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((p[2:].strip() for p in parameters if p.startswith("q=")), "1")
    try:
        q = float(quality)
    except ValueError:
        q = 0.0
    return name, q if 0.0 <= q <= 1.0 else 0.0


def _match(name: str, media_type: str) -> int:
    """2: the type itself, 1: its family, 0: anything, -1: another."""
    if name == media_type:
        return 2
    if name == media_type.split("/")[0] + "/*":
        return 1
    return 0 if name == "*/*" else -1
