"""Checkpoint files: read.py reads them, write.py writes them, and inspection.py reports what one is.

state.py works on the state dicts in them: the size of their network, loading, the compact form, the hash.
"""

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
