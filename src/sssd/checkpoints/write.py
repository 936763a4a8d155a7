"""Writing a checkpoint, atomically: safetensors with metadata, or SSSD-ECG's own form."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..io.files import replacing
from ..models.s4 import Cauchy
from .read import configuration_of, read_state


def write_safetensors(
    path: str | os.PathLike[str], state: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> Path:
    """Write atomically: beside the target, then renamed."""
    from safetensors.torch import save

    data = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as (part,):
        part.write_bytes(save(data, metadata=dict(metadata)))
    return path


def write_pickle(path: str | os.PathLike[str], content: Mapping[str, Any]) -> Path:
    """torch.save, atomically; the published form is {"model_state_dict": ...}."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as (part,):
        torch.save(dict(content), part)
    return path


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
