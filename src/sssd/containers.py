"""The containers in which labels may come: lists, arrays, tensors and data frames, and what each of them means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LIKE_A_VECTOR = 8  # so many zeros and ones are no list of class indices by chance


def plain(
    labels: Any, classes: Sequence[str], find: Callable[[str, Sequence[str]], int]
) -> list[Any] | NDArray[Any]:
    """Return labels as a list of entries, which are names or class indices, or as an array of numbers.

    find: the index of a class by its name, for the columns of a data frame. ValueError for a container that says
    neither, or whose columns are no classes.
    """
    if isinstance(labels, str) or is_integer(labels):
        return [labels]
    if isinstance(labels, list | tuple | range):
        return list(labels)
    if hasattr(labels, "detach"):  # a tensor; NumPy has no bfloat16
        labels = (labels if str(labels.layout) == "torch.strided" else labels.to_dense()).detach()
        if labels.is_meta:
            raise ValueError(
                "labels are a tensor of the device 'meta', which has no values; expected one with values"
            )
        labels = (labels.float() if labels.is_floating_point() else labels).cpu().numpy()
    elif hasattr(labels, "columns") and hasattr(labels, "to_numpy"):  # a data frame
        return _from_frame(labels, classes, find)
    elif hasattr(labels, "to_numpy"):  # a series, or an index
        labels = labels.to_numpy()
    if not hasattr(labels, "__array__"):
        raise ValueError(
            f"labels are {labels!r} ({type(labels).__name__}); expected a statement's name, a class index, a list of "
            f"these, or label vectors as an array (B, {len(classes)})"
        )
    if isinstance(labels, np.ma.MaskedArray) and np.ma.getmaskarray(labels).any():
        raise ValueError("labels are masked in places; expected an array without masked values")
    array = np.asarray(labels)
    if array.dtype.kind not in "USOT":
        return array
    return [array.item()] if array.ndim == 0 else list(array.tolist())


def check_indices(entries: Sequence[Any] | NDArray[Any], width: int) -> None:
    """Refuse as many zeros and ones as there are classes where class indices are expected: they look like a vector.

    entries: one for each record, a class index or a list of them. width: the number of classes.
    """
    alone = len(entries) == width >= _LIKE_A_VECTOR and all(is_integer(entry) for entry in entries)
    lists = [entry for entry in entries if isinstance(entry, list | tuple) and len(entry) == width > 1]
    for vector in ([entries] if alone else []) + lists:
        if all(is_integer(entry) and entry in (0, 1) for entry in vector):
            raise ValueError(
                f"labels are {width} zeros and ones, which may be a label vector or class indices; pass a vector as an "
                f"array of shape (1, {width}), and classes by their names"
            )


def is_integer(value: Any) -> bool:
    """Return whether a value is a whole number, of Python or NumPy, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)


def _from_frame(
    frame: Any, classes: Sequence[str], find: Callable[[str, Sequence[str]], int]
) -> NDArray[Any]:
    """Return the array (B, K) of a data frame whose columns are named by classes, or are K without names."""
    names, values = list(frame.columns), np.asarray(frame.to_numpy())
    if values.dtype.kind not in "iufb":
        raise ValueError(f"the data frame of labels holds {values.dtype}; expected columns of 0 and 1")
    if len(names) == len(classes) and all(is_integer(name) for name in names):
        return values
    places = [find(str(name), classes) for name in names]
    if len(set(places)) < len(places):
        raise ValueError("the data frame of labels has two columns for one statement; expected one")
    array = np.zeros((len(values), len(classes)), values.dtype)
    array[:, places] = values
    return array
