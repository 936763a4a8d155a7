"""Keeps the student behind each stage, so that a distillation that was stopped goes on with the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...checkpoints import state_hash, write_pickle
from ...config.schema import Config
from ...models.network import Network
from ..checkpoint import LAST


def origin_of(
    config: Config, teacher: Network, student: Network, labels: NDArray[np.float32]
) -> dict[str, str]:
    """Return what a distillation begins with: its configuration, and hashes of teacher, first student and labels."""
    return {
        "config": json.dumps(config.content()),
        "teacher": state_hash(teacher.state_dict()),
        "init": state_hash(student.state_dict()),
        "labels": hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest(),
    }


def save_stages(
    out: Path, done: int, student: Network, origin: Mapping[str, str], device: torch.device
) -> None:
    """Write the student behind `done` stages, and the states of the random generators, to out/last.pt."""
    state: dict[str, Any] = {
        "stages": done,
        "origin": dict(origin),
        "model_state_dict": {name: value.cpu() for name, value in student.state_dict().items()},
        "random": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["random_cuda"] = torch.cuda.get_rng_state(device)
    write_pickle(out / LAST, state)


def load_stages(out: Path, student: Network, origin: Mapping[str, str], device: torch.device) -> int:
    """Return how many stages a run in `out` has ended, 0 without one, and restore what `save_stages` wrote.

    ValueError as `read_state_of`.
    """
    state = read_state_of(out / LAST, origin)
    if state is None:
        return 0
    student.load_state_dict(state["model_state_dict"])
    torch.set_rng_state(state["random"])
    if device.type == "cuda" and "random_cuda" in state:
        torch.cuda.set_rng_state(state["random_cuda"], device)
    return int(state["stages"])


def read_state_of(path: Path, origin: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the state of a distillation that `path` holds; None if there is no such file.

    ValueError if it cannot be read, or belongs to a run that began with something else.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before = state["origin"]
    except Exception as e:
        raise ValueError(
            f"{path} is no state of a distillation ({type(e).__name__}): remove it to start anew"
        ) from None
    differs = [name for name, value in origin.items() if before.get(name) != value]
    if differs:
        raise ValueError(
            f"{path} is of a run with another {differs[0]}: distil into a new folder, or as that run began"
        )
    return state
