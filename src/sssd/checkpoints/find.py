"""Which tensors of a file are the network, whatever the names under which a training script has put them.

A network is found by one tensor that it must have. What stands before the name of that tensor is the prefix of all:
"model_state_dict.", "state_dict.net.", "ema.module." and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .unpickle import Array

_ANCHORS = ("init_conv.0.conv.bias", "first.bias")  # of SSSD-ECG's network, and of the transformer
_WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_NORMS = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
_NORM = re.compile("|".join(map(re.escape, _NORMS)))
_AVERAGED = {"ema", "emas", "averaged", "average", "avg", "polyak", "swa", "shadow"}
_PLAIN = {"model", "state", "dict", "module", "net", "network"}
_DEPTH = 5  # of mappings inside each other


@dataclass(frozen=True)
class Found:
    """A network in a file: its tensors by their names in the network, its prefix, and the prefixes of the others.

    nameless: where the file has averaged weights without the names of the network, so that they are of no use.
    """

    state: dict[str, Tensor]
    prefix: str
    others: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether its prefix says that these are averaged weights."""
        return _averages(self.prefix) > 0


def find_network(content: Any) -> Found:
    """The network in the content of a file: the averaged one if it says so, or else the only one.

    ValueError, which tells what is there instead, if there is none, or if there are several that are alike.
    """
    tensors = dict(_tensors(content, ""))
    prefixes = {
        name.removesuffix(anchor)
        for name in tensors
        for anchor in _ANCHORS
        if name == anchor or name.endswith(f".{anchor}")
    }
    if not prefixes:
        raise ValueError(f"holds no network of SSSD-ECG; it holds {_listed(content)}")
    best = max(map(_rank, prefixes))
    first = sorted(prefix for prefix in prefixes if _rank(prefix) == best)
    if len(first) > 1:
        raise ValueError(
            f"holds {len(first)} networks, {' and '.join(map(_shown, first))}: save the one that is wanted alone"
        )
    longer = tuple(other for other in prefixes if other != first[0] and other.startswith(first[0]))
    state = {
        name.removeprefix(first[0]): value
        for name, value in tensors.items()
        if name.startswith(first[0]) and not name.startswith(longer)
    }
    return Found(
        state, first[0], tuple(sorted(prefixes - {first[0]})), tuple(_nameless(content, "", prefixes))
    )


def _tensors(content: Any, prefix: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The tensors of mappings inside each other, with the names joined by dots."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Array):
            value = value.tensor()
        if isinstance(value, Tensor):
            yield _NORM.sub(lambda found: _NORMS[found[0]], _WRAPPERS.sub("", name)), value
        else:
            yield from _tensors(value, f"{name}.", depth + 1)


def _nameless(content: Any, prefix: str, prefixes: Iterable[str], depth: int = 0) -> Iterator[str]:
    """The keys of averaged weights in which there is no network: a list of tensors, or tensors of other names."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    for key, value in content.items():
        name = f"{prefix}{key}"
        if any(f"{name}.".startswith(known) or known.startswith(f"{name}.") for known in prefixes if known):
            continue
        if _averages(str(key)) and _tensors_in(value) > 1:
            yield name
        else:
            yield from _nameless(value, f"{name}.", prefixes, depth + 1)


def _tensors_in(content: Any, depth: int = 0) -> int:
    """The number of tensors in mappings and lists inside each other, but for single numbers."""
    if isinstance(content, Tensor):
        return int(content.ndim > 0)
    if not isinstance(content, Mapping | list | tuple) or depth > _DEPTH:
        return 0
    return sum(
        _tensors_in(one, depth + 1) for one in (content.values() if isinstance(content, Mapping) else content)
    )


def _rank(prefix: str) -> tuple[int, bool]:
    return _averages(prefix), set(_words(prefix)) <= _PLAIN


def _averages(prefix: str) -> int:
    return sum(word in _AVERAGED or word in ("modelema", "emamodel") for word in _words(prefix))


def _words(prefix: str) -> list[str]:
    """The words of a prefix in lower case: "netEMA" and "net_ema" have the same."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", prefix)
    return [word for word in re.split(r"[._]+", parted.lower()) if word]


def _shown(prefix: str) -> str:
    return repr(prefix.removesuffix(".")) if prefix else "one without a prefix"


def _listed(content: Any) -> str:
    """What a file holds, by its first keys."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    if not content:
        return "nothing"
    kinds = []
    for key, value in list(content.items())[:6]:
        inside = f" ({', '.join(str(k) for k in list(value)[:3])} ...)" if isinstance(value, Mapping) else ""
        kinds.append(f"{str(key)[:60]}{inside[:120]}")
    more = f" and {len(content) - 6} more" if len(content) > 6 else ""
    return f"{', '.join(kinds)}{more}"
