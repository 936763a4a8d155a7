"""The table of samplers: quality and network evaluations; scripts/plot_samplers.py draws it.

    python scripts/make_evaluation_sets.py signals.npz sets/7 ddpm200 ddim50 unipc10 train_ddpm200 ... --seed 7
    python scripts/sampler_quality.py --real signals.npz --sets sets/7 sets/8 sets/9 --figures figures.json \\
        --table samplers.md

--sets: one folder per seed, each with the same NPZ files: NAME.npz for the label vectors of the test fold,
train_NAME.npz, for utility, for those of the folds before it. NAME.json beside it holds evaluations and seconds.
--figures is read if it exists, and what it holds is not measured again: `--only classifiers` on a machine with a GPU
and `--only rhythm` on one with NeuroKit2 share the work. What quality is: sssd.evaluation.quality.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sssd.data import recordings  # noqa: E402
from sssd.data.recordings import Recordings, eight_leads_mv  # noqa: E402
from sssd.device import choose_device  # noqa: E402
from sssd.evaluation import auc, classifier  # noqa: E402
from sssd.evaluation.frechet import frechet_distance  # noqa: E402
from sssd.evaluation.quality import BASELINE, DISTANCES, HIGHER, quality, rhythm_distance  # noqa: E402
from sssd.evaluation.rhythm import rhythm_and_shape  # noqa: E402
from sssd.io.files import write_bytes  # noqa: E402

TRAIN = "train_"
REAL = "real"


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    real = recordings.read(options.real)
    if real.strat_fold is None:
        raise ValueError(
            f"{options.real} has no strat_fold: the real records need it to part training from test"
        )
    train = recordings.subset(real, real.strat_fold < options.fold)
    test = recordings.subset(real, real.strat_fold == options.fold)
    names = sorted(path.stem for path in options.sets[0].glob("*.npz"))
    for folder in options.sets:
        if sorted(path.stem for path in folder.glob("*.npz")) != names:
            raise ValueError(f"{folder} holds other sets than {options.sets[0]}: give each seed the same")
    if not names:
        raise FileNotFoundError(f"there are no NPZ files in {options.sets[0]}")
    figures = Figures(options.figures)
    if options.only != "rhythm":
        _by_classifiers(train, test, options, names, figures)
    if options.only != "classifiers":
        _rhythm(train, test, options, names, figures)
    measured = [name for name in names if not name.startswith(TRAIN)]
    seeds = range(len(options.sets))
    result = quality(
        {name: [figures.of(name, seed) for seed in seeds] for name in measured},
        [figures.of(REAL, seed) for seed in seeds],
        baseline=options.baseline,
    )
    costs = {name: _cost(options.sets, name) for name in measured}
    lines = table(result, costs, {name: [figures.of(name, s) for s in seeds] for name in (*measured, REAL)})
    print(lines)
    if options.table:
        options.table.write_text(lines + "\n")


class Figures:
    """What was measured, {name: {seed: {figure: value}}}, kept in a JSON file after each of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, dict[str, dict[str, float]]] = (
            json.loads(path.read_text()) if path.exists() else {}
        )

    def of(self, name: str, seed: int) -> dict[str, float]:
        return self.content.get(name, {}).get(str(seed), {})

    def keep(self, name: str, seed: int, **values: float) -> None:
        self.content.setdefault(name, {}).setdefault(str(seed), {}).update(values)
        write_bytes(self.path, (json.dumps(self.content, indent=1) + "\n").encode(), overwrite=True)
        print(f"{name}, seed {seed}: {values}", file=sys.stderr, flush=True)


def _by_classifiers(
    train: Recordings, test: Recordings, options: argparse.Namespace, names: list[str], figures: Figures
) -> None:
    columns = auc.frequent(test.labels)
    how: dict[str, Any] = {
        "epochs": options.epochs,
        "width": options.width,
        "device": choose_device(options.device),
    }
    x_train, x_test = eight_leads_mv(train), eight_leads_mv(test)

    def area(y: np.ndarray, p: np.ndarray) -> float:
        found = auc.macro_auc(y, [p], columns[np.isin(columns, auc.frequent(y))], resamples=1)
        if found is None:
            raise ValueError("no statement has five records: give larger sets")
        return float(found["mean"])

    turn = get_context("spawn").Value("i", 0)
    pool = ProcessPoolExecutor(
        options.trainers, mp_context=get_context("spawn"), initializer=choose_gpu, initargs=(turn,)
    )  # small networks leave a GPU idle
    judged, taught = [], []
    for seed, folder in enumerate(options.sets):
        missing = [
            name
            for name in names
            if ("utility" if name.startswith(TRAIN) else "adherence")
            not in figures.of(name.removeprefix(TRAIN), seed)
        ]
        sets = {
            name: recordings.read(folder / f"{name}.npz") for name in missing if not name.startswith(TRAIN)
        }
        if sets or "frechet" not in figures.of(REAL, seed):
            rows = np.random.default_rng(seed).permutation(len(train))[: len(test)]
            shown = [x_test, x_train[rows], *(eight_leads_mv(made) for made in sets.values())]
            judged.append((seed, sets, pool.submit(_judge, x_train, train.labels, shown, seed=seed, **how)))
        for name in missing:
            if name.startswith(TRAIN):
                made = recordings.read(folder / f"{name}.npz")
                x = eight_leads_mv(made)
                scores = pool.submit(classifier.train_and_predict, x, made.labels, x_test, seed=seed, **how)
                taught.append((name.removeprefix(TRAIN), seed, scores))
    for seed, sets, judge in judged:
        (seen, read), (others, _), *found = judge.result()
        of_real = area(test.labels, read)
        figures.keep(REAL, seed, frechet=frechet_distance(others, seen), adherence=of_real, utility=of_real)
        for (name, made), (features, read) in zip(sets.items(), found, strict=True):
            figures.keep(
                name, seed, adherence=area(made.labels, read), frechet=frechet_distance(features, seen)
            )
    for name, seed, scores in taught:
        figures.keep(name, seed, utility=area(test.labels, scores.result()))
    pool.shutdown()


def choose_gpu(turn: Any) -> None:
    """Each trainer takes the next of the GPUs."""
    with turn.get_lock():
        if torch.cuda.is_available():
            torch.cuda.set_device(turn.value % torch.cuda.device_count())
        turn.value += 1


def _judge(
    x: np.ndarray, y: np.ndarray, shown: list[np.ndarray], **how: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Features and probabilities, of each set shown, by a classifier trained on x and y."""
    model = classifier.train(x, y, **how)
    return [(classifier.features(model, one), classifier.predict(model, one)) for one in shown]


def _rhythm(
    train: Recordings, test: Recordings, options: argparse.Namespace, names: list[str], figures: Figures
) -> None:
    work = [
        (name, seed)
        for seed in range(len(options.sets))
        for name in (REAL, *names)
        if not name.startswith(TRAIN) and "rhythm" not in figures.of(name, seed)
    ]
    if not work:
        return

    def records(name: str, seed: int) -> Recordings:
        if name != REAL:
            return recordings.read(options.sets[seed] / f"{name}.npz")
        return recordings.subset(train, np.random.default_rng(seed).permutation(len(train))[: len(test)])

    with ProcessPoolExecutor(options.workers) as pool:
        of_test = pool.submit(rhythm_and_shape, eight_leads_mv(test), test.fs_hz)
        waiting = []
        for name, seed in work:
            x = eight_leads_mv(records(name, seed))
            waiting.append((name, seed, pool.submit(rhythm_and_shape, x, test.fs_hz)))
        for name, seed, values in waiting:
            figures.keep(name, seed, rhythm=rhythm_distance(values.result(), of_test.result()))


def _cost(folders: list[Path], name: str) -> dict[str, Any]:
    """Evaluations, and seconds per record (least of the seeds), from the files beside the sets."""
    sets_made = [json.loads(p.read_text()) for f in folders if (p := f / f"{name}.json").exists()]
    if not sets_made:
        return {"evaluations": None, "seconds": None}
    return {
        "evaluations": sets_made[0]["evaluations"],
        "seconds": min(one["seconds"] / one["records"] for one in sets_made),
        "device": sets_made[0]["device"],
    }


def table(
    result: dict[str, dict[str, Any]],
    costs: dict[str, dict[str, Any]],
    figures: dict[str, list[dict[str, float]]],
) -> str:
    """Markdown, one row per sampler: cost, headline, the four qualities in percent, the four figures themselves."""
    kinds = (*HIGHER, *DISTANCES)
    head = [
        "sampler",
        "evaluations",
        "ms per record",
        "headline",
        *kinds,
        *(f"{kind}, itself" for kind in kinds),
    ]
    lines = [head, ["---"] * len(head)]
    order = sorted(result, key=lambda name: (-(costs[name]["evaluations"] or 0), name))
    for name in (REAL, *order):
        cost, of = costs.get(name, {"evaluations": None, "seconds": None}), result.get(name, {})
        seconds = cost["seconds"]
        worst = of.get("headline")
        lines.append(
            [
                name,
                "" if cost["evaluations"] is None else str(cost["evaluations"]),
                "" if seconds is None else f"{1e3 * seconds:.2f}",
                "" if worst is None else f"{_percent(worst)} {worst['figure']}",
                *(_percent(of[kind]) if kind in of else "" for kind in kinds),
                *(
                    f"{np.mean([f[kind] for f in figures[name]]):.3f}"
                    if all(kind in f for f in figures[name])
                    else ""
                    for kind in kinds
                ),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(value: dict[str, Any]) -> str:
    if value["low"] is None:
        return f"{100 * value['mean']:.1f}"
    return f"{100 * value['mean']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", required=True, help="real records with strat_fold")
    parser.add_argument("--fold", type=int, default=9, help="the test fold; those before it train")
    parser.add_argument("--sets", required=True, nargs="+", type=Path, metavar="FOLDER", help="one per seed")
    parser.add_argument(
        "--figures", required=True, type=Path, help="JSON of what was measured; goes on from it"
    )
    parser.add_argument("--only", choices=["classifiers", "rhythm"])
    parser.add_argument("--table", type=Path, help="Markdown to write")
    parser.add_argument("--baseline", default=BASELINE)
    parser.add_argument("--epochs", type=int, default=classifier.EPOCHS)
    parser.add_argument("--width", type=int, default=classifier.WIDTH, help="classifier channels")
    parser.add_argument("--device", help="by default the fastest one available")
    parser.add_argument(
        "--trainers", type=int, default=1, help="classifiers trained at a time; they share the GPUs there are"
    )
    parser.add_argument("--workers", type=int, help="processes for rhythm; default: one per core")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"error: {error}")
