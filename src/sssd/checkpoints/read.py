"""Reading checkpoints: files of torch.save in the forms that are usual, and safetensors that hold a configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checks import warn
from ..config.schema import Config, TrainsetConfig, WavenetConfig, parse_config
from .find import Found, find_network
from .state import infer_config
from .unpickle import load


def read_state(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a checkpoint file and return its state dict and its metadata ("config" and "cauchy", if it has them).

    A file of torch.save may hold the network's tensors under any keys and prefixes, with averaged weights beside it,
    which are then taken, with a warning. Nothing in the file is run. Which of the two kinds of file it is, its content
    tells. FileNotFoundError if there is no file; ValueError if it cannot be read.
    """
    content, metadata = _contents(Path(path))
    found = _network(Path(path), content)
    taken, *others = (
        repr(prefix.removesuffix(".")) if prefix else "those without a prefix"
        for prefix in (found.prefix, *found.others)
    )
    if others:
        what = "averaged weights" if found.averaged else "weights"
        warn(f"{path}: the {what} {taken} are taken, not {', '.join(others)}")
    if found.nameless and not found.averaged:
        listed = ", ".join(map(repr, found.nameless))
        warn(
            f"{path}: the averaged weights {listed} lack the names of the network and cannot be read; the weights "
            f"{taken} are taken"
        )
    return found.state, metadata


def form_of(path: Path) -> str:
    """The form of a checkpoint file in words."""
    if _is_safetensors(path):
        return "safetensors"
    content, _ = _contents(path)
    prefix = _network(path, content).prefix.removesuffix(".")
    if not prefix:
        return "torch file with a bare state dict"
    others = [str(key) for key in content if not (prefix == key or prefix.startswith(f"{key}."))]
    beside = f" beside {', '.join(others[:4])}" if others and prefix.split(".")[0] in content else ""
    return f"torch file with {prefix}{beside}"


def _network(path: Path, content: Any) -> Found:
    try:
        return find_network(content)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def _contents(path: Path) -> tuple[Any, dict[str, str]]:
    """What a file holds, and its metadata."""
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"no checkpoint at {path}"
        raise FileNotFoundError(f"{what}: give the path of a .pkl, .pt or .safetensors file")
    content, metadata = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    config = metadata.get("config")
    if config is not None and not any(f'"{section}"' in config for section in Config.model_fields):
        warn(f"{path}: its entry 'config' is no configuration of SSSD-ECG and is not used")
        del metadata["config"]
    return content, metadata


def _is_safetensors(path: Path) -> bool:
    """Whether a file is of safetensors, which begins with the length of a header in JSON; a damaged one is by name."""
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{":
        return True
    return path.suffix == ".safetensors" and not head.startswith((b"PK", b"\x80"))


def _read_torch(path: Path) -> tuple[Any, dict[str, str]]:
    content, metadata = load(path), {}
    if isinstance(content, Mapping):
        metadata = {key: content[key] for key in ("config", "cauchy") if isinstance(content.get(key), str)}
        if isinstance(content.get("config"), Mapping):
            metadata["config"] = json.dumps(content["config"], default=str)
    return content, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as f:
            return {key: f.get_tensor(key) for key in f.keys()}, dict(f.metadata() or {})  # noqa: SIM118
    except SafetensorError as e:
        raise ValueError(
            f"{path} cannot be read as safetensors ({e}): the file may be damaged or cut off"
        ) from None


def configuration_of(
    path: Path,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    given: Config | None = None,
    *,
    whole: bool = True,
) -> tuple[Config, str]:
    """Return the configuration of a checkpoint, and in words where it comes from.

    The configuration is the one that is given, else the one in the file, else one inferred from the shapes of the
    weights. ValueError if the given one contradicts the file's in anything that changes what the weights compute, or if
    the shapes are of another length than the published one, because they do not tell the sampling rate; without
    `whole`, the configuration then has this length and the published rate.
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
    published = TrainsetConfig()
    source = "shapes; the schedule is assumed to be the published one"
    if size.s4_lmax != published.segment_length:
        if whole:
            raise ValueError(
                f"{path} holds a network for records of {size.s4_lmax} samples and no configuration, so that their "
                "sampling rate is not known: give the configuration that it was trained with (--config, or config= in "
                "Python), with trainset_config.segment_length and sampling_rate"
            )
        source += (
            ", and the sampling rate is not known: give the configuration (--config) to generate records"
        )
    data = published.model_copy(update={"segment_length": size.s4_lmax})
    return Config(wavenet_config=WavenetConfig(**vars(size)), trainset_config=data), source


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
