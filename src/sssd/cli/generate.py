"""`sssd-ecg generate`: from statements to files of ECGs.

request ─▶ label vectors ─▶ checks ─▶ model ─▶ 8 leads (n, 8, L) ─▶ records, one at a time ─▶ folder
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..labels import names_of
from ..patient import facts
from ..presets import BUILTIN
from ..request import complete
from . import options
from .console import UsageError, note, progress_bar, say, usage
from .requests import read_requests

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..model_wrapper import SSSDECG
    from ..models.s4 import Cauchy
    from ..records import Records

EXAMPLES = (
    "Examples: sssd-ecg generate --label AFIB --label CLBBB+LVH -n 8 --out ecgs | "
    "sssd-ecg generate --label 'atrial fibrillation' --age 70 --sex female --quality best --seed 1 --out ecgs "
    "--format wfdb,png | sssd-ecg generate --labels-from wanted.csv --checkpoint checkpoint.pkl --out ecgs"
)
KIB = {"wfdb": 24, "npz": 20, "csv": 70, "png": 120, "svg": 200, "pdf": 60}  # at least, per record of 10 s


def command(
    out: Annotated[
        Path, typer.Option(help="Folder to write; it must be new, empty, or ours with --overwrite.")
    ],
    label: Annotated[
        list[str] | None,
        typer.Option(help="A statement by code or in words, several at once as AFIB+LVH. Repeatable."),
    ] = None,
    labels_from: Annotated[
        Path | None,
        typer.Option(
            help="CSV, one row per request: a column 'labels' with names joined by '+', or 0/1 columns named by "
            "statements (whole vectors, taken as they are); optionally columns 'age' and 'sex'."
        ),
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Records per label, or per row.")] = 1,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
    eta: options.Eta = None,
    spacing: options.Spacing = None,
    quality: options.Preset = None,
    age: options.Age = None,
    sex: options.Sex = None,
    seed: options.Seed = None,
    exact: options.Exact = False,
    formats: Annotated[str, typer.Option("--format", help="Of wfdb,npz,csv,png,svg,pdf.")] = "wfdb,npz",
    order: Annotated[Literal["clinical", "sssd"], typer.Option(help="Of the 12 leads.")] = "clinical",
    checkpoint: options.Checkpoint = None,
    config: options.Configuration = None,
    cauchy: options.Convention = None,
    device: options.Device = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Records at once; default: by itself.")
    ] = None,
    precision: options.Precision = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier set in --out.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate 12-lead ECGs of the statements asked for, and write them with a manifest.

    Real ECGs carry 2.8 statements on average. What is asked for by name is therefore completed by drawing
    statements that occur beside it, unless --exact is given; the manifest holds the full vectors.
    """
    with usage():
        from ..io.folder import ON_OVERVIEW, OVERVIEW, check_formats, earlier_files, save_set
        from ..labels import CODES

        kinds = check_formats([name.strip() for name in formats.split(",") if name.strip()])
        checkpoint, chosen = options.sampling(
            quality, checkpoint=checkpoint, sampler=sampler, steps=steps, eta=eta, spacing=spacing
        )
        options.check(seed, config, checkpoint)
        if not label and labels_from is None:
            raise UsageError(
                "nothing to generate: give --label or --labels-from (`sssd-ecg labels` lists names)"
            )
        earlier_files(out.resolve(), overwrite)
        if checkpoint is None:
            read_requests(label, labels_from, CODES, age=age, sex=sex)  # before torch is loaded
        model = load_model(checkpoint, config, cauchy, device)

        from ..device import choose_precision
        from ..sampling import Sampling

        given, seed = seed is not None, secrets.randbits(32) if seed is None else seed
        rows = read_requests(label, labels_from, model.label_names, age=age, sex=sex).repeated(count)
        request = complete(rows, model.classes, seed=seed, exact=exact)
        table = Sampling(**chosen).table(model.schedule, model.config)
        choose_precision(precision, model.device)  # a wrong one is refused before anything takes time
        _check_space(out, kinds, len(request))

    total = len(request)
    if checkpoint is None:
        note_rare(rows.vectors)
    with progress_bar(quiet) as bar:
        task = bar.add_task("generating", total=None)
        signal = model.sample(
            request,
            table,
            seed=seed,
            batch_size=batch_size,
            precision=precision,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
        ecgs = model.records(signal, request, table, seed=seed, precision=precision, leads=order)
        asked = [names_of(row, model.label_names) for row in rows.vectors]
        names = [_file_name(codes, i) for i, codes in enumerate(asked)]
        writing = bar.add_task("writing", total=total)
        save_set(
            ecgs,
            out,
            kinds,
            names=names,
            labels=request.vectors,
            label_names=model.label_names,
            manifest={
                **ecgs.how,
                "checkpoint": BUILTIN if checkpoint is None else str(checkpoint),
                **({} if quality is None else {"quality": quality}),
                "device": str(model.device),
                "fs_hz": ecgs.fs_hz,
                "leads": list(ecgs.leads),
                "label_names": list(model.label_names),
                "records": [{"name": name, **_facts(ecgs, i, asked[i])} for i, name in enumerate(names)],
            },
            overwrite=overwrite,
            progress=lambda done, _: bar.update(writing, completed=done),
        )
    drawn = "" if given else f", seed {seed} (repeat with --seed {seed})"
    say(
        f"{total} ECG{'s' if total > 1 else ''} in {out}{drawn}",
        f"formats: {', '.join(kinds)}; labels and provenance: {out / 'manifest.json'}",
        *([f"a picture of each: {out / names[0]}.png ..."] if "png" in kinds else []),
        *(
            [f"{'all' if total <= ON_OVERVIEW else 'the first'} on one page: {out / OVERVIEW}.png"]
            if "png" in kinds and total > 1
            else []
        ),
        quiet=quiet,
    )


def load_model(
    checkpoint: Path | None, config: Path | None, cauchy: Cauchy | None, device: str | None
) -> SSSDECG:
    from ..model_wrapper import SSSDECG

    if config is None or checkpoint is None:
        return SSSDECG.from_pretrained(checkpoint, cauchy=cauchy, device=device)
    return SSSDECG(config, device=device).load_checkpoint(checkpoint, cauchy=cauchy)


def _facts(ecgs: Records, i: int, asked: tuple[str, ...]) -> dict[str, Any]:
    """What the manifest says of record i, for which the statements `asked` were asked for."""
    vector, how = ecgs.request.vectors[i], ecgs.how
    return {
        "index": i,
        "seed": how["seed"],
        "requested": list(asked),
        "statements": list(names_of(vector, ecgs.names)),
        **facts(ecgs.request.age, ecgs.request.sex, records=len(ecgs))[i],
        "labels": [int(v) if v == int(v) else float(v) for v in vector.tolist()],
        "sampler": how["sampler"],
        "steps": how["steps"],
        "model": how["model"],
    }


def _check_space(out: Path, formats: Sequence[str], records: int) -> None:
    """OSError where the disk cannot hold the records, going by what they take at least."""
    folder = next(f for f in (out.resolve(), *out.resolve().parents) if f.exists())
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{str(folder)!r} cannot be written to; choose another --out")
    needed, free = sum(KIB[name] for name in formats) * 1024 * records, shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{records} records take {needed / 1e6:.0f} MB or more, and the disk of {str(out)!r} has "
            f"{free / 1e6:.0f} MB left: free some, or choose fewer records or formats"
        )


def note_rare(vectors: NDArray[np.float32]) -> None:
    """Note on standard error which statements of (n, 71) vectors the built-in model has hardly seen."""
    from ..labels import RARE, warn_rare

    rare = warn_rare(vectors)
    if rare:
        listed = ", ".join(f"{code} ({count})" for code, count in rare)
        note(f"the built-in model learnt from fewer than {RARE} records of {listed}: expect little")


def _file_name(codes: tuple[str, ...], i: int) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(codes)).strip("-")[:40].strip("-")
    return f"{stem or 'ecg'}_{i:05d}"
