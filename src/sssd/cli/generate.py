"""`sssd-ecg generate` turns statements into files of ECGs.

request ─▶ label vectors ─▶ checks ─▶ model ─▶ 8 leads (n, 8, L) ─▶ records, one at a time ─▶ folder
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..checks import counted, durations, timed
from ..drawing import PICTURES
from ..labels import names_of, rare_statements
from ..presets import checkpoint_name, is_shipped
from ..words import taken, understand
from . import options
from . import shown as shown_in
from .console import UsageError, note, progress_bar, say, usage
from .process import loading
from .requests import columns_of, read_requests, request_of
from .sets import check_length, check_space, note_codes, write_records

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..request import Request

MOST_DRAWN = 6  # statements that are named at the end

EXAMPLES = """Examples:

sssd-ecg generate --label AFIB --label CLBBB+LVH -n 8 --out ecgs

sssd-ecg generate --label NORM --age 70 --sex female --quality best --out ecgs

sssd-ecg generate --label 'atrial fibrillation' --format wfdb,png --out ecgs

sssd-ecg generate --label SR --noise 'baseline:0.3mV, muscle:20uV' --out noisy

sssd-ecg generate --label NORM --fs 500 --format wfdb,dicom --out fine

sssd-ecg generate --label NORM@0-30 --label AFIB@30-60 --annotate --out strip

sssd-ecg generate --text '70-year-old woman, atrial fibrillation with left bundle branch block' --out ecgs

sssd-ecg generate --labels-from wanted.csv --checkpoint mine.pkl --out ecgs
"""


def command(
    out: options.Out,
    label: Annotated[
        list[str] | None,
        typer.Option(help="A statement by its code or in words; AFIB+LVH asks for both. May be repeated."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="A sentence in place of --label, with statements, age, sex and heart rate, such as '70-year-old "
            "woman, AFIB'. The command says what it understood. May be repeated."
        ),
    ] = None,
    labels_from: options.LabelsFrom = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="Records per label, or per row of the file.")
    ] = 1,
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="<seconds>",
            help="Length of the records from 2.5 s, by default 10 s. Longer ones are strips in one piece. "
            "Statements may change on the way: --label NORM@0-30 --label AFIB@30-60.",
        ),
    ] = None,
    fs: options.Fs = None,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
    eta: options.Eta = None,
    spacing: options.Spacing = None,
    quality: options.Preset = None,
    age: options.Age = None,
    sex: options.Sex = None,
    heart_rate: options.HeartRate = None,
    seed: options.Seed = None,
    exact: options.Exact = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Measure each record, and write into the manifest which statements it shows by the rules of readers.",
        ),
    ] = False,
    require_shown: Annotated[
        bool,
        typer.Option(
            "--require-shown",
            help="Like --check, and also make each record anew until it shows what was asked for, up to "
            f"{shown_in.ATTEMPTS} times in all. If some still do not show it, the exit code is 1.",
        ),
    ] = False,
    noise: options.Noise = None,
    annotate: Annotated[
        bool,
        typer.Option(
            "--annotate",
            help="Mark the beats, and where P, QRS and T begin, peak and end, in WFDB's .atr, in CSV and in NPZ.",
        ),
    ] = False,
    formats: options.Formats = "wfdb,npz",
    layout: options.Layout = "3x4",
    speed: options.Speed = 25,
    gain: options.Gain = 10,
    rhythm: options.Rhythm = "II",
    order: options.Order = "clinical",
    checkpoint: options.Checkpoint = None,
    config: options.Configuration = None,
    cauchy: options.Convention = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    precision: options.Precision = "auto",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate 12-lead ECGs with the named statements, and write them with a manifest.

    Real ECGs have 2.8 statements on average, so others that occur beside the named ones are drawn as well.
    With --exact, none are drawn. The manifest holds the full label vectors.
    """
    with usage():
        from ..io.folder import ON_OVERVIEW, OVERVIEW, check_formats, earlier_files
        from ..labels import CODES
        from ..plot import LONGEST_S

        kinds = check_formats(options.listed(formats))
        drawing = options.drawn(layout, speed, gain, rhythm, kinds)
        checkpoint, chosen = options.sampling(
            quality, checkpoint=checkpoint, sampler=sampler, steps=steps, eta=eta, spacing=spacing
        )
        options.check(seed, config, checkpoint)
        if not label and not text and labels_from is None:
            raise UsageError(
                "there is nothing to generate: give --label, --text or --labels-from (`sssd-ecg labels` lists the "
                "names)"
            )
        earlier_files(out.resolve(), overwrite)
        label, seconds = timed(label or [])
        if duration is not None:
            if seconds:
                raise UsageError(
                    "give the length of records by --duration or by the times of --label, not both"
                )
            seconds = durations(duration)
        if len(seconds) > 1 and (check or require_shown):
            raise UsageError("--check and --require-shown judge records whose statements stay the same")
        if sum(seconds) > LONGEST_S and set(PICTURES).intersection(kinds):
            raise UsageError(
                f"records of more than {LONGEST_S:g} s have no pictures; leave out png, svg and pdf"
            )
        told: dict[str, Any] = {"age": age, "sex": sex, "heart_rate": heart_rate}
        if is_shipped(checkpoint):
            understood = [understand(one) for one in text or ()]
            read_requests(label, labels_from, CODES, understood=understood, **told)  # before torch is loaded

        with loading():
            from ..added_noise import parse
            from ..detail import network_for
            from ..device import choose_precision
            from ..model_wrapper import SSSDECG
            from ..sampling import Sampling

        model = SSSDECG.from_pretrained(checkpoint, config=config, cauchy=cauchy, device=device)

        seed, drawn = options.seed_of(seed)
        understood = [understand(one, model.label_names) for one in text or ()]
        asked_for, dropped = taken(understood, model.classes.takes)
        rows = read_requests(label, labels_from, model.label_names, understood=asked_for, **told)
        request, asked = request_of(rows, seconds, count, model.classes, seed=seed, exact=exact)
        if require_shown:
            shown_in.check_rules(asked)
        table = Sampling(**chosen).table(model.schedule, model.config)
        detail = network_for(fs, model.fs_hz, model.device)
        rate = model.fs_hz if fs is None else fs
        added = parse(noise, rate)
        choose_precision(precision, model.device)  # a wrong one is refused before anything takes time
        length = sum(seconds) or model.shape[1] / model.fs_hz
        check_space(out, kinds, len(request) * (2 if added else 1), seconds=length, fs_hz=rate)
        check_length(kinds, length, rate)

    if "challenge" in kinds:
        note_codes(request.vectors, model.label_names)
    for line in (*(said for one in understood for said in one.lines()[1:]), *dropped):
        note(line)
    total = len(request)
    if is_shipped(checkpoint):
        note_rare(rows.vectors)
        note_hints([names_of(row, model.label_names) for row in rows.vectors], rows.heart_rate)
    with progress_bar(quiet) as bar:
        task = bar.add_task("generating", total=None)

        def draw(request: Request, seed: int) -> NDArray[np.float32]:
            signal = model.sample(
                request,
                table,
                seed=seed,
                batch_size=batch_size,
                precision=precision,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )
            return signal.numpy()

        signal = draw(request, seed)
        ecgs = model.records(signal, request, table, seed=seed, precision=precision, leads=order)
        ecgs = replace(ecgs, rare=rare_statements() if is_shipped(checkpoint) else {})
        shown = None
        if require_shown:
            ecgs, shown = shown_in.draw_until_shown(ecgs, asked, draw, seed=seed, bar=bar)
        elif check:
            shown = shown_in.measure(ecgs, bar)
        ecgs = replace(ecgs, noise=added, annotated=annotate, detail=detail)
        names = write_records(
            ecgs,
            out,
            kinds,
            asked=asked,
            manifest={
                "checkpoint": checkpoint_name(checkpoint),
                **({} if quality is None else {"quality": quality}),
                **({"text": text} if text else {}),
                **({"noise": ", ".join(map(str, added))} if added else {}),
                "device": str(model.device),
            },
            overwrite=overwrite,
            bar=bar,
            drawing=drawing,
            shown=shown,
        )
    say(
        f"{counted(total, 'ECG')} in {out}{drawn}",
        *(one.lines()[0] for one in understood),
        *columns_of(labels_from, model.label_names),
        *_beside(asked, [names_of(row, model.label_names) for row in request.vectors]),
        f"formats: {', '.join(kinds)}; labels and provenance: {out / 'manifest.json'}",
        *([f"noise: {', '.join(map(str, added))}; without it: {out / names[0]}_clean ..."] if added else []),
        *shown_in.counts(shown or ()),
        *([f"a picture of each: {out / names[0]}.png ..."] if "png" in kinds else []),
        *(
            [f"{'all' if total <= ON_OVERVIEW else 'the first'} on one page: {out / OVERVIEW}.png"]
            if "png" in kinds and total > 1
            else []
        ),
        quiet=quiet,
    )
    if require_shown and (unmet := shown_in.unmet(shown or [], asked)):
        note(unmet)
        raise typer.Exit(1)


def _beside(asked: Sequence[Sequence[str]], present: Sequence[Sequence[str]]) -> list[str]:
    """Return a line that says which statements were drawn beside those asked for, the most frequent first."""
    drawn = Counter(
        name
        for named, statements in zip(asked, present, strict=True)
        for name in statements
        if name not in named
    )
    if not drawn:
        return []
    most = ", ".join(f"{name} in {n}" for name, n in drawn.most_common(MOST_DRAWN))
    return [
        f"drawn beside what was asked for: {most}{', ...' if len(drawn) > MOST_DRAWN else ''} (--exact draws none)"
    ]


def note_hints(asked: Sequence[Sequence[str]], heart_rates: NDArray[np.float64]) -> None:
    """Note on standard error what of the request recordings hardly ever carry together.

    asked: the statements of each record. heart_rates: of each in beats per minute (n,), NaN where unknown.
    """
    from ..mix import hints

    rates = [None if math.isnan(rate) else rate for rate in heart_rates.tolist()]
    different = dict.fromkeys(zip(map(tuple, asked), rates, strict=True))
    said = [hint for statements, rate in different for hint in hints(statements, rate)]
    for hint in said[:MOST_DRAWN]:
        note(hint)
    if len(said) > MOST_DRAWN:
        note(f"and {counted(len(said) - MOST_DRAWN, 'other unusual request')}")


def note_rare(vectors: NDArray[np.float32]) -> None:
    """Note on standard error which statements of the vectors (n, 71) the built-in model has hardly seen."""
    from ..labels import rare_note

    text = rare_note(vectors)
    if text is not None:
        note(text)
