"""The one loop that runs every sampler, and the functions that turn a network's output into noise and clean record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .table import StepTable

BoundNetwork = Callable[[Tensor, int], Tensor]  # (x (B, C, L), t) -> prediction (B, C, L)
Denoise = Callable[[Tensor, int], tuple[Tensor, Tensor]]  # (x, row i) -> (eps, x0)


def run(
    table: StepTable,
    denoise: Denoise,
    x: Tensor,
    noise: Callable[[int], Tensor],
    *,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Take x (B, C, L) from noise level 0 of the table to the clean end.

    denoise(x, i) returns (eps, x0) at row i, which is time step table.steps[i]. noise(i) returns the standard normal
    noise (B, C, L) of row i; it is called after the network, and only where c_i is not 0. on_step(i, x0) is called with
    the clean record that is predicted at row i. In the gain row of the table, x0 and everything made of it are
    multiplied by the gain of each lead; before it, only what on_step sees is. Coefficients are float64 and become the
    type of x where they are multiplied.
    """
    a, b, c, alpha = table.a.tolist(), table.b.tolist(), table.c.tolist(), table.alpha.tolist()
    gain, gain_row = x.new_zeros(0), -1
    if (table.gain != 1.0).any():
        gain_row = table.gain_row  # the values are filled in on the device, so that a graph can record it
        gain = torch.stack([x.new_full((1,), value) for value in table.gain.tolist()])
    history: list[Tensor] = []  # newest first
    for i in range(table.S):
        eps, x0 = denoise(x, i)
        shown = gain * x0 if i <= gain_row else x0
        if i == gain_row:
            x = x + alpha[i] * (shown - x0)
            history = history if table.history == "eps" else [gain * h for h in history]
            x0 = shown
        history = [eps if table.history == "eps" else x0, *history][: table.K]
        x = a[i] * x
        for b_ij, h in zip(b[i], history, strict=False):
            x = x if b_ij == 0.0 else x + b_ij * h
        if c[i] != 0.0:
            x = x + c[i] * noise(i)
        if on_step is not None:
            on_step(i, shown)
    return x


def eps_denoiser(table: StepTable, net: BoundNetwork) -> Denoise:
    """Return the denoiser of a network that predicts the noise: x0 = (x - sigma eps) / alpha (Ho et al. 2020, eq. 15).

    Raises ValueError if the table starts without signal (alpha = 0), where the noise alone does not give x0.
    """
    steps, alpha, sigma = table.steps.tolist(), table.alpha.tolist(), table.sigma.tolist()
    if alpha[0] == 0.0:
        raise ValueError(
            f"step {steps[0]} keeps no signal (alpha = 0), where the noise that this network predicts does not "
            "determine the record: use a velocity network, or a schedule with terminal_alpha above 0"
        )

    def denoise(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        eps = net(x, steps[i]).to(x.dtype)
        return eps, (x - sigma[i] * eps) / alpha[i]

    return denoise


def holding(table: StepTable, denoise: Denoise, project: Callable[[Tensor], Tensor]) -> Denoise:
    """Return a denoiser whose clean records are projected onto what is known (Wang et al. 2023, DDNM, eq. 13).

    project(x0) keeps what is unknown and sets what is known: from (B, C, L) to (B, C, L). eps follows from x and x0.
    """
    alpha, sigma = table.alpha.tolist(), table.sigma.tolist()

    def held(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        x0 = project(denoise(x, i)[1])
        return (x - alpha[i] * x0) / sigma[i], x0

    return held


def invert(table: StepTable, denoise: Denoise, x0: Tensor, *, rounds: int) -> Tensor:
    """Return x (B, C, L) at noise level 0 of a table of DDIM without noise, from which it gives x0 (B, C, L) back.

    Each row is inverted by fixed-point iteration on the noise that the network predicts at the noisier end (Garibi et
    al. 2024, ReNoise, without its averages). One round is the usual inversion of DDIM (Song et al. 2021, section 4.3),
    which takes the prediction of the cleaner end. Each round evaluates the network once. ValueError for other tables.
    """
    if table.c.any() or table.name != "ddim" or (table.gain != 1.0).any():
        raise ValueError(f"{table.name} cannot be run backwards: expected ddim with eta 0 and without a gain")
    alpha, sigma = table.alpha.tolist(), table.sigma.tolist()
    x = x0
    for i in reversed(range(table.S)):
        scale = alpha[i] / alpha[i + 1]
        guess = x
        for _ in range(rounds):
            eps, _ = denoise(guess, i)
            guess = scale * x + (sigma[i] - scale * sigma[i + 1]) * eps
        x = guess
    return x


def remainders(table: StepTable, denoise: Denoise, path: Sequence[Tensor]) -> list[Tensor]:
    """Return the part of the step from path[i] to path[i + 1] that row i does not explain: (S,) tensors (B, C, L).

    path: (S + 1,) records at the nodes of the table, the last one clean. With the remainders as the noise of their
    rows, `run` follows the path again (Huberman-Spiegelglas et al. 2024, edit-friendly DDPM inversion, eq. 5), except
    for the last row, which has no noise: its remainder is added to what `run` returns.
    """
    left: list[Tensor] = []
    history: list[Tensor] = []
    for i in range(table.S):
        eps, x0 = denoise(path[i], i)
        history = [eps if table.history == "eps" else x0, *history][: table.K]
        x = path[i + 1] - float(table.a[i]) * path[i]
        for b_ij, h in zip(table.b[i].tolist(), history, strict=False):
            x = x - b_ij * h
        left.append(x)
    return left


def away_from(denoise: Denoise, other: Denoise, guidance: Sequence[float]) -> Denoise:
    """Return a denoiser that goes further from the prediction of another one, by guidance[i] times their difference.

    This is guidance as in Ho and Salimans (2022, eq. 6), with other conditions in place of none. In rows without
    guidance, the other denoiser is not evaluated.
    """

    def guided(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        eps, x0 = denoise(x, i)
        if guidance[i] == 0.0:
            return eps, x0
        eps_2, x0_2 = other(x, i)
        return eps + guidance[i] * (eps - eps_2), x0 + guidance[i] * (x0 - x0_2)

    return guided


def v_denoiser(table: StepTable, net: BoundNetwork) -> Denoise:
    """Return the denoiser of a network that predicts v = alpha eps - sigma x0 (Salimans and Ho 2022, app. D).

    x0 = alpha x - sigma v and eps = sigma x + alpha v, which also hold where alpha = 0.
    """
    steps, alpha, sigma = table.steps.tolist(), table.alpha.tolist(), table.sigma.tolist()

    def denoise(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        v = net(x, steps[i]).to(x.dtype)
        return sigma[i] * x + alpha[i] * v, alpha[i] * x - sigma[i] * v

    return denoise
