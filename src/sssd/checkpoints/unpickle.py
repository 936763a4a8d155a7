"""Reading files of torch.save without running anything that is in them.

`torch.load(weights_only=True)` refuses every type that it does not know, and training scripts keep such types beside
the weights: numbers of NumPy, options, paths. Here stand-ins of ours take the place of harmless ones. They do nothing
and drop their contents, but for arrays of numbers, which become tensors. None of the named types is ever called.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Dropped:
    """Stands for an object whose contents are not needed."""

    def __new__(cls, *_: Any) -> Dropped:
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class DType(Dropped):
    """Stands for a dtype of NumPy: its name such as "f4", and its byte order."""

    def __init__(self, name: str = "", *_: Any) -> None:
        self.name, self.order = name, "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class Array(Dropped):
    """Stands for a NumPy array: its pickled state (version, shape, dtype, whether in Fortran order, bytes)."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def tensor(self) -> Tensor | None:
        """The array of numbers as a tensor; None for arrays of anything else."""
        try:
            _, shape, dtype, fortran, data = self.state
            values = np.frombuffer(data, np.dtype(f"{dtype.order.strip('|')}{dtype.name}"))
            values = values.reshape(shape, order="F" if fortran else "C")
            return torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))
        except (ValueError, TypeError, AttributeError):
            return None


_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF"  # how files of torch.save began before PyTorch 1.6


def _mapping(*_: Any) -> dict[Any, Any]:
    return {}


_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_NUMPY = tuple(
    f"{package}.multiarray" for package in ("numpy.core", "numpy._core")
)  # before NumPy 2, and since
STAND_INS: list[tuple[Callable[..., Any], str]] = [
    *((Dropped, f"{module}.scalar") for module in _NUMPY),
    *((Array, f"{module}._reconstruct") for module in _NUMPY),
    (Array, "numpy.ndarray"),
    (DType, "numpy.dtype"),
    (Dropped, "argparse.Namespace"),
    (Dropped, "types.SimpleNamespace"),
    *((Dropped, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *((Dropped, f"datetime.{name}") for name in ("datetime", "date", "time", "timedelta", "timezone")),
    (_mapping, "collections.defaultdict"),
    *((Dropped, f"builtins.{name}") for name in ("int", "float", "str", "bool", "list", "dict", "object")),
]


def load(path: Path) -> Any:
    """What torch.save wrote, with tensors on the CPU; ValueError, which says why, where it cannot be read."""
    try:
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals(STAND_INS),  # type: ignore[arg-type]
            path.open("rb") as file,  # by its content, as PyTorch goes by the suffix of a name
        ):
            warnings.simplefilter("ignore")  # PyTorch's, of things that are beside the network
            return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError) as e:
        raise ValueError(f"{path} cannot be read as a checkpoint: {_explained(path, e)}") from None


def _explained(path: Path, error: Exception) -> str:
    """Why a file cannot be read: what kind of file it is, or the type in it that is refused."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        return (
            f"it holds a Python object, {refused[1]}, and only tensors, plain values and a few harmless types are "
            'read, because other objects can run code; save the weights alone, as in torch.save({"model_state_dict": '
            "net.state_dict()}, path)"
        )
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return "the file is empty"
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "the file is cut off; copy or download it again"
    again = 'read it where it was written, and save it with torch.save({"model_state_dict": ...}, path)'
    if "TorchScript" in str(error):
        return f"it is a program of TorchScript; {again}"
    if head.startswith(b"PK") and any(name.endswith(".npy") for name in zipfile.ZipFile(path).namelist()):
        return f"it is an archive of NumPy; {again}"
    foreign = head.startswith(b"PK") and "Unsupported operand" in str(error)
    if foreign or (head.startswith(b"\x80") and not head.startswith(_LEGACY)):
        return (
            f"it was written by pickle, or by torch.save with another pickle_protocol than its own; {again}"
        )
    if head.startswith(b"\x1f\x8b"):
        return "it is packed by gzip; unpack it"
    if head.startswith((b"version https", b"<!DOCTYPE", b"<html")):
        return "it is a text that stands for the file (of Git LFS, or a web page); download the file itself"
    if head.startswith(b"\x89HDF"):
        return "it is an HDF5 file; expected a file of torch.save or safetensors"
    reason = str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__
    return (
        f"({reason[:120]}); expected a file written by torch.save that holds tensors, or a .safetensors file; the file "
        "may be damaged or cut off"
    )
