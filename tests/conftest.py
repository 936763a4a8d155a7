"""One thread per process: tests compute little, and threads that wait for each other cost more than they save.

Without a GPU, Triton's kernels run in its interpreter; it must be told before anything imports it.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
