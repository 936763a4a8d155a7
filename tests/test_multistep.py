"""DPM-Solver++, DEIS and UniPC: against diffusers and a plain loop, orders of convergence, exactness."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from sssd.samplers import (
    MULTISTEP,
    ddim,
    deis,
    dpmpp_2m,
    dpmpp_3m,
    dpmpp_3m_exact,
    eps_denoiser,
    run,
    sde_dpmpp_2m,
    sde_ode_dpmpp_2m,
    unipc,
    v_denoiser,
)
from sssd.samplers.dpmpp import NOISE_FROM
from sssd.samplers.multistep import exact_weights, row_orders
from sssd.schedule import SPACINGS, Schedule, choose_steps, karras, linear, rescaled
from tests.reference import textbook
from tests.test_samplers import MIXTURE, SCHEDULES, exact_network, exact_velocity, no_noise, start

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # what its numpy calls say

PUBLISHED = linear()
SMALL = rescaled(linear(), 0.005)  # alpha of the built-in model's last step
ZERO = rescaled(linear(), 0.0)


def states_of(table, denoise, x):
    """The states that the network is asked at, and the result: (S + 1) tensors."""
    seen = []

    def watched(x, i):
        seen.append(x)
        return denoise(x, i)

    last = run(table, watched, x, no_noise)
    return [*seen, last]


# --- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MULTISTEP)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_table_keeps_the_identities(name, spacing):
    """StepTable refuses any other; the last row is x0 itself, nothing is random. Breaks with weights whose sum is
    not 1."""
    for schedule in SCHEDULES.values():
        for S in (S for S in (1, 2, 3, 4, 7, 20, 200) if S <= schedule.T):
            steps = choose_steps(schedule, S, spacing)
            if name == "deis" and schedule.alpha[steps[0]] == 0.0:
                continue
            table = MULTISTEP[name](schedule, steps)
            assert (table.name, table.S) == (name, S) and not table.c.any()
            x0_factor = table.a[-1] * table.alpha[-2] + (table.b[-1].sum() if table.history == "x0" else 0.0)
            assert x0_factor == pytest.approx(1.0, abs=1e-12) and not table.b[-1, 1:].any()


@pytest.mark.parametrize("name", MULTISTEP)
def test_one_and_two_steps_are_ddim(name):
    """The first and the last row have nothing to extrapolate from or to. Breaks when the last row is of order 2."""
    for S in (1, 2):
        steps = choose_steps(PUBLISHED, S)
        table = MULTISTEP[name](PUBLISHED, steps)
        x = run(table, eps_denoiser(table, exact_network(PUBLISHED, **MIXTURE)), start(), no_noise)
        plain = ddim(PUBLISHED, steps)
        expected = run(plain, eps_denoiser(plain, exact_network(PUBLISHED, **MIXTURE)), start(), no_noise)
        torch.testing.assert_close(x, expected, rtol=1e-10, atol=1e-10)


def test_orders_of_rows():
    """Rise from 1, fall to 1; a node without signal is not interpolated through. Breaks with either rule gone."""
    assert row_orders(np.arange(6.0), 3).tolist() == [1, 2, 3, 3, 2, 1]
    assert row_orders(np.array([-np.inf, 0.0, 1.0, 2.0, 3.0, 4.0]), 3).tolist() == [1, 1, 2, 3, 2, 1]
    for sampler in (deis, unipc):
        for order in (0, 4):
            with pytest.raises(ValueError, match="order is"):
                sampler(PUBLISHED, choose_steps(PUBLISHED, 5), order)


def test_deis_is_refused_without_signal():
    with pytest.raises(ValueError, match="keeps no signal.*dpmpp-2m or unipc"):
        deis(ZERO, choose_steps(ZERO, 5))


# --- against other code -----------------------------------------------------------------------------------


def scheduler_of(name, schedule, steps, order, **options):
    """diffusers' scheduler of that name on our steps, its abar and sigmas in float64."""
    diffusers = pytest.importorskip("diffusers")
    kind = {
        "dpmpp": "DPMSolverMultistepScheduler",
        "deis": "DEISMultistepScheduler",
        "unipc": "UniPCMultistepScheduler",
    }
    beta = np.maximum(schedule.beta, 1e-12).tolist()
    scheduler = getattr(diffusers, kind[name])(
        num_train_timesteps=schedule.T, trained_betas=beta, solver_order=order, **options
    )
    scheduler.set_timesteps(len(steps))
    rho = np.append(schedule.sigma[steps] / schedule.alpha[steps], 0.0)
    scheduler.sigmas = torch.from_numpy(rho)
    scheduler.timesteps = torch.from_numpy(steps.copy())
    return scheduler


@pytest.fixture
def double():
    """diffusers makes tensors of torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


CASES = [
    (unipc, "unipc", 3),
    (lambda s, t: unipc(s, t, 2), "unipc", 2),
    (lambda s, t: unipc(s, t, 1), "unipc", 1),
    (deis, "deis", 3),
    (lambda s, t: deis(s, t, 2), "deis", 2),
]


@pytest.mark.parametrize("S", [3, 6, 14])
@pytest.mark.parametrize("schedule", [PUBLISHED, SMALL], ids=["published", "small"])
@pytest.mark.parametrize("case", CASES, ids=[f"{name}-{order}" for _, name, order in CASES])
def test_unipc_and_deis_are_those_of_diffusers(double, case, schedule, S):
    """Every state that the network is asked at, in float64 on the same nodes. Breaks with any weight, an order of a
    row, or a corrector that starts from the predicted state."""
    sampler, name, order = case
    steps = choose_steps(schedule, S)
    scheduler, net = scheduler_of(name, schedule, steps, order), exact_network(schedule, **MIXTURE)
    theirs, x = [], start()
    for t in steps.tolist():
        theirs.append(x)
        x = scheduler.step(net(x, t), t, x).prev_sample
    table = sampler(schedule, steps)
    ours = states_of(table, eps_denoiser(table, net), start())
    for given, expected in zip(ours[:-1], theirs, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-8, atol=1e-8)
    if name == "unipc":  # deis of diffusers divides 0 by 0 at a clean end
        torch.testing.assert_close(ours[-1], x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("S", [4, 8, 20])
@pytest.mark.parametrize("schedule", [PUBLISHED, SMALL], ids=["published", "small"])
@pytest.mark.parametrize("sampler", [dpmpp_2m, dpmpp_3m])
def test_dpmpp_is_that_of_diffusers(double, sampler, schedule, S):
    """Its update formulas in float64 (`step` itself rounds to float32), then `step` with its choice of orders.
    Breaks when 3M has the exact quadratic term, or 2M's r is inverted."""
    order = 2 if sampler is dpmpp_2m else 3
    steps, net = choose_steps(schedule, S), exact_network(schedule, **MIXTURE)
    scheduler = scheduler_of("dpmpp", schedule, steps, order)
    updates = {
        1: lambda m, x: scheduler.dpm_solver_first_order_update(m[-1], sample=x),
        2: lambda m, x: scheduler.multistep_dpm_solver_second_order_update(m, sample=x),
        3: lambda m, x: scheduler.multistep_dpm_solver_third_order_update(m, sample=x),
    }
    table = sampler(schedule, steps)
    ours = states_of(table, eps_denoiser(table, net), start())
    x, outputs = start(), []
    for i, t in enumerate(steps.tolist()):
        torch.testing.assert_close(ours[i], x, rtol=1e-8, atol=1e-8)
        scheduler._step_index = i
        outputs.append(scheduler.convert_model_output(net(x, t), sample=x))
        x = updates[min(order, i + 1, S - i)](outputs, x)
    torch.testing.assert_close(ours[-1], x, rtol=1e-8, atol=1e-8)

    if S < 15 or order == 2:  # from 15 steps on, diffusers keeps order 3 in the row before the last
        scheduler = scheduler_of("dpmpp", schedule, steps, order)
        x = start()
        for t in steps.tolist():
            x = scheduler.step(net(x, t), t, x).prev_sample.double()
        torch.testing.assert_close(ours[-1], x, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("schedule", [PUBLISHED, SMALL, ZERO], ids=["published", "small", "zero"])
def test_unipc_is_the_textbook(schedule, order):
    """Predictor and corrector apart, also from a step without signal. Breaks when the fold of both into one row
    forgets the factor a, or corrects over the row from alpha = 0."""
    for S in (1, 2, 3, 4, 5, 9):
        steps = choose_steps(schedule, S)
        table = unipc(schedule, steps, order)
        denoise = v_denoiser(table, exact_velocity(schedule, **MIXTURE))
        expected = textbook.unipc(
            table.alpha,
            table.sigma,
            lambda x, i, d=denoise: d(torch.from_numpy(x), i)[1].numpy(),
            start().numpy(),
            order,
        )
        for given, wanted in zip(states_of(table, denoise, start())[1:], expected, strict=True):
            np.testing.assert_allclose(given.numpy(), wanted, rtol=1e-9, atol=1e-9)


# --- exact solutions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [1, -1])
@pytest.mark.parametrize("p", [2, 3, 4])
def test_weights_integrate_polynomials(exponent, p):
    """Of degree p - 1, against adaptive quadrature. Breaks with the sign of the exponent."""
    points, start, end = np.array([0.3, -0.4, -1.5, -1.9])[:p], 0.3, 1.7
    weights = exact_weights(points, start, end, exponent)
    for degree in range(p):
        total = quad(lambda u: np.exp(exponent * u), start, end, epsabs=1e-14)[0]
        mean = quad(lambda u, n=degree: u**n * np.exp(exponent * u), start, end, epsabs=1e-14)[0] / total
        assert weights @ points**degree == pytest.approx(mean, rel=1e-12)
    assert abs(weights @ points**p) > 0  # and no more than that is claimed


@pytest.mark.parametrize(
    ("sampler", "degree"), [(ddim, 0), (dpmpp_3m_exact, 2), (deis, 2), (lambda s, t: unipc(s, t, 3), 2)]
)
def test_polynomials_in_lambda_are_followed_exactly(sampler, degree):
    """A network whose x0 (eps for DEIS) is a polynomial in lambda alone: rows of full order land on the exact
    solution. Breaks when a weight is off, or with the published half of 3M's quadratic term."""
    steps = choose_steps(PUBLISHED, 9, "log_snr")
    table = sampler(PUBLISHED, steps)
    lam = np.log(table.alpha[:-1] / table.sigma[:-1])
    x0_way = table.history == "x0"

    def value(u):
        return sum(c * u**n for n, c in enumerate([0.7, -1.3, 0.4][: degree + 1]))

    def change(i):
        """Lu et al. 2022b, eq. 8 for x0, eq. 4 for eps: the integral over row i."""
        sign, factor = (1, table.sigma[i + 1]) if x0_way else (-1, -table.alpha[i + 1])
        return factor * quad(lambda u: np.exp(sign * u) * value(u), lam[i], lam[i + 1], epsabs=1e-13)[0]

    scale = table.sigma if x0_way else table.alpha
    h = torch.tensor([value(u) for u in lam])
    states = states_of(table, lambda x, i: (h[i] + 0 * x, h[i] + 0 * x), torch.zeros(1, dtype=torch.float64))
    for i in range(3, table.S - 2):  # of full order; UniPC's row 2 starts from a prediction of order 2
        expected = scale[i + 1] / scale[i] * float(states[i]) + change(i)
        assert float(states[i + 1]) == pytest.approx(expected, rel=1e-10, abs=1e-12)


ORDERS = {
    "ddim": (ddim, 1.0),
    "deis-2": (lambda s, t: deis(s, t, 2), 2.0),
    "deis": (deis, 3.0),
    "dpmpp-2m": (dpmpp_2m, 2.0),
    "dpmpp-3m": (dpmpp_3m, 2.0),
    "dpmpp-3m-exact": (dpmpp_3m_exact, 3.0),
    "unipc-1": (lambda s, t: unipc(s, t, 1), 2.0),
    "unipc-2": (lambda s, t: unipc(s, t, 2), 3.0),
    "unipc": (unipc, 4.0),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_convergence(name):
    """On a schedule even in lambda, a start of small steps: DPM-Solver++(3M) as published is of order 2, exact 3,
    UniPC-p of order p + 1. Breaks with any weight off by a factor, or a row of too low an order in between."""
    T = 1921
    schedule = Schedule(1.0 / (1.0 + np.exp(-2.0 * np.linspace(4.0, -2.0, T))))
    net = exact_network(schedule, **MIXTURE)
    x_T = torch.linspace(-2.5, 2.5, 51, dtype=torch.float64).reshape(1, 1, -1)
    sampler, expected = ORDERS[name]

    def solve(sampler, n):
        even = np.rint(np.linspace(0, T - 1, n + 1)).astype(np.int64)
        steps = np.unique(np.concatenate([even, np.arange(T - 3, T)]))[::-1]
        table = sampler(schedule, steps)
        return run(table, eps_denoiser(table, net), x_T, no_noise)

    exact = solve(unipc, 960)
    errors = np.array([float((solve(sampler, n) - exact).norm()) for n in (40, 80, 160)])
    order = np.log2(errors[1] / errors[2])
    assert order == pytest.approx(expected, abs=0.15), errors


@pytest.mark.parametrize("name", MULTISTEP)
def test_a_single_point_is_found_exactly(name):
    """Data in one point m: every x0 is m. From alpha = 0 (or nearly, for DEIS)."""
    schedule = SMALL if name == "deis" else ZERO
    for S in (1, 3, 6, 17):
        table = MULTISTEP[name](schedule, choose_steps(schedule, S))
        net = exact_velocity(schedule, means=(1.7,), stds=(0.0,), weights=(1.0,))
        x = run(table, v_denoiser(table, net), start(), no_noise)
        torch.testing.assert_close(x, torch.full_like(x, 1.7), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MULTISTEP)
def test_small_signal_is_no_trap(name):
    """From alpha = 0.005 in float32 with a velocity network: within rounding of float64, and nearer to the exact
    solution than DDIM of the same steps. Breaks when a row divides by alpha and multiplies again."""
    steps = choose_steps(SMALL, 10, "log_snr")
    net, velocity = exact_network(SMALL, **MIXTURE), exact_velocity(SMALL, **MIXTURE)
    table = MULTISTEP[name](SMALL, steps)
    double = run(table, v_denoiser(table, velocity), start(), no_noise)
    single = run(
        table,
        v_denoiser(table, lambda x, t: velocity(x.double(), t).float()),
        start(dtype=torch.float32),
        no_noise,
    )
    assert (single - double).norm() / double.norm() < 1e-4
    every = unipc(SMALL, choose_steps(SMALL, 200))
    exact = run(every, eps_denoiser(every, net), start(), no_noise)
    plain = ddim(SMALL, steps)
    of_ddim = run(plain, eps_denoiser(plain, net), start(), no_noise)
    assert (double - exact).norm() < 0.7 * (of_ddim - exact).norm()


def test_tables_are_refused_when_a_weight_is_off():
    table = unipc(PUBLISHED, choose_steps(PUBLISHED, 8))
    b = table.b.copy()
    b[3, 2] += 1e-9
    with pytest.raises(ValueError, match="identity fails at row 3"):
        dataclasses.replace(table, b=b)


# --- with noise ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("S", [3, 6, 20])
@pytest.mark.parametrize("schedule", [PUBLISHED, SMALL], ids=["published", "small"])
def test_sde_dpmpp_is_that_of_diffusers(double, schedule, S):
    """With the same noise, every state. Breaks with e^-h for e^-2h in a weight, or another order of a row."""
    steps = choose_steps(schedule, S, "trailing")
    scheduler = scheduler_of(
        "dpmpp", schedule, steps, 2, algorithm_type="sde-dpmsolver++", final_sigmas_type="zero"
    )
    net, z = exact_network(schedule, **MIXTURE), torch.randn(S, *start().shape)
    theirs, x = [], start()
    for i, t in enumerate(steps.tolist()):
        theirs.append(x)
        x = scheduler.step(net(x, t), t, x, variance_noise=z[i]).prev_sample
    table = sde_dpmpp_2m(schedule, steps)
    denoise, ours = eps_denoiser(table, net), []

    def watched(x, i):
        ours.append(x)
        return denoise(x, i)

    last = run(table, watched, start(), lambda i: z[i])
    for given, expected in zip((*ours, last), (*theirs, x), strict=True):
        torch.testing.assert_close(
            given, expected.double(), rtol=1e-4, atol=1e-5
        )  # its `step` rounds to float32


def test_rows_of_order_one_are_ddims_with_all_noise():
    """Fails if the noise of a row is not DDPM's."""
    steps = np.array([199, 120])
    sde, plain = sde_dpmpp_2m(SMALL, steps), ddim(SMALL, steps, 1.0)
    np.testing.assert_allclose(sde.a[0], plain.a[0], rtol=1e-10)
    np.testing.assert_allclose(sde.b[0, 0], plain.b[0, 0], rtol=1e-10)
    np.testing.assert_allclose(sde.c, plain.c, rtol=1e-10)


def test_sde_ode_adds_noise_above_its_level_only():
    """Above it, rows are those of the SDE, below it those of the ODE. Fails when a row takes the other's weights."""
    schedule = karras()
    steps = choose_steps(schedule, 12, "karras")
    mixed, sde, ode = (make(schedule, steps) for make in (sde_ode_dpmpp_2m, sde_dpmpp_2m, dpmpp_2m))
    noisy = (schedule.sigma / schedule.alpha)[steps] >= NOISE_FROM
    assert 0 < noisy.sum() < 12
    for name in ("a", "b", "c"):
        rows = getattr(mixed, name)
        np.testing.assert_array_equal(rows[noisy], getattr(sde, name)[noisy])
        np.testing.assert_array_equal(rows[~noisy], getattr(ode, name)[~noisy])
    assert mixed.c[noisy].all() and not mixed.c[~noisy].any()
