"""One writer for each folder: a lock that the operating system releases when the process that holds it is gone."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .files import inside

LOCK, HOLDER = ".lock", ".holder"  # filelock's own file, and the process that holds the lock


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder. If another process holds it, BlockingIOError names that process."""
    lock, holder = FileLock(inside(folder, LOCK)), inside(folder, HOLDER)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"another run writes to {str(folder)!r} ({_name(holder)}): wait for it, or stop it, and repeat"
        ) from None
    try:
        holder.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _name(holder: Path) -> str:
    """Return the process that holds the lock. The file is checked, because anybody may have written it."""
    try:
        content = json.loads(holder.read_bytes())
        return f"process {int(content['process'])} on {ascii(str(content['host'])[:100])[1:-1]}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "which process, is not known"
