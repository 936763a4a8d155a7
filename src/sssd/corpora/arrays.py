"""NPZ archives from outside: the shape and type of each array are checked before its data are read.

No object is unpickled, and a small file cannot ask for more memory than the caller expects.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int | None, ...]  # None: any length
MAX_CHARACTERS = 4096  # of a text in an array
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def load_arrays(
    file: Path | IO[bytes], wanted: Mapping[str, tuple[str, Shape]], optional: tuple[str, ...] = ()
) -> dict[str, NDArray[Any]]:
    """Return arrays of an NPZ archive by name.

    wanted: the type and the shape that each array must have. The type is as in "<i2", "U" for text of at most
    `MAX_CHARACTERS`, or "U9000" for so many
    optional: names that may be absent
    ValueError if an array is absent or has another type or shape, or the archive is damaged.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(file) as archive:
            present = set(archive.namelist())
            for name, (kind, shape) in wanted.items():
                member = f"{name}.npy"
                if member not in present and name in optional:
                    continue
                with archive.open(member) as opened:
                    _check_header(name, opened, kind, shape)
                with archive.open(member) as opened:
                    arrays[name] = np.lib.format.read_array(opened, allow_pickle=False)
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"the archive is damaged: {error}") from error
    return arrays


def _check_header(name: str, opened: Any, kind: str, shape: Shape) -> None:
    version = np.lib.format.read_magic(opened)
    if version not in HEADERS:
        raise ValueError(f"{name} has a header of version {version}")
    found, _, dtype = HEADERS[version](opened)
    if kind[0] == "U":
        right = dtype.kind == "U" and dtype.itemsize <= 4 * int(kind[1:] or MAX_CHARACTERS)
    else:
        right = dtype == np.dtype(kind)
    if not right:
        raise ValueError(f"{name} has the type {dtype}; expected {'text' if kind[0] == 'U' else kind}")
    fits = len(found) == len(shape) and all(n is None or n == m for n, m in zip(shape, found, strict=True))
    if not fits:
        raise ValueError(f"{name} has the shape {found}; expected {shape}")
