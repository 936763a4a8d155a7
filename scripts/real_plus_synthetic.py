"""Of what use generated records are beside real ones: classifiers trained on real records, on generated ones, on both,
and on real ones with the generated ones of rare statements, tested on the records of strat_fold 9.

    python scripts/real_plus_synthetic.py --real signals.npz --synthetic train_consistency4.npz --trainers 9 \\
        --device cuda

All are trained for as many steps as on the real records alone, and real and both for twice as many too. Prints macro
AUC with its spread over seeds, for all statements with at least 5 test records, for the rare ones among them (fewer
than 100 training records) and the others, and the statements that gain and lose most.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sssd.data import recordings
from sssd.data.recordings import eight_leads_mv
from sssd.evaluation import auc, classifier

FEW = 100  # training records


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True, help="with strat_fold: below 9 trains, 9 tests")
    parser.add_argument("--synthetic", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=classifier.EPOCHS)
    parser.add_argument("--width", type=int, default=classifier.WIDTH)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--trainers", type=int, default=1, help="classifiers trained at a time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    every, made = recordings.read(options.real), recordings.read(options.synthetic)
    assert every.strat_fold is not None
    train, test = (recordings.subset(every, rows) for rows in (every.strat_fold < 9, every.strat_fold == 9))
    x, y, x_test = eight_leads_mv(train), train.labels, eight_leads_mv(test)
    x_made, y_made = eight_leads_mv(made), made.labels
    rare = (y_made[:, y.sum(0) < FEW] > 0).any(1)

    def together(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate((x, x_made[rows])), np.concatenate((y, y_made[rows]))

    both, with_rare = together(np.ones(len(made), bool)), together(rare)

    def epochs(data: tuple[np.ndarray, np.ndarray], times: int = 1) -> int:
        return round(times * options.epochs * len(x) / len(data[0]))

    ways = {
        "real": (x, y, options.epochs),
        "synthetic": (x_made, y_made, epochs((x_made, y_made))),
        "both": (*both, epochs(both)),
        f"real and {rare.sum()} with rare statements": (*with_rare, epochs(with_rare)),
        "real, twice as long": (x, y, 2 * options.epochs),
        "both, twice as long": (*both, epochs(both, 2)),
    }
    columns = auc.frequent(test.labels)
    of: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with ProcessPoolExecutor(options.trainers, mp_context=get_context("spawn")) as pool:
        how = {"width": options.width, "device": options.device}
        waiting = [
            (way, pool.submit(classifier.train_and_predict, a, b, x_test, seed=seed, epochs=n, **how))
            for seed in range(options.seeds)
            for way, (a, b, n) in ways.items()
        ]
        for way, scores in waiting:
            of[way].append(auc.by_statement(test.labels, [scores.result()], columns, test.label_names))
    few = [test.label_names[k] for k in columns if y[:, k].sum() < FEW]
    groups = {"all": list(of["real"][0]), "rare": few}
    groups["others"] = [name for name in groups["all"] if name not in few]
    print("macro AUC, mean of seeds (spread)  " + "  ".join(f"{g} ({len(n)})" for g, n in groups.items()))
    for way, seeds in of.items():
        areas = {g: [np.mean([s[name] for name in names]) for s in seeds] for g, names in groups.items()}
        print(
            f"{way:33s}  "
            + "  ".join(
                f"{np.mean(a):.4f} ({np.std(a, ddof=min(1, len(a) - 1)):.4f})" for a in areas.values()
            )
        )
    mean = {
        way: {name: float(np.mean([s[name] for s in seeds])) for name in groups["all"]}
        for way, seeds in of.items()
    }
    gain = {name: mean["both"][name] - mean["real"][name] for name in groups["all"]}
    order = sorted(gain, key=lambda name: -gain[name])
    print(f"both against real: {sum(g > 0 for g in gain.values())} of {len(gain)} statements gain")
    for name in (*order[:6], *order[-4:]):
        print(f"  {name:8s} {mean['real'][name]:.3f} -> {mean['both'][name]:.3f}")
    if options.json:
        options.json.write_text(json.dumps({"by_statement": of, "few": few}, indent=1) + "\n")


if __name__ == "__main__":
    main()
