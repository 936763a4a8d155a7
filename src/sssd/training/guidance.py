"""A network learns what another one predicts under classifier-free guidance (Meng et al. 2023, first stage)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints import configuration_of, read_state
from ..config.schema import Config, Guidance
from ..factory import build_network, label_names
from ..loss import NoiseLevels, Predict
from ..models.network import Network
from ..models.transformer import Transformer, circumstance_columns
from .checkpoint import start_from
from .network import training_net


def strength_of_steps(guidance: Guidance, levels: NoiseLevels) -> Tensor:
    """Return the strength of guidance at each step, (T,). It is 1 (no guidance) below the first level that is given.

    Rhythm and amplitude are decided at high noise. They need more guidance than what is decided later (Kynkäänniemi et
    al. 2024, https://arxiv.org/abs/2404.07724).
    """
    level = levels.sigma / levels.alpha
    strength = torch.ones_like(level)
    for start, value in sorted(guidance) if isinstance(guidance, list) else [(0.0, guidance)]:
        strength = torch.where(level >= start, value, strength)
    return strength


def under_guidance(conditional: Tensor, unconditional: Tensor, strength: float | Tensor) -> Tensor:
    """Return predictions (B, 8, L) under guidance. strength: one number, or one for each record, (B, 1, 1).

    This is eq. 6 of Ho and Salimans (2022). Their w is strength - 1, so a strength of 1 is no guidance.
    """
    return unconditional + strength * (conditional - unconditional)


def guided(
    net: Network,
    length: int,
    strength: Tensor,
    of_heart_rate: Tensor | None,
    precision: str,
    device: torch.device,
    *,
    of_circumstances: Tensor | None = None,
) -> Predict:
    """Return the prediction of `net` under guidance, without gradients.

    strength: (T,) of guidance at each step. of_heart_rate: (T,) the strength for what the heart rate changes in the
    prediction without statements; `strength` then is for what statements add where the heart rate is known, so that SR,
    for one, does not draw records to the heart rates that are usual with it. None if the heart rate is guided like all
    other conditions. of_circumstances: the same for what circumstances add; None if they are not guided. A network that
    is trained on these predictions needs one evaluation where guidance needs two to four.
    """
    frozen = training_net(net.to(device), length, precision, device).eval()

    @torch.no_grad()
    def predict(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        step = t.reshape(-1).long()

        def at(strength: Tensor) -> Tensor:
            return strength[step][:, None, None]

        unconditional, conditional = frozen(x, net.unconditional(y), t), frozen(x, y, t)
        if of_heart_rate is None:
            found = under_guidance(conditional, unconditional, at(strength))
        else:
            by_rate = frozen(x, heart_rate_alone(net, y), t)
            found = under_guidance(by_rate, unconditional, at(of_heart_rate))
            found = found + at(strength) * (conditional - by_rate)
        if of_circumstances is not None:
            without = frozen(x, without_circumstances(net, y), t)
            found = found + (at(of_circumstances) - 1) * (conditional - without)
        return found

    return predict


def heart_rate_alone(net: Network, y: Tensor) -> Tensor:
    """Return conditions (B, K) without statements, age and sex, but with the heart rate and its variability.

    net: a network that takes a heart rate.
    """
    assert isinstance(net, Transformer) and net.takes.heart_rate
    alone, columns = net.unconditional(y), net.rhythm_columns
    alone[:, columns] = net.full(y)[:, columns]
    return alone


def without_circumstances(net: Network, y: Tensor) -> Tensor:
    """Return conditions (B, K) in which the circumstances are unknown. net: a network that takes them."""
    assert isinstance(net, Transformer) and net.circumstances is not None
    y = y.clone()
    y[:, -1 - circumstance_columns(net.config) :] = 0
    return y


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
    takes_heart_rate = isinstance(net, Transformer) and net.takes.heart_rate
    if config.train_config.heart_rate_guidance is not None and not takes_heart_rate:
        raise ValueError(
            "train_config.heart_rate_guidance needs a transformer that takes a heart rate, which this network is not: "
            "leave the key out"
        )
    start_from(net, config, init)
    return net
