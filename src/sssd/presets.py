"""The weights that ship, by name, and the presets draft, standard and best, which choose a sampler for the user.

Draft and standard use networks that were distilled to one evaluation and to four, and best uses the built-in model
itself. docs/samplers.md has the figures on which the presets rest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import hub

_FOLDER = Path(__file__).parent / "weights"
BUILTIN = "builtin"
ALIASES = ("default", "built-in")  # other names of `BUILTIN`, which earlier versions wrote
WEIGHTS = {
    BUILTIN: _FOLDER / "default.safetensors",
    "few-step": _FOLDER / "few-step.safetensors",
    "one-step": _FOLDER / "one-step.safetensors",
}


@dataclass(frozen=True)
class Preset:
    """A sampler, the number of its network evaluations, and the weights that it needs.

    weights: a name in `WEIGHTS`, or None for the model itself. eta: of DDIM; None for other samplers.
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
# The presets of a model without distilled weights.
UNDISTILLED = {"standard": Preset(None, "sde-dpmpp-2m", 20), "best": PRESETS["best"]}


def choose(quality: str, presets: dict[str, Preset] = PRESETS, *, prefix: str = "", **given: Any) -> Preset:
    """Return the preset called `quality`.

    given: settings that the preset chooses, which must be None. prefix: comes before the names in messages.
    ValueError if there is no such preset, or the caller gives a setting that it chooses.
    """
    if quality not in presets:
        raise ValueError(f"{prefix}quality is {quality!r}: this model has {' and '.join(presets)}")
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{prefix}quality chooses {prefix}{name} itself: give one of the two")
    return presets[quality]


def is_builtin(name: str) -> bool:
    """Return whether this is a name of the built-in model."""
    return name == BUILTIN or name in ALIASES


def is_shipped(checkpoint: str | os.PathLike[str] | None) -> bool:
    """Whether weights that ship are given, by a name in `WEIGHTS`; None means the built-in model."""
    return checkpoint is None or is_builtin(str(checkpoint)) or str(checkpoint) in WEIGHTS


def checkpoint_name(checkpoint: str | os.PathLike[str] | None) -> str:
    """Return how a checkpoint is called in manifests: a name, a path as it was given, or an address at the Hub."""
    if checkpoint is None:
        return BUILTIN
    address = hub.as_address(checkpoint)
    if address is None:
        return str(checkpoint)
    model, revision = address
    return f"hf://{model}" + (f"@{revision}" if revision else "")


def checkpoint_file(checkpoint: str | os.PathLike[str] | None) -> Path:
    """Return the file of a checkpoint; None means the built-in model.

    It is given by its path, as a folder that `save_pretrained` wrote, by a name in `WEIGHTS`, or as
    "hf://org/name@revision" at the Hugging Face Hub, from which it is fetched unless it is in the local cache.
    """
    if checkpoint is None or is_builtin(str(checkpoint)):
        return WEIGHTS[BUILTIN]
    if str(checkpoint) in WEIGHTS:
        return WEIGHTS[str(checkpoint)]
    address = hub.as_address(checkpoint)
    if address is not None:
        return hub.fetch(address[0], revision=address[1])
    path = Path(checkpoint)
    return path / hub.FILE if (path / hub.FILE).is_file() else path
