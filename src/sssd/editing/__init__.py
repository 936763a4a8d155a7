"""What the model makes of a recording: more like it, the same with other statements, or what is missing in it.

    recording ─▶ 8 leads at the model's rate ─▶ where the run starts, what it holds fixed ─▶ the loop of every sampler

vary      more records like the recording: the run starts from the recording with noise added
edit      the same recording with other statements: the run starts from the noise that belongs to the recording
complete  leads and samples that are missing: the run holds fixed what is known

Each of these returns a `Change`, which describes the run; `Change.records` computes it.
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
