"""The data card of a corpus: README.md in its folder, in the form that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import counted
from ..io.files import write_bytes
from ..leads import EIGHT
from ..presets import SOURCES
from .schema import Corpus, Recipe

HOW_TO_READ = {
    "parquet": 'datasets.load_dataset("parquet", data_files="data/*.parquet"); a row\'s signal is bytes, which '
    'np.frombuffer(row["signal_uv"], "<i2").reshape({leads}, {length}) decodes',
    "hdf5": 'h5py.File("data/00000.h5")["signal_uv"][0]',
    "npz": 'np.load("data/00000.npz")["signal_uv"]',
    "wfdb": 'wfdb.rdrecord("data/00000/000000000"); RECORDS lists all',
}


def write_card(folder: Path, corpus: Corpus, summary: Mapping[str, Any] | None = None) -> None:
    """Write the card; `summary` (see notes.summary) is given once the corpus is complete."""
    size = "" if summary is None else f", {summary['bytes'] / 1e6:.4g} MB"
    hub = ["configs:", "- config_name: default", "  data_files: data/*.parquet"]
    how = HOW_TO_READ[corpus.format].format(leads=len(corpus.leads), length=corpus.length)
    lines = [
        "---",
        "license: cc-by-4.0",
        "tags: [ECG, synthetic, medical, time-series]",
        *(hub if corpus.format == "parquet" else []),
        "---",
        "",
        f"# {counted(corpus.records, 'synthetic 12-lead ECG')}",
        "",
        "**Synthetic. Not for diagnosis, nor for any decision about a patient.**",
        "",
        "| | |",
        "|---|---|",
        f"| records | {corpus.records}, in {counted(corpus.shards, 'shard')} of {corpus.shard_size}{size} |",
        f"| format | {corpus.format} |",
        f"| signal | signal_uv: int16, 1 uV, ({len(corpus.leads)}, {corpus.length}) at {corpus.fs_hz:g} Hz, "
        f"{corpus.length / corpus.fs_hz:g} s |",
        *(["| clean_uv | signal_uv without the noise that was added |"] if corpus.noise else []),
        f"| leads, in this order | {' '.join(corpus.leads)} |",
        f"| labels | 0/1 vector of {len(corpus.label_names)}, in the order of label_names in corpus.json |",
        *_extra(corpus),
        "",
        "The other columns: `index` (the record's number), `requested` (the statements that were asked for, empty "
        "where they were drawn), `statements` (all statements that the record was generated with).",
        "",
    ]
    first = 0
    for part in corpus.parts:
        lines += _recipe(part, first, len(corpus.parts) > 1)
        first += part.records
    lines += [
        "## Reading",
        "",
        "- Python: `sssd.corpus.open(DIR)`, a PyTorch dataset",
        f"- without this package: `{how}`",
        "",
        "## Licence",
        "",
        f"CC BY 4.0. The built-in model learnt from {SOURCES}: name them where you pass these records on. If "
        "the records were made with another checkpoint, ask its maker what it requires.",
        "",
    ]
    if summary is not None:
        lines += _totals(corpus, summary)
    write_bytes(folder / "README.md", "\n".join(lines).encode(), overwrite=True)


def _extra(corpus: Corpus) -> list[str]:
    if not corpus.extra:
        return []
    lines, names = [], [name for name in corpus.extra if name not in ("source", "annotations")]
    if names:
        *rest, last = names
        listed = " and ".join(filter(None, (", ".join(rest), last)))
        lines = [f"| {listed} | of the patient, as given to the model; empty where unknown |"]
    if "source" in corpus.extra:
        lines.append(
            "| source | the name of the recording that the record was made of: it is as personal as that |"
        )
    if "annotations" in corpus.extra:
        lines.append(
            "| annotations | beats and waves as JSON: marks [sample, symbol of WFDB, wave], and how many waves are "
            "left_out because two methods do not agree on them |"
        )
    return lines


def _recipe(part: Recipe, first: int, several: bool) -> list[str]:
    sampler = f"{part.sampler}, {counted(part.steps, 'step')}"
    if part.eta is not None:
        sampler += f", eta {part.eta:g}"
    if part.spacing is not None:
        sampler += f", {part.spacing} spacing"
    if part.gain is not None and len(part.gain) > 1:
        sampler += f", times {' '.join(f'{factor:g}' for factor in part.gain)} for {' '.join(EIGHT)}"
    last = first + part.records - 1
    return [
        f"## How records {first} to {last} were made" if several else "## How it was made",
        "",
        "| | |",
        "|---|---|",
        f"| labels | {part.source} |",
        f"| model | {Path(part.checkpoint).name}, SHA-256 of the weights {part.model} |",
        f"| sampler | {sampler}, {part.precision} |",
        *(
            []
            if part.detail is None
            else [f"| what is above 46.5 Hz | SHA-256 of the weights {part.detail} |"]
        ),
        *([] if part.noise is None else [f"| noise that was added | {part.noise} |"]),
        *([] if part.vary is None else [f"| made of recordings | varied, strength {part.vary:g} |"]),
        f"| seed | {part.seed} |",
        f"| batches | {counted(part.batch_size, 'record')}, {counted(part.threads, 'thread')}, {part.machine} |",
        f"| by | {part.generator}, PyTorch {part.torch} |",
        "",
    ]


def _totals(corpus: Corpus, summary: Mapping[str, Any]) -> list[str]:
    lines = ["## Statistics", "", "| lead | least, uV | largest, uV | mean, uV | standard deviation, uV |"]
    lines += ["|---|---|---|---|---|"]
    for lead, row in zip(corpus.leads, summary["lead_uv"], strict=True):
        lines.append(f"| {lead} | {row[0]:.0f} | {row[1]:.0f} | {row[2]:.1f} | {row[3]:.1f} |")
    if summary["clipped"]:
        lines += ["", f"Samples that were cut off at +-32.767 mV: {summary['clipped']}."]
    counts = sorted(
        zip(summary["label_counts"], corpus.label_names, strict=True), key=lambda item: (-item[0], item[1])
    )
    lines += ["", "| statement | records |", "|---|---|"]
    lines += [f"| {name} | {count} |" for count, name in counts if count]
    return [*lines, ""]
