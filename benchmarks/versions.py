"""Two versions of the package on a CPU, in turn: the first record from the command line, and batches.

    python benchmarks/versions.py [--before FOLDER] [--rounds 7] [--records 32] [--qualities draft standard]

FOLDER: the src/ of another version, whose figures are in the rows "before". Each figure is of a process of its own. The
processes of a round follow each other, so that what else runs on the machine slows all of them. Columns are medians
over the rounds: the wall time, the time of CPUs, and their ratios to those of the row that the heading names.

    import torch     `python -c "import torch"`, to which the rows of the command line are compared
    first record     `sssd-ecg generate` for one record, from start to end
    batch            `SSSDECG.generate` for many records, the second time that a process makes them; a record
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from sssd.benchmark import machine

HERE = Path(__file__).parent.parent / "src"
BATCH = """
from sssd.cli.process import configure_process
configure_process()
import time, torch
from sssd import SSSDECG
model = SSSDECG.from_pretrained(device="cpu")
def make():
    start, used = time.perf_counter(), time.process_time()
    model.generate("NORM", num_samples={n}, batch_size={n}, quality={quality!r}, seed=0, progress=False)
    return (time.perf_counter() - start) / {n}, (time.process_time() - used) / {n}
make()
print(*make())
"""

Times = tuple[float, float]  # of the wall and of CPUs, in s


def run(code: Sequence[str], source: Path) -> tuple[Times, str]:
    """Run Python with a version of the package; return the times of the process and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *code], env=environment, capture_output=True, text=True, check=True
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (wall, used), done.stdout


def first_record(quality: str, source: Path) -> Times:
    with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as folder:
        asked = ["generate", "--label", "AFIB", "--quality", quality, "--device", "cpu", "--seed", "0"]
        return run(["-m", "sssd", *asked, "--format", "npz", "-q", "--out", f"{folder}/ecgs"], source)[0]


def batch(records: int, quality: str, source: Path) -> Times:
    wall, used = run(["-c", BATCH.format(n=records, quality=quality)], source)[1].split()
    return float(wall), float(used)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, help="the src/ of another version")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=32)
    parser.add_argument("--qualities", nargs="+", default=["draft", "standard"])
    given = parser.parse_args(arguments)
    sources = {"": HERE} if given.before is None else {"before": given.before.resolve(), "": HERE}
    cases = {("import torch", ""): lambda: run(["-c", "import torch"], HERE)[0]}
    for quality in given.qualities:
        for which, source in sources.items():
            cases[f"first record, {quality}", which] = lambda q=quality, s=source: first_record(q, s)
            cases[f"batch of {given.records}, {quality}", which] = lambda q=quality, s=source: batch(
                given.records, q, s
            )
    times: dict[tuple[str, str], list[Times]] = {case: [] for case in cases}
    for i in range(given.rounds + 1):
        for case, measure in cases.items():
            found = measure()
            if i:  # the first round compiles modules and reads files
                times[case].append(found)
    medians = {
        case: [statistics.median(column) for column in zip(*found, strict=True)]
        for case, found in times.items()
    }
    print(f"{datetime.date.today()}, {machine(torch.device('cpu'))}, torch {torch.__version__}")
    print(f"{'':36s} {'wall s':>8s} {'CPU s':>8s} {'x torch':>14s} {'x before':>14s}")
    for (name, which), (wall, used) in medians.items():
        others = [("import torch", "") if name.startswith("first") else None, (name, "before")]
        ratios = [
            f"{wall / medians[o][0]:6.2f} {used / medians[o][1]:7.2f}"
            if o in medians and o != (name, which)
            else ""
            for o in others
        ]
        print(f"{f'{name} {which}':36s} {wall:8.3f} {used:8.3f} {ratios[0]:>14s} {ratios[1]:>14s}")


if __name__ == "__main__":
    main()
