"""Reads NPZ files, which are distrusted: no object in them is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tables.cells import opened


def read_arrays(file: Path, content: bytes | None = None) -> dict[str, NDArray[Any]]:
    """Return all arrays of an NPZ file by their names.

    content: of the file, if it is in memory; then nothing is opened. OSError if it cannot be opened. ValueError, which
    names it, if it is no NPZ file, is cut short or damaged, or holds objects of Python; MemoryError if its arrays are
    too large.
    """
    with opened(file, content) as binary:
        if not zipfile.is_zipfile(binary):
            raise ValueError(
                f"{str(file)!r} is no NPZ file: it is not an NPZ archive, or is cut short; copy it again, or write it "
                "with numpy.savez"
            )
        binary.seek(0)
        try:
            with np.load(binary, allow_pickle=False) as archive:
                members = {name: archive[name] for name in archive.files}
        except MemoryError:
            raise
        except Exception as error:  # zipfile, zlib and numpy raise their own errors
            raise ValueError(
                f"{str(file)!r} is damaged: {error}; expected arrays of numbers and texts: copy it again, or write it "
                "with numpy.savez"
            ) from error
    return {name: member for name, member in members.items() if isinstance(member, np.ndarray)}
