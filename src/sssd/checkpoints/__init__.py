"""Checkpoint files: read.py reads them, write.py writes them, and inspection.py reports what one is.

model.py turns a file into a network and back. state.py works on state dicts: the size of their network, loading, the
compact form, the hash.
"""

from .model import Checkpoint, open_checkpoint, write_model
from .read import configuration_of, read_state
from .state import compact, infer_config, load_into, state_hash
from .write import write_pickle, write_safetensors, write_sampling

__all__ = [
    "Checkpoint",
    "compact",
    "configuration_of",
    "infer_config",
    "load_into",
    "open_checkpoint",
    "read_state",
    "state_hash",
    "write_model",
    "write_pickle",
    "write_safetensors",
    "write_sampling",
]
