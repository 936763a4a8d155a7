"""The noise and the annotations of a corpus that has them.

Seed and index decide the noise, as in `SSSDECG.generate_ecgs`. Annotations are those of the record without noise.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..added_noise import parse, signal_to_noise_db
from ..annotations import annotate
from ..leads import to_twelve
from ..record import Annotation, Ecg
from ..records import record
from .block import Block
from .schema import Corpus, Recipe

if TYPE_CHECKING:
    from typing import Any


def noise(corpus: Corpus, index: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the noise (n, 12, L) in mV of these records of a corpus that was not merged; None if it has none."""
    (recipe,) = corpus.parts
    kinds = parse(recipe.noise, corpus.fs_hz)
    if not kinds:
        return None
    shape = corpus.length, corpus.fs_hz, corpus.leads
    return np.stack([sum(kind.draw(recipe.seed, i, *shape) for kind in kinds) for i in index.tolist()])


def noise_facts(recipe: Recipe, index: int, signal: NDArray[Any], clean: NDArray[Any]) -> dict[str, Any]:
    """Return what the provenance of a record says of its noise. signal, clean: (12, L) in microvolts."""
    clean_mv = clean / 1000.0
    ratio = signal_to_noise_db(clean_mv, signal / 1000.0 - clean_mv)
    return {"added": recipe.noise, "seed": recipe.seed, "index": index, **ratio}


def annotated(corpus: Corpus, columns: Block, eight: NDArray[np.float32]) -> Block:
    """Return the columns with the annotations of records (n, 8, L) in mV, as text."""
    texts = []
    for signal, labels in zip(to_twelve(eight), columns["labels"], strict=True):
        ecg = record(
            signal, labels, corpus.label_names, fs_hz=corpus.fs_hz, provenance={}, leads=corpus.leads
        )
        texts.append(as_text(annotate(ecg)))
    return {**columns, "annotations": np.array(texts, np.str_)}


def longest_text(corpus: Corpus) -> int:
    """Return the largest number of characters that annotations of a record may have: enough for the fastest heart."""
    return 1000 + 8 * corpus.length


def as_text(ecg: Ecg) -> str:
    """Return the annotations of a record as JSON: marks [sample, symbol, wave], and how many waves are left out."""
    marks = [[one.sample, one.symbol, one.wave] for one in ecg.annotations]
    content = {"marks": marks, **ecg.provenance["annotations"]}
    return json.dumps(content, separators=(",", ":"))


def from_text(text: str, length: int) -> tuple[tuple[Annotation, ...], dict[str, int]]:
    """Return the annotations of a record of `length` samples, and how many waves are left out, from `as_text`.

    ValueError if the text is nothing that `as_text` could have written.
    """
    try:
        content = json.loads(text)
        marks, left_out = content["marks"], content["left_out"]
        found = [Annotation(int(sample), str(symbol), str(wave)) for sample, symbol, wave in marks]
        counts = {str(name): int(count) for name, count in left_out.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"annotations hold {text[:40]!a}, which is not in their form") from None
    samples = [one.sample for one in found]
    if samples != sorted(samples) or any(not 0 <= at < length for at in samples):
        raise ValueError(f"annotations are not at samples 0 to {length - 1} in their order")
    if any(len(one.symbol) != 1 or one.wave not in ("", "P", "QRS", "T") for one in found):
        raise ValueError("annotations hold symbols or waves that they cannot have")
    return tuple(found), counts
