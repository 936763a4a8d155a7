"""`sssd-ecg page`: the page as files for any web server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import UsageError, say, usage

EXAMPLES = """Examples:

sssd-ecg page --static site

sssd-ecg page --static site --runtime node_modules/onnxruntime-web --pyodide pyodide
"""


def command(
    static: Annotated[Path, typer.Option(help="Folder to write. It must be new or empty.")],
    runtime: Annotated[
        Path | None,
        typer.Option(help="The unpacked package onnxruntime-web; by default npm fetches it."),
    ] = None,
    pyodide: Annotated[
        Path | None,
        typer.Option(help="A folder with Pyodide and its packages; by default npm and pip fetch them."),
    ] = None,
) -> None:
    """Write the page as a folder of files that generates ECGs in the browser, without a service (docs/page.md).

    Any web server can offer the folder, and nothing is fetched from elsewhere. To build it takes a minute, the extras
    `server`, `onnx` and `clinical`, and npm and pip, which fetch three packages.
    """
    try:
        from ..static_page.build import write_static_page

        with usage():
            folder = write_static_page(static, runtime=runtime, pyodide=pyodide)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("sssd"):
            raise
        raise UsageError(
            f"this needs {error.name}, which is not installed: pip install 'sssd-ecg[server,onnx,clinical]'"
        ) from None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"{folder}  ({size / 1e6:.1f} MB; try it with: python -m http.server --directory {folder})")
