"""What was written and how, as JSON with sorted keys: the same content gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import replacing


def write_manifest(path: str | Path, manifest: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write a mapping of JSON values and return the path; ValueError where a value is not JSON."""
    path = Path(path)
    try:
        text = (
            json.dumps(dict(manifest), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"the manifest {path.name!r} must hold JSON values only: {error}") from None
    with replacing(path, overwrite=overwrite) as (part,):
        part.write_text(text, encoding="utf-8", newline="\n")
    return path
