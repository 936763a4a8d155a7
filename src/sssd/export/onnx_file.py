"""Writes a model as an ONNX file: one evaluation as the graph, and `facts` as JSON in its metadata.

Opset 20 is the first with GELU and is run by ONNX Runtime from 1.17 on. Weights that float16 represents exactly, as
those of compact checkpoints, are stored in float16 and cast to float32 in the graph, which halves the file and changes
no result.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..checks import errors_only, needed_for
from ..io.files import replacing
from ..models.settings import isolated
from ..pretrained import PretrainedModel
from ..version import __version__
from .evaluation import Evaluation
from .facts import facts

if TYPE_CHECKING:
    import onnx

OPSET = 20
KEY = "sssd-ecg"  # of the metadata
WEIGHTS = "weights"  # the name of the file that `onnx_parts` leaves out
LARGE = 256  # values from which on a weight is worth a cast


def write_onnx(model: PretrainedModel, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a model as an ONNX file, and return the path.

    ValueError for another suffix than .onnx; FileExistsError if the file exists and `overwrite` is not set;
    ModuleNotFoundError where onnx is missing.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"{path.name!r} has another suffix than .onnx: expected a name such as model.onnx")
    with replacing(path, overwrite=overwrite) as (part,):
        part.write_bytes(onnx_bytes(model))
    return path


def onnx_bytes(model: PretrainedModel) -> bytes:
    """Return the content of the file that `write_onnx` writes."""
    proto = _traced(model)
    _in_float16(proto.graph)
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(facts(model))
    return bytes(proto.SerializeToString(deterministic=True))


def onnx_parts(model: PretrainedModel) -> tuple[bytes, bytes]:
    """Return an ONNX file without metadata and without its large weights, and these as float16.

    The file expects the weights as float32 beside it, in a file of the name `WEIGHTS`. A program that makes float32 of
    them itself creates a session faster than one that casts them, tensor by tensor, in the graph.
    """
    proto = _traced(model)
    weights = _apart(proto.graph)
    return bytes(proto.SerializeToString(deterministic=True)), weights


@isolated()
@torch.no_grad()
def _traced(model: PretrainedModel) -> onnx.ModelProto:
    """Return one evaluation as an ONNX model with the inputs x, step and cond, and the outputs eps and x0."""
    with needed_for("the export needs", "onnx"):
        import onnx
        import onnxscript  # noqa: F401  which PyTorch's exporter needs
    network = model.model
    if model.device.type != "cpu":
        raise ValueError(f"the model is on {model.device}: load it with device='cpu' to export it")
    evaluation = Evaluation(network, model.schedule, model.shape[1]).eval()
    example = (
        torch.zeros(2, *model.shape, dtype=torch.float32),
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(2, network.columns, dtype=torch.float32),
    )
    records = torch.export.Dim("records")
    with _quiet():
        program = torch.onnx.export(
            evaluation,
            example,
            input_names=["x", "step", "cond"],
            output_names=["eps", "x0"],
            dynamic_shapes=({0: records}, None, {0: records}),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    proto: Any = program.model_proto
    onnx.checker.check_model(proto)
    _without_traces(proto.graph)
    proto.producer_name, proto.producer_version = "sssd-ecg", __version__
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block, PyTorch's exporter does not tell what concerns its own developers."""
    with errors_only("torch.onnx", "onnxscript"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _without_traces(graph: onnx.GraphProto) -> None:
    """Remove what the exporter notes of each node: the lines of code that it comes from, with paths of this machine."""
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, graph):
        del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.ClearField("doc_string")
    del graph.value_info[:]


def _halves(graph: onnx.GraphProto) -> Iterator[tuple[onnx.TensorProto, np.ndarray]]:
    """Give each large float32 constant that float16 represents exactly, and its values in float16."""
    from onnx import TensorProto, numpy_helper

    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size >= LARGE and np.array_equal(half.astype(np.float32), values):
            yield tensor, half


def _in_float16(graph: onnx.GraphProto) -> None:
    """Store what `_halves` gives in float16, with a cast in front of its use."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor, half in _halves(graph):
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_float16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _apart(graph: onnx.GraphProto) -> bytes:
    """Return what `_halves` gives, and let the constants refer to it as float32 in a file `WEIGHTS`."""
    from onnx import TensorProto

    parts, at = [], 0
    for tensor, half in _halves(graph):
        parts.append(half.astype("<f2").tobytes())
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", at), ("length", 4 * half.size)):
            tensor.external_data.add(key=key, value=str(value))
        at += 4 * half.size
    return b"".join(parts)
