"""Write a checkpoint whose records have the amplitudes and means of recordings: scripts/calibrate.py IN DATA OUT

Records of each quality are made for label vectors of folds 1 to 8, three times. The gains of a quality are the factors
of the eight leads by which its records are multiplied in the gain row of its steps. They are 1 at first, and are
multiplied by the median amplitude of the recordings over that of the records, because a network answers a gain by a
little more or less. The mean of a lead is lowered to a share: the median absolute mean of the recordings over that of
the last records. IN's configuration with these numbers, and IN's weights, go to OUT. An earlier calibration, and
solvers that were fitted, are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from sssd.checkpoints.write import write_configured
from sssd.config.schema import Config
from sssd.data.recordings import eight_leads_mv, read, subset
from sssd.evaluation.amplitude import median_amplitude_ratio
from sssd.model_wrapper import SSSDECG
from sssd.presets import PRESETS
from sssd.samplers import key_of

ROUNDS = 3
KEYS = {name: key_of(of.sampler, of.steps, of.eta or 0.0, of.spacing) for name, of in PRESETS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path, help="a folder that `sssd-ecg prepare` wrote")
    parser.add_argument("out", type=Path)
    parser.add_argument("--records", type=int, default=870, help="all of folds 1 to 8 if they are fewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default=None)
    options = parser.parse_args()
    every = read(options.data)
    assert every.strat_fold is not None
    train = np.flatnonzero(every.strat_fold <= 8)
    rng = np.random.default_rng(options.seed)
    real = subset(every, np.sort(rng.choice(train, min(options.records, len(train)), replace=False)))
    recorded, labels = eight_leads_mv(real), real.labels.astype(np.float32)
    model = SSSDECG.from_pretrained(options.checkpoint, device=options.device)
    content = model.config.content()
    gains = {key: [1.0] * recorded.shape[1] for key in KEYS.values()}
    for left in reversed(range(ROUNDS)):
        put(content, gains, None)
        model.config = Config.model_validate(content)
        shares = []
        for name, key in KEYS.items():
            made = model.generate(labels, quality=name, seed=options.seed).cpu().numpy()
            ratio = median_amplitude_ratio(made, recorded)
            mean = np.median(np.abs(made.mean(axis=-1))) / np.median(np.abs(recorded.mean(axis=-1)))
            shares.append(1.0 / mean)
            print(
                f"{name}: amplitude {ratio.min():.3f} to {ratio.max():.3f} times that of recordings, mean {mean:.2f} "
                "times",
                flush=True,
            )
            if left:
                gains[key] = (np.array(gains[key]) / ratio).round(3).tolist()
    share = round(min(1.0, float(np.mean(shares))), 2)
    print(write_configured(options.checkpoint, options.out, lambda content: put(content, gains, share)))


def put(content: dict[str, Any], gains: dict[str, list[float]], mean: float | None) -> None:
    """Put gains, and the share of means, into the content of a configuration in place of earlier ones."""
    content["ddim_config"].update(gains=gains, fits=[])
    content["trainset_config"]["mean"] = mean


if __name__ == "__main__":
    main()
