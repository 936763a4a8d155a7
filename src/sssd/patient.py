"""Age and sex of a patient as four columns behind the label vector, for models with `trainset_config.patient`.

Each of the two may be unknown. Its columns are then zero, which the model has seen in training.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("age is known", "age", "female", "male")
SEXES = ("male", "female")  # by PTB-XL's numbers, 0 and 1
OLDEST = 120.0
HIDDEN, ABOVE_89 = 300.0, 92.0  # PTB-XL writes 300 for ages above 89; we take 92
_UNKNOWN = ("", "nan", "unknown", "unk", "u", "other", "o", "not stated")
_NUMBERS = {"m": 0.0, "0": 0.0, "0.0": 0.0, "f": 1.0, "1": 1.0, "1.0": 1.0}
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
_MIDDLE, _SPREAD = 60.0, 20.0  # years; about PTB-XL's mean and standard deviation


def columns(age: Any = None, sex: Any = None, *, records: int = 1) -> NDArray[np.float32]:
    """Return the columns (n, 4) float32 of `records` patients, in the order of `COLUMNS`.

    age: in years; one for all patients or (n,), NaN or None if it is unknown.
    sex: "female" or "male", or PTB-XL's 0 (male) and 1 (female); one for all or (n,), NaN or None where unknown.
    ValueError for anything else.
    """
    years, numbers = each(ages(age), records, "age"), each(sexes(sex), records, "sex")
    known = np.isfinite(years)
    scaled = (np.where(known, years, _MIDDLE) - _MIDDLE) / _SPREAD
    return np.stack((known, scaled, numbers == 1, numbers == 0), axis=1).astype(np.float32)


def ages(age: Any) -> NDArray[np.float64]:
    """Return ages (n,) in years, NaN where unknown; ValueError for an age outside 0 to 120."""
    try:
        years = np.atleast_1d(np.asarray(np.nan if age is None else age, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"age is {age!r}: expected years, 0 to {OLDEST:g}") from None
    if years.ndim > 1:
        raise ValueError(f"age has shape {years.shape}: expected one age, or one for each record")
    wrong = years[~np.isnan(years) & ~((years >= 0) & (years <= OLDEST))]
    if len(wrong):
        raise ValueError(f"age is {wrong[0]:g}: expected years, 0 to {OLDEST:g}")
    return years


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
            f"{name} has {len(values)} values: expected one, or one for each of {records} records"
        )
    return np.broadcast_to(values, (records,))


def facts(
    age: NDArray[np.float64] | None, sex: NDArray[np.float64] | None, *, records: int
) -> list[dict[str, Any]]:
    """Return what each record's provenance says about the patient: "age" in years and "sex" by name, if known."""
    found: list[dict[str, Any]] = [{} for _ in range(records)]
    for one, years in zip(found, [] if age is None else age.tolist(), strict=False):
        if np.isfinite(years):
            one["age"] = years
    for one, number in zip(found, [] if sex is None else sex.tolist(), strict=False):
        if np.isfinite(number):
            one["sex"] = SEXES[int(number)]
    return found
