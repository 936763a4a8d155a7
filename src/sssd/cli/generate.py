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
from typing import TYPE_CHECKING, Annotated, Any, Literal, overload

import numpy as np
import typer
from numpy.typing import NDArray

from ..presets import BUILTIN
from . import options
from .console import UsageError, note, progress_bar, say, usage
from .requests import read_requests

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG
    from ..models.s4 import Cauchy
    from ..record import Ecg

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
        from ..labels import CODES, complete
        from ..leads import lead_names

        kinds = check_formats([name.strip() for name in formats.split(",") if name.strip()])
        options.check(seed, eta, config, checkpoint)
        checkpoint, asked_sampler, steps, eta = options.sampled(
            quality, checkpoint=checkpoint, sampler=sampler, steps=steps, eta=eta, spacing=spacing
        )
        if not label and labels_from is None:
            raise UsageError(
                "nothing to generate: give --label or --labels-from (`sssd-ecg labels` lists names)"
            )
        earlier_files(out.resolve(), overwrite)
        if checkpoint is None:
            read_requests(label, labels_from, CODES, age=age, sex=sex)  # before torch is loaded
        model = load_model(checkpoint, config, cauchy, device)
        asking = read_requests(label, labels_from, model.label_names, age=age, sex=sex).repeated(count)
        vectors = asking.vectors  # (rows, K)
        patients = model.patients(asking.age, asking.sex, len(vectors))
        name, steps, eta = sampling(model, asked_sampler, steps, eta)
        eta = eta if name == "ddim" else None
        table = model.step_table(ddim_eta=eta, spacing=spacing, sampler=name, steps=steps)
        _check_space(out, kinds, len(vectors))

        from ..device import choose_precision

        choose_precision(precision, model.device)  # a wrong one is told before anything takes time

    given, seed = seed is not None, secrets.randbits(32) if seed is None else seed
    total = len(vectors)
    asked = [_codes(row, model.label_names) for row in vectors]
    if checkpoint is None:
        tell_rare(vectors)
    if not exact and model.label_names == CODES:
        completed = complete(vectors, seed=seed, index=range(total))
        vectors = np.where(asking.by_name[:, None], completed, vectors)

    from ..model_wrapper import Request
    from ..patient import facts

    how = model.provenance(table, seed=seed, eta=eta, spacing=spacing, precision=precision)
    with progress_bar(quiet) as bar:
        task = bar.add_task("generating", total=None)
        signal = np.asarray(
            model.generate(
                Request(vectors, tuple("+".join(codes) for codes in asked), None, *patients),
                sampler=name,
                steps=steps,
                ddim_eta=eta,
                spacing=spacing,
                seed=seed,
                batch_size=batch_size,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
                return_numpy=True,
                precision=precision,
            )
        )
        ecgs = Records(signal, vectors, asked, facts(*patients, records=total), model, how, order)
        names = [_file_name(codes, i) for i, codes in enumerate(asked)]
        writing = bar.add_task("writing", total=total)
        save_set(
            ecgs,
            out,
            kinds,
            names=names,
            labels=vectors,
            label_names=model.label_names,
            manifest={
                **how,
                "checkpoint": BUILTIN if checkpoint is None else str(checkpoint),
                **({} if quality is None else {"quality": quality}),
                "device": str(model.device),
                "fs_hz": ecgs.fs_hz,
                "leads": list(lead_names(order)),
                "label_names": list(model.label_names),
                "records": [{"name": name, **ecgs.facts(i)} for i, name in enumerate(names)],
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


class Records(Sequence["Ecg"]):
    """Records made one at a time from the 8 leads (n, 8, L) in mV, so that a large set is held in memory once."""

    def __init__(
        self,
        signal: NDArray[np.float32],
        vectors: NDArray[np.float32],
        asked: list[tuple[str, ...]],
        patients: list[dict[str, Any]],
        model: SSSDECG,
        how: dict[str, Any],
        order: str,
    ) -> None:
        self.signal, self.vectors, self.asked, self.patients = signal, vectors, asked, patients
        self.names, self.fs_hz = model.label_names, model.config.trainset_config.sampling_rate
        self.how, self.order = how, order

    def __len__(self) -> int:
        return len(self.signal)

    @overload
    def __getitem__(self, i: int) -> Ecg: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Ecg]: ...
    def __getitem__(self, i: int | slice) -> Ecg | Sequence[Ecg]:
        from ..leads import lead_names, to_twelve
        from ..record import Ecg, as_statement

        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        return Ecg(
            signal=to_twelve(self.signal[i], self.order),
            fs_hz=self.fs_hz,
            leads=lead_names(self.order),
            statements=tuple(as_statement(code) for code in _codes(self.vectors[i], self.names)),
            provenance={
                **self.how,
                "index": range(len(self))[i],
                "requested": "+".join(self.asked[i]),
                **self.patients[i],
            },
        )

    def facts(self, i: int) -> dict[str, Any]:
        """What the manifest says of record i."""
        return {
            "index": i,
            "seed": self.how["seed"],
            "requested": list(self.asked[i]),
            "statements": list(_codes(self.vectors[i], self.names)),
            **self.patients[i],
            "labels": [int(v) if v == int(v) else float(v) for v in self.vectors[i].tolist()],
            "sampler": self.how["sampler"],
            "steps": self.how["steps"],
            "model": self.how["model"],
        }


def load_model(
    checkpoint: Path | None, config: Path | None, cauchy: Cauchy | None, device: str | None
) -> SSSDECG:
    from ..model_wrapper import SSSDECG

    if config is None or checkpoint is None:
        return SSSDECG.from_pretrained(checkpoint, cauchy=cauchy, device=device)
    return SSSDECG(config, device=device).load_checkpoint(checkpoint, cauchy=cauchy)


def sampling(
    model: SSSDECG, sampler: str | None, steps: int | None, eta: float | None
) -> tuple[str, int, float]:
    """(sampler, steps, eta): what is not given comes from the configuration; --eta alone means DDIM."""
    default, T = model.config.ddim_config, model.schedule.T
    if sampler is None:
        sampler = "ddim" if eta is not None else model.default_sampler(steps)
    if sampler == "ddpm" and (steps not in (None, T) or eta is not None):
        raise UsageError(
            f"ddpm always takes all {T} steps and has no eta: use --sampler ddim, or leave them out"
        )
    if sampler not in ("ddim", "ddpm") and eta is not None:
        raise UsageError(f"{sampler} has no eta: use --sampler ddim, or leave it out")
    if steps is not None and not 1 <= steps <= T:
        raise UsageError(f"--steps is {steps}; expected 1 to {T}, the steps the model was trained on")
    count = model.default_steps(sampler) if steps is None else steps
    return sampler, T if sampler == "ddpm" else count, default.ddim_eta if eta is None else eta


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


def tell_rare(vectors: NDArray[np.float32]) -> None:
    from ..labels import RARE, warn_rare

    rare = warn_rare(vectors)
    if rare:
        listed = ", ".join(f"{code} ({count})" for code, count in rare)
        note(f"the built-in model learnt from fewer than {RARE} records of {listed}: expect little")


def _codes(vector: NDArray[np.float32], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(names[k] for k in np.flatnonzero(vector))


def _file_name(codes: tuple[str, ...], i: int) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(codes)).strip("-")[:40].strip("-")
    return f"{stem or 'ecg'}_{i:05d}"
