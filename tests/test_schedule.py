"""The schedule and the choice of steps."""

import numpy as np
import pytest
import torch

from sssd.samplers import BY_STEPS, ddim, ddpm, run
from sssd.schedule import SPACINGS, Schedule, choose_steps, karras, linear, rescaled, steps_at
from tests.reference import textbook

SCHEDULES = {
    "published": linear(),
    "rescaled": rescaled(linear()),
    "zero": rescaled(linear(), 0.0),
    "seven": linear(7),
    "two": linear(2),
    "two_zero": rescaled(linear(2), 0.0),
    "one": linear(1),
}


@pytest.mark.parametrize("T", [1, 2, 200, 1000])
def test_linear_is_the_published_product(T):
    """Breaks with betas off by one step, a scaled range, or a float32 product (3e-7)."""
    np.testing.assert_allclose(linear(T).abar, textbook.linear_abar(T), rtol=1e-13)


def test_published_numbers():
    """abar at the last step is 0.132: training there still sees 36 % of the signal."""
    schedule = linear()
    assert schedule.T == 200
    assert schedule.abar[-1] == pytest.approx(0.132, abs=5e-4)
    assert schedule.alpha[-1] == pytest.approx(0.36, abs=5e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_properties_agree(name):
    """Breaks when sigma forgets the root, lambda its half, or beta is taken from the wrong neighbour."""
    schedule = SCHEDULES[name]
    np.testing.assert_allclose(schedule.alpha**2 + schedule.sigma**2, 1.0, rtol=1e-15)
    np.testing.assert_allclose(np.cumprod(1.0 - schedule.beta), schedule.abar, rtol=1e-12, atol=1e-16)
    seen = schedule.alpha > 0
    expected = np.log(schedule.alpha[seen] / schedule.sigma[seen])
    np.testing.assert_allclose(schedule.lam[seen], expected, rtol=1e-10)
    assert (np.diff(schedule.lam) < 0).all()
    assert all(v.dtype == np.float64 for v in (schedule.alpha, schedule.sigma, schedule.lam, schedule.beta))


@pytest.mark.parametrize("terminal", [0.0, 0.005, 0.2])
def test_rescaled_moves_alpha_linearly(terminal):
    """Breaks when abar is rescaled instead of alpha, or one end moves that should not."""
    before, after = linear().alpha, rescaled(linear(), terminal).alpha
    assert after[0] == pytest.approx(before[0], abs=1e-15)
    assert after[-1] == pytest.approx(terminal, abs=1e-15)
    slope = np.diff(after) / np.diff(before)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-9)


def test_zero_signal_is_exactly_zero():
    """Breaks when rounding leaves 1e-17 of the signal, which lambda would turn into a finite number."""
    schedule = SCHEDULES["zero"]
    assert schedule.abar[-1] == 0.0 and schedule.sigma[-1] == 1.0 and schedule.lam[-1] == -np.inf


def test_schedule_is_a_frozen_copy():
    """Breaks when the caller's array is kept: changing it would change the schedule."""
    values = linear(5).abar.copy()
    schedule = Schedule(values)
    values[:] = 0.5
    np.testing.assert_array_equal(schedule.abar, linear(5).abar)
    with pytest.raises(ValueError):
        schedule.abar[0] = 0.5


@pytest.mark.parametrize(
    "abar", [[], [[0.5]], [1.0, 0.5], [0.5, 0.5], [0.5, 0.6], [0.5, -0.1], [0.5, np.nan]]
)
def test_wrong_schedules_are_refused(abar):
    with pytest.raises(ValueError, match="abar"):
        Schedule(np.array(abar))


def test_wrong_arguments_are_refused():
    for arguments in ((0, 1e-4, 0.02), (200, 0.0, 0.02), (200, 1e-4, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            linear(*arguments)
    for terminal in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match="terminal_alpha"):
            rescaled(linear(), terminal)
    with pytest.raises(ValueError, match="T >= 2"):
        rescaled(linear(1))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_number_of_steps_is_exact(name, spacing):
    """S distinct steps for every S in 1..T. Breaks where rounding lets two collide (log_snr)."""
    schedule = SCHEDULES[name]
    for S in range(1, schedule.T + 1):
        steps = choose_steps(schedule, S, spacing)
        assert steps.shape == (S,) and steps.dtype == np.int64
        assert (np.diff(steps) < 0).all() and steps[0] < schedule.T and steps[-1] >= 0
        if spacing != "leading":
            assert steps[0] == schedule.T - 1
        if spacing == "leading" or (spacing not in ("trailing", "karras") and S > 1):
            assert steps[-1] == 0
    np.testing.assert_array_equal(steps, np.arange(schedule.T)[::-1])


def test_uniform_is_the_rounded_line():
    """Breaks with truncation instead of rounding, or with an end left out."""
    for S in range(1, 201):
        np.testing.assert_array_equal(choose_steps(linear(), S), np.round(np.linspace(199, 0, S)))
    assert choose_steps(linear(), 50)[:5].tolist() == [199, 195, 191, 187, 183]


def test_leading_and_trailing_where_the_ratio_is_whole():
    """With S dividing T both are the arithmetic sequences of Lin et al. 2024, table 2."""
    for S in (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 200):
        ratio = 200 // S
        assert choose_steps(linear(), S, "leading").tolist() == list(range(0, 200, ratio))[::-1]
        assert choose_steps(linear(), S, "trailing").tolist() == list(range(199, -1, -ratio))


def test_steps_at_noise_levels():
    """They are the nearest ones, an infinite level is the noisiest step, and equal levels get neighbouring steps."""
    for schedule in (linear(), karras(200, 0.002, 80.0, 7.0), rescaled(linear(), 0.0)):
        level = schedule.sigma / schedule.alpha
        steps = steps_at(schedule, [np.inf, 2.0, 1.0, 0.25])
        assert steps[0] == 199 and len(steps) == 4
        for step, wanted in zip(steps[1:], (2.0, 1.0, 0.25), strict=True):
            assert step == np.abs(np.log(level / wanted)).argmin()
        assert np.ptp(steps_at(schedule, [1.0, 1.0, 1.0])) == 2


def test_log_snr_is_even_in_lambda():
    """Breaks when steps are spaced in t or in abar: the spread of the gaps is then above 1."""
    schedule = linear(20000, 1e-6, 2e-4)
    gaps = np.diff(schedule.lam[choose_steps(schedule, 20, "log_snr")])[:-4]  # the last ones are a few t wide
    assert gaps.std() / gaps.mean() < 0.05
    zero = SCHEDULES["zero"]
    assert choose_steps(zero, 2, "log_snr").tolist() == [199, 0]
    assert choose_steps(zero, 5, "log_snr")[1] > 150  # the infinite lambda of the first step spoils nothing


def test_karras_spacing():
    """Pure noise, then levels whose fourth roots are even (Karras et al. 2022, eq. 5), on whichever schedule.

    Broken by another rho, and where the first of a schedule that begins below 7 is counted twice (seen).
    """
    wanted = np.linspace(7.0**0.25, 0.002**0.25, 11) ** 4
    for schedule in (karras(20_000, 0.0015, 100.0, 7.0), karras(20_000, 0.0018, 5000.0, 5.0)):
        level = (schedule.sigma / schedule.alpha)[choose_steps(schedule, 12, "karras")]
        assert level[0] == pytest.approx(schedule.sigma[-1] / schedule.alpha[-1])
        np.testing.assert_allclose(level[1:], wanted, rtol=2e-3)
    low = karras(20_000, 0.0015, 3.0, 7.0)
    level = (low.sigma / low.alpha)[choose_steps(low, 12, "karras")]
    np.testing.assert_allclose(level, np.linspace(3.0**0.25, 0.002**0.25, 12) ** 4, rtol=2e-3)


@pytest.mark.parametrize("S", [0, -1, 201, 2.5, True, "20", None, np.nan])
def test_wrong_number_of_steps_is_refused(S):
    with pytest.raises(ValueError, match=r"steps is .*: expected 1\.\.200"):
        choose_steps(linear(), S)


def test_unknown_spacing_is_refused():
    with pytest.raises(ValueError, match="spacing is 'cosine': expected one of uniform, leading"):
        choose_steps(linear(), 20, "cosine")


def test_whole_numbers_of_numpy_are_accepted():
    assert len(choose_steps(linear(), np.int32(7))) == 7


def test_karras_levels():
    """Karras et al. 2022, eq. 5, from the other end; breaks when sigma is taken for sigma / alpha."""
    schedule = karras(200, 0.0015, 100.0, 7.0)
    i = np.arange(200)
    expected = (100 ** (1 / 7) + i / 199 * (0.0015 ** (1 / 7) - 100 ** (1 / 7))) ** 7
    np.testing.assert_allclose(schedule.sigma / schedule.alpha, expected[::-1], rtol=1e-9)
    np.testing.assert_allclose(schedule.alpha**2 + schedule.sigma**2, 1.0, rtol=1e-15)


@pytest.mark.parametrize(
    "values",
    [(1, 0.1, 1.0, 7.0), (9, 0.0, 1.0, 7.0), (9, 2.0, 1.0, 7.0), (9, 0.1, np.inf, 7.0), (9, 0.1, 1, 0)],
)
def test_karras_refuses_what_is_no_schedule(values):
    with pytest.raises(ValueError, match="expected"):
        karras(*values)


def test_ddpm_on_karras_levels_is_the_ancestral_sampler():
    """x = D + sqrt(s'^2 - v) / s (x - D) + sqrt(v) z, v = s'^2 (1 - s'^2 / s^2), in variance-exploding form.

    This is the form of Song et al. 2021 (score SDE, appendix F) for x / alpha. Breaks with another variance, or a level
    that is off by one.
    """
    schedule = karras()
    table, s = ddpm(schedule), schedule.sigma / schedule.alpha
    random = np.random.default_rng(0)
    x = s[-1] * random.standard_normal(50)
    ours = torch.from_numpy(schedule.alpha[-1] * x)[None, None]
    noises = random.standard_normal((200, 50))

    def clean(x_ve):
        return np.tanh(x_ve)  # any function of x

    for i, t in enumerate(range(199, -1, -1)):
        d = clean(x)
        after = s[t - 1] if t else 0.0
        v = after**2 * (1 - after**2 / s[t] ** 2)
        x = d + np.sqrt(after**2 - v) / s[t] * (x - d) + np.sqrt(v) * noises[i]

    def denoise(x_vp, i):
        d = torch.from_numpy(clean(x_vp.numpy() / table.alpha[i]))
        return (x_vp - table.alpha[i] * d) / table.sigma[i], d

    made = run(table, denoise, ours, lambda i: torch.from_numpy(noises[i])[None, None])
    np.testing.assert_allclose(made.numpy()[0, 0], x, atol=1e-9)


@pytest.mark.parametrize("S", [4, 20, 50])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_sampler_takes_karras_levels(spacing, S):
    """Tables check that they keep signal and noise to 1e-12; breaks with levels where that is lost."""
    schedule = karras()
    steps = choose_steps(schedule, S, spacing)
    for make in BY_STEPS.values():
        assert make(schedule, steps).S == S
    for eta in (0.0, 1.0):
        assert ddim(schedule, steps, eta).S == S
