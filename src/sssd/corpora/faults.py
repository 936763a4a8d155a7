"""What a full disk, a read-only or a vanished folder means for a corpus."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .manifest import FILE

FULL = (errno.ENOSPC, errno.EDQUOT)


def resuming(folder: Path) -> str:
    return f"`sssd-ecg corpus resume {folder}` goes on"


@contextmanager
def explained(folder: Path, after: str, begun: str | None = None) -> Iterator[None]:
    """Say what a full disk, a read-only or a vanished folder means for the corpus.

    after: what to do then;  begun: what instead, where the corpus has begun
    """
    try:
        yield
    except OSError as error:
        text = str(error)
        if error.errno in FULL or "No space left" in text or "Disk quota exceeded" in text:
            reason = f"no space left on the disk of {str(folder)!r}: free some; finished shards are safe"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            reason = f"{str(folder)!r} cannot be written to: make it writable"
        elif isinstance(error, FileNotFoundError) and not (folder / "data").is_dir():
            reason = f"{str(folder)!r} was removed or moved during the run: put it back"
            after = begun or after
        else:
            raise
        if (folder / FILE).exists():
            after = begun or after
        new = OSError(f"{reason}; then {after}")
        new.errno = error.errno
        raise new from error
