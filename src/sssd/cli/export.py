"""`sssd-ecg export` writes a model as a file for programs without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import options
from .console import say, usage

EXAMPLES = """Examples:

sssd-ecg export default --format onnx --out default.onnx

sssd-ecg export model.safetensors --format onnx --out model.onnx
"""


def command(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="'default' for the built-in model, a .pkl or .safetensors file, or hf://org/name at the Hugging Face "
            "Hub."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    form: Annotated[Literal["onnx"], typer.Option("--format", help="The form of the file.")] = "onnx",
    config: options.Configuration = None,
    cauchy: options.Convention = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model as an ONNX file, with all that a program needs to generate records with it (docs/onnx.md).

    The graph is one evaluation of the network. The file's metadata hold the steps of its sampler, and how conditions,
    noise and voltages are made. The export needs the extra `onnx`.
    """
    with usage():
        from ..export import OPSET, write_onnx
        from ..pretrained import PretrainedModel

        model = PretrainedModel.from_pretrained(checkpoint, config=config, cauchy=cauchy, device="cpu")
        path = write_onnx(model, out, overwrite=overwrite)
    say(f"{path}  ({path.stat().st_size / 1e6:.1f} MB, opset {OPSET}, {model.model_hash[:12]})", quiet=quiet)
