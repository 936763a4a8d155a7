"""`sssd-ecg inspect` reports what a checkpoint is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..checks import counted
from ..leads import EIGHT
from .console import progress_bar, say, usage

if TYPE_CHECKING:
    from ..checkpoints.inspection import CauchyFit, Inspection
    from ..config.schema import Config

EXAMPLES = """Examples:

sssd-ecg inspect checkpoint.pkl

sssd-ecg inspect checkpoint.pkl --real data/signals.npz

sssd-ecg inspect model.safetensors --json
"""


def command(
    file: Annotated[Path, typer.Argument(help="A .pkl, .pt or .safetensors checkpoint.")],
    real: Annotated[
        Path | None,
        typer.Option(
            help="Real ECGs (NPZ, or a prepared folder). With them the command also reports which "
            "convention for the kernels of S4 layers (--cauchy) fits better, judged by the denoising loss."
        ),
    ] = None,
    records: Annotated[int, typer.Option(min=2, help="The number of real ECGs to use.")] = 16,
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration; by default that in the file, or one inferred from shapes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Report the form, size and configuration of a checkpoint, and which convention for S4 kernels fits it better."""
    with usage():
        from ..checkpoints.inspection import fit_cauchy, inspect
        from ..data import recordings

        ecgs = None if real is None else recordings.read(real)
        found = inspect(file, config=config)
        fit = None
        if ecgs is not None:
            with progress_bar(quiet or as_json) as bar:
                task = bar.add_task("denoising", total=None)
                fit = fit_cauchy(
                    file,
                    ecgs,
                    config=config,
                    records=records,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
    if as_json:
        content: dict[str, Any] = {**asdict(found), "config": found.config.model_dump(mode="json")}
        content["cauchy_fit"] = None if fit is None else asdict(fit)
        print(json.dumps(content, indent=2))
        return
    say(*_lines(found, fit))


def _lines(found: Inspection, fit: CauchyFit | None) -> list[str]:
    schedule = found.config.diffusion_config
    ending = "" if schedule.terminal_alpha is None else f", ending at alpha {schedule.terminal_alpha:g}"
    levels = f"beta {schedule.beta_0:g} to {schedule.beta_T:g}"
    if schedule.rho is not None:
        levels = f"sigma / alpha {schedule.sigma_min:g} to {schedule.sigma_max:g}, rho {schedule.rho:g}"
    predicts = "velocity" if schedule.prediction == "v" else "noise (eps)"
    scale, has_kernels = found.config.trainset_config.lead_scale_mv, found.config.transformer_config is None
    lines = [
        f"file           {found.path}",
        f"form           {found.form}, {found.size_bytes / 1e6:.1f} MB, {', '.join(found.dtypes)}",
        f"parameters     {found.parameters:,} trainable, {found.stored:,} values stored",
        *_network_lines(found.config),
        f"schedule       {schedule.T} steps, {levels}{ending}",
        f"predicts       {predicts}",
        f"unit           1 in the network is {_units(scale)}",
        f"configuration  from {found.config_from}",
        *([f"cauchy         {found.cauchy or 'not stated in the file'}"] if has_kernels else []),
        f"hash           {found.model_hash}",
    ]
    if fit is not None:
        losses = ", ".join(f"{name} {loss:.4f}" for name, loss in fit.loss.items())
        nothing = "neither fits: with a loss of 1 or more the network removes no noise"
        unclear = "no clear difference" if min(fit.loss.values()) < 1 else nothing
        conclusion = f"{fit.better} fits better" if fit.better else unclear
        lines.append(f"cauchy fit     {conclusion}: denoising loss {losses} ({fit.records} real ECGs)")
        if fit.better:
            lines.append(
                f"               use it with --cauchy {fit.better}, or in Python with load_checkpoint(path, cauchy=...)"
            )
    elif found.cauchy is None and has_kernels:
        lines.append("               use --real ECGS to find out which convention fits better")
    return lines


def _units(scale: Sequence[float] | None) -> str:
    """Say how many mV the number 1 is to the network, in each lead."""
    if scale is None:
        return "1 mV"
    if len(set(scale)) == 1:
        return f"{scale[0]:g} mV"
    return ", ".join(f"{s:g}" for s in scale) + f" mV in {', '.join(EIGHT)}"


def _network_lines(config: Config) -> list[str]:
    """Describe the size of the network and of its labels."""
    from ..factory import label_count

    net, transformer, takes = config.wavenet_config, config.transformer_config, config.trainset_config.takes
    inputs = counted(label_count(config), "statement") + (f", {takes.in_words}" if takes.columns else "")
    if transformer is not None:
        return [
            f"network        transformer, {transformer.layers} layers x {transformer.width} channels, "
            f"{transformer.heads} heads, patches of {transformer.patch} samples",
            f"labels         {inputs}, turned into a vector of {transformer.embed} numbers",
        ]
    direction = "bidirectional" if net.s4_bidirectional else "unidirectional"
    patch = f", patches of {net.patch} samples" if net.patch > 1 else ""
    norm = "LayerNorm" if net.s4_layernorm else "no LayerNorm"
    return [
        f"network        {net.num_res_layers} layers x {net.res_channels} channels, S4 state {net.s4_d_state}, "
        f"length {net.s4_lmax}, {direction}, {norm}{patch}",
        f"labels         {inputs}, turned into a vector of {net.label_embed_dim} numbers",
    ]
