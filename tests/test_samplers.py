"""Step tables, the loop that runs them, DDPM and DDIM."""

import dataclasses

import numpy as np
import pytest
import torch

from sssd.noise import normal
from sssd.samplers import StepTable, ddim, ddpm, dpmpp_2m, eps_denoiser, run, v_denoiser
from sssd.schedule import SPACINGS, Schedule, choose_steps, linear, rescaled
from tests.reference import textbook

PUBLISHED = linear()
ZERO = rescaled(linear(), 0.0)  # ends without signal
FLOAT32 = Schedule(PUBLISHED.abar.astype(np.float32).astype(np.float64))  # of a compatibility dict
SCHEDULES = {
    "published": PUBLISHED,
    "zero": ZERO,
    "one": linear(1),
    "tiny": linear(50, 1e-9, 1e-7),
    "f32": FLOAT32,
}
MIXTURE = {"means": (-1.0, 0.5, 2.0), "stds": (0.3, 0.2, 0.5), "weights": (0.3, 0.5, 0.2)}


def no_noise(i):
    raise AssertionError(f"noise was asked at row {i}")


def start(seed=0, size=(16, 2, 3), dtype=torch.float64):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def noise_of_step(steps, like):
    """Noise by time step, once for the loop (by row) and once for the textbook (by step)."""
    by_step = {int(t): start(1000 + int(t), like.shape, like.dtype) for t in steps}
    return (lambda i: by_step[int(steps[i])]), (lambda t: by_step[int(t)].numpy())


def exact_network(schedule, **mixture):
    """The exact eps of the mixture, as a network of torch tensors."""
    eps = textbook.mixture_eps(schedule.abar, **mixture)
    return lambda x, t: torch.from_numpy(np.asarray(eps(x.numpy(), t)))


def exact_velocity(schedule, **mixture):
    """The exact v = alpha eps - sigma x0 of the mixture, finite where alpha is 0."""
    means, stds, weights = (np.array(mixture[k])[:, None] for k in ("means", "stds", "weights"))

    def net(x, t):
        alpha, sigma = schedule.alpha[t], schedule.sigma[t]
        u, variance = x.numpy().reshape(1, -1), alpha**2 * stds**2 + sigma**2
        density = weights / np.sqrt(variance) * np.exp(-((u - alpha * means) ** 2) / (2 * variance))
        x0 = (density * (means + alpha * stds**2 / variance * (u - alpha * means))).sum(0) / density.sum(0)
        eps = (density * sigma / variance * (u - alpha * means)).sum(0) / density.sum(0)
        return torch.from_numpy((alpha * eps - sigma * x0).reshape(x.shape))

    return net


# --- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["published", "zero", "one", "f32"])
def test_ddim_with_eta_1_over_every_step_is_ddpm(name):
    """Two derivations, one table, also for abar rounded to float32. Breaks with beta for
    beta tilde, or a noise of DDIM that is not that of eq. 16."""
    schedule = SCHEDULES[name]
    p, d = ddpm(schedule), ddim(schedule, choose_steps(schedule, schedule.T), eta=1.0)
    for field in ("steps", "a", "b", "c", "alpha", "sigma"):
        np.testing.assert_allclose(getattr(p, field), getattr(d, field), rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_table_keeps_the_identities(spacing, eta):
    """StepTable refuses any other; here for S = 1, 2, 3, ... T, also for tiny sigma: breaks when the
    factor of x0 comes from beta (rounding above 1e-12). The last row is x0 itself, no noise."""
    for schedule in SCHEDULES.values():
        ddpm(schedule)
        for S in (S for S in (1, 2, 3, 7, 20, 50, 100, 151, 199, 200) if S <= schedule.T):
            table = ddim(schedule, choose_steps(schedule, S, spacing), eta)
            assert (table.S, table.K) == (S, 1)
            assert (table.a[-1], table.b[-1, 0], table.c[-1]) == (0.0, 1.0, 0.0)
            assert (table.c == 0).all() == (eta == 0 or S == 1)


def test_ddim_steps_along_its_own_list():
    """The known trap: going from t to t - T // S instead of to the next entry.
    At S = 60, T // S = 3, while the list goes by 3 or 4."""
    steps = choose_steps(PUBLISHED, 60)
    table = ddim(PUBLISHED, steps)
    np.testing.assert_array_equal(table.alpha[1:-1], PUBLISHED.alpha[steps[1:]])
    assert (steps[:-1] - 200 // 60 != steps[1:]).any()
    irregular = np.array([180, 60, 59, 3])
    np.testing.assert_array_equal(ddim(PUBLISHED, irregular).sigma, [*PUBLISHED.sigma[irregular], 0.0])


def test_ddim_by_hand():
    """Song et al. 2021, eq. 12 and 16 for one step of abar 0.25 -> 0.81, and of alpha 0 -> 0.6."""
    schedule = dataclasses.replace(PUBLISHED, abar=np.array([0.81, 0.25]))
    table = ddim(schedule, np.array([1, 0]), eta=0.5)
    c = 0.5 * np.sqrt(0.19 / 0.75) * np.sqrt(1 - 0.25 / 0.81)
    eps_factor = np.sqrt(0.19 - c**2)
    assert table.c[0] == pytest.approx(c, abs=1e-15)
    assert table.a[0] == pytest.approx(eps_factor / np.sqrt(0.75), abs=1e-15)
    assert table.b[0, 0] == pytest.approx(0.9 - eps_factor * 0.5 / np.sqrt(0.75), abs=1e-15)
    blind = ddim(dataclasses.replace(PUBLISHED, abar=np.array([0.36, 0.0])), np.array([1, 0]))
    assert (blind.a[0], blind.b[0, 0]) == pytest.approx((0.8, 0.6), abs=1e-15)


def test_tables_are_frozen_copies():
    steps = choose_steps(PUBLISHED, 5)
    table = ddim(PUBLISHED, steps)
    steps[0] = 0
    assert table.steps[0] == 199
    with pytest.raises(ValueError):
        table.a[0] = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.name = "other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": "v"}, "history"),
        ({"steps": np.array([5, 5, 0])}, "steps"),
        ({"a": np.zeros(2)}, "a has shape"),
        ({"b": np.zeros((2, 1))}, "b has shape"),
        ({"alpha": np.ones(3)}, "alpha has shape"),
        ({"c": np.array([np.nan, 0, 0])}, "infinite"),
        ({"gain": np.array([1.0, 0.0])}, "factors above 0"),
    ],
)
def test_malformed_tables_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ddim(PUBLISHED, np.array([199, 100, 0])), **change)


@pytest.mark.parametrize("history", ["eps", "x0"])
def test_wrong_coefficients_are_refused(history):
    """An error of 1e-9 in a coefficient is caught. Breaks when an identity is not checked."""
    table = as_eps_history(ddim(PUBLISHED, np.array([199, 100, 0]), 0.5))
    if history == "x0":
        table = ddim(PUBLISHED, np.array([199, 100, 0]), 0.5)
    for field in ("a", "b", "c"):
        value = getattr(table, field).copy()
        value[0] += 1e-9
        with pytest.raises(ValueError, match="identity fails at row 0"):
            dataclasses.replace(table, **{field: value})
    sigma = table.sigma.copy()
    sigma[-1] = 1e-3
    with pytest.raises(ValueError, match="clean"):
        dataclasses.replace(table, sigma=sigma)
    early = np.concatenate((table.b, [[1e-3], [0], [0]]), axis=1)
    with pytest.raises(ValueError, match="does not exist yet"):
        dataclasses.replace(table, b=early)


@pytest.mark.parametrize("eta", [-0.1, 1.1, np.nan])
def test_wrong_eta_is_refused(eta):
    with pytest.raises(ValueError, match="eta is"):
        ddim(PUBLISHED, choose_steps(PUBLISHED, 5), eta)


@pytest.mark.parametrize("steps", [[], [[1]], [0, 5], [5, 5], [200, 0], [3, -1], [2.0, 1.0]])
def test_wrong_steps_are_refused(steps):
    with pytest.raises(ValueError, match="steps"):
        ddim(PUBLISHED, np.array(steps))


# --- the loop ---------------------------------------------------------------------------------------------


def as_eps_history(table):
    """The same sampler with x0 = (x - sigma eps) / alpha put in: another way through the loop."""
    b = -table.b * (table.sigma[:-1] / table.alpha[:-1])[:, None]
    return dataclasses.replace(table, history="eps", a=table.a + table.b[:, 0] / table.alpha[:-1], b=b)


def test_loop_uses_history_noise_and_coefficients():
    """A row of every kind, by hand: two-step history, no noise where c = 0. Breaks when the history is in the
    wrong order, too long, or noise is asked before the network."""
    alpha, sigma = np.array([0.6, 0.8, 0.96, 1.0]), np.array([0.8, 0.6, 0.28, 0.0])
    a = np.array([0.5, 0.2, 0.0])  # the clean end has no noise left, so nothing of x
    c = np.sqrt(np.maximum(sigma[1:] ** 2 - (a * sigma[:-1]) ** 2, 0.0))
    total = alpha[1:] - a * alpha[:-1]
    b = np.stack((np.array([total[0], 1.5 * total[1], 3.0]), np.array([0, -0.5 * total[1], -2.0])), axis=1)
    table = StepTable("test", "x0", np.array([9, 4, 0]), a, b, c, alpha, sigma)

    calls, states = [], []
    clean = start(2, (3, 16, 2, 3))

    def denoise(x, i):
        calls.append(("net", i))
        states.append(x)
        return torch.zeros_like(x), clean[i]

    def noise(i):
        calls.append(("noise", i))
        return start(50 + i)

    seen = []
    x = run(table, denoise, start(), noise, on_step=lambda i, x0: seen.append((i, x0)))
    x1 = a[0] * start() + b[0, 0] * clean[0] + c[0] * start(50)
    x2 = a[1] * x1 + b[1, 0] * clean[1] + b[1, 1] * clean[0] + c[1] * start(51)
    x3 = b[2, 0] * clean[2] + b[2, 1] * clean[1]
    for given, expected in zip((start(), x1, x2, x3), (*states, x), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-14, atol=1e-14)
    assert calls == [("net", 0), ("noise", 0), ("net", 1), ("noise", 1), ("net", 2)]
    assert [i for i, _ in seen] == [0, 1, 2] and all(torch.equal(x0, clean[i]) for i, x0 in seen)


def test_a_gain_changes_nothing_before_its_row():
    """It is in the last row, since the others have more noise than signal. Fails if it goes into an earlier step, or
    does not count for what is shown of it."""
    table = dpmpp_2m(PUBLISHED, np.array([199, 180, 160]))
    assert table.gain_row == 2
    gain = np.array([0.5, 1.0, 2.0])
    clean, x_T = start(2, (3, 16, 3, 4)), start(5, (16, 3, 4))
    states, seen = [], []

    def result(table):
        def denoise(x, i):
            states.append(x)
            return x, clean[i]

        return run(table, denoise, x_T, start, on_step=lambda i, x0: seen.append(x0))

    factor = torch.tensor(gain)[:, None]
    expected = factor * result(table)
    torch.testing.assert_close(result(dataclasses.replace(table, gain=gain)), expected)
    assert all(torch.equal(a, b) for a, b in zip(states[:3], states[3:], strict=True))
    assert all(torch.equal(factor * a, b) for a, b in zip(seen[:3], seen[3:], strict=True))


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_both_histories_give_the_same_records(eta):
    """Breaks when the loop keeps x0 for an eps table."""
    table = ddim(PUBLISHED, choose_steps(PUBLISHED, 12), eta)
    denoise = eps_denoiser(table, exact_network(PUBLISHED, **MIXTURE))
    rows, _ = noise_of_step(table.steps, start())
    x0_way = run(table, denoise, start(), rows)
    torch.testing.assert_close(
        run(as_eps_history(table), denoise, start(), rows), x0_way, rtol=1e-11, atol=1e-11
    )


def test_deterministic_ddim_asks_for_no_noise():
    table = ddim(PUBLISHED, choose_steps(PUBLISHED, 10))
    run(table, eps_denoiser(table, lambda x, t: 0.1 * x), start(), no_noise)


def test_velocity_and_noise_networks_agree():
    """v = alpha eps - sigma x0 says the same. Breaks with alpha and sigma swapped, or a sign."""
    table = ddim(PUBLISHED, choose_steps(PUBLISHED, 9))
    eps = run(table, eps_denoiser(table, exact_network(PUBLISHED, **MIXTURE)), start(), no_noise)
    v = run(table, v_denoiser(table, exact_velocity(PUBLISHED, **MIXTURE)), start(), no_noise)
    torch.testing.assert_close(v, eps, rtol=1e-9, atol=1e-9)


def test_a_noise_network_is_refused_without_signal():
    table = ddim(ZERO, choose_steps(ZERO, 5))
    with pytest.raises(ValueError, match="velocity"):
        eps_denoiser(table, lambda x, t: x)


def test_records_do_not_depend_on_the_batch():
    """Noise keyed by record index. Breaks when a sampler draws noise by position in the batch."""
    table = ddim(PUBLISHED, choose_steps(PUBLISHED, 6), eta=0.8)

    def generate(index):
        def noise(i):
            return normal(3, index, int(table.steps[i]), (8, 20))

        denoise = eps_denoiser(table, lambda x, t: torch.tanh(x + 0.01 * t))
        return run(table, denoise, normal(3, index, 200, (8, 20)), noise)

    together = generate([0, 1, 2, 3, 4])
    assert torch.equal(torch.cat([generate([0]), generate([1, 2]), generate([3, 4])]), together)


# --- against the papers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("S", [1, 2, 3, 20, 50, 60, 200])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_the_textbook(S, eta):
    """Breaks with any change of eq. 12 or 16, and with a step that leaves the list."""
    steps = choose_steps(PUBLISHED, S)
    rows, by_step = noise_of_step(steps, start())
    table = ddim(PUBLISHED, steps, eta)
    x = run(table, eps_denoiser(table, exact_network(PUBLISHED, **MIXTURE)), start(), rows)
    eps = textbook.mixture_eps(textbook.linear_abar(), **MIXTURE)
    expected = textbook.ddim(textbook.linear_abar(), steps.tolist(), eps, start().numpy(), by_step, eta)
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("T", [1, 2, 200])
def test_ddpm_is_the_textbook(T):
    """Breaks with beta instead of beta tilde, or with noise in the last step."""
    schedule = linear(T)
    rows, by_step = noise_of_step(np.arange(T)[::-1], start())
    table = ddpm(schedule)
    x = run(table, eps_denoiser(table, exact_network(schedule, **MIXTURE)), start(), rows)
    abar = textbook.linear_abar(T)
    expected = textbook.ddpm(abar, textbook.mixture_eps(abar, **MIXTURE), start().numpy(), by_step)
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_float32_is_float64_to_rounding(sampler):
    """Coefficients stay float64, so only x is rounded. Breaks when a table or schedule is float32 (1e-3)."""
    table = ddpm(PUBLISHED) if sampler == "ddpm" else ddim(PUBLISHED, choose_steps(PUBLISHED, 50))
    rows, _ = noise_of_step(table.steps, start())
    net = exact_network(PUBLISHED, **MIXTURE)
    double = run(table, eps_denoiser(table, net), start(), rows)

    def single(x, t):
        return net(x.double(), t).float()

    x = run(table, eps_denoiser(table, single), start(dtype=torch.float32), lambda i: rows(i).float())
    assert x.dtype == torch.float32
    assert (x - double).norm() / double.norm() < 1e-5


def test_diffusers_where_its_steps_are_right():
    """DDIMScheduler with S dividing T ("leading"): the same steps, abar in float32.

    It goes from t to t - T // S whatever its list says: with S = 60 the results part.
    """
    diffusers = pytest.importorskip("diffusers")
    net = exact_network(PUBLISHED, **MIXTURE)

    def theirs(S, spacing):
        scheduler = diffusers.DDIMScheduler(
            num_train_timesteps=200,
            beta_start=1e-4,
            beta_end=0.02,
            beta_schedule="linear",
            clip_sample=False,
            set_alpha_to_one=True,
            steps_offset=0,
            timestep_spacing=spacing,
        )
        scheduler.set_timesteps(S)
        x, steps = start(), scheduler.timesteps.tolist()
        for t in steps:
            x = scheduler.step(net(x, t), t, x, eta=0.0).prev_sample
        return steps, x

    def ours(steps):
        table = ddim(PUBLISHED, np.array(steps))
        return run(table, eps_denoiser(table, net), start(), no_noise)

    for S in (1, 4, 20, 50, 200):
        steps, x = theirs(S, "leading")
        assert steps == choose_steps(PUBLISHED, S, "leading").tolist()
        torch.testing.assert_close(ours(steps), x, rtol=2e-4, atol=2e-4)
    steps, x = theirs(60, "linspace")
    assert (ours(steps) - x).abs().max() > 1e-2


# --- exact solutions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("S", [1, 2, 3, 17, 200])
def test_a_single_point_is_found_exactly(S):
    """Data in one point m: x0 = m whatever x. DDIM and DDPM end in m; here from alpha = 0."""
    m = 1.7
    for table in (ddim(ZERO, choose_steps(ZERO, S)), ddim(ZERO, choose_steps(ZERO, S), 1.0), ddpm(ZERO)):
        rows, _ = noise_of_step(table.steps, start())
        net = exact_velocity(ZERO, means=(m,), stds=(0.0,), weights=(1.0,))
        x = run(table, v_denoiser(table, net), start(), rows)
        torch.testing.assert_close(x, torch.full_like(x, m), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("S", [1, 2, 10, 200])
def test_standard_normal_data_shrinks_by_cosines(S):
    """For N(0, 1) data eps = sigma x, and a DDIM step from angle p to q multiplies by cos(p - q), with
    alpha = cos p. Breaks when a node of the table is off."""
    table = ddim(ZERO, choose_steps(ZERO, S))
    x = run(table, v_denoiser(table, lambda x, t: 0.0 * x), start(), no_noise)
    angle = np.arccos(np.clip(table.alpha, 0, 1))
    expected = start() * np.prod(np.cos(np.diff(angle)))
    torch.testing.assert_close(x, expected, rtol=1e-9, atol=1e-9)


def test_ddpm_on_standard_normal_data():
    """For N(0, 1) data eps = sigma x, so a row multiplies by sqrt(1 - beta) and adds beta tilde
    (Ho et al. 2020, section 3.2). Breaks with beta as the variance, or one neighbour off."""
    for schedule in (PUBLISHED, ZERO):
        table, beta = ddpm(schedule), schedule.beta[::-1]
        np.testing.assert_allclose(
            table.a + table.b[:, 0] * table.alpha[:-1], np.sqrt(1 - beta), rtol=0, atol=1e-12
        )
        expected = beta[:-1] * (1 - schedule.abar[-2::-1]) / (1 - schedule.abar[:0:-1])
        np.testing.assert_allclose(table.c[:-1] ** 2, expected, rtol=1e-9)
        assert table.c[-1] == 0.0


def test_ddim_converges_with_order_1():
    """Error against the finest grid halves with the step, on a mixture of Gaussians whose eps is exact.
    Breaks with nodes off by one step or a factor wrong in 1e-2: the error then stops falling."""
    T = 3841  # T - 1 = 3840 = 30 * 128: whole steps at every S below
    schedule = linear(T, 1e-4 * 200 / T, 0.02 * 200 / T)
    net = exact_network(schedule, **MIXTURE)
    x_T = torch.linspace(-2.5, 2.5, 201, dtype=torch.float64).reshape(1, 1, -1)

    def solve(S):
        table = ddim(schedule, choose_steps(schedule, S))
        return run(table, eps_denoiser(table, net), x_T, no_noise)

    exact = 2 * solve(3841) - solve(1921)  # extrapolated
    errors = [float((solve(n + 1) - exact).norm()) for n in (60, 120, 240, 480)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (np.abs(orders - 1.0) < 0.15).all(), orders


def test_ddpm_samples_the_mixture():
    """20000 scalar samples have the mean and variance of the data (schedule without the trap).
    Breaks without beta tilde's noise: the variance falls by half."""
    table = ddpm(ZERO)
    rng = torch.Generator().manual_seed(4)
    x = run(
        table,
        v_denoiser(table, exact_velocity(ZERO, **MIXTURE)),
        torch.randn((20000, 1, 1), generator=rng, dtype=torch.float64),
        lambda i: torch.randn((20000, 1, 1), generator=rng, dtype=torch.float64),
    )
    means, stds, weights = (np.array(MIXTURE[k]) for k in ("means", "stds", "weights"))
    mean = (weights * means).sum()
    variance = (weights * (stds**2 + means**2)).sum() - mean**2
    assert float(x.mean()) == pytest.approx(mean, abs=0.03)
    assert float(x.var()) == pytest.approx(variance, rel=0.05)
