"""The options that several commands share, each declared once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from .. import drawing
from ..config import names
from ..presets import check_alone, is_builtin
from .console import UsageError

Exact = Annotated[
    bool, typer.Option("--exact", help="Give records the named statements only, and draw none beside them.")
]
Seed = Annotated[
    int | None, typer.Option(help="The same seed gives the same records. Without it, one is drawn and shown.")
]
Sampler = Annotated[
    names.Sampler | None,
    typer.Option(
        metavar="<name>",
        help=f"One of {', '.join(get_args(names.Sampler))}. By default the model's own. With few steps, use "
        "sde-ode-dpmpp-2m with the spacing karras.",
    ),
]
Steps = Annotated[int | None, typer.Option(help="Number of steps, 1 to 200; ddpm always takes all of them.")]
Eta = Annotated[float | None, typer.Option(help="Noise of ddim, from 0 (none) to 1 (as much as DDPM adds).")]
Spacing = Annotated[
    names.Spacing | None,
    typer.Option(
        metavar="<name>",
        help=f"How the steps are spread: {', '.join(get_args(names.Spacing))}. By default uniform for ddim and "
        "trailing for the others.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help="A .pkl or .safetensors file, or hf://org/name at the Hugging Face Hub; by default the built-in model."
    ),
]
Preset = Annotated[
    names.Quality | None,
    typer.Option(
        "--quality",
        help="Use this in place of --sampler, --steps, --eta and --spacing; the built-in model is standard without it.",
    ),
]
Age = Annotated[
    float | None, typer.Option(help="Age of the patients in years; without it, the age is unknown.")
]
Sex = Annotated[
    names.Sex | None,
    typer.Option(help="Sex of the patients; without it, the sex is unknown."),
]
HeartRate = Annotated[
    float | None,
    typer.Option(
        help="Heart rate of the records in beats per minute, for models that take it; without it, the rate is unknown."
    ),
]
Noise = Annotated[
    str | None,
    typer.Option(
        help="Noise to add, such as 'baseline:0.3mV, muscle:20uV, mains:50Hz'. "
        "The records without it are written as well."
    ),
]
Fs = Annotated[
    float | None,
    typer.Option(
        metavar="<Hz>",
        help="Samples per second, by default those of the model, 100. With 500, what records have above 46.5 Hz "
        "is added: the sharp parts of QRS complexes, and fine noise.",
    ),
]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        help="One or more of wfdb, npz, csv, edf, dicom, challenge, png, svg and pdf, joined by commas.",
    ),
]
Layout = Annotated[
    drawing.Layout,
    typer.Option(
        metavar="<name>", help="How pictures arrange the leads, in rows x columns: 3x4, 6x2 or 12x1."
    ),
]
Speed = Annotated[int, typer.Option(metavar="<mm/s>", help="Speed of the paper in pictures: 25 or 50.")]
Gain = Annotated[int, typer.Option(metavar="<mm/mV>", help="Gain in pictures: 5, 10 or 20.")]
Rhythm = Annotated[
    drawing.Rhythm,
    typer.Option(metavar="<lead>", help="The lead that pictures show in full length below the others."),
]
Out = Annotated[
    Path, typer.Option(help="Folder to write. It must be new or empty; --overwrite replaces an earlier set.")
]
Order = Annotated[Literal["clinical", "sssd"], typer.Option(help="Order of the 12 leads.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier set in --out.")]
Recording = Annotated[
    Path,
    typer.Argument(
        metavar="RECORD",
        help="A WFDB, NPZ, CSV, EDF or DICOM file of any sampling rate, with any of the usual names of leads.",
    ),
]
Strength = Annotated[
    float, typer.Option(help="Distance from the recording: above 0 (hardly changed) to 1 (a new record).")
]
Own = Annotated[
    str | None,
    typer.Option(
        "--own-label",
        help="What the recording shows, such as AFIB+LVH; by default the statements that the file carries.",
    ),
]
Configuration = Annotated[
    Path | None, typer.Option("--config", help="The configuration file of --checkpoint.")
]
Convention = Annotated[
    names.Cauchy | None,
    typer.Option(
        "--cauchy",
        metavar="<name>",
        help=f"Convention of a published checkpoint, {' or '.join(get_args(names.Cauchy))}; `sssd-ecg "
        "inspect` shows it.",
    ),
]
LabelsFrom = Annotated[
    Path | None,
    typer.Option(
        help="A CSV file with one request per row: a column 'labels' with names joined by '+', or columns of "
        "0 and 1 named by statements, which are taken as they are. The columns 'age', 'sex' and 'heart_rate' "
        "are optional."
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Records at once; by default as many as suit the device.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; by default the fastest one available.")
]
Precision = Annotated[Literal["auto", "float32", "bf16"], typer.Option(help="Precision of matrix products.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")]


def check(seed: int | None, config: Path | None, checkpoint: Path | None) -> None:
    """Raise UsageError if the seed is out of range, or there is a configuration without a checkpoint."""
    if seed is not None and not 0 <= seed < 2**64:
        raise UsageError(f"--seed is {seed}; expected 0 to 2^64 - 1")
    if config is not None and checkpoint is None:
        raise UsageError("--config describes the network of a --checkpoint; give both, or neither")


def seed_of(given: int | None) -> tuple[int, str]:
    """Return the seed that is given, or else one that is drawn, and what a summary says of it in the end."""
    if given is not None:
        return given, ""
    seed = secrets.randbits(32)
    return seed, f", seed {seed} (repeat with --seed {seed})"


def listed(names: str) -> list[str]:
    """Return names that are joined by commas, without empty ones."""
    return [name.strip() for name in names.split(",") if name.strip()]


def sampling(
    quality: str | None,
    *,
    checkpoint: Path | None,
    sampler: str | None,
    steps: int | None,
    eta: float | None,
    spacing: str | None,
) -> tuple[Path | None, dict[str, Any]]:
    """Return the checkpoint, None for the built-in model, and the fields of sssd.sampling.Sampling.

    ValueError if there is a quality, and a setting that it chooses.
    """
    chosen: dict[str, Any] = dict(sampler=sampler, steps=steps, eta=eta, spacing=spacing)
    check_alone(quality, prefix="--", **chosen)
    chosen["quality"] = quality
    return None if checkpoint is None or is_builtin(str(checkpoint)) else checkpoint, chosen


def drawn(layout: str, speed: int, gain: int, rhythm: str, formats: Sequence[str]) -> drawing.Drawing:
    """Return how pictures are drawn. UsageError if something else than usual is asked for and there is no picture."""
    how = drawing.Drawing(layout, speed, gain, rhythm)
    if how != drawing.USUAL and not set(drawing.PICTURES).intersection(formats):
        raise UsageError(
            "--layout, --speed, --gain and --rhythm are for pictures: add png, svg or pdf to --format"
        )
    return how
