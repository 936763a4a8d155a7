"""What each column of a table is, by its name: "Patient_ID", "patient id" and "subject" are the patient."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..labels import find
from .values import BITS

NAMES: dict[str, tuple[str, ...]] = {  # what a column is -> the names by which it is known, without spaces and case
    "record": ("file", "filename", "filepath", "path", "recordpath", "recordfile", "ecgfile", "ecgpath"),
    "record by name": ("filenamelr", "filenamehr", "record", "recordname", "recording", "recordid", "recordingid",
                       "ecg", "ecgid", "name", "id"),
    "patient": ("patientid", "patient", "patientnumber", "patientno", "subjectid", "subject", "participantid",
                "participant", "personid", "person", "pid", "mrn"),
    "fold": ("stratfold", "fold", "folds", "cvfold", "foldid"),
    "age": ("age", "ages", "ageyears", "ageinyears", "agey", "patientage", "agerecorded"),
    "sex": ("sex", "gender", "patientsex", "patientgender", "sexatbirth"),
    "heart_rate": ("heartrate", "heartratebpm", "hrbpm", "bpm", "ventricularrate", "ventrate"),
    "labels": ("labels", "label", "statements", "statement", "scpcodes", "scpcode", "diagnosis", "diagnoses", "dx",
               "codes", "classes", "class"),
}  # fmt: skip
ROLES = ("record", "patient", "fold", "age", "sex", "heart_rate", "labels")
_ROW_NAMES = re.compile(r"|rows?|index|no|number|(unnamed|level)\d+")
_LOOKS_LIKE = {  # words, without their s, in the name of a column that is not known
    "age": ("age", "alter", "edad", "âge", "idade"),
    "sex": ("sex", "gender", "male", "female", "geschlecht", "sexe", "sexo"),
    "fold": ("fold", "kfold", "split", "partition"),
    "patient": (
        "patient",
        "pat",
        "pt",
        "subject",
        "usubjid",
        "participant",
        "proband",
        "paciente",
        "paziente",
    ),
}
_PARTS = {
    "train",
    "training",
    "test",
    "testing",
    "val",
    "validation",
    "holdout",
    "set",
}  # of a set, as folds are
_EXPECTED = {"patient": "patient_id", "fold": "strat_fold", "age": "age", "sex": "sex"}


@dataclass(frozen=True)
class Columns:
    """The places of the columns in a header; None if there is none of that kind.

    records: the columns that may name the recordings, the likeliest first; record is the first. labels: the column that
    holds names. others: the columns that are none of these, in their order.
    """

    header: tuple[str, ...]
    records: tuple[int, ...]
    patient: int | None
    fold: int | None
    age: int | None
    sex: int | None
    heart_rate: int | None
    labels: int | None
    others: tuple[int, ...]

    @property
    def record(self) -> int | None:
        """The likeliest column of the recordings."""
        return self.records[0] if self.records else None

    def cell(self, role: str, cells: Sequence[str]) -> str:
        """Return the cell of a row in the column of this role; "" where the table has no such column."""
        place = getattr(self, role)
        return "" if place is None else cells[place]

    def taken_for(self, used: Sequence[str], others: str = "not used") -> dict[str, str]:
        """Return what each column was taken for, by its name; a role that is not in `used` is "not used"."""
        places = {getattr(self, role): role if role in used else "not used" for role in ROLES}
        return {
            name or f"(column {k + 1})": places.get(k, others if k in self.others else "not used")
            for k, name in enumerate(self.header)
        }


def recognised(header: Sequence[str], file: Path) -> Columns:
    """Say what the columns of a table are. file: named in errors.

    ValueError where two columns have one role, as "label" and "label_2", or where a column looks as if it held
    patients, folds, ages or sexes under a name that is not known, and no other column does.
    """
    roles = [_role(name) for name in header]
    found: dict[str, int | None] = {}
    for role in ROLES[1:]:
        places = [k for k, own in enumerate(roles) if own == role]
        if len(places) > 1:
            names = " and ".join(repr(header[k]) for k in places)
            raise ValueError(f"{str(file)!r}: columns {names} both look like {role}; rename or remove one")
        found[role] = places[0] if places else None
    for k, name in enumerate(header):
        if roles[k]:
            continue
        like = _likeness(name)
        if like and found[like] is None:
            raise ValueError(
                f"{str(file)!r}: column {k + 1}, {name!r}, looks like {like} and is not known by this name; "
                f"call it {_EXPECTED[like]!r}, or remove it"
            )
        if found["labels"] is not None and _role(name.rstrip("0123456789")) == "labels":
            raise ValueError(
                f"{str(file)!r}: columns {header[found['labels']]!r} and {name!r} both look like labels; join them in "
                "one column, with '+' between the labels, or remove one"
            )
    records = (k for kind in ("record", "record by name") for k, role in enumerate(roles) if role == kind)
    others = tuple(k for k, role in enumerate(roles) if not role)
    return Columns(tuple(header), tuple(records), **found, others=others)


def described(taken_for: dict[str, str]) -> str:
    """Return what each column was taken for, in one line; many columns of statements or labels are counted."""
    kinds: dict[str, list[str]] = {}
    for name, what in taken_for.items():
        kind = what.split()[0] if what.startswith(("statement ", "label ")) else what
        kinds.setdefault(
            f"{kind} (of numbers, 0 is male and 1 female)" if kind == "sex" else kind, []
        ).append(name)
    parts = []
    for what, names in kinds.items():
        plural = f"{len(names)} {what}s" if what in ("statement", "label") and len(names) > 1 else what
        listed = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        parts.append(f"{listed} {'is' if len(names) == 1 else 'are'} {plural}")
    return "columns: " + "; ".join(parts)


def plain(name: str) -> str:
    """Return a column's name without case, spaces and signs: "Patient_ID" and "patient id" are alike."""
    return re.sub(r"[\W_]+", "", name).casefold()


def names_rows(name: str) -> bool:
    """Return whether a column of this name numbers or names the rows, as the first column that pandas writes."""
    return _ROW_NAMES.fullmatch(plain(name)) is not None or _role(name).startswith("record")


def rivals(columns: Columns, classes: Sequence[str]) -> tuple[int, ...]:
    """Return the places of columns that are called as a class beside a column of labels."""
    named = []
    for place in columns.others:
        try:
            find(columns.header[place], classes)
            named.append(place)
        except ValueError:
            continue
    return tuple(named)


def check_rivals(columns: Columns, places: Sequence[int], cells: Sequence[str]) -> None:
    """Raise ValueError if a rival of the column of labels holds 0 or 1; with words in it, it is another column."""
    for place in places:
        if cells[place].casefold() in BITS:
            raise ValueError(
                f"column {place + 1}, {columns.header[place]!r}, is a statement beside the column "
                f"{columns.header[columns.labels or 0]!r}; give labels in one way"
            )


def _role(name: str) -> str:
    return next((role for role, names in NAMES.items() if plain(name) in names), "")


def _likeness(name: str) -> str:
    """Return which of `_LOOKS_LIKE` a column's name has a word of; "" if none."""
    words = _words(name)
    for like, known in _LOOKS_LIKE.items():
        if not words.isdisjoint(known):
            return like
    if any(word.startswith("patient") for word in words):  # as in Patientennummer
        return "patient"
    parts = words - {"i", "in"}  # as in is_train and in_test
    return "fold" if parts and parts <= _PARTS else ""


def _words(name: str) -> set[str]:
    """Return the words of a name in lower case and in the singular: "patientNumbers_2" has "patient" and "number"."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return {word.casefold().rstrip("s") for word in re.findall(r"[^\W\d_]+", parted)}
