"""Image, compose file, workflows and conda recipe: their tools accept them, and they agree with the package.

What is not installed (hadolint, actionlint, rattler-build, a Docker daemon) is skipped.
"""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sssd.cli import main
from sssd.version import __version__

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # of packages that conda calls otherwise

yaml = pytest.importorskip("yaml")


def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _tool(name: str) -> str | None:
    """Return the path of a program that is installed beside Python or on the path."""
    beside = os.path.dirname(sys.executable)
    return shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))


HADOLINT, ACTIONLINT = _tool("hadolint"), _tool("actionlint")


def _docker() -> bool:
    """Whether a Docker daemon answers."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _options(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that the command line has the command and the options of these arguments."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main([arguments[0], "--help"]) == 0
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    assert {text for text in arguments if text.startswith("--")} <= known


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint")
def test_the_dockerfile_by_hadolint() -> None:
    """Broken by an apt-get without cleaning up (seen)."""
    assert HADOLINT is not None
    assert _run(HADOLINT, "--no-color", "Dockerfile") == ""


def test_the_image_is_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stages, another user than root, a health check, files that exist. Broken by each of these (seen)."""
    text = _dockerfile()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    users = re.findall(r"^USER (\S+)", stages[-1], re.MULTILINE)
    assert users == ["1000"] and stages[-1].index("USER") < stages[-1].index("ENTRYPOINT")
    assert re.search(r"^HEALTHCHECK .*/healthz", text, re.MULTILINE)
    assert '"/healthz"' in "".join(p.read_text() for p in (ROOT / "src/sssd/server").rglob("*.py"))
    (listed,) = re.findall(r"^CMD \[(.*)\]$", text, re.MULTILINE)
    command = yaml.safe_load(f"[{listed}]")
    assert command[0] == "serve"
    _options(command, capsys, monkeypatch)
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for sources in re.findall(r"^COPY ((?!--).*) \S+$", text, re.MULTILINE):
        for name in sources.split():
            assert (ROOT / name).exists() and any(fnmatch.fnmatch(name, one) for one in kept), name


@pytest.mark.slow
@pytest.mark.skipif(not _docker(), reason="needs a Docker daemon")
def test_the_image_generates(tmp_path: Path) -> None:
    _run("docker", "build", "--quiet", "--tag", "sssd-ecg-test", ".")
    _run(
        "docker",
        "run",
        "--rm",
        "sssd-ecg-test",
        "generate",
        "--label",
        "NORM",
        "--quality",
        "draft",
        "--out",
        "ecgs",
    )
    assert _run("docker", "run", "--rm", "--entrypoint", "id", "sssd-ecg-test", "-u").strip() == "1000"


def test_compose(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is open to other machines. Broken by a port without an address, or another name of the service (seen)."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert set(services) == {"ecg", "prometheus"}
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    _options(services["ecg"]["command"], capsys, monkeypatch)
    mounted = services["prometheus"]["volumes"][0].split(":")
    (job,) = yaml.safe_load((ROOT / mounted[0]).read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["ecg:8000"]}] and job["metrics_path"] == "/metrics"
    if (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        _run("docker", "compose", "config", "--quiet")


@pytest.mark.skipif(ACTIONLINT is None, reason="needs actionlint")
def test_workflows_by_actionlint() -> None:
    """Broken by an expression that names nothing, or an action whose runtime is no more (seen: both)."""
    assert ACTIONLINT is not None
    assert _run(ACTIONLINT, "-no-color", *map(str, WORKFLOWS)) == ""


def test_workflows() -> None:
    """They may read only, but for what they publish, and install what pyproject.toml has. Broken by each (seen)."""
    assert [path.stem for path in WORKFLOWS] == ["docs", "release", "tests"]
    extras = set(re.findall(r"^([\w-]+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        content: dict[str, Any] = yaml.safe_load(text)
        assert content["permissions"]["contents"] == "read"
        for job in content["jobs"].values():
            assert 0 < job["timeout-minutes"] <= 45
            for step in job["steps"]:
                assert ("uses" in step) != ("run" in step)
                assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step["uses"])
        for named in re.findall(r"-e \"\.\[([\w,]+)\]\"", text):
            assert set(named.split(",")) <= extras
    systems = yaml.safe_load(WORKFLOWS[2].read_text())["jobs"]["test"]["strategy"]["matrix"]["os"]
    assert {name.split("-")[0] for name in systems} == {"ubuntu", "macos", "windows"}


def test_the_conda_recipe_has_the_dependencies_of_the_package() -> None:
    """Broken by a dependency or a lowest version that differs, or by another version (seen: all)."""
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text())
    assert recipe["context"]["version"] == __version__
    project = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    needed = dict(re.findall(r'^    "([\w-]+)>=([\d.]+)"', listed, re.MULTILINE))
    wanted = {CONDA_NAMES.get(name, name): lowest for name, lowest in needed.items()}
    python, *run = recipe["requirements"]["run"]
    assert dict(line.split(" >=") for line in run) == wanted
    assert f'requires-python = ">={python.split(">=")[1]}"' in project
    entry = recipe["build"]["python"]["entry_points"][0].split(" = ")
    assert f'{entry[0]} = "{entry[1]}"' in project


def test_the_conda_recipe_by_rattler_build() -> None:
    """Broken by a key that recipes do not have (seen)."""
    rattler = pytest.importorskip("rattler_build")
    recipe = rattler.Stage0Recipe.from_file(str(ROOT / "conda/recipe.yaml"))
    (rendered,) = recipe.render(rattler.VariantConfig(), rattler.RenderConfig())
    assert "sssd-ecg" in repr(rendered) and __version__ in repr(rendered)
