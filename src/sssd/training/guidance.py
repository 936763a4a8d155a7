"""Lets a network learn what another one predicts under classifier-free guidance (Meng et al. 2023, first stage)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints import configuration_of, read_state
from ..config.schema import Config, Guidance
from ..factory import build_network, label_names
from ..loss import NoiseLevels, Predict
from ..models.network import Network
from .checkpoint import start_from
from .network import training_net


def strength_of_steps(guidance: Guidance, levels: NoiseLevels) -> Tensor:
    """Return the strength of guidance at each step, (T,). Below the first level that is given there is none.

    Rhythm and amplitude are decided at high noise, and ask for more of it than what comes after (Kynkäänniemi et al.
    2024, https://arxiv.org/abs/2404.07724).
    """
    level = levels.sigma / levels.alpha
    strength = torch.ones_like(level)
    for start, value in sorted(guidance) if isinstance(guidance, list) else [(0.0, guidance)]:
        strength = torch.where(level >= start, value, strength)
    return strength


def under_guidance(conditional: Tensor, unconditional: Tensor, strength: float | Tensor) -> Tensor:
    """Return predictions (B, 8, L) under guidance of a strength, or one for each record (B, 1, 1).

    Ho and Salimans 2022, eq. 6; their w is strength - 1, so 1 is no guidance.
    """
    return unconditional + strength * (conditional - unconditional)


def guided(net: Network, length: int, strength: Tensor, precision: str, device: torch.device) -> Predict:
    """Return the prediction of `net` under guidance whose strength depends on the step, (T,), without gradients.

    A network trained on it needs one evaluation where guidance needs two.
    """
    frozen = training_net(net.to(device), length, precision, device).eval()

    @torch.no_grad()
    def predict(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        at_step = strength[t.reshape(-1).long()][:, None, None]
        return under_guidance(frozen(x, y, t), frozen(x, net.unconditional(y), t), at_step)

    return predict


def network_to_guide(config: Config, init: Path | None) -> Network:
    """Return the network that training starts from, with its first weights. ValueError if it cannot guide."""
    if init is None:
        raise ValueError("train_config.guidance needs a trained network to start from: give one (--init)")
    before, _ = configuration_of(init, *read_state(init))
    if label_names(before) != label_names(config):
        raise ValueError(
            f"{init} was trained on other labels, so it cannot guide a network with these: fine-tune it to the new "
            "labels first, without train_config.guidance"
        )
    net = build_network(config)
    start_from(net, config, init)
    return net
