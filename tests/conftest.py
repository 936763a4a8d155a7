"""One thread per process: tests compute little, and threads that wait for each other cost more than they save."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
