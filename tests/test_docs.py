"""What README.md and docs/ show runs as it stands, with the built-in model.

Blocks of one page run in order and share their names, as a reader would type them. `python` blocks run here; `sh` and
`bash` blocks run where every line begins with sssd-ecg, in a folder with the files that the pages speak of. A block
marked no-run (```python no-run) is left out. Training stops before its first iteration, a benchmark measures little.

The fast tests run every line of every page once, in this process, and train a small network. The slow ones run the same
lines in processes of their own, with the network that the page names.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sssd.cli import main
from sssd.data.recordings import Recordings, write
from sssd.labels import CODES
from sssd.presets import OF_S4, PRESETS
from sssd.samplers import SAMPLERS
from sssd.schedule import SPACINGS
from tests.test_data import ptbxl, table, write_wfdb

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(python|sh|bash)[ ]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = "import sys; from sssd.cli import main; sys.exit(main())"
SMALL = {"num_res_layers": 2, "res_channels": 32, "skip_channels": 32, "s4_d_state": 8}


def blocks(page):
    """(language, first line, text) of each block to run."""
    text = page.read_text(encoding="utf-8")
    found = [(m[1], text.count("\n", 0, m.start()) + 2, m[2]) for m in FENCE.finditer(text)]
    return [(kind, line, code) for kind, line, code in found if kind == "python" or is_command(code)]


def is_command(code):
    return all(line.startswith("sssd-ecg ") for line in commands(code))


def commands(code):
    return code.replace("\\\n", " ").strip().splitlines()


def arguments(command):
    """The arguments of a command as a test gives them: on the CPU, and for no longer than it must."""
    given = shlex.split(command, comments=True)[1:]
    given += ["--accelerator", "cpu", "--max-minutes", "0"] if given[0] == "train" else []
    given += ["--only", "builtin", "--seconds", "0"] if given[0] == "benchmark" else []
    return given


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


def small_configurations(folder):
    """Those that ship, for a network and batches small enough to be tried in a second."""
    folder.mkdir()
    for path in (ROOT / "src/sssd/config").glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "wavenet_config" in content:
            content["wavenet_config"].update(SMALL)
        if "transformer_config" in content:
            content["transformer_config"].update(width=32, layers=1, heads=2, embed=16)
        if "train_config" in content:
            content["train_config"]["batch_size"] = 2
        (folder / path.name).write_text(json.dumps(content), encoding="utf-8")


def in_this_process(command, folder, capsys):
    """(exit code, what was printed) of a command, with small configurations in place of those that it names."""
    given = arguments(command)
    if "--config" in given:
        at = given.index("--config") + 1
        given[at] = str(folder / f"{given[at]}.json")
    capsys.readouterr()
    code = main(given)
    return code, "".join(capsys.readouterr())


def in_its_own_process(command):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments(command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def run(page, tell):
    """Fails when a name, an argument or an option in the text is not what the code has."""
    names = {"__name__": "__main__"}
    for kind, line, code in blocks(page):
        if kind == "python":
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
            continue
        for command in commands(code):
            returned, told = tell(command)
            assert returned == 0, f"{page.name}, line {line}: {command}\n{told}"


every_page = pytest.mark.parametrize(
    "page", [p for p in PAGES if p.exists() and blocks(p)], ids=lambda p: str(p.relative_to(ROOT))
)


@every_page
def test_examples_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    small_configurations(tmp_path / "configurations")
    run(page, lambda command: in_this_process(command, tmp_path / "configurations", capsys))


@pytest.mark.slow
@every_page
def test_examples_run_as_a_reader_runs_them(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    run(page, in_its_own_process)


def test_blocks_are_found():
    """Fails when the pattern no longer sees a block, or runs one that is marked."""
    text = "```python no-run\nboom\n```\n\n```sh\nsssd-ecg labels\n```\n\n```python\nx = 1\n```\n```sh\nls\n```\n"
    found = [(m[1], m[2]) for m in FENCE.finditer(text)]
    assert found == [("sh", "sssd-ecg labels\n"), ("python", "x = 1\n"), ("sh", "ls\n")]
    assert [is_command(code) for kind, code in found if kind == "sh"] == [True, False]


def test_the_page_of_the_flow_names_files_that_exist():
    """Fails when a module moves and docs/flow.md does not follow, or when the page leaves out a folder."""
    page = (ROOT / "docs/flow.md").read_text(encoding="utf-8")
    package = ROOT / "src/sssd"
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", page)) - {"src/sssd/model_wrapper.py"}
    assert len(named) > 30
    assert not [name for name in named if not (package / name).exists()]
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert not [name for name in folders if f"`{name}/" not in page]


def named(page, heading):
    """The first names in backquotes of the rows below a heading: {name: row}, with every name of a first cell."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [
        line
        for line in re.sub(r"^\|.*\n(?=\|-)", "", text, flags=re.MULTILINE).splitlines()
        if line[:3] == "| `"
    ]
    return {
        name.strip('"'): line for line in lines for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    }


def test_the_page_on_samplers_names_what_there_is():
    """Broken by a sampler or a spacing that the page leaves out, and by another number of steps (seen: all)."""
    assert set(named("samplers.md", "The samplers")) == set(SAMPLERS)
    assert set(named("samplers.md", "Settings of every sampler")) == set(SPACINGS)
    rows = named("samplers.md", "The qualities")
    assert set(rows) == set(PRESETS)
    for name, row in rows.items():
        of = [PRESETS[name], OF_S4.get(name)]
        said = [(found[1], int(found[2])) for found in re.finditer(r"`([\w-]+)`, (\d+) steps", row)]
        assert said == [(one.sampler, one.steps) for one in of if one is not None]


def test_the_pages_of_the_service_name_every_key_and_setting():
    """Broken by a key that a page leaves out or that is gone, and by another default (seen: all)."""
    pytest.importorskip("fastapi")
    from sssd.server.asked import GenerateRequest
    from sssd.server.settings import Settings

    assert set(named("server.md", "What a request holds")) == set(GenerateRequest.model_fields)
    rows = named("operations.md", "Settings")
    assert set(rows) == set(Settings.model_fields)
    for line in set(rows.values()):
        names, said = (cell.strip() for cell in line.split(" | ")[:2])
        names, said = re.findall(r"`([^`]+)`", names), said.split(", ")
        defaults = [Settings.model_fields[name].default for name in names]
        if names not in (["key_sha256"], ["batch_records"]):  # no keys; by the device
            told = [format(of, "g") if isinstance(of, float) else str(of) for of in defaults]
            assert said == [one.lower() if one in ("True", "False") else one for one in told]


def test_the_page_on_running_the_service_names_every_metric():
    """Broken by a metric that the page leaves out (seen)."""
    metrics = pytest.importorskip("sssd.server.metrics").Metrics(lambda: 0.0, {"version": "0"})
    told = re.findall(
        r"^# TYPE (sssd_\w+?)(?:_total|_info|_created)? ", metrics.text().decode(), re.MULTILINE
    )
    assert set(named("operations.md", "Metrics")) == set(told)


def test_the_first_steps_of_the_service_run(tmp_path):
    """Broken by a key or a route that the service does not have, and by another number of records (seen: all)."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    from sssd import SSSDECG
    from tests.service import service

    page = (ROOT / "docs/server.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = page.split("## First steps")[1].split("```")[1].splitlines()
    asks = [shlex.split(line[2:]) for line in lines if line.startswith("$ ")]
    answers = []
    with service(SSSDECG.from_pretrained(device="cpu"), "builtin") as up:
        for ask in asks:
            called = [ask[0], "--fail", *(part.replace("localhost:8000", up.url) for part in ask[1:])]
            done = subprocess.run(called, cwd=tmp_path, capture_output=True, timeout=60)
            assert done.returncode == 0, (ask, done.stderr)
            answers.append(done.stdout)
    assert (tmp_path / "afib.png").read_bytes()[:4] == b"\x89PNG"
    assert [one["requested"] for one in json.loads(answers[1])["records"]] == ["AFIB"]
    with zipfile.ZipFile(tmp_path / "ecgs.zip") as archive:
        assert len([name for name in archive.namelist() if name.endswith(".hea")]) == 8
    assert len(json.loads(answers[3])) == 71


def test_the_pages_that_the_code_names_exist():
    """Broken by a page that is renamed and still named in a docstring or in the help of a command (seen)."""
    files = [ROOT / "compose.yaml", ROOT / "Dockerfile"]
    for folder, pattern in (
        ("src", "*.py"),
        ("src", "*.js"),
        ("scripts", "*"),
        ("benchmarks", "*.py"),
        ("examples", "*"),
    ):
        files += [path for path in (ROOT / folder).rglob(pattern) if path.is_file()]
    named = {page for path in files for page in re.findall(rb"\bdocs/[\w/-]+\.md\b", path.read_bytes())}
    assert len(named) > 10
    assert not [page for page in named if not (ROOT / page.decode()).exists()]
