"""Generate the sets that docs/model_card.md is measured on, as NPZ files for scripts/measure_model.py.

    python scripts/make_evaluation_sets.py signals.npz OUT ddim50 single_name single_name_completed

ddpm200, ddim50, ddim20: the full label vectors of strat_fold 9, row by row.
train_ddim50: those of folds 1-8, to train a classifier on.
single_name: each statement with at least five records in fold 9, four times, and nothing beside it.
single_name_completed: the same requests completed with statements that occur together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sssd.data.recordings import Recordings, read, write
from sssd.io.files import microvolts
from sssd.leads import to_twelve
from sssd.model_wrapper import SSSDECG

SAMPLERS: dict[str, dict[str, object]] = {
    "ddpm200": {"use_ddim": False},
    "ddim50": {"ddim_timesteps": 50},
    "ddim20": {"ddim_timesteps": 20},
}
COPIES = 4


def label_vectors(name: str, real: Recordings, model: SSSDECG, seed: int) -> np.ndarray:
    """The label vectors of a set, (n, 71) float32."""
    assert real.strat_fold is not None
    held_out = real.labels[real.strat_fold == 9]
    if name in SAMPLERS:
        return held_out.astype(np.float32)
    if name == "train_ddim50":
        return real.labels[real.strat_fold <= 8].astype(np.float32)
    codes = [code for code, n in zip(real.label_names, held_out.sum(0), strict=True) if n >= 5]
    return model.request(codes, num_samples=COPIES, seed=seed, exact=name == "single_name").vectors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("real", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "sets", nargs="+", choices=[*SAMPLERS, "train_ddim50", "single_name", "single_name_completed"]
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--checkpoint", type=Path, help="another model than the one that ships")
    parser.add_argument("--device")
    options = parser.parse_args()
    real, model = read(options.real), SSSDECG.from_pretrained(options.checkpoint, device=options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        vectors = label_vectors(name, real, model, options.seed)
        sampler = SAMPLERS.get(name, SAMPLERS["ddim50"])
        signal = model.generate(vectors, seed=options.seed, return_numpy=True, progress=True, **sampler)  # type: ignore[arg-type]
        uv = np.stack([microvolts(x) for x in to_twelve(signal)])
        labels = (vectors > 0.5).astype(np.uint8)
        print(write(options.out / f"{name}.npz", Recordings(uv, labels, real.label_names)))


if __name__ == "__main__":
    main()
