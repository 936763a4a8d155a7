"""Checks of numbers: what is taken, what is refused, at both ends of each range."""

import numpy as np
import pytest

from sssd.checks import checked_index, checked_seed, whole


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
