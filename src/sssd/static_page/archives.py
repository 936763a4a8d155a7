"""Python that runs in the browser, as archives: this package, and others that write files."""

from __future__ import annotations

import io
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("", "io", "signals", "tables")  # of this package, with all of their modules and tables
MODULES = ("server/__init__.py", "server/encode.py", "static_page/__init__.py", "static_page/in_browser.py")
WRITERS = ("edfio", "pydicom")  # of EDF and DICOM; both are Python alone
DATE = (1980, 1, 1, 0, 0, 0)  # of the files, so that the same Python gives the same archive


def archives() -> dict[str, bytes]:
    """Return the archives by name. ModuleNotFoundError if a package that writes files is not installed."""
    own = [
        path for folder in FOLDERS for path in (ROOT / folder).glob("*") if path.suffix in (".py", ".json")
    ]
    own += [ROOT / name for name in MODULES]
    return {"sssd.zip": _archive(ROOT.parent, own)} | {f"{name}.zip": _of(name) for name in WRITERS}


def _of(name: str) -> bytes:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name) from None
    files = [Path(str(file.locate())) for file in found.files or () if file.parts[0] != ".."]
    told = ("METADATA", "LICENSE", "LICENSE.txt")
    kept = [path for path in files if path.suffix in (".py", ".json") or path.name in told]
    return _archive(Path(str(found.locate_file(""))), kept)


def _archive(root: Path, paths: list[Path]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(paths):
            held = zipfile.ZipInfo(path.relative_to(root).as_posix(), DATE)
            archive.writestr(held, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return content.getvalue()
