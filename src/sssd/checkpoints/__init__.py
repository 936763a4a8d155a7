"""Checkpoints: reading (read), writing (write), what a state dict holds (state), what a file is (inspection)."""

from .read import configuration_of, read_state
from .state import compact, infer_config, load_into, state_hash
from .write import write_pickle, write_safetensors, write_sampling

__all__ = [
    "compact",
    "configuration_of",
    "infer_config",
    "load_into",
    "read_state",
    "state_hash",
    "write_pickle",
    "write_safetensors",
    "write_sampling",
]
