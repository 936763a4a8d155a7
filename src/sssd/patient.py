"""What a model may be told beside statements: age and sex of the patient, and the heart rate of the record.

They are columns behind the label vector: four of age and sex for models with `trainset_config.patient`, and then two of
the heart rate for models with `trainset_config.heart_rate`. `Takes` says which of them there are. Each of the three may
be unknown. Its columns are then zero, which the model has seen in training.

Models with `trainset_config.variability` have two more columns, of how much the RR interval varies. Nobody asks for it:
it is measured in training, and drawn at generation together with the heart rate (`sssd.circumstances`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import counted

KNOWN = ("age", "sex", "heart_rate")
COLUMNS = ("age is known", "age", "female", "male")
HEART_RATE = ("heart rate is known", "heart rate")
VARIABILITY = ("variability is known", "variability")
SEXES = ("male", "female")  # by PTB-XL's numbers, 0 and 1
OLDEST = 120.0
SLOWEST, FASTEST = 25.0, 250.0  # beats per minute
HIDDEN, ABOVE_89 = 300.0, 92.0  # PTB-XL writes 300 for ages above 89; we take 92
_UNKNOWN = ("", "nan", "unknown", "unk", "u", "other", "o", "not stated")
_NUMBERS = {"m": 0.0, "0": 0.0, "0.0": 0.0, "f": 1.0, "1": 1.0, "1.0": 1.0}
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
MIDDLE_YEARS, SPREAD_YEARS = 60.0, 20.0  # years; about PTB-XL's mean and standard deviation
MIDDLE_BPM, SPREAD_BPM = 75.0, 25.0  # beats per minute; what the column of the heart rate is scaled by
# log10 (RMSSD / mean RR interval) is from -2 to -0.5
MIDDLE_VARIABILITY, SPREAD_VARIABILITY = -1.5, 0.5


@dataclass(frozen=True)
class Takes:
    """Which columns a network takes behind its label vector: of age and sex, the heart rate, and its variability."""

    patient: bool = False
    heart_rate: bool = False
    variability: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in their order."""
        return COLUMNS * self.patient + HEART_RATE * self.heart_rate + VARIABILITY * self.variability

    @property
    def in_words(self) -> str:
        """What a user may tell, as "age and sex"; "" if nothing."""
        if self.patient:
            return "age, sex and heart rate" if self.heart_rate else "age and sex"
        return "heart rate" if self.heart_rate else ""

    def __contains__(self, name: object) -> bool:
        """Whether the network takes this one of `KNOWN`."""
        return self.heart_rate if name == "heart_rate" else self.patient

    def values(
        self,
        *,
        records: int,
        age: Any = None,
        sex: Any = None,
        heart_rate: Any = None,
        variability: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float32]:
        """Return the columns (n, len(columns)) float32 of `records` records; what the network lacks is left out.

        variability: (n,) log10 (RMSSD / mean RR interval), NaN where it is unknown.
        """
        parts = [np.zeros((records, 0), np.float32)]
        if self.patient:
            parts.append(columns(age, sex, records=records))
        if self.heart_rate:
            parts.append(heart_rate_columns(heart_rate, records=records))
        if self.variability:
            found = np.full(records, np.nan) if variability is None else variability
            parts.append(_known_and_scaled(found, _scaled_variability))
        return np.hstack(parts)


LABELS_ONLY = Takes()


def columns(age: Any = None, sex: Any = None, *, records: int = 1) -> NDArray[np.float32]:
    """Return the columns (n, 4) float32 of `records` patients, in the order of `COLUMNS`.

    age: in years; one for all patients or (n,), NaN or None if it is unknown.
    sex: "female" or "male", or PTB-XL's 0 (male) and 1 (female); one for all or (n,), NaN or None where unknown.
    ValueError for anything else.
    """
    years, numbers = each(ages(age), records, "age"), each(sexes(sex), records, "sex")
    known = np.isfinite(years)
    scaled = (np.where(known, years, MIDDLE_YEARS) - MIDDLE_YEARS) / SPREAD_YEARS
    return np.stack((known, scaled, numbers == 1, numbers == 0), axis=1).astype(np.float32)


def heart_rate_columns(heart_rate: Any = None, *, records: int = 1) -> NDArray[np.float32]:
    """Return the columns (n, 2) float32 of the heart rate of `records` records, in the order of `HEART_RATE`.

    heart_rate: in beats per minute; one for all records or (n,), NaN or None if it is unknown. ValueError for anything
    else.
    """
    return _known_and_scaled(each(heart_rates(heart_rate), records, "heart_rate"), scaled_bpm)


def _known_and_scaled(
    values: NDArray[np.float64], scaled: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Return (n, 2) float32 of values (n,): whether each is a number, and the number as it is scaled."""
    known = np.isfinite(values)
    return np.stack((known, np.where(known, scaled(values), 0.0)), axis=1).astype(np.float32)


def _scaled_variability(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - MIDDLE_VARIABILITY) / SPREAD_VARIABILITY


def scaled_bpm(bpm: Any) -> Any:
    """Return heart rates per minute, an array or a tensor, as the column of the heart rate holds them."""
    return (bpm - MIDDLE_BPM) / SPREAD_BPM


def unscaled_bpm(scaled: Any) -> Any:
    """Return the heart rates per minute of values of that column, an array or a tensor."""
    return MIDDLE_BPM + SPREAD_BPM * scaled


def ages(age: Any) -> NDArray[np.float64]:
    """Return ages (n,) in years, NaN where unknown; ValueError for an age outside 0 to 120."""
    return _numbers("age", age, 0.0, OLDEST, "years")


def heart_rates(heart_rate: Any) -> NDArray[np.float64]:
    """Return heart rates (n,) in beats per minute, NaN where unknown; ValueError for one outside 25 to 250."""
    return _numbers("heart_rate", heart_rate, SLOWEST, FASTEST, "beats per minute")


def _numbers(name: str, given: Any, least: float, most: float, unit: str) -> NDArray[np.float64]:
    expected = f"expected {unit}, {least:g} to {most:g}"
    try:
        values = np.atleast_1d(np.asarray(np.nan if given is None else given, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {given!r}: {expected}") from None
    if values.ndim > 1:
        raise ValueError(f"{name} has shape {values.shape}: expected one {name}, or one for each record")
    wrong = values[~np.isnan(values) & ~((values >= least) & (values <= most))]
    if len(wrong):
        raise ValueError(f"{name} is {wrong[0]:g}: {expected}")
    return values


def sexes(sex: Any) -> NDArray[np.float64]:
    """Return sexes (n,) as 0 for male and 1 for female, NaN where unknown; ValueError for anything else."""
    given = [sex] if sex is None or isinstance(sex, str) or np.ndim(sex) == 0 else list(sex)
    numbers = []
    for one in given:
        if one is None or (isinstance(one, float | np.floating) and np.isnan(one)):
            numbers.append(np.nan)
        elif isinstance(one, str) and one.strip().lower() in SEXES:
            numbers.append(float(SEXES.index(one.strip().lower())))
        elif not isinstance(one, str) and one in (0, 1):
            numbers.append(float(one))
        else:
            raise ValueError(f"sex is {one!r}: expected 'female' or 'male', or PTB-XL's 1 or 0")
    return np.array(numbers)


def from_cells(age: str, sex: str) -> tuple[float, float]:
    """Age and sex from two cells of a table or a header: years, and 0 (male) or 1 (female). Empty cells give NaN.

    An age is a number of years, or written as in DICOM: 070Y, 006M, 012W, 003D. "90+", ">89" and PTB-XL's 300 stand
    for an age above 89 and give `ABOVE_89`. A sex is male, female, M or F in any case, or PTB-XL's 0 (male) or
    1 (female). "unknown" and "other" give NaN. ValueError for anything else.
    """
    return _age_from(age.strip()), _sex_from(sex.strip())


def heart_rate_from_cell(cell: str) -> float:
    """Heart rate from a cell of a table: beats per minute, as "72", "72 bpm" or "72/min"; NaN where it is empty.

    ValueError for anything else, or outside 25 to 250.
    """
    text = cell.strip()
    if text.casefold() in _UNKNOWN:
        return float("nan")
    match = re.fullmatch(r"(\d+(?:[.,]\d*)?)\s*(bpm|/\s*min|beats per minute)?", text, re.IGNORECASE)
    return float(heart_rates(match[1].replace(",", ".") if match else text)[0])


def _age_from(text: str) -> float:
    if text.casefold() in _UNKNOWN:
        return float("nan")
    if re.fullmatch(r"(>\s*89|(>=|≥)\s*90|(89|90)\s*\+)(\s*(y|years?))?", text, re.IGNORECASE):
        return ABOVE_89
    match = re.fullmatch(
        r"(\d+(?:[.,]\d*)?)\s*(y|yrs?|years?|m|months?|w|weeks?|d|days?)?", text, re.IGNORECASE
    )
    if match is None:
        return float(ages(text)[0])
    number = float(match[1].replace(",", "."))
    if number == HIDDEN and not match[2]:
        return ABOVE_89
    return float(ages(number * _YEARS[(match[2] or "y")[0].lower()])[0])


def _sex_from(text: str) -> float:
    word = text.casefold()
    return _NUMBERS[word] if word in _NUMBERS else float(sexes(None if word in _UNKNOWN else text)[0])


def each(values: NDArray[np.float64], records: int, name: str) -> NDArray[np.float64]:
    """Return one value for each record (n,), given one for all or one for each; ValueError for any other number."""
    if len(values) not in (1, records):
        raise ValueError(
            f"{name} has {counted(len(values), 'value')}: expected one, or one for each of {counted(records, 'record')}"
        )
    return np.broadcast_to(values, (records,))


def facts(
    age: NDArray[np.float64] | None,
    sex: NDArray[np.float64] | None,
    heart_rate: NDArray[np.float64] | None = None,
    *,
    records: int,
) -> list[dict[str, Any]]:
    """Return what each record's provenance says of these, if known.

    "age" is in years, "sex" a name, and "heart_rate" in beats per minute.
    """
    found: list[dict[str, Any]] = [{} for _ in range(records)]
    for one, years in zip(found, [] if age is None else age.tolist(), strict=False):
        if np.isfinite(years):
            one["age"] = years
    for one, number in zip(found, [] if sex is None else sex.tolist(), strict=False):
        if np.isfinite(number):
            one["sex"] = SEXES[int(number)]
    for one, rate in zip(found, [] if heart_rate is None else heart_rate.tolist(), strict=False):
        if np.isfinite(rate):
            one["heart_rate"] = rate
    return found
