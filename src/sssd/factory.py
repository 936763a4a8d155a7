"""From a configuration to the things it describes: the schedule and the network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint import infer_config, read_state, write_safetensors
from .config.schema import Config, WavenetConfig, parse_config
from .labels import CODES
from .models.denoiser import Denoiser, DenoiserConfig
from .models.s4 import Cauchy
from .patient import COLUMNS
from .schedule import Schedule, linear, rescaled


def build_schedule(config: Config) -> Schedule:
    """The published linear schedule, rescaled where the configuration gives a terminal alpha."""
    d = config.diffusion_config
    schedule = linear(d.T, d.beta_0, d.beta_T)
    return schedule if d.terminal_alpha is None else rescaled(schedule, d.terminal_alpha)


def build_network(config: Config, cauchy: Cauchy = "conjugate_pairs", *, empty: bool = False) -> Denoiser:
    """The network with random weights; torch's global generator draws them.

    With `empty` it has shapes only (PyTorch's meta device), for `load_into` to fill: S4's initial values take long.
    """
    schedule = build_schedule(config)
    velocity = None
    if config.diffusion_config.prediction == "v":
        velocity = (schedule.alpha.tolist(), schedule.sigma.tolist())
    with torch.device("meta") if empty else nullcontext():
        return Denoiser(
            DenoiserConfig(**config.wavenet_config.model_dump()), cauchy=cauchy, velocity=velocity
        )


def configuration_of(
    path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], given: Config | None = None
) -> tuple[Config, str]:
    """The configuration of a checkpoint and where it comes from: given, else the file's own, else its shapes.

    ValueError where the one that is given contradicts the file's own in what weights mean.
    """
    own = None
    if "config" in metadata:
        own = parse_config(metadata["config"], f"the configuration in {path}")
    if given is not None:
        if own is not None:
            _check_agreement(given, own, path)
        return given, "given"
    if own is not None:
        return own, "the file's metadata"
    size = infer_config(state)
    if (size.in_channels, size.out_channels) != (8, 8):
        leads = f"{size.in_channels} channels in and {size.out_channels} out"
        raise ValueError(f"{path} is of a network with {leads}: expected the 8 leads of SSSD-ECG")
    config = Config(wavenet_config=WavenetConfig(**vars(size)))
    return config, "shapes; the schedule is assumed to be the published one"


def write_sampling(
    source: Path, out: Path, change: Callable[[dict[str, Any]], None], cauchy: Cauchy | None = None
) -> Path:
    """The checkpoint `source` as .safetensors, its ddim_config changed in place by `change`, its weights as they are.

    cauchy: the convention to note with it; the file's own where it is None.
    """
    state, metadata = read_state(source)
    config, _ = configuration_of(source, state, metadata)
    content = config.model_dump(mode="json")
    change(content["ddim_config"])
    told = {} if cauchy is None else {"cauchy": cauchy}
    return write_safetensors(out, state, {**metadata, **told, "config": json.dumps(content)})


def _check_agreement(given: Config, own: Config, path: Path) -> None:
    """ValueError that names the first key of the network, the schedule or the data on which the two differ."""
    free = ("s4_dropout", "finetune_dataset")  # neither changes what the weights compute
    for part in ("wavenet_config", "diffusion_config", "trainset_config"):
        for key, value in getattr(own, part):
            asked = getattr(getattr(given, part), key)
            if asked != value and key not in free:
                raise ValueError(
                    f"{path} was trained with {part}.{key} {value}; the configuration that was given says {asked}: "
                    "leave the configuration out, or give the one it was trained with"
                )


def label_names(config: Config) -> tuple[str, ...]:
    """(K,) the configuration's names, else PTB-XL's 71 codes where K is 71, else class_0, class_1, ..."""
    names, classes = config.trainset_config.label_names, label_count(config)
    if names is not None:
        return tuple(names)
    return CODES if classes == len(CODES) else tuple(f"class_{k}" for k in range(classes))


def label_count(config: Config) -> int:
    """K, the labels of a model: its classes without the columns of the patient."""
    return config.wavenet_config.label_embed_classes - len(COLUMNS) * config.trainset_config.patient
