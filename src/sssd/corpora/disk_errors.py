"""Errors of the disk in words: a full disk, a read-only folder, a missing one, and what to do then."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .files import DATA
from .manifest import FILE

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explained(folder: Path, remedy: str, once_begun: str | None = None) -> Iterator[None]:
    """Raise an error of the disk again as one that says what happened and what to do.

    remedy: what to do then
    once_begun: what to do instead if the corpus had begun, that is, had its corpus.json
    """
    try:
        yield
    except OSError as error:
        text = str(error)
        if error.errno in FULL or "No space left" in text or "Disk quota exceeded" in text:
            reason = f"no space left on the disk of {str(folder)!r}: free some; finished shards are safe"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            reason = f"{str(folder)!r} cannot be written to: make it writable"
        elif isinstance(error, FileNotFoundError) and not (folder / DATA).is_dir():
            reason = f"{str(folder)!r} was removed or moved during the run: put it back"
            remedy = once_begun or remedy
        else:
            raise
        if (folder / FILE).exists():
            remedy = once_begun or remedy
        new = OSError(f"{reason}; then {remedy}")
        new.errno = error.errno
        raise new from error
