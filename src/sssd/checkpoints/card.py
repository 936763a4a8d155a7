"""The card of a model: README.md beside its weights, with the front matter that the Hugging Face Hub reads.

Its figures are those of a file that `sssd-ecg evaluate --json` wrote.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.schema import Config
from ..factory import label_names
from ..presets import SOURCES
from ..version import __version__

_FIGURES = (  # type and name of the metric, where it is in the file, where that of real records is, what it should be
    ("auc", "AUC, trained on synthetic, tested on real", ("utility", "train_synthetic_test_real", "mean"),
     ("utility", "train_real_test_real", "mean"), "as high"),
    ("ratio", "the same, ratio to training on real", ("utility", "ratio"), None, "1"),
    ("frechet_distance", "Frechet distance", ("fidelity", "frechet_distance"),
     ("fidelity", "frechet_distance_real"), "as low"),
    ("auc", "AUC of the requested statements", ("adherence", "macro_auc", "mean"), ("adherence", "real", "mean"),
     "as high"),
    ("ratio", "distance to the nearest training record, ratio to real test records",
     ("privacy", "nearest_distance_ratio"), None, "1 or more"),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A figure of generated records and, where there is one, of real ones in their place."""

    metric: str
    name: str
    synthetic: float
    real: float | None
    aim: str


def measured(file: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Measured]]:
    """Return what a file of `sssd-ecg evaluate --json` is about, and its figures. ValueError if it is no such file."""
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        about = content["about"]
        counts = {name: int(about["records"][name]) for name in ("synthetic", "test")}
        found = [
            Measured(metric, name, value, None if real is None else _number(content, real), aim)
            for metric, name, where, real, aim in _FIGURES
            if (value := _number(content, where)) is not None
        ]
        return {"program": str(about["program"]), "test_set": str(about["test_set"]), **counts}, found
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(path)!r} is no file of `sssd-ecg evaluate --json`: {type(error).__name__} {error}"
        ) from None


def _number(content: Mapping[str, Any], where: tuple[str, ...]) -> float | None:
    value: Any = content
    for key in where:
        if value is None:
            return None
        value = value[key]
    return None if value is None else float(value)


def card(
    config: Config,
    *,
    name: str,
    model_hash: str,
    parameters: int,
    shipped: bool,
    measurements: str | os.PathLike[str] | None = None,
) -> str:
    """Return the text of the card.

    name: of the model, as "org/name" at the Hub. shipped: whether these are weights of this package, whose licence is
    known.
    """
    about, figures = (None, []) if measurements is None else measured(measurements)
    data = config.trainset_config
    front: dict[str, Any] = {
        "license": "mit" if shipped else "unknown",
        "library_name": "sssd-ecg",
        "tags": ["ecg", "electrocardiogram", "diffusion", "synthetic-data", "medical", "time-series"],
    }
    if figures and about is not None:
        results = {
            "task": {"type": "other", "name": "generation of 12-lead ECGs"},
            "dataset": {"type": "ecg", "name": about["test_set"]},
            "metrics": [{"type": one.metric, "name": one.name, "value": one.synthetic} for one in figures],
        }
        front["model-index"] = [{"name": name, "results": [results]}]
    names = label_names(config)
    takes = data.takes.in_words
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in front.items()),  # JSON is YAML
        "---",
        "",
        f"# {name}",
        "",
        "This model makes synthetic 12-lead ECGs from named statements. **They are not for diagnosis**, nor for any "
        "decision about a patient.",
        "",
        "```python",
        "from sssd import SSSDECG",
        "",
        f'model = SSSDECG.from_pretrained("{name}")',
        f'ecg = model.generate_ecgs("{names[0]}", seed=1)[0]',
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| statements | {len(names)}: {', '.join(names[:100])}{' ...' if len(names) > 100 else ''} |",
        f"| takes as well | {takes or 'nothing'} |",
        f"| makes | {data.segment_length} samples at {data.sampling_rate:g} Hz, 12 leads, in mV |",
        f"| parameters | {parameters:,} |",
        f"| SHA-256 of the weights | `{model_hash}`, which `from_pretrained(..., sha256=...)` checks |",
        f"| written by | sssd-ecg {__version__} |",
        "",
    ]
    if figures and about is not None:
        lines += [
            "## Measured",
            "",
            f"{about['synthetic']} generated records against {about['test']} real ones, {about['test_set']} "
            f"({about['program']}).",
            "",
            "| | generated | real | should be |",
            "|---|---|---|---|",
            *(
                f"| {one.name} | {one.synthetic:.3g} | {'' if one.real is None else f'{one.real:.3g}'} | {one.aim} |"
                for one in figures
            ),
            "",
        ]
    lines += ["## Licence", "", _licence(shipped), ""]
    return "\n".join(lines)


def _licence(shipped: bool) -> str:
    if not shipped:
        return "The licence follows from the data that the model was trained on; whoever trained it knows it."
    return (
        "Code and weights are under the MIT licence. The model learnt from "
        f"{SOURCES}: name them where you pass on the model or its ECGs."
    )
