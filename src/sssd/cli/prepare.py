"""`sssd-ecg prepare`: read recordings from disk into one file for training and evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..checks import counted
from . import options
from .console import note, progress_bar, say, usage

EXAMPLES = """Examples:

sssd-ecg prepare ptb-xl-1.0.3/ data/

sssd-ecg prepare my_records/ data/ --labels mine.csv --statements AFIB,NORM

sssd-ecg prepare WFDB_ChapmanShaoxing/ data/
"""


def command(
    source: Annotated[
        Path,
        typer.Argument(
            help="The PTB-XL download, a set in the form of the PhysioNet challenges, or, with --labels, a folder of "
            "WFDB, NPZ, CSV, EDF or DICOM records."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write signals.npz and prepare.json to.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labels of your own recordings: a CSV file with a column 'record', and one column of 0 and 1 per "
            "label, or one column 'labels' of names joined by '+'. It may have columns patient_id, strat_fold (1-10), "
            "age and sex."
        ),
    ] = None,
    statements: Annotated[
        str | None, typer.Option(help="Keep only these labels, in this order, as in AFIB,NORM.")
    ] = None,
    rate: Annotated[
        Literal["100", "500"], typer.Option(help="Which version of PTB-XL's files to read, in Hz.")
    ] = "100",
    unit: Annotated[
        Literal["uV", "mV", "V"] | None,
        typer.Option(
            help="The unit of the stored numbers, in place of the gain and unit that the files state."
        ),
    ] = None,
    short: Annotated[
        Literal["skip", "tile"],
        typer.Option(
            help="What to do with recordings below 10 s: skip them, or repeat them from their beginning."
        ),
    ] = "skip",
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop if any recording cannot be used, rather than skip it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in OUT.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Read 12-lead recordings and their labels into one file: 100 Hz, 10 s, each recording in a fold from 1 to 10."""
    from ..data.prepare import prepare
    from ..tables.columns import described

    chosen = None if statements is None else options.listed(statements)
    with usage(), progress_bar(quiet) as bar:
        task = bar.add_task("reading", total=None)
        result = prepare(
            source,
            out,
            labels_csv=labels,
            statements=chosen,
            rate=rate,
            unit=unit,
            short=short,
            strict=strict,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            overwrite=overwrite,
        )
    for text in result["warnings"]:
        note(text)
    if result["labels_not_stated"]:
        note(
            "labels that a header does not name are not stated, which does not mean absent: `stated` in signals.npz "
            "says which are"
        )
    folds = result["folds"].values()
    patients = [fold["patients"] for fold in folds]
    split = ", ".join(f"{count} {name}" for name, count in result["split"].items())
    say(
        f"{counted(result['records'], 'record')} ({split}), {counted(len(result['records_per_label']), 'label')}",
        described(result["columns"]),
        *_unmapped(result["diagnoses_that_are_no_label"]),
        "patients by fold, 1 to 10: " + ", ".join(map(str, patients))
        if None not in patients
        else "patients are not known for all recordings, so those of one patient may be in several folds",
        f"rate conversion: {result['rate_conversion']}; cut to 10 s: {result['cut_to_first_10_s']}, "
        f"repeated to 10 s: {result['repeated_to_10_s']}, "
        f"with derived leads: {result['leads_derived_in_records']}",
        f"licence: {result['licence']}",
        f"wrote {out / 'signals.npz'} and {out / 'prepare.json'}",
        quiet=quiet,
    )


def _unmapped(diagnoses: dict[str, int]) -> list[str]:
    """Return a line that names the most frequent diagnoses that are no label; no line if there are none."""
    listed = [f"{name} ({count})" for name, count in list(diagnoses.items())[:8]]
    more = " ..." if len(diagnoses) > len(listed) else ""
    return [f"diagnoses that are no label: {', '.join(listed)}{more}"] if listed else []
