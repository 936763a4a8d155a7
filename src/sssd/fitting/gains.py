"""Gains: a factor for each lead and one sampler, which gives generated records the amplitudes of real ones.

The amplitude of a distilled network's records grows with each evaluation. The factors (`StepTable.gain`) give the
median generated record the standard deviation of the median real one with the same statements. They are found on
records that the network was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import write_sampling
from ..data.recordings import Recordings, eight_leads_mv
from ..model_wrapper import SSSDECG
from ..samplers import key_of

AT_ONCE = 256  # records


def calibrate(
    model: SSSDECG,
    real: Recordings,
    *,
    sampler: str,
    steps: int,
    seed: int = 0,
    on_records: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """Return the factors of the 8 leads (I, V1..V6, aVF) for a sampler, as a configuration's `gains` hold them.

    One record is generated for the label vector of each real one. on_records: called with the number of records in each
    batch. The factor is 1 for a lead that is flat in half of the records.
    """
    table = replace(model.step_table(sampler=sampler, steps=steps), gain=np.ones(1))
    vectors = real.labels.astype(np.float32)
    made = []
    for start in range(0, len(real), AT_ONCE):
        part = vectors[start : start + AT_ONCE]
        made.append(
            model.generate_batch(part, [seed] * len(part), range(start, start + len(part)), table).numpy()
        )
        on_records(len(part))
    amplitude, aim = (np.median(x.std(axis=-1), axis=0) for x in (np.concatenate(made), eight_leads_mv(real)))
    return [round(float(b / a), 4) if a > 0 and b > 0 else 1.0 for a, b in zip(amplitude, aim, strict=True)]


def write_gains(path: Path, gains: Mapping[tuple[str, int], list[float]]) -> Path:
    """Put the factors into the configuration of a .safetensors checkpoint, in place.

    gains: the factors by sampler and number of steps.
    """

    def change(sampling: dict[str, Any]) -> None:
        sampling["gains"] = {key_of(*which): gain for which, gain in gains.items()}

    return write_sampling(path, path, change)
