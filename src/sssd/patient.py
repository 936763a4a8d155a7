"""Age and sex of a patient as four columns behind the label vector, for models with `trainset_config.patient`.

Each of the two may be unknown. Its columns are then zero, which the model has seen in training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("age is known", "age", "female", "male")
SEXES = ("male", "female")  # by PTB-XL's numbers, 0 and 1
OLDEST = 120.0
HIDDEN, ABOVE_89 = 300.0, 92.0  # PTB-XL writes 300 for ages above 89; we take 92
_MIDDLE, _SPREAD = 60.0, 20.0  # years; about PTB-XL's mean and standard deviation


def columns(age: Any = None, sex: Any = None, *, records: int = 1) -> NDArray[np.float32]:
    """The columns (n, 4) float32 of `records` patients, in the order of `COLUMNS`.

    age: in years; one for all patients or (n,), NaN or None where it is unknown.
    sex: "female" or "male", or PTB-XL's 0 (male) and 1 (female); one for all or (n,), NaN or None where unknown.
    ValueError for anything else.
    """
    years, numbers = each(ages(age), records, "age"), each(sexes(sex), records, "sex")
    known = np.isfinite(years)
    scaled = (np.where(known, years, _MIDDLE) - _MIDDLE) / _SPREAD
    return np.stack((known, scaled, numbers == 1, numbers == 0), axis=1).astype(np.float32)


def ages(age: Any) -> NDArray[np.float64]:
    """Ages (n,) in years, NaN where unknown; ValueError for an age outside 0 to 120."""
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
    """Sexes (n,) as 0 for male and 1 for female, NaN where unknown; ValueError for anything else."""
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
    """Age and sex from two cells of a table: years, and female, male, 1 or 0. An empty cell gives NaN.

    PTB-XL's 300 stands for an age above 89 and gives `ABOVE_89`.
    """
    years, text = age.strip(), sex.strip()
    number = float(text) if text in ("0", "1", "0.0", "1.0", "nan") else text or None
    if years in (f"{HIDDEN:.0f}", f"{HIDDEN:.1f}"):
        return ABOVE_89, float(sexes(number)[0])
    return float(ages(years or None)[0]), float(sexes(number)[0])


def each(values: NDArray[np.float64], records: int, name: str) -> NDArray[np.float64]:
    """One value for each record (n,), given one for all or one for each; ValueError for any other number."""
    if len(values) not in (1, records):
        raise ValueError(
            f"{name} has {len(values)} values: expected one, or one for each of {records} records"
        )
    return np.broadcast_to(values, (records,))


def facts(
    age: NDArray[np.float64] | None, sex: NDArray[np.float64] | None, *, records: int
) -> list[dict[str, Any]]:
    """For each record, what its provenance says about the patient: "age" in years and "sex" by name, if known."""
    found: list[dict[str, Any]] = [{} for _ in range(records)]
    for one, years in zip(found, [] if age is None else age.tolist(), strict=False):
        if np.isfinite(years):
            one["age"] = years
    for one, number in zip(found, [] if sex is None else sex.tolist(), strict=False):
        if np.isfinite(number):
            one["sex"] = SEXES[int(number)]
    return found
