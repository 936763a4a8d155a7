"""DDPM and DDIM as plain loops in float64, by the formulas of the papers; abar[t] for t = 0 .. T-1."""

import numpy as np


def linear_abar(T=200, beta_0=1e-4, beta_T=0.02):
    """Ho et al. 2020, section 4: the products of 1 - beta, one after the other."""
    abar, product = [], 1.0
    for t in range(T):
        beta = beta_0 + (beta_T - beta_0) * (t / (T - 1) if T > 1 else 0.0)
        product *= 1.0 - beta
        abar.append(product)
    return np.array(abar)


def ddpm(abar, eps, x, noise):
    """Ho et al. 2020, algorithm 2, with beta tilde. eps(x, t) and noise(t) give arrays like x."""
    for t in range(len(abar) - 1, -1, -1):
        before = abar[t - 1] if t > 0 else 1.0
        alpha = abar[t] / before
        x = (x - (1.0 - alpha) / np.sqrt(1.0 - abar[t]) * eps(x, t)) / np.sqrt(alpha)
        if t > 0:
            x = x + np.sqrt((1.0 - before) / (1.0 - abar[t]) * (1.0 - alpha)) * noise(t)
    return x


def ddim(abar, steps, eps, x, noise=None, eta=0.0):
    """Song et al. 2021, eq. 12 and 16, from each entry of `steps` to the next entry, the last one to 1."""
    for i, t in enumerate(steps):
        before = abar[steps[i + 1]] if i + 1 < len(steps) else 1.0
        predicted = eps(x, t)
        x0 = (x - np.sqrt(1.0 - abar[t]) * predicted) / np.sqrt(abar[t])
        std = eta * np.sqrt((1.0 - before) / (1.0 - abar[t])) * np.sqrt(1.0 - abar[t] / before)
        x = np.sqrt(before) * x0 + np.sqrt(max(1.0 - before - std**2, 0.0)) * predicted
        if std > 0.0:
            x = x + std * noise(t)
    return x


def mixture_eps(abar, means, stds, weights):
    """The exact noise in scalar data from a Gaussian mixture: eps(x, t) = -sigma grad log p_t(x)."""

    def eps(x, t):
        alpha, sigma = np.sqrt(abar[t]), np.sqrt(1.0 - abar[t])
        variance = [alpha**2 * s**2 + sigma**2 for s in stds]
        terms = zip(weights, means, variance, strict=True)
        density = [w / np.sqrt(v) * np.exp(-((x - alpha * m) ** 2) / (2.0 * v)) for w, m, v in terms]
        terms = zip(density, means, variance, strict=True)
        score = -sum(d * (x - alpha * m) / v for d, m, v in terms) / sum(density)
        return -sigma * score

    return eps


def unipc(alpha, sigma, x0, x, order):
    """UniPC-p with data prediction and B_2 (Zhao et al. 2023, algorithms 1 and 2, eq. 8), two parts a step.

    alpha, sigma: of S nodes and the clean one; x0(x, i) the record as predicted at node i. Orders rise from 1 and
    fall to 1 at the end. Returns the predicted states at nodes 1 .. S.
    """
    S, states, outputs, corrected, p = len(alpha) - 1, [], [], None, 0
    with np.errstate(divide="ignore"):
        lam = np.log(alpha) - np.log(sigma)
    for i in range(S):
        newest = x0(x, i)
        if i > 0 and np.isfinite(lam[i - 1]):
            x = _bh2(alpha, sigma, lam, i - 1, outputs, corrected, p, newest)
        outputs.append(newest)
        known = int(np.isfinite(lam[: i + 1]).sum())
        p = max(min(order, known, S - i), 1)
        corrected = x
        x = _bh2(alpha, sigma, lam, i, outputs, corrected, p, None)
        states.append(x)
    return states


def _bh2(alpha, sigma, lam, i, outputs, x, p, new):
    """To node i + 1: x_t = sigma_t / sigma_s x + alpha_t B (m_0 + sum_k a_k (m_k - m_0) / r_k), B = 1 - e^-h."""
    h = lam[i + 1] - lam[i]
    B = -np.expm1(-h) if np.isfinite(h) else 1.0
    points = [((lam[i - k] - lam[i]) / h, outputs[i - k]) for k in range(1, p)]
    if new is not None:
        points.append((1.0, new))
    r = np.array([point[0] for point in points])
    moments, previous = (
        [],
        1.0,
    )  # of s^n under the weight of the integral, over B: I_n = (1 - n I_{n-1} B / h) / B
    for n in range(1, len(points) + 1):
        previous = (1.0 - n * previous * B / h) / B
        moments.append(previous)
    if len(points) == 1:
        weights = np.array([0.5])
    elif points:
        weights = np.linalg.solve(np.array([r**n for n in range(len(points))]), np.array(moments))
    total = outputs[i] + sum(
        w * (m - outputs[i]) / s for w, (s, m) in zip(weights if points else (), points, strict=True)
    )
    gain = alpha[i + 1] - alpha[i] * sigma[i + 1] / sigma[i]
    return sigma[i + 1] / sigma[i] * x + gain * total
