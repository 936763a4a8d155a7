"""Generate sets of ECGs to be measured, as NPZ files for scripts/measure_model.py and scripts/sampler_quality.py.

    python scripts/make_evaluation_sets.py signals.npz OUT ddim50 unipc10_trailing train_ddim50 single_name

SAMPLER STEPS [_etaE] [_SPACING], as in ddpm200, ddim20_eta1, dpmpp-2m10_log_snr: the full label vectors of strat_fold 9
(--fold), row by row. In front of such a name,

    train_  gives the label vectors of the folds before it, to train a classifier on
    all_    gives first those of the fold and then those of the folds before it, for `sssd-ecg evaluate`
    rate_   asks for the heart rates of the fold's recordings as well, where they are known

single_name: each statement with at least five records in fold 9, four times, and nothing beside it.
single_name_completed: the same requests completed with statements that occur together.
NAME.json, beside NAME.npz, holds the evaluations and the seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from sssd.data.recordings import Recordings, eight_leads_mv, read, subset, write
from sssd.io.units import microvolts
from sssd.labels import has
from sssd.leads import to_twelve
from sssd.model_wrapper import SSSDECG
from sssd.samplers import SAMPLERS
from sssd.schedule import SPACINGS
from sssd.signals.heart_rate import measured_heart_rates

NAME = re.compile(
    rf"(?P<what>train_|all_|rate_)?(?P<sampler>{'|'.join(sorted(SAMPLERS, key=len, reverse=True))})(?P<steps>\d+)"
    rf"(_eta(?P<eta>[\d.]+))?(_(?P<spacing>{'|'.join(SPACINGS)}))?"
)
SINGLE = ("single_name", "single_name_completed")
COPIES = 4


def sampling(name: str) -> dict[str, Any]:
    """The arguments of `generate` that a set's name stands for."""
    if name in SINGLE:
        return {"sampler": "ddim", "steps": 50}
    parts = NAME.fullmatch(name)
    if parts is None:
        raise SystemExit(
            f"error: {name!r} is no set; expected {', '.join(SINGLE)} or a name like unipc10_trailing"
        )
    how: dict[str, Any] = {"sampler": parts["sampler"], "steps": int(parts["steps"])}
    if parts["eta"] is not None:
        how["ddim_eta"] = float(parts["eta"])
    if parts["spacing"] is not None:
        how["spacing"] = parts["spacing"]
    return how


def label_vectors(name: str, real: Recordings, model: SSSDECG, seed: int, fold: int) -> np.ndarray:
    """The label vectors of a set, (n, 71) float32."""
    assert real.strat_fold is not None
    held_out, before = real.labels[real.strat_fold == fold], real.labels[real.strat_fold < fold]
    if name not in SINGLE:
        parts = {"train_": [before], "all_": [held_out, before]}
        return np.concatenate(parts.get(name[: name.find("_") + 1], [held_out])).astype(np.float32)
    codes = [code for code, n in zip(real.label_names, held_out.sum(0), strict=True) if n >= 5]
    return model.request(codes, num_samples=COPIES, seed=seed, exact=name == "single_name").vectors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("real", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("sets", nargs="+", metavar="SET")
    parser.add_argument("--fold", type=int, default=9, help="whose label vectors are taken")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--records", type=int, help="only the first so many of each set")
    parser.add_argument("--checkpoint", type=Path, help="another model than the one that ships")
    parser.add_argument("--precision", default="auto", help="float32, bf16 or auto")
    parser.add_argument("--device")
    options = parser.parse_args()
    how = {name: sampling(name) for name in options.sets}
    real, model = read(options.real), SSSDECG.from_pretrained(options.checkpoint, device=options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        if (options.out / f"{name}.npz").exists():
            print(f"{options.out / name}.npz is there already and is kept", flush=True)
            continue
        vectors = label_vectors(name, real, model, options.seed, options.fold)[: options.records]
        rates = None
        if name.startswith("rate_"):
            held_out = subset(real, real.strat_fold == options.fold)
            rates = measured_heart_rates(eight_leads_mv(held_out)[: options.records], real.fs_hz)
        table = model.step_table(
            ddim_eta=how[name].get("ddim_eta"),
            spacing=how[name].get("spacing"),
            sampler=how[name]["sampler"],
            steps=how[name]["steps"],
        )
        if model.device.type == "cuda" and not name.startswith(("train_", "all_", "rate_")):
            model.generate(
                vectors, seed=options.seed, precision=options.precision, **how[name]
            )  # records graphs, which is not timed
        begun = time.perf_counter()
        signal = model.generate(
            vectors,
            heart_rate=rates,
            seed=options.seed,
            return_numpy=True,
            progress=True,
            precision=options.precision,
            **how[name],
        )
        seconds = time.perf_counter() - begun
        uv = np.stack([microvolts(x) for x in to_twelve(signal)])
        labels = has(vectors).astype(np.uint8)
        cost = {
            "evaluations": table.S,
            "seconds": seconds,
            "records": len(vectors),
            "device": str(model.device),
        }
        (options.out / f"{name}.json").write_text(json.dumps(cost) + "\n")
        print(
            write(options.out / f"{name}.npz", Recordings(uv, labels, real.label_names, heart_rate=rates)),
            flush=True,
        )


if __name__ == "__main__":
    main()
