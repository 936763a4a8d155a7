"""Writing checkpoints, atomically: safetensors with metadata, or files in the form of SSSD-ECG."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config
from ..io.files import replacing, write_bytes
from .read import configuration_of, read_state


def write_safetensors(
    path: str | os.PathLike[str], state: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> Path:
    """Write a state dict and its metadata as safetensors, over an earlier file, and return the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(path, safetensors_bytes(state, metadata), overwrite=True)


def safetensors_bytes(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file of a state dict and its metadata as safetensors."""
    from safetensors.torch import save

    data = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    return _in_order(save(data, metadata=dict(metadata)))


def _in_order(file: bytes) -> bytes:
    """The same safetensors with its metadata in alphabetical order: the library writes them in a random one.

    The file begins with the length of its header in 8 bytes, little-endian, and the header in JSON.
    """
    size = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + size])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[8 + size :]


def write_pickle(path: str | os.PathLike[str], content: Mapping[str, Any]) -> Path:
    """Write with torch.save, over an earlier file, and return the path.

    The form of SSSD-ECG is {"model_state_dict": ...}.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as (part,):
        torch.save(dict(content), part)
    return path


def write_configured(source: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write the checkpoint `source` to `out` as .safetensors with another configuration and the same weights.

    change: a function that changes the content of the configuration, a dict, in place. ValueError if the result is no
    configuration.
    """
    state, metadata = read_state(source)
    config, _ = configuration_of(source, state, metadata)
    content = config.content()
    change(content)
    changed = Config.model_validate(content).content()  # keys in their order
    return write_safetensors(out, state, {**metadata, "config": json.dumps(changed)})
