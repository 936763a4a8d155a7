"""Checkpoint files: read.py reads them, write.py writes them, and inspection.py reports what one is.

model.py turns a file into a network and back. state.py works on state dicts: the size of their network, loading, the
compact form, the hash. card.py writes the card beside a model at the Hugging Face Hub.
"""

from .card import card
from .model import Checkpoint, model_bytes, open_checkpoint, write_model
from .read import configuration_of, read_state
from .state import compact, infer_config, load_into, state_hash
from .write import write_configured, write_pickle, write_safetensors

__all__ = [
    "Checkpoint",
    "card",
    "compact",
    "configuration_of",
    "infer_config",
    "load_into",
    "model_bytes",
    "open_checkpoint",
    "read_state",
    "state_hash",
    "write_model",
    "write_pickle",
    "write_safetensors",
    "write_configured",
]
