"""Lets a network learn what another one predicts under classifier-free guidance (Meng et al. 2023, first stage)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints import configuration_of, read_state
from ..config.schema import Config
from ..factory import build_network, label_names
from ..loss import Predict
from ..models.network import Network
from .checkpoint import start_from
from .network import training_net


def guided(net: Network, length: int, strength: float, precision: str, device: torch.device) -> Predict:
    """Return the prediction of `net` under guidance (Ho and Salimans 2022, eq. 6), without gradients.

    A network trained on it needs one evaluation where guidance needs two. A strength of 1 is no guidance.
    """
    frozen = training_net(net.to(device), length, precision, device).eval()

    @torch.no_grad()
    def predict(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        unconditional = frozen(x, net.unconditional(y), t)
        return unconditional + strength * (frozen(x, y, t) - unconditional)

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
