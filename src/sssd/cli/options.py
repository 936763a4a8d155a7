"""The options that `generate` and `corpus create` have in common, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..config import names
from ..presets import choose, is_builtin
from .console import UsageError

Exact = Annotated[
    bool, typer.Option("--exact", help="The named statements alone, without those that occur beside them.")
]
Seed = Annotated[int | None, typer.Option(help="Same seed, same records. Drawn and told if absent.")]
Sampler = Annotated[
    names.Sampler | None,
    typer.Option(help="Default: the configuration's. For few steps: fitted (6 or 10), unipc."),
]
Steps = Annotated[int | None, typer.Option(help="Of all samplers but ddpm, 1 to 200.")]
Eta = Annotated[float | None, typer.Option(help="Of ddim. 0: deterministic, to 1: as much noise as DDPM.")]
Spacing = Annotated[
    Literal["uniform", "leading", "trailing", "log_snr"] | None,
    typer.Option(help="How steps are spread. Default: uniform for ddim, trailing for the others."),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(help="A .pkl or .safetensors, 'few-step', 'one-step'; default: the model that ships."),
]
Preset = Annotated[
    Literal["draft", "standard", "best"] | None,
    typer.Option("--quality", help="In place of --sampler, --steps, --eta, --spacing and --checkpoint."),
]
Age = Annotated[float | None, typer.Option(help="Of the patients, in years; unknown if absent.")]
Sex = Annotated[Literal["female", "male"] | None, typer.Option(help="Of the patients; unknown if absent.")]
Configuration = Annotated[Path | None, typer.Option("--config", help="The configuration of --checkpoint.")]
Convention = Annotated[
    Literal["conjugate_pairs", "half_spectrum"] | None,
    typer.Option("--cauchy", help="Of a published checkpoint; see `inspect`."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; default: the best there is.")]
Precision = Annotated[Literal["auto", "float32", "bf16"], typer.Option(help="Of matrix products.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


def check(seed: int | None, config: Path | None, checkpoint: Path | None) -> None:
    """UsageError where one of these is wrong whatever the model."""
    if seed is not None and not 0 <= seed < 2**64:
        raise UsageError(f"--seed is {seed}; expected 0 to 2^64 - 1")
    if config is not None and checkpoint is None:
        raise UsageError("--config describes the network of a --checkpoint; give both, or neither")


def sampling(
    quality: str | None,
    *,
    checkpoint: Path | None,
    sampler: str | None,
    steps: int | None,
    eta: float | None,
    spacing: str | None,
) -> tuple[Path | None, dict[str, Any]]:
    """The checkpoint, None for the built-in model, and the fields of sssd.sampling.Sampling.

    They are as given, or what --quality stands for; ValueError where both are given.
    """
    chosen: dict[str, Any] = dict(sampler=sampler, steps=steps, eta=eta, spacing=spacing)
    if quality is not None:
        preset = choose(quality, prefix="--", checkpoint=checkpoint, **chosen)
        checkpoint = None if preset.weights is None else Path(preset.weights)
        chosen = dict(sampler=preset.sampler, steps=preset.steps, eta=preset.eta, spacing=None)
    return None if checkpoint is None or is_builtin(str(checkpoint)) else checkpoint, chosen
