"""The documentation site builds without a warning, describes every public name and fetches nothing from elsewhere."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("material", reason="needs mkdocs-material: pip install '.[docs]'")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[1]
SOURCES = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
}
NAMES = ("canonical", "prev", "next", "alternate")  # links that a browser does not load


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built strictly: a broken link, a missing anchor or an odd docstring is an error.

    With --quiet, MkDocs would count no warnings, and build a site with broken links (seen).
    """
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Page(HTMLParser):
    """The anchors of a page and the addresses that a browser loads for it."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.loaded = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id"))
        if tag in SOURCES and given.get("rel") not in NAMES:
            self.loaded.append(given.get(SOURCES[tag]) or "")


def elsewhere(address):
    return re.match(r"(?:[a-z]+:)?//|https?:", address, re.IGNORECASE) is not None


def public_names(path):
    """The names that a module defines, or lists in `__all__`, and that do not begin with an underscore."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            names += [n.id for n in ast.walk(target) if isinstance(n, ast.Name)] if target is not None else []
            if isinstance(target, ast.Name) and target.id == "__all__":
                names += [name for name in ast.literal_eval(node.value) if name.isidentifier()]
    return {name for name in names if not name.startswith("_")}


def module_file(name):
    inner = ROOT / "src" / Path(*name.split("."))
    return inner / "__init__.py" if inner.is_dir() else inner.with_suffix(".py")


@pytest.fixture
def docs_site():
    """The hooks of the site, as a module."""
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "scripts" / "docs_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_in_the_reference(site, docs_site):
    pages = docs_site.modules()
    missing, seen = [], 0
    for page, modules in pages.items():
        anchors = Page(site / "reference" / f"{page}.html").anchors
        for module in modules:
            names = {f"{module}.{name}" for name in public_names(module_file(module))}
            seen += len(names)
            missing += sorted(names - anchors)
    assert not missing
    assert {"sssd", "sssd.model_wrapper", "sssd.samplers", "sssd.io", "sssd.labels"} <= set(pages)
    assert seen > 500


def test_blocks_are_shown_as_blocks(site):
    """Broken by a mark of tests/test_docs.py that stays in the text (seen)."""
    pages = {path: path.read_text(encoding="utf-8") for path in (site / "docs").rglob("*.html")}
    assert "load_dataset" in pages[site / "docs/corpora.html"]
    assert not [path for path, text in pages.items() if "no-run" in text or "<p>```" in text]


def test_nothing_is_fetched_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    loaded = {(path.name, address) for path in pages for address in Page(path).loaded}
    assert len(pages) > 40
    assert len(loaded) > 100
    assert not [found for found in loaded if elsewhere(found[1])]
    for style in site.rglob("*.css"):
        fetched = re.findall(r"(?:@import\s+|url\()\s*[\"']?([^\"')\s]+)", style.read_text(encoding="utf-8"))
        assert not [address for address in fetched if elsewhere(address)], style


def test_the_search_works_without_a_server(site):
    """The index is a script beside the pages, and the shim that runs the search from a file is one of ours."""
    script = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    index = json.loads(script.removeprefix("var __index = "))
    titles = {entry["location"] for entry in index["docs"]}
    assert "reference/sssd.samplers.html#sssd.samplers.table.StepTable" in titles
    assert any(location.startswith("docs/ddim.html#") for location in titles)
    assert "docs/assets/iframe-worker.js" in Page(site / "index.html").loaded
    assert (site / "docs/assets/iframe-worker.js").is_file()


def test_the_site_leads_to_the_page_that_generates(docs_site, tmp_path, monkeypatch):
    """Where it was written, and only there; broken by a workflow that writes it elsewhere (seen: all)."""
    from mkdocs.config import load_config
    from mkdocs.structure.files import Files
    from mkdocs.structure.nav import Link, Navigation

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
    workflow = (ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8")
    monkeypatch.setattr(docs_site, "PAGES", ())
    monkeypatch.setattr(docs_site, "modules", dict)
    steps = re.findall(r"- run: (sssd-ecg page --static|python -m mkdocs build)(?: (build/\S+))?", workflow)
    assert steps[0][1] and ROOT / steps[0][1] == docs_site.LIVE and len(steps) == 2
    for live in (tmp_path / "absent", tmp_path / "live"):
        monkeypatch.setattr(docs_site, "LIVE", live)
        files = docs_site.on_files(Files([]), config)
        nav = docs_site.on_nav(Navigation([Link("Home", "README.md")], []), config, files)
        there = live.name == "live"
        assert [item.url for item in nav.items] == ["README.md", *["live/index.html"] * there]
        assert sorted(uri for uri in files.src_uris if uri.startswith("live")) == (
            ["live/index.html", "live/js/main.js"] if there else []
        )
        (tmp_path / "live" / "js").mkdir(parents=True, exist_ok=True)
        for name in ("index.html", "js/main.js"):
            (tmp_path / "live" / name).write_text("<p>")
    files.copy_static_files()
    assert (tmp_path / "site/live/js/main.js").read_text() == "<p>"


def test_addresses_elsewhere_are_told_apart():
    found = [
        elsewhere(a) for a in ("//x.org/a.js", "https://x.org", "HTTP://x.org/a", "a/b.js", "data:image/png,")
    ]
    assert found == [True, True, True, False, False]
