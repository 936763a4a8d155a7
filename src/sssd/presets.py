"""The built-in model by its names, and the qualities draft, standard and best, which choose a sampler for the user.

A quality is a sampler of the model itself. docs/decisions/transformer.md has the figures on which the choice rests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import hub

if TYPE_CHECKING:
    from .config.schema import Config

# What the built-in model learnt from, and under which licences.
SOURCES = (
    "PTB-XL (P. Wagner, N. Strodthoff, R.-D. Bousseljot, W. Samek, T. Schaeffer, *PTB-XL, a large publicly available "
    "electrocardiography dataset*, PhysioNet, doi:10.13026/kfzx-aw45, CC BY 4.0), Chapman-Shaoxing and Ningbo, CPSC "
    "2018, Georgia and PTB (PhysioNet, CC BY 4.0), and LUDB (Kalyakulina et al. 2020, PhysioNet, ODC-By 1.0)"
)
WEIGHTS = Path(__file__).parent / "weights" / "default.safetensors"  # of the built-in model
BUILTIN = "builtin"
ALIASES = ("default", "built-in")  # other names of `BUILTIN`, which earlier versions wrote
EARLIER = {"one-step": "draft", "few-step": "standard"}  # weights of earlier versions: what takes their place


@dataclass(frozen=True)
class Preset:
    """A sampler and the number of its network evaluations.

    eta: of DDIM; None for other samplers. spacing: of the steps; None for the default of the sampler.
    """

    sampler: str
    steps: int
    eta: float | None = None
    spacing: str | None = None


PRESETS = {
    "draft": Preset("sde-ode-dpmpp-2m", 8, spacing="karras"),
    "standard": Preset("sde-ode-dpmpp-2m", 12, spacing="karras"),
    "best": Preset("sde-dpmpp-2m", 24, spacing="karras"),
}
OF_S4 = {"standard": Preset("sde-dpmpp-2m", 20), "best": Preset("ddim", 50, eta=1.0)}


def suited(steps: int | None) -> Preset:
    """Return the preset of a transformer whose sampler and spacing suit this number of steps; None means standard's."""
    return PRESETS["standard" if steps is None or steps < PRESETS["best"].steps else "best"]


def presets_of(config: Config) -> dict[str, Preset]:
    """Return the qualities of a model: those of `PRESETS`, or of `OF_S4`, which has no draft, for S4 networks.

    A distilled model has its own sampler as its standard, and no other quality.
    """
    own = config.ddim_config
    if own.sampler == "consistency":
        return {"standard": Preset("consistency", own.ddim_timesteps)}
    found = OF_S4 if config.transformer_config is None else PRESETS
    most = config.diffusion_config.T
    return {name: replace(preset, steps=min(preset.steps, most)) for name, preset in found.items()}


def check_alone(quality: Any, *, prefix: str = "", **given: Any) -> None:
    """Raise ValueError if there is a quality, and the caller also gives a setting that it chooses.

    given: these settings, None where they are not given. prefix: comes before the names in messages.
    """
    for name, value in given.items():
        if quality is not None and value is not None:
            raise ValueError(f"{prefix}quality chooses {prefix}{name} itself: give one of the two")


def choose(quality: Any, config: Config) -> Preset:
    """Return the preset of a model that is called `quality`; ValueError if there is none."""
    presets = presets_of(config)
    if not isinstance(quality, str) or quality not in presets:
        raise ValueError(f"quality is {quality!r}: this model has {' and '.join(presets)}")
    return presets[quality]


def is_builtin(name: str) -> bool:
    """Return whether this is a name of the built-in model."""
    return name == BUILTIN or name in ALIASES


def is_shipped(checkpoint: str | os.PathLike[str] | None) -> bool:
    """Whether the weights that ship are given, by a name of the built-in model or by None."""
    return checkpoint is None or is_builtin(str(checkpoint))


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

    It is given by its path, as a folder that `save_pretrained` wrote, by a name of the built-in model, or as
    "hf://org/name@revision" at the Hugging Face Hub, from which it is fetched unless it is in the local cache.
    ValueError for the names of weights that earlier versions had.
    """
    if checkpoint is None or is_builtin(str(checkpoint)):
        return WEIGHTS
    address = hub.as_address(checkpoint)
    if address is not None:
        return hub.fetch(address[0], revision=address[1])
    path = Path(checkpoint)
    if str(path) in EARLIER and not path.exists():
        raise ValueError(
            f"there are no weights {str(path)!r} any more, since this version has one set of weights; the quality "
            f"{EARLIER[str(path)]!r} of the built-in model takes their place"
        )
    return path / hub.FILE if (path / hub.FILE).is_file() else path
