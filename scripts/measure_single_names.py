"""Adherence of requests for one statement: does a classifier trained on real records find what was asked for?

    python scripts/measure_single_names.py signals.npz OUT.json single_name=a.npz single_name_completed=b.npz

The sets are those of scripts/make_evaluation_sets.py: four records for each statement, requests one after the other.
AUC of a statement: the four records requested by its name against all others; the mean is over statements. The same
classifier on the real records of fold 9 is printed beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sssd.data.recordings import eight_leads_mv, read, subset
from sssd.evaluation import classifier

COPIES = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("real", type=Path)
    parser.add_argument("json", type=Path)
    parser.add_argument("sets", nargs="+", metavar="NAME=NPZ")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.json.exists():
        parser.error(f"{options.json} exists")
    real = read(options.real)
    assert real.strat_fold is not None
    train, test = subset(real, real.strat_fold <= 8), subset(real, real.strat_fold == 9)
    asked = np.flatnonzero(test.labels.sum(0) >= 5)
    model = classifier.train(
        eight_leads_mv(train),
        train.labels,
        seed=0,
        epochs=options.epochs,
        width=options.width,
        device=options.device,
    )
    real_auc = classifier.statement_auc(test.labels, classifier.predict(model, eight_leads_mv(test)))
    result: dict[str, object] = {"epochs": options.epochs, "width": options.width, "statements": len(asked)}
    result["real"] = {"mean": float(np.mean(list(real_auc.values())))}
    for item in options.sets:
        name, _, path = item.partition("=")
        ecgs = read(path)
        requested = np.zeros_like(ecgs.labels)
        requested[np.arange(len(ecgs)), np.repeat(asked, COPIES)] = 1
        scores = classifier.predict(model, eight_leads_mv(ecgs))
        auc = classifier.statement_auc(requested, scores, min_positives=COPIES)
        result[name] = {
            "mean": float(np.mean(list(auc.values()))),
            "by_statement": {real.label_names[k]: round(v, 3) for k, v in auc.items()},
        }
    options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    for name, value in result.items():
        print(name, value if not isinstance(value, dict) else f"{value['mean']:.3f}")


if __name__ == "__main__":
    main()
