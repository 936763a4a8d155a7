"""What a program needs beside the graph to make the records of a seed, as JSON values (docs/onnx.md describes them)."""

from __future__ import annotations

import base64
from typing import Any

from torch import Tensor

from ..circumstances import (
    BANDS_HZ,
    BANDWIDTH,
    EDGE_HZ,
    KINDS,
    LIKE,
    MOST,
    NEAREST,
    NOISE_HZ,
    QUANTILE,
    ROUNDS,
    SLOW_HZ,
    SMALLEST,
    UNKNOWN,
    WANDER_HZ,
)
from ..converter import HOLD, STEP_MV, kernels
from ..leads import EIGHT
from ..models.network import Network
from ..models.transformer import Transformer, circumstance_columns
from ..noise import Reserved
from ..patient import MIDDLE_BPM, MIDDLE_YEARS, SPREAD_BPM, SPREAD_YEARS, Takes
from ..pretrained import PretrainedModel
from ..samplers import StepTable
from ..samplers.adapter import Scheduler
from ..sampling import Sampling
from ..scale import Scale, factors
from ..signals.recorded import used
from ..version import __version__

VERSION = 6  # of the form of these values


def facts(model: PretrainedModel) -> dict[str, Any]:
    """Return everything that the graph of a model does not hold."""
    table = Sampling().table(model.schedule, model.config)
    assert not isinstance(table, Scheduler)
    trainset = model.config.trainset_config
    return {
        "version": VERSION,
        "generator": f"sssd-ecg {__version__}",
        "model": model.model_hash,
        "fs_hz": trainset.sampling_rate,
        "samples": model.shape[1],
        "leads": list(EIGHT),
        "T": model.schedule.T,
        "sampler": table_facts(table),
        "conditions": _conditions(model.model, model.label_names, trainset.takes),
        "circumstances": _circumstances(model.model, model.shape[1]),
        "heart_rates": _heart_rates(model.model),
        "scale": _scale(model.scale, model.shape[1]),
        "converter": _converter() if trainset.converter else None,
    }


def table_facts(table: StepTable) -> dict[str, Any]:
    """Return a step table: the rows of sssd.samplers.StepTable as lists."""
    arrays = {name: getattr(table, name).tolist() for name in ("steps", "a", "b", "c", "alpha", "gain")}
    return {"name": table.name, "history": table.history, "gain_row": table.gain_row, **arrays}


def _conditions(network: Network, labels: tuple[str, ...], takes: Takes) -> dict[str, Any]:
    """Return the columns (K,) of conditions by name, and the rows (K,) to start from, with and without statements.

    age and heart_rate say how a number is scaled: less "middle", over "spread".
    """
    columns = [*labels, *takes.columns]
    given, unconditional = [0.0] * len(columns), [0.0] * len(columns)
    if isinstance(network, Transformer):
        sources, circumstances = network.config.sources, network.circumstances is not None
        names = [f"{kind} {lead}" for kind in KINDS for lead in EIGHT]
        drawn = names[: circumstance_columns(network.config)]
        columns += ["statements and patient are left out", *(f"source {name}" for name in sources)]
        columns += ["circumstances are known", *drawn] if circumstances else []
        behind = [1.0, *[0.0] * (len(sources) - 1)] if sources else []  # the first source
        behind += [1.0, *[0.0] * len(drawn)] if circumstances else []
        given, unconditional = [*given, 0.0, *behind], [*unconditional, 1.0, *behind]
    scaled = {
        "age": {"middle": MIDDLE_YEARS, "spread": SPREAD_YEARS},
        "heart_rate": {"middle": MIDDLE_BPM, "spread": SPREAD_BPM},
    }
    return {
        "columns": columns,
        "labels": len(labels),
        "given": given,
        "unconditional": unconditional,
        **{name: scaling for name, scaling in scaled.items() if name in takes},
    }


def _circumstances(network: Network, length: int) -> dict[str, Any] | None:
    """Return the table from which circumstances are drawn, and how; None if the network takes none."""
    if not isinstance(network, Transformer) or network.circumstances is None:
        return None
    return {
        "rows": _base64(network.circumstances, "<f2"),
        "shape": list(network.circumstances.shape),
        "bandwidth": BANDWIDTH,
        "row_step": int(Reserved.ROW),
        "jitter_step": int(Reserved.JITTER),
        "as_told": _as_told(network, length) if network.config.slow else None,
    }


def _as_told(network: Transformer, length: int) -> dict[str, Any]:
    """Return how a finished record gets the noise, the edge and the slow part that the network was told."""
    assert network.circumstances_scale is not None
    mean, spread = network.circumstances_scale.double().cpu().tolist()
    limits = {"slow": (WANDER_HZ, SLOW_HZ), "noise": NOISE_HZ, "edge": (EDGE_HZ, None)}
    return {
        "mean": mean,
        "spread": spread,
        "rounds": ROUNDS,
        "most": MOST,
        "samples": used(length),
        "kinds": {
            kind: {
                "first": KINDS.index(kind) * len(EIGHT),
                "measured_hz": list(limits[kind]),
                "smallest": SMALLEST[kind == "noise"],
                "quantile": QUANTILE if kind == "noise" else None,
                "band_hz": list(band),
            }
            for kind, band in BANDS_HZ.items()
        },
    }


def _heart_rates(network: Network) -> dict[str, Any] | None:
    """Return the heart rates and statements of the recordings of the table of circumstances, and how one is chosen.

    None if the network draws no heart rates; then all rows of the table are equally likely.
    """
    if not isinstance(network, Transformer) or network.heart_rates is None:
        return None
    assert network.statements is not None and network.statement_weights is not None
    return {
        "rates": _base64(network.heart_rates, "<f2"),
        "variabilities": None if network.variabilities is None else _base64(network.variabilities, "<f2"),
        "statements": _base64(network.statements, "u1"),
        "weight": network.statement_weights.int().tolist(),
        "like": LIKE,
        "nearest": NEAREST,
        "unknown": UNKNOWN,
    }


def _base64(values: Tensor, form: str) -> str:
    return base64.b64encode(values.cpu().numpy().astype(form).tobytes()).decode()


def _scale(scale: Scale, length: int) -> dict[str, Any]:
    """Return the voltages (8,) that are 1 to the network, and the factors (L,) of its cosine transform, or None."""
    raised = factors(length, scale.fs_hz, scale.mean).tolist() if scale.emphasis else None
    return {"lead_mv": list(scale.lead_mv), "emphasis": raised}


def _converter() -> dict[str, Any]:
    """Return the steps of the converter of recordings, and the filters to its sampling rate and back."""
    between, low_pass = (part.tolist() for part in kernels())
    return {"step_mv": STEP_MV, "hold": HOLD, "interpolation": between, "filter": low_pass[0]}
