"""A figure as a file: .png, .svg or .pdf."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..drawing import PICTURES
from ..plot import draw
from .files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = tuple(f".{name}" for name in PICTURES)


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a figure, in millimetres as it was drawn, and return the path. The same figure gives the same bytes.

    FileExistsError if the file exists and `overwrite` is not set; ValueError for a suffix other than the three.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path.name!r} is no picture that can be written; use one of {', '.join(SUFFIXES)}")
    return write_bytes(path, draw(figure, suffix[1:]), overwrite=overwrite)
