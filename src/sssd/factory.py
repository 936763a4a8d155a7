"""Builds what a configuration describes: the schedule and the network."""

from __future__ import annotations

from contextlib import nullcontext

import torch

from .config.schema import Config
from .labels import CODES
from .models.denoiser import Denoiser
from .models.parameters import DenoiserConfig
from .models.s4 import Cauchy
from .patient import COLUMNS
from .schedule import Schedule, linear, rescaled


def build_schedule(config: Config) -> Schedule:
    """Build the published linear schedule, rescaled if the configuration has a terminal alpha."""
    d = config.diffusion_config
    schedule = linear(d.T, d.beta_0, d.beta_T)
    return schedule if d.terminal_alpha is None else rescaled(schedule, d.terminal_alpha)


def build_network(config: Config, cauchy: Cauchy = "conjugate_pairs", *, empty: bool = False) -> Denoiser:
    """Build the network with random weights, which torch's global generator draws.

    empty: give it shapes but no values (PyTorch's meta device), for `load_into` to fill, because computing the initial
    values of S4 takes long.
    """
    schedule = build_schedule(config)
    velocity = None
    if config.diffusion_config.prediction == "v":
        velocity = (schedule.alpha.tolist(), schedule.sigma.tolist())
    with torch.device("meta") if empty else nullcontext():
        return Denoiser(
            DenoiserConfig(**config.wavenet_config.model_dump()),
            cauchy=cauchy,
            velocity=velocity,
            patient=config.trainset_config.patient,
        )


def label_names(config: Config) -> tuple[str, ...]:
    """Return the names of the K labels: the configuration's, else PTB-XL's codes if K is 71, else class_0, ..."""
    names, classes = config.trainset_config.label_names, label_count(config)
    if names is not None:
        return tuple(names)
    return CODES if classes == len(CODES) else tuple(f"class_{k}" for k in range(classes))


def label_count(config: Config) -> int:
    """Return K, the number of labels: the classes of the network without the columns of the patient."""
    return config.wavenet_config.label_embed_classes - len(COLUMNS) * config.trainset_config.patient
