"""Recordings in, ECGs out: what the model makes of a recording instead of a name.

    recording ─▶ 8 leads at the model's rate ─▶ where the run starts, what it holds fixed ─▶ the loop of every sampler

vary      more like this one: the run starts from the recording with noise added
edit      the same recording with other statements: it starts from the noise that belongs to the recording
complete  leads and samples that are missing: what is known is held fixed

Each of these returns a `Change`, which has yet to be computed.
"""

from .change import Change, Own
from .completion import Gaps, complete
from .inversion import edit, interpolate, invert
from .source import Source, Taken, take
from .variation import vary

__all__ = [
    "Change",
    "Gaps",
    "Own",
    "Source",
    "Taken",
    "complete",
    "edit",
    "interpolate",
    "invert",
    "take",
    "vary",
]
