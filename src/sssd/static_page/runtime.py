"""onnxruntime-web, which runs networks in a browser: its files, taken from npm when a page is built."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from pathlib import Path

VERSION = "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = (  # of its folder dist: WebAssembly alone, then WebGPU through JSPI
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.jspi.min.mjs",
    "ort-wasm-simd-threaded.jspi.mjs",
    "ort-wasm-simd-threaded.jspi.wasm",
)


def runtime_files(folder: Path | None = None) -> dict[str, bytes]:
    """Return the files by name, from a folder with the unpacked package or, without one, from npm.

    OSError if npm is missing or cannot fetch the package; ValueError if it is not the one that is expected.
    """
    if folder is not None:
        dist = folder / "dist" if (folder / "dist").is_dir() else folder
        missing = [name for name in FILES if not (dist / name).is_file()]
        if missing:
            raise ValueError(
                f"{str(folder)!r} lacks {', '.join(missing)}: expected the unpacked package onnxruntime-web {VERSION}"
            )
        return {name: (dist / name).read_bytes() for name in FILES}
    npm = shutil.which("npm")
    if npm is None:
        raise OSError(
            f"npm, which fetches onnxruntime-web, is not installed: install it, or give --runtime the unpacked package "
            f"onnxruntime-web {VERSION}"
        )
    with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as temporary:
        call = [
            npm,
            "pack",
            f"onnxruntime-web@{VERSION}",
            "--silent",
            "--prefer-offline",
            "--pack-destination",
            temporary,
        ]
        done = subprocess.run(call, capture_output=True, text=True, cwd=temporary)
        packages = list(Path(temporary).glob("*.tgz"))
        if done.returncode or len(packages) != 1:
            said = done.stderr.strip().splitlines()
            raise OSError(
                f"npm cannot fetch onnxruntime-web {VERSION}: {said[0] if said else 'no package came'}"
            )
        return _unpacked(packages[0])


def _unpacked(package: Path) -> dict[str, bytes]:
    """Return the files in a package; ValueError unless it is the one whose hash is known."""
    found = b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != SHA512:
        raise ValueError(f"the package onnxruntime-web {VERSION} has the SHA-512 {found}: expected {SHA512}")
    files = {}
    with tarfile.open(package) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            files[name] = member.read()
    return files
