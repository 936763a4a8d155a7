"""What README.md and docs/ show runs as it stands, with the built-in model.

Blocks of one page run in order and share their names, as a reader would type them. `python` blocks run here; `sh` and
`bash` blocks run where every line begins with sssd-ecg, in a folder with the files that the pages speak of. A block
marked no-run (```python no-run) is left out, training stops before its first iteration, a benchmark measures little.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sssd.data.recordings import Recordings, write
from sssd.labels import CODES
from tests.test_data import ptbxl, table, write_wfdb

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(python|sh|bash)[ ]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = "import sys; from sssd.cli import main; sys.exit(main())"


def blocks(page):
    """(language, first line, text) of each block to run."""
    text = page.read_text(encoding="utf-8")
    found = [(m[1], text.count("\n", 0, m.start()) + 2, m[2]) for m in FENCE.finditer(text)]
    return [(kind, line, code) for kind, line, code in found if kind == "python" or is_command(code)]


def is_command(code):
    return all(line.startswith("sssd-ecg ") for line in commands(code))


def commands(code):
    return code.replace("\\\n", " ").strip().splitlines()


def lay_out(folder):
    """The files that the pages speak of: a published checkpoint, recordings, a PTB-XL download, own records."""
    (folder / "path/to").mkdir(parents=True)
    shutil.copy(ROOT / "tests/golden/sssd_ecg_small.pkl", folder / "path/to/checkpoint.pkl")
    random = np.random.default_rng(0)
    signal = random.integers(-500, 500, (3, 12, 1000)).astype(np.int16)
    write(folder / "recordings.npz", Recordings(signal, np.eye(3, 71, dtype=np.uint8), CODES))
    ptbxl(folder / "ptb-xl-1.0.3", [{"NORM": 100.0}, {"AFIB": 100.0}], rate=100)
    (folder / "my_records").mkdir()
    for name in "ab":
        write_wfdb(folder / "my_records", name, 250)
    table(folder / "my_labels.csv", [["record", "MYLABEL", "strat_fold"], ["a", 1, 1], ["b", 0, 9]])


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.exists() and blocks(p)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_examples_run(page, tmp_path, monkeypatch):
    """Fails when a name, an argument or an option in the text is not what the code has."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    names = {"__name__": "__main__"}
    for kind, line, code in blocks(page):
        if kind == "python":
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
            continue
        for command in commands(code):
            arguments = [sys.executable, "-c", COMMAND, *shlex.split(command, comments=True)[1:]]
            arguments += ["--accelerator", "cpu", "--max-minutes", "0"] if " train " in command else []
            arguments += ["--device", "cpu", "--max-minutes", "0"] if " distill " in command else []
            arguments += ["--only", "builtin", "--seconds", "0"] if " benchmark" in command else []
            done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{page.name}, line {line}: {command}\n{done.stdout}{done.stderr}"


def test_blocks_are_found():
    """Fails when the pattern no longer sees a block, or runs one that is marked."""
    text = "```python no-run\nboom\n```\n\n```sh\nsssd-ecg labels\n```\n\n```python\nx = 1\n```\n```sh\nls\n```\n"
    found = [(m[1], m[2]) for m in FENCE.finditer(text)]
    assert found == [("sh", "sssd-ecg labels\n"), ("python", "x = 1\n"), ("sh", "ls\n")]
    assert [is_command(code) for kind, code in found if kind == "sh"] == [True, False]
