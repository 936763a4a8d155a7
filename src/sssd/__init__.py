"""Synthetic 12-lead ECGs from diagnostic statements, by diffusion models. Importing this does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .model_wrapper import SSSDECG
    from .record import Ecg

__all__ = ["SSSDECG", "Ecg", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "SSSDECG":
        from .model_wrapper import SSSDECG

        return SSSDECG
    if name == "Ecg":
        from .record import Ecg

        return Ecg
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
