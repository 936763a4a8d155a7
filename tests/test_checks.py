"""Checks of what users give: what is taken, what is refused, at both ends of each range."""

import numpy as np
import pytest

from sssd.checks import checked_index, checked_seed, counted, flag, needed_for, number, one_of, whole


@pytest.mark.parametrize("check", [lambda n: whole("n", n), checked_seed, checked_index])
def test_whole_numbers_of_any_kind_become_plain_ints(check):
    for value in (1, np.int64(1), np.uint64(1), np.array(1)):
        assert check(value) == 1 and type(check(value)) is int


@pytest.mark.parametrize(
    ("check", "least", "most"),
    [(lambda n: whole("n", n), 1, None), (checked_seed, 0, 2**64 - 1), (checked_index, 0, 2**63 - 1)],
)
def test_the_ends_of_the_range(check, least, most):
    """Fails when an end is one too low or too high, or anything but a whole number is taken."""
    assert check(least) == least
    wrong = [least - 1, 1.0, "1", None, True, [1]]
    if most is not None:
        assert check(most) == most
        wrong.append(most + 1)
    for value in wrong:
        with pytest.raises(ValueError, match=" is .*: expected a whole number"):
            check(value)


def test_the_package_that_is_missing_is_named():
    """Fails when it is the one that was imported, and not the one that this one lacks."""
    said = r"^fitting needs the module not_there, which is not installed: pip install 'sssd-ecg\[train\]'$"
    with pytest.raises(ModuleNotFoundError, match=said), needed_for("fitting needs", "train"):
        exec("import not_there.at_all")
    with pytest.raises(ImportError, match="broken"), needed_for("fitting needs", "train"):
        raise ImportError("broken")


def test_one_of_and_flag():
    assert one_of("spacing", "uniform", ("uniform", "trailing")) == "uniform"
    with pytest.raises(ValueError, match="^spacing is 'odd': expected one of uniform, trailing, or none$"):
        one_of("spacing", "odd", ("uniform", "trailing"), ", or none")
    assert [flag("exact", value) for value in (True, 0, np.False_, np.True_)] == [True, False, False, True]
    for value in ("no", None, 2, 1.0, [], np.ones(2)):
        with pytest.raises(ValueError, match="^exact is .*: expected True or False$"):
            flag("exact", value)


def test_numbers_of_python_and_numpy_are_numbers_and_nothing_else() -> None:
    """Fails when a type of NumPy is none, or True and a text are one."""
    for value in (0.5, np.float32(0.5), np.float16(0.5), np.float64(0.5)):
        assert number(value) == 0.5 and type(number(value)) is float
    assert number(2) == number(np.int64(2)) == 2.0
    for value in (True, np.True_, "1", None, [1.0], {}):
        assert np.isnan(number(value))


def test_what_is_counted_has_the_number_of_the_word() -> None:
    assert [counted(n, "record") for n in (0, 1, 2)] == ["0 records", "1 record", "2 records"]
