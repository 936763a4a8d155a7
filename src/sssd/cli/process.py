"""How this process waits for its threads, keeps its memory, and loads and leaves modules.

The C libraries must know of threads and memory before PyTorch is loaded.

The table has the records per second of one process, alone and beside another such process, on two cores in batches of 8
with 10 steps. Keeping freed memory adds 5 to 25 % in batches of 64.

    waiting threads sleep at once (OMP_WAIT_POLICY=PASSIVE)    6.3           5.3
    waiting threads spin (the default of GNU OpenMP)           5.9 to 9.4    2.4
    waiting threads spin for about 30 us, then sleep           8.9           4.1

Python's collector looks for objects that refer to each other in circles. The 260,000 objects of PyTorch's modules are
in use until the process ends, but it looks through them while they are loaded, which takes 0.1 s, and at the end, which
takes 0.3 s.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = "1000"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h


def configure_process() -> None:
    """Let waiting threads spin for a short time, then sleep. Keep freed memory, which otherwise is cleared again.

    Settings in the user's environment stay as they are. C libraries without these settings are left alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # for the OpenMP of LLVM and Intel
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # for GNU OpenMP, which prefers it to the policy
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
        mallopt(M_ARENA_MAX, 1)
    atexit.register(_leave)


def _leave() -> None:
    """Let Python's collector not look through all modules at the end, unless Triton would report what it leaves."""
    if "triton" not in sys.modules:
        gc.freeze()


@contextmanager
def loading() -> Iterator[None]:
    """Around imports: Python's collector does not look through what they make, now or later."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()
