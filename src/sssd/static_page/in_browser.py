"""What the page without a service asks of this package, which runs in the browser by Pyodide (js/local/python.js).

Answers are those of the service (docs/server.md). A record comes as `facts`, JSON with fs_hz, statements and
provenance, and `eight`, a buffer of its 8 leads (8, L) in mV, float32, leads I V1..V6 aVF.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..drawing import Drawing
from ..labels import rare_statements
from ..leads import to_twelve
from ..measurements import intervals, measurements
from ..record import Ecg
from ..server.encode import FORMATS, called, checks_json
from ..signals.rules import check
from ..words import told


def understood(text: str, takes: str) -> str:
    """Return what a sentence asks for, as JSON. takes: the facts of a patient that the model takes, as a JSON list."""
    return json.dumps(told(text, takes=json.loads(takes)))


def measured(facts: str, eight: Any) -> str:
    """Return what is measured in a record, and the checks of its statements, as JSON."""
    ecg = _record(facts, eight)
    values = measurements(ecg)
    return json.dumps({"measured": intervals(values), "checks": checks_json(check(values, ecg.statements))})


def file(facts: str, eight: Any, media_type: str, drawing: str, quality: str) -> bytes:
    """Return a file with a record. drawing: of pictures, as a JSON object.

    ValueError for an unknown type or drawing.
    """
    form = next((form for form in FORMATS if form.media_type == media_type), None)
    if form is None:
        raise ValueError(
            f"there is no {media_type!r}: expected {', '.join(form.media_type for form in FORMATS)}"
        )
    ecg = _record(facts, eight)
    begins = called(ecg.provenance["requested"].split("+"), quality)
    return form.encode([ecg], Drawing(**json.loads(drawing)), begins)


def _record(facts: str, eight: Any) -> Ecg:
    held = json.loads(facts)
    rare = {name: count for name, count in rare_statements().items() if name in held["statements"]}
    if rare:
        held["provenance"]["training_records"] = rare
    leads = np.frombuffer(eight, dtype=np.float32).reshape(8, -1)
    return Ecg(to_twelve(leads), **held)
