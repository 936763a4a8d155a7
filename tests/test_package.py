"""The package as its users meet it: its names, its types, its command, and `src.sssd` from the repository root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sssd
from sssd.cli import main

ROOT = Path(__file__).resolve().parents[1]


def _python(code: str, cwd: Path = ROOT, path: str = "", *options: str) -> str:
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WITHOUT_SSSD = """
import sys
from pathlib import Path
sys.path = [p for p in sys.path if not p or not (Path(p) / "sssd").is_dir()]
"""

SAME = """
import importlib
assert src.sssd is sssd and sssd.__spec__.name == "sssd" and sssd.__name__ == "sssd"
for name in ("record", "config.schema", "io.files"):
    one, other = importlib.import_module("sssd." + name), importlib.import_module("src.sssd." + name)
    assert one is other, name
    assert one.__spec__.name == one.__name__ == "sssd." + name, one.__spec__
from src.sssd import Ecg
from src.sssd.config.schema import Config
import sssd.config.schema
assert Ecg is sssd.Ecg and Config is sssd.config.schema.Config
print(sssd.__file__)
"""


@pytest.mark.parametrize(
    ("installed", "first"),
    [
        ("absent", "import src.sssd.io.files; import src.sssd, sssd"),
        ("here", "from src.sssd.config.schema import Config; import src.sssd, sssd"),
        ("elsewhere", "import src.sssd, sssd"),
        ("elsewhere", "import sssd, src.sssd"),
    ],
)
def test_src_sssd_is_sssd(installed: str, first: str, tmp_path: Path) -> None:
    """Broken by a second copy of any class, whichever is imported first and wherever `sssd` is installed (seen)."""
    if installed == "elsewhere":
        (tmp_path / "sssd").symlink_to(ROOT / "src" / "sssd")
    path = {"absent": "", "here": str(ROOT / "src"), "elsewhere": str(tmp_path)}[installed]
    found = _python((WITHOUT_SSSD if installed == "absent" else "") + first + SAME, path=path)
    theirs = installed == "elsewhere" and first.startswith("import sssd")
    assert Path(found).parents[1] == (tmp_path if theirs else ROOT / "src")


def test_the_names_of_sssd_ecg() -> None:
    """What its users import, without an installed package."""
    code = (
        "from src.sssd.model_wrapper import SSSDECG\nimport src.sssd.utils.util as util\nimport sssd\n"
        "import sssd.utils.util\nprint(SSSDECG is sssd.SSSDECG and util is sssd.utils.util)"
    )
    assert _python(WITHOUT_SSSD + code) == "True"


def test_src_sssd_runs_as_a_module() -> None:
    """Broken by an alias that `python -m` cannot ask for its code (seen)."""
    done = subprocess.run(
        [sys.executable, "-m", "src.sssd", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"sssd-ecg {sssd.__version__}"), done.stderr


def test_a_module_that_does_not_exist() -> None:
    code = (
        "try:\n    import src.sssd.nothing\nexcept ModuleNotFoundError as error:\n    print(error)\n"
        "try:\n    import src.other\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    )
    assert _python(code).splitlines() == ["No module named 'src.sssd.nothing'", "No module named 'src.other'"]


def test_an_object_of_src_sssd_is_accepted_by_sssd() -> None:
    code = (
        "from src.sssd.config.schema import Config\nfrom sssd import SSSDECG\n"
        "small = {'num_res_layers': 1, 'res_channels': 8, 'skip_channels': 8, 's4_lmax': 64, 's4_d_state': 4}\n"
        "config = Config.model_validate({'wavenet_config': small})\n"
        "print(SSSDECG(config, device='cpu').config is config)"
    )
    assert _python(code, path=str(ROOT / "src")) == "True"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the module, the command and `python -m`; and the one that CITATION.cff names."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sssd-ecg {sssd.__version__}\n"
    assert f"\nversion: {sssd.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for arguments, expected in (
        (["--version"], f"sssd-ecg {sssd.__version__}"),
        (["labels", "AFIB"], "AFIB"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "sssd", *arguments], env=env, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, expected in done.stdout) == (0, True), done.stderr


USER_SCRIPT = """
from sssd import SSSDECG, Ecg

def save(model: SSSDECG) -> list[Ecg]:
    ecgs = model.generate_ecgs("AFIB", seed=1)
    ecgs[0].save("a.hea", overwrite=True)
    return ecgs

ecg: Ecg = save(SSSDECG.from_pretrained())[0]
rate: str = ecg.fs_hz
"""


@pytest.mark.slow
def test_types_reach_users(tmp_path: Path) -> None:
    """mypy sees the types of the installed package: it finds the one mistake. Broken by leaving py.typed out (seen)."""
    pytest.importorskip("mypy")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sssd").symlink_to(ROOT / "src" / "sssd")
    (tmp_path / "user.py").write_text(USER_SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    (error,) = [line for line in done.stdout.splitlines() if "error:" in line]
    assert error.startswith("user.py:10: error: Incompatible types in assignment"), done.stdout + done.stderr
    assert 'expression has type "float"' in error
