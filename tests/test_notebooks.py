"""The notebooks of examples/notebooks run as they stand, but for the cell that installs the package."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))
SMALL = {"MINUTES": "0", "REAL": "24", "EPOCHS": "2"}  # what the notebooks read, so that they end soon
LARGEST = 1_000_000  # bytes of a notebook with its outputs
SOURCE = str(Path(__file__).parents[1] / "src")

nbformat = pytest.importorskip("nbformat")


def _read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def test_there_are_four() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["classifier", "edit_a_recording", "fine_tune", "quickstart"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_installs_first(path: Path) -> None:
    """Broken by a notebook that was saved after a run, or that cannot be run on its own (seen: both)."""
    notebook = _read(path)
    nbformat.validate(notebook)
    first, *others = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert first.metadata.tags == ["install"] and re.match(r'%pip install --quiet "sssd-ecg', first.source)
    assert not any(cell.outputs or cell.execution_count for cell in (first, *others))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by a name of the library that a notebook gets wrong (seen)."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (SOURCE, os.environ.get("PYTHONPATH")))))
    notebook = _read(path)
    notebook.cells = [cell for cell in notebook.cells if "install" not in cell.metadata.get("tags", [])]
    shutil.copy(path, tmp_path)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=str(tmp_path))
    assert len(nbformat.writes(notebook)) < LARGEST
