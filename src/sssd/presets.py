"""The weights that ship, by name, and the presets draft, standard and best for people who do not want to choose.

docs/samplers.md has the figures behind the presets: draft and standard use networks that were distilled to one
evaluation and to four; best uses the built-in model itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "weights"
BUILTIN = "builtin"
ALIASES = ("default", "built-in")  # other names of `BUILTIN`, which earlier versions wrote and still work
WEIGHTS = {
    BUILTIN: _FOLDER / "default.safetensors",
    "few-step": _FOLDER / "few-step.safetensors",
    "one-step": _FOLDER / "one-step.safetensors",
}


@dataclass(frozen=True)
class Preset:
    """A sampler, its number of network evaluations, and the weights it needs.

    weights: a name in `WEIGHTS`, or None for the model itself. eta: for DDIM only, None for other samplers.
    """

    weights: str | None
    sampler: str
    steps: int
    eta: float | None = None


PRESETS = {
    "draft": Preset("one-step", "consistency", 1),
    "standard": Preset("few-step", "consistency", 4),
    "best": Preset(None, "ddim", 50, eta=1.0),
}
# For a model that comes without distilled weights.
UNDISTILLED = {"standard": Preset(None, "sde-dpmpp-2m", 20), "best": PRESETS["best"]}


def choose(quality: str, presets: dict[str, Preset] = PRESETS, *, prefix: str = "", **given: Any) -> Preset:
    """The preset called `quality`. given: what it chooses, which must therefore be None; prefix: of names in messages.

    ValueError where there is no such preset, or something is given that it chooses.
    """
    if quality not in presets:
        raise ValueError(f"{prefix}quality is {quality!r}: this model has {' and '.join(presets)}")
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{prefix}quality chooses {prefix}{name} itself: give one of the two")
    return presets[quality]


def is_builtin(name: str) -> bool:
    """Whether this is a name of the built-in model."""
    return name == BUILTIN or name in ALIASES


def checkpoint_file(checkpoint: str | os.PathLike[str] | None) -> Path:
    """The file of a checkpoint, which is given as a path or as a name in `WEIGHTS`; None means the built-in model."""
    if checkpoint is None or is_builtin(str(checkpoint)):
        return WEIGHTS[BUILTIN]
    return WEIGHTS.get(str(checkpoint), Path(checkpoint))
