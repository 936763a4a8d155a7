"""How useful generated records are beside real ones: classifiers trained on real records, on generated ones, on both,
and on generated ones first and real ones then, tested on the records of strat_fold 9.

    python scripts/real_plus_synthetic.py --real signals.npz --synthetic sets/7/train_consistency4.npz \\
        sets/8/train_consistency4.npz --seeds 10 --trainers 32 --device cuda

All are trained for about as many steps as on the real records alone, of which --records leaves only so many; real ones
for half and twice as many too, and in two halves, as generated ones and real ones are. Prints macro AUC with its spread
over seeds, for all statements with at least 5 test records, for the rare ones among them (fewer than 100 training
records) and the others, each with its gain over real records, seed by seed, and its 95 % interval over seeds; and the
statements that gain and lose most.
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
from sampler_quality import choose_gpu
from scipy.stats import t

from sssd.data import recordings
from sssd.data.recordings import eight_leads_mv
from sssd.evaluation import auc, classifier

FEW = 100  # training records
Records = tuple[np.ndarray, np.ndarray]  # x (n, 8, L) mV and y (n, K)
Stage = tuple[list[Records], int]  # sets, taken together, and for how many epochs


def scores(stages: list[Stage], x_test: np.ndarray, **how: Any) -> np.ndarray:
    """What a classifier says of x_test that went through stages."""
    model = None
    for sets, epochs in stages:
        x, y = (np.concatenate(parts) for parts in zip(*sets, strict=True))
        model = classifier.train(x, y, epochs=epochs, init=model, **how)
    assert model is not None
    return classifier.predict(model, x_test)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True, help="with strat_fold: below 9 trains, 9 tests")
    parser.add_argument(
        "--synthetic", type=Path, required=True, nargs="+", help="sets; the first is used alone too"
    )
    parser.add_argument(
        "--records", type=int, help="only so many of the real training records, drawn anew by each seed"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=classifier.EPOCHS)
    parser.add_argument("--width", type=int, default=classifier.WIDTH)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--trainers", type=int, default=1, help="at a time; they share the GPUs there are")
    parser.add_argument("--ways", nargs="+", help="only these of the ways that it prints, and real")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    every = recordings.read(options.real)
    assert every.strat_fold is not None
    train, test = (recordings.subset(every, rows) for rows in (every.strat_fold < 9, every.strat_fold == 9))
    if options.records is not None and options.records < 10:
        raise SystemExit(f"error: --records is {options.records}: expected 10 or more")
    x, x_test, y = eight_leads_mv(train), eight_leads_mv(test), train.labels
    records = min(options.records or len(x), len(x))
    generated = [recordings.read(path) for path in options.synthetic]
    sets = [(eight_leads_mv(made), made.labels) for made in generated]
    if any(made.label_names != every.label_names for made in generated):
        raise SystemExit(
            "error: --synthetic has other labels than --real: give sets made for the same statements"
        )

    def stage(*these: Records, times: float = 1.0) -> Stage:
        """About as many steps as `times` the epochs on real records have."""
        n = sum(len(x) for x, _ in these)
        return list(these), max(1, round(times * options.epochs * records / n))

    n = len(sets)

    def ways_of(seed: int) -> dict[str, list[Stage]]:
        rows = np.sort(np.random.default_rng(seed).permutation(len(x))[:records])
        real = (x[rows], y[rows]) if records < len(x) else (x, y)
        return {
            "real": [stage(real)],
            "real, half as long": [stage(real, times=0.5)],
            "real, twice as long": [stage(real, times=2)],
            "real, then real": [stage(real, times=0.5), stage(real, times=0.5)],
            "generated": [stage(sets[0])],
            "both": [stage(real, sets[0])],
            f"real and {n} generated sets": [stage(real, *sets)],
            f"{n} generated sets, then real": [stage(*sets, times=0.5), stage(real, times=0.5)],
        }

    ways = list(ways_of(0))
    if options.ways:
        unknown = set(options.ways) - set(ways)
        if unknown:
            raise SystemExit(
                f"error: no way is called {', '.join(sorted(unknown))}; expected {'; '.join(ways)}"
            )
        ways = [way for way in ways if way == "real" or way in options.ways]
    columns = auc.frequent(test.labels)
    of: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    turn = get_context("spawn").Value("i", 0)
    pool = ProcessPoolExecutor(
        options.trainers, mp_context=get_context("spawn"), initializer=choose_gpu, initargs=(turn,)
    )
    with pool:
        how = {"width": options.width, "device": options.device}
        waiting = [
            (way, pool.submit(scores, stages, x_test, seed=seed, **how))
            for seed in range(options.seeds)
            for way, stages in ways_of(seed).items()
            if way in ways
        ]
        for way, read in waiting:
            of[way].append(auc.by_statement(test.labels, [read.result()], columns, test.label_names))
            area = np.mean(list(of[way][-1].values()))
            print(f"{way}, seed {len(of[way]) - 1}: {area:.4f}", file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps(of, indent=1) + "\n")
    few = [test.label_names[k] for k in columns if y[:, k].sum() < FEW]
    groups = {"all": list(of["real"][0]), "rare": few}
    groups["others"] = [name for name in groups["all"] if name not in few]
    groups = {group: names for group, names in groups.items() if names}
    print("macro AUC, mean of seeds (spread); gain over real records, 95 % interval of the mean over seeds")
    for group, names in groups.items():
        print(f"\n{group} ({len(names)} statements)")
        areas = {
            way: np.array([np.mean([s[name] for name in names]) for s in seeds]) for way, seeds in of.items()
        }
        for way, a in areas.items():
            gain = a - areas["real"]
            half = t.ppf(0.975, len(a) - 1) * gain.std(ddof=1) / len(a) ** 0.5 if len(a) > 1 else np.nan
            print(
                f"{way:30s} {a.mean():.4f} ({a.std(ddof=min(1, len(a) - 1)):.4f})  {gain.mean():+.4f} +- {half:.4f}"
            )
    mean = {
        way: {name: float(np.mean([s[name] for s in seeds])) for name in groups["all"]}
        for way, seeds in of.items()
    }
    for way in (way for way in ways if "generated" in way or way == "both"):
        gains = {name: mean[way][name] - mean["real"][name] for name in groups["all"]}
        order = sorted(gains, key=lambda name: -gains[name])
        print(f"\n{way}: {sum(g > 0 for g in gains.values())} of {len(gains)} statements gain")
        for name in (*order[:8], *order[-4:]):
            print(f"  {name:8s} {mean['real'][name]:.3f} -> {mean[way][name]:.3f}")


if __name__ == "__main__":
    main()
