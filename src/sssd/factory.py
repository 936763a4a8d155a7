"""Builds what a configuration describes: the schedule and the network."""

from __future__ import annotations

from contextlib import ExitStack

from .config.names import Cauchy
from .config.schema import Config
from .labels import CODES
from .models.denoiser import Denoiser
from .models.network import Network
from .models.parameters import DenoiserConfig
from .models.settings import float32_modules, isolated, unfilled
from .models.transformer import Transformer
from .schedule import Schedule, karras, linear, rescaled


def build_schedule(config: Config) -> Schedule:
    """Build the published linear schedule, rescaled if the configuration has a terminal alpha, or Karras et al.'s."""
    d = config.diffusion_config
    if d.sigma_min is not None and d.sigma_max is not None and d.rho is not None:
        return karras(d.T, d.sigma_min, d.sigma_max, d.rho)
    schedule = linear(d.T, d.beta_0, d.beta_T)
    return schedule if d.terminal_alpha is None else rescaled(schedule, d.terminal_alpha)


def build_network(config: Config, cauchy: Cauchy = "conjugate_pairs", *, empty: bool = False) -> Network:
    """Build the network with random weights, which torch's global generator draws.

    empty: leave out random values, for `load_into` to fill, because computing the initial values of S4 takes long.
    """
    schedule = build_schedule(config)
    velocity = None
    if config.diffusion_config.prediction == "v":
        velocity = (schedule.alpha.tolist(), schedule.sigma.tolist())
    takes = config.trainset_config.takes
    with isolated(), float32_modules(), ExitStack() as stack:
        if empty:
            stack.enter_context(unfilled())
        if config.transformer_config is not None:
            assert velocity is not None  # the configuration has been checked
            classes = config.wavenet_config.label_embed_classes
            return Transformer(config.transformer_config, classes=classes, velocity=velocity, takes=takes)
        return Denoiser(
            DenoiserConfig(**config.wavenet_config.model_dump()),
            cauchy=cauchy,
            velocity=velocity,
            takes=takes,
        )


def label_names(config: Config) -> tuple[str, ...]:
    """Return the names of the K labels: the configuration's, else PTB-XL's codes if K is 71, else class_0, ..."""
    names, classes = config.trainset_config.label_names, label_count(config)
    if names is not None:
        return tuple(names)
    return CODES if classes == len(CODES) else tuple(f"class_{k}" for k in range(classes))


def label_count(config: Config) -> int:
    """Return K, the number of labels: the classes of the network without the columns behind them (sssd.patient)."""
    return config.wavenet_config.label_embed_classes - len(config.trainset_config.takes.columns)
