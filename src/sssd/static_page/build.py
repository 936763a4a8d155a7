"""Puts the page without a service together."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import mix
from ..export import onnx_parts
from ..export.facts import facts, table_facts
from ..io.files import scratch
from ..labels import CODES, together
from ..model_wrapper import SSSDECG
from ..samplers.adapter import Scheduler
from ..server.generator import Generator, load_generator
from ..server.page import STATIC
from ..server.routes.catalogue import describe
from ..server.settings import Settings
from ..server.work import Plan
from ..signals.rules import RULES
from ..snomed import snomed
from .archives import archives
from .fetched import python_files, runtime_files

HERE = Path(__file__).parent
NETWORK = {"graph": "networks/default.onnx.zlib", "weights": "networks/default.weights.zlib"}
MAIN = '    <script type="module" src="js/main.js"></script>\n'  # in the page
EARLY = '    <script type="module" src="js/origin.js" async></script>\n'  # the network first
SERVICE = '        <a href="docs">HTTP interface</a>\n'  # in the page: a link that only a service has


def write_static_page(folder: Path, *, runtime: Path | None = None, pyodide: Path | None = None) -> Path:
    """Write the page with the built-in model into a new or empty folder, and return the folder.

    runtime: a folder with the unpacked package onnxruntime-web. pyodide: a folder with Pyodide and its packages. What
    is not given is fetched. FileExistsError if the folder has files; OSError or ValueError as `runtime_files` and
    `python_files`; ModuleNotFoundError as `archives`. The folder is complete or absent.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{str(folder)!r} exists and is no empty folder; choose another name")
    files = {"ort": runtime_files(runtime), "python": archives() | python_files(pyodide)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch(folder.parent, folder.name) as temporary:
        page = temporary / "page"
        _copy_page(page)
        for name, contents in files.items():
            _write_all(page / name, contents)
        _write_networks(page, load_generator(device="cpu"))
        if folder.exists():
            folder.rmdir()
        os.replace(page, folder)
    return folder


def _copy_page(page: Path) -> None:
    """Copy the files of the page, with the scripts that answer in the place of the service."""
    shutil.copytree(STATIC, page)
    index = page / "index.html"
    text = index.read_text(encoding="utf-8")
    for old, new in ((SERVICE, ""), (MAIN, EARLY + MAIN)):
        if old not in text:
            raise AssertionError(f"index.html has no {old.strip()}")
        text = text.replace(old, new)
    index.write_text(text, encoding="utf-8")
    shutil.copytree(HERE / "js", page / "js", dirs_exist_ok=True)


def _write_networks(page: Path, generator: Generator) -> None:
    """Write the network, the steps of each quality, and the data of the model.

    What the metadata of an ONNX file would hold is in the JSON of a quality, where a browser can read it.
    """
    networks, provenance = page / "networks", {}
    networks.mkdir()
    graph, weights = onnx_parts(generator.model)
    (page / NETWORK["graph"]).write_bytes(zlib.compress(graph, 9))
    (page / NETWORK["weights"]).write_bytes(_packed(weights))
    for quality, plan in generator.qualities.items():
        told, provenance[quality] = _network(generator.model, plan)
        (networks / f"{quality}.json").write_text(json.dumps(NETWORK | told), encoding="utf-8")
    (page / "data.json").write_text(json.dumps(_data(generator, provenance)), encoding="utf-8")


def _packed(weights: bytes) -> bytes:
    """Compress weights of float16, their low bytes before the high ones, because only the high ones are alike."""
    return zlib.compress(weights[0::2] + weights[1::2], 9)


def _network(model: SSSDECG, plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the browser needs to run a plan, and the provenance of its records but for seed and patient."""
    table = plan.sampling.table(model.schedule, model.config)
    assert not isinstance(table, Scheduler)
    how = model.provenance(table, seed=0, precision="float32")
    del how["seed"]
    return {"facts": facts(model), "table": table_facts(table)}, how


def _data(generator: Generator, provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the statements, the model and how statements occur together, as the service would answer."""
    model = describe(generator, Settings()).model_dump(mode="json")
    model |= {"samplers": [], "precision": "float32"}  # only the qualities have their steps here
    vectors, counts = mix.label_mix()
    tables = together()
    return {
        "labels": [label.model_dump(mode="json") for label in generator.labels],
        "models": [model],
        "provenance": provenance,
        "together": {part.name: _finite(getattr(tables, part.name)) for part in fields(tables)},
        "mix": {
            "codes": list(CODES),
            "rows": [np.flatnonzero(row).tolist() for row in vectors],
            "counts": counts.tolist(),
            "rates": [
                {**asdict(rule), "expected": rule.expected} for rule in RULES if rule.measure == "heart_rate"
            ],
        },
        "snomed": dict(snomed().codes),
    }


def _finite(values: np.ndarray) -> Any:
    """Return an array as lists, with None where it is infinite."""
    held = values.astype(object)
    held[~np.isfinite(values)] = None
    return held.tolist()


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
