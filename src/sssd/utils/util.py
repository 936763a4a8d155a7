"""The functions that users of SSSD-ECG import, with the same names and arguments, on the one sampling loop.

They draw from torch's global generator on the CPU, in the order of SSSD-ECG, so that under `torch.manual_seed` they
give its records on any device. `net` is any callable that takes one tuple (x (B, C, L), cond (B, K), steps (B, 1)) of
float32 tensors and returns the noise (B, C, L). Everything runs on the device of its parameters, otherwise on that of
`cond`, otherwise on the CPU.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import counted
from ..config.schema import DiffusionConfig
from ..models.embeddings import step_embedding
from ..models.network import Network
from ..models.settings import isolated
from ..samplers import StepTable, ddim, ddpm, eps_denoiser, run
from ..schedule import Schedule, check_steps, choose_steps

Net = Callable[[tuple[Tensor, Any, Tensor]], Tensor]


def sampling_label(
    net: Net, size: tuple[int, int, int], diffusion_hyperparams: dict[str, Any], cond: Any = None
) -> Tensor:
    """Sample records (B, C, L) = `size` with DDPM over every step (Ho et al. 2020, algorithm 2).

    cond: (B, K), any finite real values, which become float32; None reaches the network as None.
    Draws x_T, and then noise once per step above 0. Raises ValueError if size or cond is wrong.
    """
    return _sample(net, size, cond, ddpm(_schedule(diffusion_hyperparams)))


def sampling_label_ddim(
    net: Net,
    size: tuple[int, int, int],
    diffusion_hyperparams: dict[str, Any],
    cond: Any = None,
    ddim_timesteps: int = 50,
    eta: float = 0.0,
) -> Tensor:
    """Sample records (B, C, L) = `size` with DDIM (Song et al. 2021) in `ddim_timesteps` network evaluations.

    The steps are round(linspace(T-1, 0, ddim_timesteps)). With eta = 0 only x_T is drawn; eta = 1 adds the noise of
    DDPM. cond is as in `sampling_label`. Raises ValueError unless 1 <= ddim_timesteps <= T and 0 <= eta <= 1.
    """
    schedule = _schedule(diffusion_hyperparams)
    eta = eta.item() if isinstance(eta, Tensor) and eta.numel() == 1 else eta
    steps = choose_steps(schedule, check_steps(ddim_timesteps, schedule.T, "ddim_timesteps"))
    return _sample(net, size, cond, ddim(schedule, steps, eta))


def training_loss_label(
    net: Net,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    X: tuple[Any, Any],
    diffusion_hyperparams: dict[str, Any],
) -> Tensor:
    """Return loss_fn(predicted noise, noise) of records X[0] (B, C, L) with labels X[1] (B, K) at random steps.

    Ho et al. 2020, algorithm 1. Draws the steps (B, 1, 1), then the noise. Raises ValueError for labels that are not
    finite, or are not one row for each record.
    """
    audio = _tensor(X[0])
    if audio.ndim != 3 or not audio.numel():
        raise ValueError(
            f"the records have shape {tuple(audio.shape)}: expected (B, C, L), one record or more"
        )
    device = _device(net, audio)
    audio = audio.to(device, torch.float32)
    cond = _condition(X[1], len(audio), device)
    alpha_bar = _tensor(diffusion_hyperparams["Alpha_bar"]).to(device, torch.float32)
    steps = torch.randint(int(diffusion_hyperparams["T"]), size=(len(audio), 1, 1), device="cpu").to(device)
    z = std_normal(audio.shape).to(device)
    noisy = torch.sqrt(alpha_bar[steps]) * audio + torch.sqrt(1 - alpha_bar[steps]) * z
    return loss_fn(net((noisy, cond, steps.view(-1, 1).float())), z)


@isolated()
def calc_diffusion_hyperparams(T: int, beta_0: float, beta_T: float) -> dict[str, Any]:
    """Return the linear schedule in float32: {"T": int, "Beta", "Alpha", "Alpha_bar", "Sigma": (T,) tensors}.

    Alpha_bar is multiplied step by step in float32, as in the published code. Sigma is the square root of beta tilde
    (Ho et al. 2020, eq. 7), and of beta_0 at step 0. Raises ValueError unless T >= 1 and both betas are in (0, 1).
    """
    if T < 1:
        raise ValueError(f"T is {T}: expected at least 1 step")
    if not (0.0 < beta_0 < 1.0 and 0.0 < beta_T < 1.0):
        raise ValueError(f"beta_0 is {beta_0} and beta_T is {beta_T}: expected both above 0 and below 1")
    beta = torch.linspace(beta_0, beta_T, T, dtype=torch.float32, device="cpu")
    alpha = 1 - beta
    products = [alpha[0]]
    for alpha_t in alpha[1:]:  # torch.cumprod accumulates in float64
        products.append(products[-1] * alpha_t)
    alpha_bar = torch.stack(products)
    beta_tilde = beta.clone()
    beta_tilde[1:] *= (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
    return {"T": T, "Beta": beta, "Alpha": alpha, "Alpha_bar": alpha_bar, "Sigma": torch.sqrt(beta_tilde)}


def hyperparams_of(config: DiffusionConfig, schedule: Schedule) -> dict[str, Any]:
    """Return the schedule that `config` describes, in the form of `calc_diffusion_hyperparams`."""
    if config.terminal_alpha is None and config.rho is None:
        return calc_diffusion_hyperparams(config.T, config.beta_0, config.beta_T)
    abar, beta = schedule.abar, schedule.beta
    variance = np.append(beta[0], beta[1:] * (1 - abar[:-1]) / (1 - abar[1:]))  # beta tilde, eq. 7
    tables = {"Beta": beta, "Alpha": 1 - beta, "Alpha_bar": abar, "Sigma": np.sqrt(variance)}
    return {
        "T": config.T,
        **{k: torch.tensor(v, dtype=torch.float32, device="cpu") for k, v in tables.items()},
    }


def calc_diffusion_step_embedding(diffusion_steps: Tensor, diffusion_step_embed_dim_in: int) -> Tensor:
    """Return sines and cosines (B, dim) of the steps (B, 1), float32, on the device of the steps."""
    return step_embedding(diffusion_steps, diffusion_step_embed_dim_in)


@isolated()
def std_normal(size: tuple[int, ...] | torch.Size) -> Tensor:
    """Return a standard normal float32 tensor of this size, on the CPU, from torch's global generator."""
    return torch.normal(0, 1, size=tuple(size), dtype=torch.float32, device="cpu")


def print_size(net: Any) -> None:
    """Print the number of trainable parameters of a module in millions; print nothing for anything else."""
    if isinstance(net, torch.nn.Module):
        count = sum(p.numel() for p in net.parameters() if p.requires_grad)
        print(f"{type(net).__name__} Parameters: {count / 1e6:.6f}M", flush=True)


def find_max_epoch(path: str | os.PathLike[str]) -> int:
    """Return the largest N of the files N.pkl in a folder, or -1 if there is none."""
    names = (re.fullmatch(r"([0-9]+)\.pkl", name) for name in os.listdir(path))
    return max((int(name.group(1)) for name in names if name), default=-1)


@isolated()
@torch.no_grad()
def _sample(net: Net, size: tuple[int, int, int], cond: Any, table: StepTable) -> Tensor:
    if len(size) != 3 or not all(isinstance(n, int) and n >= 0 for n in size):
        raise ValueError(f"size is {tuple(size)}: expected (B, C, L), whole numbers")
    if isinstance(net, Network) and size[1] != 8:
        raise ValueError(f"size is {tuple(size)}: this network makes 8 leads, expected (B, 8, L)")
    device = _device(net, cond)
    condition = None if cond is None else _condition(cond, size[0], device)

    if condition is None and isinstance(net, Network) and getattr(net.config, "label_embed_classes", True):
        raise ValueError("cond is None: this network needs label vectors (B, K)")
    if 0 in size:
        return torch.zeros(tuple(size), dtype=torch.float32, device=device)

    def eps(x: Tensor, t: int) -> Tensor:
        return net((x, condition, torch.full((size[0], 1), float(t), dtype=torch.float32, device=device)))

    def noise(_: int) -> Tensor:
        return std_normal(size).to(device)

    return run(table, eps_denoiser(table, eps), std_normal(size).to(device), noise)


def _schedule(diffusion_hyperparams: dict[str, Any]) -> Schedule:
    alpha_bar = _tensor(diffusion_hyperparams["Alpha_bar"])
    T = diffusion_hyperparams["T"]
    if alpha_bar.shape != (T,):
        raise ValueError(f"T is {T} and Alpha_bar has shape {tuple(alpha_bar.shape)}: expected ({T},)")
    return Schedule(alpha_bar.detach().cpu().double().numpy())


def _device(net: Net, otherwise: Any) -> torch.device:
    parameters = getattr(net, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    for tensor in (first, otherwise):
        if isinstance(tensor, Tensor):
            return tensor.device
    return torch.device("cpu")


def _tensor(value: Any) -> Tensor:
    """The value as a tensor, on its own device or the CPU, whatever the default device."""
    return value if isinstance(value, Tensor) else torch.as_tensor(value, device="cpu")


def _condition(cond: Any, batch: int, device: torch.device) -> Tensor:
    """Return cond (B, ...) as float32 on the device; ValueError unless it has B rows of finite real values."""
    given = _tensor(cond)
    if given.is_complex():
        raise ValueError(f"cond is {given.dtype}: expected real values")
    if given.ndim == 0 or len(given) != batch:
        raise ValueError(
            f"cond has shape {tuple(given.shape)}: expected {counted(batch, 'row')}, one for each record"
        )
    condition = given.to(device, torch.float32)
    if not torch.isfinite(condition).all():
        raise ValueError("cond holds infinite values or NaN: expected finite values")
    return condition
