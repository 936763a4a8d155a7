"""Measure generated ECGs against real ones: a plain table on the screen, every number in a JSON file.

    python scripts/measure_model.py --real signals.npz --json out.json \\
        --synthetic-test ddpm200=a.npz --synthetic-test ddim50=b.npz --synthetic-train ddim50=c.npz

--real holds training folds 1-8 and test fold 9 in one NPZ with `strat_fold`. --synthetic-test sets are made
for the label vectors of fold 9, in the order of the records; --synthetic-train sets for those of folds 1-8.
Any of them may hold the 8 independent leads instead of 12. `--seeds 0` trains no classifier.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sssd.data import recordings  # noqa: E402
from sssd.data.recordings import Recordings  # noqa: E402
from sssd.evaluation import classifier, measure  # noqa: E402
from sssd.io.files import write_bytes  # noqa: E402
from sssd.leads import EIGHT, to_twelve  # noqa: E402

TEST_FOLD = 9


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    if os.path.exists(options.json):
        raise FileExistsError(f"{options.json} exists already: give another name or move it")
    train, test = _read_real(options.real)
    start = time.monotonic()
    result = measure.measure(
        train,
        test,
        _read_named(options.synthetic_test),
        _read_named(options.synthetic_train),
        seeds=tuple(range(options.seeds)),
        device=options.device,
        epochs=options.epochs,
        width=options.width,
        on_stage=lambda stage: print(
            f"{time.monotonic() - start:6.1f} s  {stage}", file=sys.stderr, flush=True
        ),
    )
    result = {"label": options.label, "epochs": options.epochs, "width": options.width, **result}
    print(table(result))
    write_bytes(options.json, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode(), overwrite=True)


def table(result: dict[str, Any]) -> str:
    """The result as lines of text: one column for the real records, one for each synthetic set."""
    real, made = result["real"], result["synthetic"]
    rows = [["", "real", *made]]

    def row(name: str, of_real: str, of_made: list[str]) -> None:
        rows.append([name, of_real, *of_made])

    row("records", str(real["records"]["test"]), [str(s["records"]) for s in made.values()])
    row("amplitude ratio, mean", "1", [f"{s['amplitude']['mean']:.2f}" for s in made.values()])
    row("amplitude ratio, medians", "1", [f"{s['amplitude']['mean_of_medians']:.2f}" for s in made.values()])
    for i, lead in enumerate(EIGHT):
        row(f"  {lead}", "1", [f"{s['amplitude']['ratio'][i]:.2f}" for s in made.values()])
    for key, title, form in (
        ("beat_regularity", "beat regularity", ".3f"),
        ("heart_rate_bpm", "heart rate", ".0f"),
    ):
        columns = [s["rhythm"][key] for s in (real, *made.values())]
        rows.append([f"{title}, median", *(_number(c["median"], form) for c in columns)])
        rows.append(["  undetected, %", *(f"{100 * c['undetected']:.1f}" for c in columns)])
        for statement in real["rhythm"][key]["by_statement"]:
            rows.append(
                [f"  {statement}", *(_number(c["by_statement"].get(statement), form) for c in columns)]
            )
    if "macro_auc" in real:
        row(
            "macro AUC, adherence",
            _spread(real["macro_auc"]),
            [_spread(s["adherence"]) for s in made.values()],
        )
        row("Frechet distance", _spread(real["frechet"]), [_spread(s["frechet"]) for s in made.values()])
    row("nearest: median ratio", "1", [f"{s['memorisation']['median']:.3f}" for s in made.values()])
    row("nearest: share near", "0.010", [f"{s['memorisation']['share_near']:.3f}" for s in made.values()])
    row("nearest: closest ratio", "1", [f"{s['memorisation']['closest']:.3f}" for s in made.values()])
    widths = [max(len(line[i]) for line in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in rows]
    for name, u in result["utility"].items():
        lines.append(
            f"utility of {name} ({u['records']} records): macro AUC {_spread(u['macro_auc'])}, "
            f"{u['ratio']:.3f} of training on real records"
        )
    return "\n".join(([result["label"]] if result["label"] else []) + lines)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _spread(value: dict[str, Any]) -> str:
    digits = 3 if value["mean"] < 2 else 1
    if value["std"] is None:
        return f"{value['mean']:.{digits}f}"
    return f"{value['mean']:.{digits}f}+-{value['std']:.{digits}f}"


def _read(path: str) -> Recordings:
    """A set of ECGs in NPZ form with 12 leads, or with the 8 of `EIGHT`, from which the other four follow."""
    if Path(path).is_dir():
        return recordings.read(path)
    with np.load(path) as arrays:
        if arrays["signal_uv"].shape[1] != len(EIGHT):
            return recordings.read(path)
        given = tuple(str(lead) for lead in arrays["leads"]) if "leads" in arrays else EIGHT
        if given != EIGHT:
            raise ValueError(f"{path}: the 8 leads are {' '.join(given)}; expected {' '.join(EIGHT)}")
        return Recordings(
            signal_uv=np.rint(to_twelve(arrays["signal_uv"].astype(np.float32))).astype(np.int16),
            labels=arrays["labels"],
            label_names=tuple(str(name) for name in arrays["label_names"]),
            fs_hz=float(arrays["fs_hz"]) if "fs_hz" in arrays else 100.0,
            strat_fold=arrays["strat_fold"].astype(np.int64) if "strat_fold" in arrays else None,
        )


def _read_real(path: str) -> tuple[Recordings, Recordings]:
    records = _read(path)
    if records.strat_fold is None:
        raise ValueError(f"{path} has no strat_fold: the real records need it to part training from test")
    training, test = records.strat_fold < TEST_FOLD, records.strat_fold == TEST_FOLD
    return recordings.subset(records, training), recordings.subset(records, test)


def _read_named(pairs: list[str]) -> dict[str, Recordings]:
    """NAME=PATH, or PATH alone, which is then named after its file."""
    sets = {}
    for pair in pairs:
        name, _, path = pair.rpartition("=")
        name = name or Path(path).stem
        if name in sets:
            raise ValueError(f"two sets are named {name!r}: give each a name of its own, NAME=PATH")
        sets[name] = _read(path)
    return sets


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure generated ECGs against real ones.")
    parser.add_argument("--real", required=True, metavar="NPZ", help="real records with strat_fold")
    for name in ("--synthetic-test", "--synthetic-train"):
        parser.add_argument(name, action="append", default=[], metavar="NAME=NPZ", help="repeatable")
    parser.add_argument("--json", required=True, help="where every number goes; must not exist")
    parser.add_argument("--label", default="", help="title of this measurement")
    parser.add_argument("--seeds", type=int, default=3, help="classifiers per training set; 0 trains none")
    parser.add_argument("--epochs", type=int, default=classifier.EPOCHS)
    parser.add_argument("--width", type=int, default=classifier.WIDTH, help="classifier channels")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"error: {error}")
