"""The recordings of which a corpus is made: found in a folder, read as the model takes them, known by their SHA-256.

The corpus keeps their names and hashes, and not the recordings: they are a patient's, and the records that are made of
them may be passed on. To complete the corpus, the same recordings are needed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checks import counted, whole
from ..data.recordings import FILE, GENERATED
from ..io.readers import SUFFIXES, find_recording
from ..labels import names_of
from .plan import Plan

if TYPE_CHECKING:
    from ..batch import Given
    from ..editing import Taken
    from ..model_wrapper import SSSDECG


@dataclass(frozen=True, eq=False)
class TakenRecordings:
    """Recordings as a model takes them, by name."""

    taken: dict[str, Taken]

    @property
    def sha256(self) -> tuple[str, ...]:
        """Of each recording."""
        return tuple(str(one.facts["source_sha256"]) for one in self.taken.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the recordings, in words, and to how many."""
        texts = [text for one in self.taken.values() for text in one.notes]
        return tuple(f"{text} ({counted(texts.count(text), 'recording')})" for text in dict.fromkeys(texts))

    def given(self, model: SSSDECG) -> Callable[[Sequence[str]], Given]:
        """Return the function from names of recordings to what a run that varies them is given."""
        from ..batch import Given
        from ..editing.change import circumstances_of

        each = {
            name: Given(start=taken.eight[None], circumstances=circumstances_of(model, taken.eight))
            for name, taken in self.taken.items()
        }

        def given(names: Sequence[str]) -> Given:
            first, *rest = (each[name] for name in names)
            return first.beside(rest)

        return given

    def check(self, plan: Plan) -> None:
        """Raise ValueError unless these are the recordings of the plan."""
        assert plan.source is not None and plan.source_sha256 is not None
        begun = dict(zip(plan.source.tolist(), plan.source_sha256.tolist(), strict=True))
        found = dict(zip(self.taken, self.sha256, strict=True))
        for name in sorted({*begun, *found}):
            if begun.get(name) != found.get(name):
                what = "missing" if name not in found else "new" if name not in begun else "another one"
                raise ValueError(
                    f"the recording {name!r} is {what}: give the recordings that the corpus was begun with"
                )


def read_recordings(model: SSSDECG, folder: Path) -> TakenRecordings:
    """Read all recordings in a folder and the folders in it, in the order of their names.

    ValueError if there is none, or one cannot be used; the message names it.
    """
    from ..editing import take

    return TakenRecordings({name: take(model, folder / name) for name in find_recordings(folder)})


def find_recordings(folder: Path) -> tuple[str, ...]:
    """Return the names of the recordings in a folder, as paths within it without suffix, sorted.

    ValueError if there is none.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r} with recordings")
    sets = (FILE, GENERATED)  # which hold many records, and are no recording
    found = {
        (Path(place) / name).with_suffix("").relative_to(folder).as_posix()
        for place, _, files in os.walk(folder)
        for name in files
        if Path(name).suffix.lower() in SUFFIXES and name not in sets
    }
    names = tuple(sorted(name for name in found if find_recording(folder / name).is_file()))
    strange = [name for name in names if not name.isprintable()]
    if strange:
        raise ValueError(f"the recording {strange[0]!a} has a name that cannot be printed: rename it")
    if not names:
        raise ValueError(f"{str(folder)!r} holds no recordings: expected files {', '.join(SUFFIXES)}")
    return names


def plan_of(model: SSSDECG, recordings: TakenRecordings, per_record: int) -> Plan:
    """Return the plan of a corpus with `per_record` records of each recording, with its statements."""
    from ..editing import Own

    per_record = whole("--per-record", per_record)
    requests = [Own().of(model, taken).request(model) for taken in recordings.taken.values()]
    vectors, which = np.unique(
        np.concatenate([request.vectors for request in requests]).astype(np.uint8),
        axis=0,
        return_inverse=True,
    )
    rates = np.concatenate([[np.nan] if one.heart_rate is None else one.heart_rate for one in requests])
    return Plan(
        model.label_names,
        per_record * len(requests),
        vectors,
        tuple("+".join(names_of(row, model.label_names)) for row in vectors),
        np.arange(1, len(requests) + 1, dtype=np.int64) * per_record,
        which.reshape(-1).astype(np.int32),
        heart_rate=None if np.isnan(rates).all() else rates.astype(np.float32),
        source=np.array(list(recordings.taken), np.str_),
        source_sha256=np.array(recordings.sha256, np.str_),
    )
