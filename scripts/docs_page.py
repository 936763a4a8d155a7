"""Tables that scripts write into pages of the documentation, between the marks <!-- name --> and <!-- /name -->."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
