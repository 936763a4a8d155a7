"""Reading checkpoints: SSSD-ECG's .pkl files, bare state dicts, and safetensors that hold their configuration."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config, WavenetConfig, parse_config
from .state import infer_config

_PREFIX = re.compile(r"^(?:(?:model|module|_orig_mod)\.)+")


def read_state(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a checkpoint file and return its state dict and its metadata ("config" and "cauchy", if it has them).

    A file written by torch.save may hold `{"model_state_dict": ...}`, `{"state_dict": ...}` or a bare state dict; it is
    read with weights_only=True. A .safetensors file is read as such. Prefixes of names (model., module.) are removed.
    FileNotFoundError if there is no file; ValueError if it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: give the path of a .pkl, .pt or .safetensors file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError) as e:
        reason = str(e).splitlines()[0].split(". ")[0] if str(e) else type(e).__name__
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({reason[:120]}): expected a file written by torch.save that holds "
            "tensors only, or a .safetensors file; the file may be damaged or cut off"
        ) from None
    metadata = {}
    if isinstance(content, Mapping):
        metadata = {k: content[k] for k in ("config", "cauchy") if isinstance(content.get(k), str)}
    for key in ("model_state_dict", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        raise ValueError(
            f'{path} holds no state dict: expected {{"model_state_dict": {{name: tensor}}}}, or {{name: tensor}}'
        )
    return {_PREFIX.sub("", str(k)): v for k, v in content.items()}, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as f:
            state = {_PREFIX.sub("", key): f.get_tensor(key) for key in f.keys()}  # noqa: SIM118
            return state, dict(f.metadata() or {})
    except SafetensorError as e:
        raise ValueError(
            f"{path} cannot be read as safetensors ({e}): the file may be damaged or cut off"
        ) from None


def configuration_of(
    path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], given: Config | None = None
) -> tuple[Config, str]:
    """Return the configuration of a checkpoint, and in words where it comes from.

    The configuration is the one that is given, else the one in the file, else one inferred from the shapes of the
    weights. ValueError if the given one contradicts the file's in anything that changes what the weights compute.
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
        raise ValueError(f"{path} holds a network with {leads}: expected the 8 leads of SSSD-ECG")
    config = Config(wavenet_config=WavenetConfig(**vars(size)))
    return config, "shapes; the schedule is assumed to be the published one"


def _check_agreement(given: Config, own: Config, path: Path) -> None:
    """Raise ValueError for the first key of network, schedule or data in which the two differ."""
    free = ("s4_dropout", "finetune_dataset")  # these do not change what the weights compute
    if own.transformer_config != given.transformer_config:
        raise ValueError(
            f"{path} was trained with another transformer_config, or without one: leave the configuration out, or "
            "give the one it was trained with"
        )
    for part in ("wavenet_config", "diffusion_config", "trainset_config"):
        for key, value in getattr(own, part):
            asked = getattr(getattr(given, part), key)
            if asked != value and key not in free:
                raise ValueError(
                    f"{path} was trained with {part}.{key} {value}; the configuration that was given says {asked}: "
                    "leave the configuration out, or give the one it was trained with"
                )
