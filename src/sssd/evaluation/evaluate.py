"""`evaluate`: one set of generated ECGs against real ones, with every figure in one dictionary that goes into JSON.

    real ─▶ train, test ─┐                       ┌─▶ utility, adherence, fidelity, diversity          (by_classifiers)
                         ├─▶ one classifier/seed ┘
    synthetic ───────────┴─▶ rhythm and shape, rules, amplitude, spectra, detectability, privacy      (by_signals)

Classifiers are trained on the spot, on the real training records, and for utility on the generated ones. The generated
records are compared with the test records. `real` beside each distance is the distance that chance gives: that of as
many real training records in place of the generated ones.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..checks import counted
from ..data.recordings import Recordings
from ..device import choose_device
from ..signals.rates import COARSE_HZ
from . import by_signals, classifier
from .asked_heart_rate import delivered
from .by_classifiers import by_classifiers
from .sets import aligned, at_100_hz, size_warnings, split, superclasses, unshared
from .stages import Stage

CPU_WIDTH = 16  # channels of the classifier without a GPU
ORDER = (
    "about",
    "warnings",
    "utility",
    "fidelity",
    "detectability",
    "rhythm",
    "rules",
    "heart_rate",
    "adherence",
    "diversity",
    "privacy",
)


def evaluate(
    real: Recordings,
    synthetic: Recordings,
    holdout: Recordings | None = None,
    *,
    seeds: int = 3,
    device: str | torch.device | None = None,
    epochs: int = classifier.EPOCHS,
    width: int | None = None,
    on_stage: Stage | None = None,
) -> dict[str, Any]:
    """Measure generated records against real ones.

    Records at more than 100 Hz are brought to 100 Hz where classifiers read statements and where copies are looked for;
    all else is measured at their own rate.

    real: what the generator was trained on. Without `holdout` its fold 9, or else a random quarter, is the test set,
    and only the rest trains. holdout: real records that neither the generator nor a classifier here has seen. seeds:
    classifiers for each training set. width: channels of the classifier, by default 64 on a GPU and 16 without.
    on_stage: called with what is being done, how much of it is done, and how much there is.

    Returns a dictionary with the keys of `ORDER`; None stands where there is no number, for example where no statement
    has five test records. ValueError for sets with other rates or lengths, no common label, or too few records;
    ModuleNotFoundError without the `eval` extra.
    """
    begun, where = time.monotonic(), choose_device(device)
    on_stage = on_stage or (lambda *_: None)
    if seeds < 1 or epochs < 1:
        raise ValueError(f"seeds is {seeds} and epochs {epochs}: expected one or more of each")
    width = width or (classifier.WIDTH if where.type == "cuda" else CPU_WIDTH)
    train, test, test_set = split(real, holdout)
    apart = unshared("synthetic", synthetic, train) + unshared("holdout", test, train)
    heart_rate = delivered(synthetic)  # by its own labels
    synthetic = aligned("synthetic", synthetic, train)
    test = aligned("holdout", test, train)

    slow = at_100_hz(train), at_100_hz(test), at_100_hz(synthetic)
    result = by_classifiers(
        *slow, superclasses(train.label_names), range(seeds), epochs, width, where, on_stage
    )
    result["fidelity"] |= by_signals.fidelity(train, test, synthetic, on_stage)
    result["detectability"] = by_signals.detectability(
        train, test, synthetic, on_stage, seeds=seeds, epochs=epochs, width=width, device=where
    )
    result["rhythm"], result["rules"] = by_signals.rhythm_and_rules(train, test, synthetic, on_stage)
    result["heart_rate"] = heart_rate
    result["privacy"] = by_signals.privacy(*slow, where, on_stage)
    result["warnings"] = [
        *apart,
        *size_warnings(train, test, synthetic),
        *_pairing_warnings(result["detectability"]),
    ]
    result["about"] = {
        "program": f"sssd-ecg {__version__}",
        "records": {"train": len(train), "test": len(test), "synthetic": len(synthetic)},
        "test_set": test_set,
        "classifier": f"1-d residual network, width {width}, {counted(epochs, 'epoch')}, trained here; "
        "features and adherence by those trained on the real training records"
        + ("; these read records at 100 Hz" if train.fs_hz > COARSE_HZ else ""),
        "seeds": seeds,
        "device": str(where),
        "seconds": round(time.monotonic() - begun, 1),
    }
    return _json_types({name: result[name] for name in ORDER})


def _pairing_warnings(detectability: Mapping[str, Any] | None) -> list[str]:
    """Return what a reader must know about the pairs of records that detectability compared."""
    if detectability is None:
        return [
            "detectability was not measured: it needs eight test records and eight generated ones, or more."
        ]
    if detectability["same_labels"] < 0.9:
        return [
            f"{100 * detectability['same_labels']:.0f} % of the generated records that detectability compares have the "
            "labels of a test record, so it shows differences of the labels too. Generate records for the label "
            "vectors of the test records."
        ]
    return []


def _json_types(value: Any) -> Any:
    """Return the same in the types of JSON; None for what is not a number."""
    if isinstance(value, Mapping):
        return {str(k): _json_types(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_json_types(v) for v in value]
    if isinstance(value, np.bool_ | bool) or value is None or isinstance(value, str | int):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, np.integer):
        return int(value)
    number = float(value)
    return number if np.isfinite(number) else None
