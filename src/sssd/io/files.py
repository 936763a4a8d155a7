"""Writing files so that they are complete or absent, and never over something that exists."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def replacing(*paths: str | Path, overwrite: bool = False) -> Iterator[tuple[Path, ...]]:
    """Yield one temporary path per file of a folder, each of the same name; move them in place at the end.

    All files are in place afterwards, or, where anything failed, none of them.
    FileExistsError where one exists and `overwrite` is not set; FileNotFoundError without the folder.
    """
    targets = [Path(path) for path in paths]
    folder = targets[0].parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(folder)!r} to write {targets[0].name!r} into; create it first"
        )
    for target in targets:
        if target.is_dir():
            raise FileExistsError(f"{str(target)!r} is a folder; give the name of a file")
        if target.exists() and not overwrite:
            raise FileExistsError(
                f"{str(target)!r} exists; choose another name or pass overwrite=True (--overwrite)"
            )
    moved: list[Path] = []
    with scratch(folder, targets[0].name) as temporary:
        parts = tuple(temporary / target.name for target in targets)
        yield parts
        try:
            for part, target in zip(parts, targets, strict=True):
                os.replace(part, target)
                moved.append(target)
        except BaseException:
            for target in moved:
                target.unlink(missing_ok=True)
            raise


@contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """Yield a new hidden folder inside `folder`, removed at the end; says clearly when the disk is full."""
    temporary = folder / f".{name}.{secrets.token_hex(4)}.part"
    try:
        temporary.mkdir()
        yield temporary
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = OSError(
            f"no space left on the disk for {str(folder / name)!r}: nothing was written; free some and repeat"
        )
        full.errno = error.errno
        raise full from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def microvolts(signal_mv: np.ndarray) -> np.ndarray:
    """Signal in mV to int16 in units of 1 uV, of the same shape.

    ValueError where a value is not finite or beyond +-32.767 mV (-32768 stands for a missing sample in WFDB).
    """
    units = np.rint(np.asarray(signal_mv, dtype=np.float64) * 1000.0)
    if not (np.abs(units) <= 32767).all():
        worst = np.abs(np.asarray(signal_mv)).max()
        raise ValueError(f"the signal reaches {worst:g} mV, but 16 bits of 1 uV hold +-32.767 mV and no NaN")
    return units.astype(np.int16)
