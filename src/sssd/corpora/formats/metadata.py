"""What a shard says about its records besides their columns: leads, labels, sampling rate, and how they were made."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...labels import has
from ..block import EXTRA, NUMBERS, SIGNALS
from ..schema import Corpus, Recipe

RECORDED = ("generator", "model", "cauchy", "sampler", "steps", "eta", "spacing", "precision", "seed")
SIGNAL = "int16 microvolts, little-endian, lead after lead"


def recipes(corpus: Corpus) -> list[dict[str, Any]]:
    """Return how the records of each part were made, with the keys that the provenance of a record has, too."""
    return [{name: getattr(part, name) for name in RECORDED} | _calibration(part) for part in corpus.parts]


def _calibration(part: Recipe) -> dict[str, Any]:
    """Return the fitted solver, the gain, what was done to recordings, length, noise and detail, as provenance."""
    gain = {"gain": list(part.gain)} if part.gain is not None and set(part.gain) != {1.0} else {}
    changed = {} if part.vary is None else {"operation": "vary", "strength": part.vary}
    length = {} if part.duration is None else {"seconds": [part.duration]}
    noise = {} if part.noise is None else {"noise": {"added": part.noise}}
    fit = {} if part.fit is None else {"fit": part.fit}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {**fit, **gain, **changed, **length, **noise, **detail}


def provenance(corpus: Corpus) -> dict[str, Any]:
    """Return what every shard says about all its records."""
    parts = [{"records": p.records, **r} for p, r in zip(corpus.parts, recipes(corpus), strict=True)]
    return {"synthetic": True, **(parts[0] if len(parts) == 1 else {"parts": parts})}


def file_metadata(corpus: Corpus) -> dict[str, str]:
    """Return the metadata as text, for the formats that hold it once in each file."""
    return {
        "label_names": json.dumps(corpus.label_names),
        "leads": json.dumps(corpus.leads),
        "fs_hz": json.dumps(corpus.fs_hz),
        "signal_uv": f"{SIGNAL}, ({len(corpus.leads)}, {corpus.length})",
        **({"clean_uv": "the same without the noise that was added"} if corpus.noise else {}),
        "provenance": json.dumps(provenance(corpus), sort_keys=True),
    }


def signals(corpus: Corpus) -> tuple[str, ...]:
    """Return the columns of signals that a corpus has."""
    return SIGNALS if corpus.noise else SIGNALS[:1]


def columns(corpus: Corpus, n: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and the shape of each column of n records of a corpus, by name; "U" is text."""
    signal = ("<i2", (n, len(corpus.leads), corpus.length))
    return {
        "index": ("<i8", (n,)),
        "requested": ("U", (n,)),
        "labels": ("u1", (n, len(corpus.label_names))),
        **{name: signal for name in signals(corpus)},
        **{name: ("<f4" if name in NUMBERS else "U", (n,)) for name in EXTRA if name in corpus.extra},
    }


def statements(labels: NDArray[np.uint8], label_names: tuple[str, ...]) -> list[str]:
    """Return the names of the labels of each record, joined by "+": (n,)."""
    row, column = np.nonzero(has(labels))
    names = [label_names[k] for k in column.tolist()]
    ends = np.searchsorted(row, np.arange(len(labels) + 1)).tolist()
    return ["+".join(names[ends[i] : ends[i + 1]]) for i in range(len(labels))]
