"""Tables that scripts write into pages of the documentation, between the marks <!-- name --> and <!-- /name -->."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paste(page: Path, name: str, text: str) -> None:
    """Put a text between the marks of its part of a page."""
    content = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(content):
        raise SystemExit(f"{page} has no marks for {name!r}")
    page.write_text(pattern.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", content), encoding="utf-8")


def parser(
    description: str | None, parts: Iterable[str], *, needs_data: bool = True
) -> argparse.ArgumentParser:
    """Options of a script that measures parts of a page: which of them, on what data, with which checkpoint."""
    of = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    of.add_argument("parts", nargs="+", choices=list(parts))
    of.add_argument("--data", type=Path, required=needs_data)
    of.add_argument("--checkpoint", help="a file or a name; by default the built-in model")
    return of


def write_parts(page: Path, parts: Mapping[str, Callable[[], str]]) -> None:
    """Measure each part, print its text and how long it took, and paste it between its marks."""
    for name, measure in parts.items():
        started = time.monotonic()
        text = measure()
        paste(page, name, text)
        print(f"{name}: {time.monotonic() - started:.0f} s\n{text}", flush=True)
