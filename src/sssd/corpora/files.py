"""Finds the files of a corpus, none of which lies outside its folder, and computes their sizes and SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

FOLDERS = SPARE, DATA, SHARDS = "spare", "data", "shards"


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file or folder of the corpus, which need not exist.

    ValueError if a link leads out of the corpus, or where it is neither a file nor a folder (a pipe, a device).
    """
    path = folder / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{name} is a link that leads out of the corpus: put the file itself in its place")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{name} is neither a file nor a folder: remove it")
    return path


def check_folders(folder: Path) -> None:
    """Raise ValueError if a folder of the corpus is a link to another place, before anything is written or removed."""
    for name in FOLDERS:
        inside(folder, name)


def file_hash(path: Path) -> tuple[int, str]:
    """Return (bytes, SHA-256) of a file; of a folder, over its files in the order of their names."""
    digest = hashlib.sha256()
    if not path.is_dir():
        buffer = memoryview(bytearray(1 << 18))
        with path.open("rb", buffering=0) as file:
            while n := file.readinto(buffer):
                digest.update(buffer[:n])
        return path.stat().st_size, digest.hexdigest()
    total = 0
    for name in sorted(entry.name for entry in regular_files(path)):
        content = (path / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
        total += len(content)
    return total, digest.hexdigest()


def has_hash(path: Path, sha256: str) -> bool:
    """Return whether the file is there and has this SHA-256."""
    try:
        return file_hash(path)[1] == sha256
    except OSError:
        return False


def size(path: Path) -> int:
    """Return the number of bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in regular_files(path))
    return path.stat().st_size


def regular_files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Return the entries of a folder that holds plain files only; ValueError if it holds a link or anything else."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                raise ValueError(f"{folder.name} holds {entry.name!a}, which is not a plain file: remove it")
            yield entry


def remove(path: Path) -> None:
    """Remove a file or folder if it is there; of a link, only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
