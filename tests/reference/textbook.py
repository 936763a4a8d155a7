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
