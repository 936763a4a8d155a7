"""Draft, standard, best: what to sample with for people who do not want to choose.

The figures behind the choice are in docs/samplers.md: draft and standard are networks distilled to one evaluation and
to four, best is the model itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "weights"
NAMES = ("default", "few-step", "one-step")
WEIGHTS = {name: _FOLDER / f"{name}.safetensors" for name in NAMES}  # what ships


@dataclass(frozen=True)
class Quality:
    """Which of the weights that ship (one of `NAMES`), the sampler, its number of network evaluations.

    eta: of DDIM, None for the others.
    """

    weights: str
    sampler: str
    steps: int
    eta: float | None = None


QUALITIES = {
    "draft": Quality("one-step", "consistency", 1),
    "standard": Quality("few-step", "consistency", 4),
    "best": Quality("default", "ddim", 50, eta=1.0),
}
# For a model that has nothing distilled beside it.
ITSELF = {"standard": Quality("default", "sde-dpmpp-2m", 20), "best": QUALITIES["best"]}


def checkpoint_file(checkpoint: str | os.PathLike[str] | None) -> Path:
    """The file of a checkpoint: the name of weights that ship, or a path; None: "default"."""
    return WEIGHTS["default"] if checkpoint is None else WEIGHTS.get(str(checkpoint), Path(checkpoint))
