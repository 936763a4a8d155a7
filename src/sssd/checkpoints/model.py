"""A checkpoint file as a network with its configuration, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checks import one_of
from ..config.names import Cauchy
from ..config.schema import Config
from ..factory import build_network
from ..io.files import check_free
from ..models.network import Network
from ..models.s4 import CAUCHY
from .read import configuration_of, read_state
from .state import load_into
from .write import safetensors_bytes, write_pickle, write_safetensors

SUFFIXES = (".safetensors", ".pkl", ".pt")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds: the weights, the configuration, and the Cauchy convention of its S4 kernels."""

    path: Path
    state: Mapping[str, Tensor]
    config: Config
    cauchy: Cauchy

    def network(self) -> Network:
        """Return a new network with these weights; ValueError if they do not fit the configuration."""
        network = build_network(self.config, self.cauchy, empty=True)
        load_into(network, self.state, str(self.path))
        return network

    def load_into(self, network: Network) -> Network:
        """Return the network, of the same configuration, with these weights; ValueError if they do not fit it."""
        load_into(network, self.state, str(self.path))
        network.cauchy, network.takes = self.cauchy, self.config.trainset_config.takes
        return network


def open_checkpoint(path: Path, given: Config | None = None, cauchy: Cauchy | None = None) -> Checkpoint:
    """Read a checkpoint; see `configuration_of` for its configuration.

    cauchy: the convention, by default what the file says, or else the first of `CAUCHY`. FileNotFoundError or
    ValueError if the file is missing, damaged or does not fit the configuration `given`.
    """
    state, metadata = read_state(path)
    config, _ = configuration_of(path, state, metadata, given)
    convention: Any = metadata.get("cauchy", CAUCHY[0]) if cauchy is None else cauchy
    one_of("cauchy", convention, CAUCHY)
    return Checkpoint(path, state, config, convention)


def write_model(path: Path, network: Network, config: Config, overwrite: bool = False) -> Path:
    """Write a network and its configuration: .safetensors, or .pkl or .pt in SSSD-ECG's form.

    ValueError for another suffix; FileExistsError if the file exists and `overwrite` is not set.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"checkpoint {path.name!r} has no known suffix: expected .safetensors, .pkl or .pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    check_free(path, overwrite=overwrite)
    state, metadata = _held(network, config)
    if path.suffix == ".safetensors":
        return write_safetensors(path, state, metadata)
    return write_pickle(path, {"model_state_dict": state, **metadata})


def model_bytes(network: Network, config: Config) -> bytes:
    """Return the content of the .safetensors file that `write_model` writes."""
    return safetensors_bytes(*_held(network, config))


def _held(network: Network, config: Config) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a network's file."""
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    return state, {"config": json.dumps(config.content()), "cauchy": network.cauchy}
