"""Writing files so that they are complete or absent, and never over something that exists unless that was asked for."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

MANY = 100  # files: above this, one flush of all disks is faster than one flush per file


@contextmanager
def replacing(*paths: str | Path, overwrite: bool = False) -> Iterator[tuple[Path, ...]]:
    """Yield a temporary path for each of several files in one folder; move all of them into place at the end.

    Every temporary file has the name of its target. At the end they are flushed to the disk and moved. If anything
    fails, no target has changed: new files are gone and old ones are back.
    FileExistsError if a target exists and `overwrite` is not set; FileNotFoundError if the folder does not exist.
    """
    targets = [Path(path) for path in paths]
    folder = targets[0].parent
    check_free(*targets, overwrite=overwrite)
    with scratch(folder, targets[0].name) as temporary:
        new = temporary / "new"
        new.mkdir()
        parts = tuple(new / target.name for target in targets)
        yield parts
        for part in parts:
            sync(part)
        if len(parts) == 1:
            os.replace(parts[0], targets[0])  # atomic by itself
        else:
            move_in(parts, folder, temporary / "old")
        sync(folder)


def check_free(*paths: Path, overwrite: bool = False) -> None:
    """Raise the errors that `replacing` raises before it writes, for files that are written after much else is done."""
    for path in paths:
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"there is no folder {str(path.parent)!r} to write {path.name!r} into; create it first"
            )
        if path.is_dir():
            raise FileExistsError(f"{str(path)!r} is a folder; give the name of a file")
        if path.exists() and not overwrite:
            raise FileExistsError(f"{str(path)!r} exists; choose another name or pass overwrite=True")


def write_files(folder: str | Path, files: Mapping[str, bytes], *, overwrite: bool = False) -> None:
    """Write several files into a folder, by their names, as `replacing` does: all or none."""
    with replacing(*(Path(folder) / name for name in files), overwrite=overwrite) as parts:
        for part, content in zip(parts, files.values(), strict=True):
            part.write_bytes(content)


def write_bytes(path: str | Path, content: bytes, *, overwrite: bool = False) -> Path:
    """Write one file as `replacing` does and return its path."""
    path = Path(path)
    with replacing(path, overwrite=overwrite) as (part,):
        part.write_bytes(content)
    return path


def move_in(parts: Sequence[Path], folder: Path, old: Path, remove: Sequence[str] = ()) -> None:
    """Remove the files `remove` of `folder` and move `parts` into it, over files of the same name: all or nothing.

    `old` is a folder to be made on the same disk, where the earlier files wait in case that a move fails. They are
    put back then, and the error is raised again.
    """
    old.mkdir()
    kept: list[str] = []
    moved: list[str] = []
    try:
        for name in remove:
            os.replace(folder / name, old / name)
            kept.append(name)
        for part in parts:
            target = folder / part.name
            if target.exists():
                _link_or_copy(target, old / part.name)
                kept.append(part.name)
            os.replace(part, target)
            moved.append(part.name)
    except BaseException:
        for name in moved:
            (folder / name).unlink(missing_ok=True)
        for name in kept:
            os.replace(old / name, folder / name)
        raise


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # not every file system has hard links
        shutil.copy2(source, target)


def beside(path: Path) -> Path:
    """Return a new hidden name beside `path`, for a file or folder until it is complete."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def sync(path: Path) -> None:
    """Flush a file to the disk; of a folder, the names in it."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot do this
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_files(folder: Path) -> None:
    """Flush all files of a folder to the disk."""
    files = [path for path in folder.iterdir() if path.is_file()]
    if len(files) > MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in files:
        sync(path)


@contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """Yield a new hidden folder inside `folder` that is removed at the end. A full disk gives one clear OSError."""
    temporary = beside(folder / name)
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
