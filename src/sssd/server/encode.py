"""Records in the format that the client accepts: JSON, NPZ, a ZIP of WFDB records, CSV, EDF, DICOM or a picture.

All are made in memory.
"""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drawing import Drawing
from ..io import csv_table, dicom, edf, npz, wfdb
from ..measurements import intervals, measurements
from ..plot import draw, paper
from ..record import Ecg, as_statement
from ..signals.rules import Check, check

_DRAWING = threading.Lock()  # two threads must not draw at once: matplotlib's settings are global
_LONGEST_CALLED = 80  # characters of the name of a file before its seed
_LONGEST_RECORD = 44  # of the name of a WFDB record: the WFDB library takes 50, and "_clean" may follow


@dataclass(frozen=True)
class Format:
    """A format of answers.

    several: whether it can hold more than one record. beside: whether it has a place for the record without noise, and
    for annotations. picture: whether it is one. package: that writes it, if it is optional.
    """

    media_type: str
    suffix: str
    several: bool
    encode: Callable[[Sequence[Ecg], Drawing, str], bytes]  # drawing: of pictures; called: see `called`
    beside: bool = True
    picture: bool = False
    package: str = ""


def called(what: Sequence[str], how: str) -> str:
    """Return how the names of files with these records begin, such as AFIB_LVH_standard_seed.

    what: statements, or what was done to a recording. how: the quality, or the sampler and its steps; "" if neither was
    given.
    """
    whole = "_".join(part for part in (*what, how, "seed") if part)
    return re.sub(r"[^A-Za-z0-9-]+", "_", whole)[-_LONGEST_CALLED:].lstrip("_")


def signal_json(signal: np.ndarray) -> NDArray[np.float64]:
    """Return a signal (12, L) in mV, rounded to 1 uV, for `to_json`."""
    return np.ascontiguousarray(
        np.round(signal.astype(np.float64), 3) + 0.0
    )  # adding 0.0 turns -0.0 into 0.0


def record_json(ecg: Ecg, measured: bool) -> dict[str, Any]:
    """Return one record as a dictionary for `to_json`, with the keys of answers.Record.

    measured: whether it holds what is measured in the signal, and the checks of its statements.
    """
    values = measurements(ecg) if measured else {}
    asked = {as_statement(name) for name in ecg.provenance["requested"].split("+")}
    return {
        "statements": list(ecg.statements),
        "requested": ecg.provenance["requested"],
        "drawn": [name for name in ecg.statements if name not in asked],
        "seed": ecg.provenance["seed"],
        "index": ecg.provenance["index"],
        "age": ecg.provenance.get("age"),
        "sex": ecg.provenance.get("sex"),
        "heart_rate": ecg.provenance.get("heart_rate"),
        "fs_hz": ecg.fs_hz,
        "unit": "mV",
        "leads": list(ecg.leads),
        "signal": signal_json(ecg.signal),
        "measured": intervals(values) if measured else None,
        "checks": checks_json(check(values, ecg.statements)) if measured else None,
        **extras_json(ecg),
    }


def extras_json(ecg: Ecg) -> dict[str, Any]:
    """Return what a record has if it was asked for, with the keys of extras.RecordExtras."""
    told = ecg.provenance
    found: dict[str, Any] = {name: told[name] for name in ("parts", "noise") if name in told}
    if ecg.clean is not None:
        found["clean"] = signal_json(ecg.clean.signal)
    if "annotations" in told:
        found |= {"annotations": [vars(one) for one in ecg.annotations], **told["annotations"]}
    return found


def checks_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return checks with the keys of answers.Check."""
    return [
        {
            "statement": one.rule.statement,
            "rule": one.rule.words,
            "value": one.value,
            "shown": one.shown,
            "words": one.words,
        }
        for one in checks
    ]


def to_json(value: Any) -> bytes:
    """Return JSON of values that may hold NumPy arrays. orjson takes a tenth of the time of Python's own encoder."""
    import orjson  # here, because a browser, which writes files by this module, has none

    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def shared_provenance(ecgs: Sequence[Ecg]) -> dict[str, Any]:
    """Return the provenance that all records of a request share."""
    own = ("index", "training_records", "parts", "noise", "annotations")
    return {name: value for name, value in ecgs[0].provenance.items() if name not in own}


def records_json(ecgs: Sequence[Ecg], *, measured: bool) -> bytes:
    """Return the records of a request as JSON, with their measurements if `measured`."""
    records = [record_json(ecg, measured) for ecg in ecgs]
    return to_json({"records": records, "provenance": shared_provenance(ecgs)})


def _json(ecgs: Sequence[Ecg], *_: Any) -> bytes:
    return records_json(ecgs, measured=False)


def _npz(ecgs: Sequence[Ecg], *_: Any) -> bytes:
    return npz.render(ecgs)


def _zip(ecgs: Sequence[Ecg], _: Drawing, begins: str) -> bytes:
    """Return WFDB records and RECORDS, the list of their names that PhysioNet's tools read.

    begins: how their names begin; seed and number follow.
    """
    content = io.BytesIO()
    whole = [f"{begins}_{ecg.provenance['seed']}_{ecg.provenance['index']}" for ecg in ecgs]
    names = [name[-_LONGEST_RECORD:].lstrip("_") for name in whole]
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        listed = []
        for name, ecg in zip(names, ecgs, strict=True):
            files = wfdb.render_files(name, ecg)
            listed += [file.removesuffix(".hea") for file in files if file.endswith(".hea")]
            for file, held in sorted(files.items(), key=lambda one: one[0].endswith(".dat")):
                archive.writestr(zipfile.ZipInfo(file), held, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("RECORDS"), "".join(f"{name}\n" for name in listed))
    return content.getvalue()


def _csv(ecgs: Sequence[Ecg], *_: Any) -> bytes:
    return csv_table.render(ecgs[0])


def _edf(ecgs: Sequence[Ecg], *_: Any) -> bytes:
    return edf.render(ecgs[0])


def _dicom(ecgs: Sequence[Ecg], *_: Any) -> bytes:
    return dicom.render(ecgs[0])


def _picture(suffix: str) -> Callable[[Sequence[Ecg], Drawing, str], bytes]:
    def encode(ecgs: Sequence[Ecg], drawing: Drawing, _: str) -> bytes:
        with _DRAWING:
            return draw(paper(ecgs[0], drawing), suffix)

    return encode


JSON = Format("application/json", "json", True, _json)
FORMATS = (
    JSON,
    Format("application/x-npz", "npz", True, _npz),
    Format("application/zip", "zip", True, _zip),
    Format("text/csv", "csv", False, _csv, beside=False),
    Format("application/x-edf", "edf", False, _edf, beside=False, package="edfio"),
    Format("application/dicom", "dcm", False, _dicom, beside=False, package="pydicom"),
    Format("image/png", "png", False, _picture("png"), picture=True),
    Format("image/svg+xml", "svg", False, _picture("svg"), picture=True),
    Format("application/pdf", "pdf", False, _picture("pdf"), picture=True),
)
ALIASES = {"application/octet-stream": "application/x-npz"}


def choose(accept: str | None) -> Format | None:
    """Return the format that an Accept header (RFC 9110, 12.5.1) prefers: JSON if all are alike, None if none fits."""
    best: tuple[float, int, Format] | None = None
    ranges = [_range(part) for part in (accept or "*/*").split(",") if part.strip()]
    for order, form in enumerate(FORMATS):
        quality, exactness = 0.0, -1
        for name, q in ranges:
            level = _match(ALIASES.get(name, name), form.media_type)
            if level > exactness:  # the most specific range that matches decides
                quality, exactness = q, level
        if quality > 0.0 and (best is None or (quality, -order) > best[:2]):
            best = quality, -order, form
    return best[2] if best else None


def _range(part: str) -> tuple[str, float]:
    """Return the name and quality in 'text/csv;q=0.5'. A quality that is not a number from 0 to 1 counts as 0."""
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((p[2:].strip() for p in parameters if p.startswith("q=")), "1")
    try:
        q = float(quality)
    except ValueError:
        q = 0.0
    return name, q if 0.0 <= q <= 1.0 else 0.0


def _match(name: str, media_type: str) -> int:
    """Return 2 if the name is the media type itself, 1 if its family, 0 if anything, and -1 if it does not match."""
    if name == media_type:
        return 2
    if name == media_type.split("/")[0] + "/*":
        return 1
    return 0 if name == "*/*" else -1
