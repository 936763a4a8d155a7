"""The metadata of a corpus in the Croissant format (ML Commons, version 1.0), which dataset tools read: croissant.json.

It describes a corpus as corpus.json does, but in terms that other programs know. For Parquet shards it describes the
columns, so that `mlcroissant` reads the records; for the other formats it only names the files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..checks import counted
from ..io.files import write_bytes
from .block import EXTRA
from .files import DATA
from .schema import Corpus

FILE = "croissant.json"
_SHARDS, _RECORDS, _LABELS = "shards", "records", "label_names"
_FILES = {
    "parquet": (["*.parquet"], "application/x-parquet"),
    "hdf5": (["*.h5"], "application/x-hdf5"),
    "npz": (["*.npz"], "application/x-npz"),
    "wfdb": (["*/*.hea", "*/*.dat"], "text/plain"),
}
_TYPES = {
    "index": "sc:Integer",
    "labels": "sc:Integer",
    "age": "sc:Float",
    "heart_rate": "sc:Float",
}  # others: text
_CONTEXT: dict[str, Any] = {  # of Croissant 1.0
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write_croissant(folder: Path, corpus: Corpus) -> None:
    """Write croissant.json. The same corpus gives the same bytes."""
    content = json.dumps(metadata(corpus), indent=1) + "\n"
    write_bytes(folder / FILE, content.encode(), overwrite=True)


def metadata(corpus: Corpus) -> dict[str, Any]:
    """Return the content of the file."""
    includes, encoding = _FILES[corpus.format]
    if corpus.format == "wfdb" and "annotations" in corpus.extra:
        includes = [*includes, "*/*.atr"]
    sets = [_label_names(corpus)]
    if corpus.format == "parquet":
        sets.append(_records(corpus))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "synthetic-12-lead-ecgs",
        "description": f"{counted(corpus.records, 'synthetic 12-lead ECG')} of {corpus.length / corpus.fs_hz:g} s at "
        f"{corpus.fs_hz:g} Hz. They are not for diagnosis, nor for any decision about a patient.",
        "version": "1.0.0",
        "license": "https://creativecommons.org/licenses/by/4.0/",
        "keywords": ["ECG", "synthetic data", "time series"],
        "creator": {
            "@type": "sc:Organization",
            "name": ", ".join(sorted({part.generator for part in corpus.parts})),
        },
        "citeAs": "P. Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, PhysioNet, "
        "doi:10.13026/kfzx-aw45",
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": _SHARDS,
                "name": _SHARDS,
                "description": f"{counted(corpus.shards, 'shard')} of {corpus.shard_size} records",
                "encodingFormat": encoding,
                "includes": [f"{DATA}/{pattern}" for pattern in includes],
            }
        ],
        "recordSet": sets,
    }


def _label_names(corpus: Corpus) -> dict[str, Any]:
    """Return the names of the label columns as a record set of its own, whose data are in the file."""
    number, name = f"{_LABELS}/number", f"{_LABELS}/name"
    return {
        "@type": "cr:RecordSet",
        "@id": _LABELS,
        "name": _LABELS,
        "description": "What the numbers in `labels` stand for, in their order.",
        "key": {"@id": number},
        "field": [
            {"@type": "cr:Field", "@id": number, "name": "number", "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": name, "name": "name", "dataType": "sc:Text"},
        ],
        "data": [{number: k, name: label} for k, label in enumerate(corpus.label_names)],
    }


def _records(corpus: Corpus) -> dict[str, Any]:
    shape = f"({len(corpus.leads)}, {corpus.length})"
    columns = {
        "index": "the number of the record",
        "requested": "the statements that were asked for, joined by '+'; empty where they were drawn",
        "statements": "all statements of the record, joined by '+'",
        "labels": "0 or 1 for each of label_names",
        "signal_uv": f"int16 {shape} in microvolts, little-endian, as bytes; leads {' '.join(corpus.leads)}",
        "clean_uv": "signal_uv without the noise that was added",
        "age": "in years",
        "sex": "female or male",
        "heart_rate": "in beats per minute, as it was asked for",
        "source": "the recording that the record was made of",
        "annotations": "beats and waves as JSON: marks [sample, symbol of WFDB, wave], and how many waves are left_out",
    }
    if not corpus.noise:
        del columns["clean_uv"]
    fields = []
    for name, what in columns.items():
        if name in corpus.extra or name not in EXTRA:
            fields.append(
                {
                    "@type": "cr:Field",
                    "@id": f"{_RECORDS}/{name}",
                    "name": name,
                    "description": what,
                    "dataType": _TYPES.get(name, "sc:Text"),
                    **({"repeated": True} if name == "labels" else {}),
                    "source": {"fileSet": {"@id": _SHARDS}, "extract": {"column": name}},
                }
            )
    return {
        "@type": "cr:RecordSet",
        "@id": _RECORDS,
        "name": _RECORDS,
        "description": "one row for each ECG",
        "key": {"@id": f"{_RECORDS}/index"},
        "field": fields,
    }
