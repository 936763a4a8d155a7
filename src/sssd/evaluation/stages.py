"""How far an evaluation is: what is being done, how much of it is done, and how much there is."""

from __future__ import annotations

from collections.abc import Callable

Stage = Callable[[str, int, int], None]
