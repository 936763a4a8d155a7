"""The pages of the documentation site. MkDocs calls these hooks (see mkdocs.yml).

The site holds each page at the path that it has in the repository, so that links between pages work in both places. To
these come pages of reference, one for each module or folder of the package, and the page that generates in the browser,
if `sssd-ecg page --static build/live` has written it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Link, Navigation

ROOT = Path(__file__).parents[1]
LIVE = ROOT / "build" / "live"
PAGES = (
    "*.md",
    "docs/**/*",
    "benchmarks/README.md",
    "benchmarks/results/*",
    "examples/**/*.py",
    "examples/**/*.ipynb",
    "CITATION.cff",
    "Dockerfile",
    "compose.yaml",
    "deploy/prometheus.yml",
    "LICENSE",
    "src/sssd/server/static/font/OFL.txt",
)
NOT_REFERENCE = (
    "__main__",
    "cli",
    "engine/kernels",
)  # commands are described by --help; kernels are written in Triton


def modules(package: Path = ROOT / "src" / "sssd") -> dict[str, list[str]]:
    """The public modules, by the name of the page that describes them."""
    pages: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        inner = path.relative_to(package).with_suffix("").as_posix().removesuffix("__init__").rstrip("/")
        if any(inner == left or inner.startswith(f"{left}/") for left in NOT_REFERENCE):
            continue
        name = ".".join(("sssd", *inner.split("/"))).rstrip(".")
        pages.setdefault(".".join(name.split(".")[:2]), []).append(name)
    return pages


def on_config(config: Any) -> Any:
    """Complete the navigation with the decisions and the reference."""
    for entry in config.nav:
        if "Decisions" in entry:
            found = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
            entry["Decisions"] = [f"docs/decisions/{name}" for name in sorted(found, key="README.md".__ne__)]
        if "Reference" in entry:
            entry["Reference"] = [{name: f"reference/{name}.md"} for name in sorted(modules())]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Take the pages of the repository and the reference, and what the theme brings."""
    site = [file for file in files if file.src_dir != config.docs_dir]
    for path in sorted({path for pattern in PAGES for path in ROOT.glob(pattern) if path.is_file()}):
        site.append(
            File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls)
        )
    for page, names in modules().items():
        text = f"# {page}\n\n" + "\n\n".join(f"::: {name}" for name in names) + "\n"
        site.append(File.generated(config, f"reference/{page}.md", content=text))
    for path in sorted(path for path in LIVE.rglob("*") if path.is_file()):
        name = path.relative_to(LIVE.parent).as_posix()
        site.append(File(name, str(LIVE.parent), config.site_dir, config.use_directory_urls))
    return Files(site)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leave out the mark of blocks that tests/test_docs.py does not run, with which they would be no blocks here."""
    return re.sub(r"^(```\w+) no-run$", r"\1", markdown, flags=re.MULTILINE)


def on_nav(nav: Navigation, config: Any, files: Files) -> Navigation:
    """Lead to the page that generates in the browser."""
    if LIVE.exists():
        nav.items.insert(1, Link("Generate ECGs here", "live/index.html"))
    return nav
