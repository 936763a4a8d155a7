"""Models in the form of the Hugging Face Hub: folders, cards, and a stand-in for the Hub that speaks HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sssd import SSSDECG
from sssd.checkpoints.card import measured
from sssd.cli import main
from sssd.config.schema import parse_config
from sssd.hub import as_address, as_name

from .hub import StandIn, stand_in

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "tests/golden/sssd_ecg_small.pkl"
RESULT = ROOT / "benchmarks/results/model_standard_cpu.json"
huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def model() -> SSSDECG:
    return SSSDECG.from_pretrained(SMALL)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    from huggingface_hub import constants

    with stand_in() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setattr("time.sleep", lambda _: None)  # the client tries again, seconds later
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.chdir(tmp_path)
        yield server


def _same(one: SSSDECG, other: SSSDECG) -> bool:
    return one.model_hash == other.model_hash and one.config == other.config


def test_a_folder_comes_back(model: SSSDECG, tmp_path: Path) -> None:
    """Broken by a folder that is not looked into, or files that are overwritten unasked (seen: both)."""
    folder = model.save_pretrained(tmp_path / "mine")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert _same(SSSDECG.from_pretrained(folder), model)
    assert parse_config((folder / "config.json").read_text(), "config.json") == model.config
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="overwrite=True"):
        SSSDECG.from_pretrained().save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    model.save_pretrained(folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_weights_are_pinned_by_their_hash(model: SSSDECG) -> None:
    """Broken by a hash that is not compared (seen)."""
    assert _same(SSSDECG.from_pretrained(SMALL, sha256=model.model_hash.upper()), model)
    with pytest.raises(ValueError, match=f"have the SHA-256 {model.model_hash}; expected 00"):
        SSSDECG.from_pretrained(SMALL, sha256="00" * 32)


def test_the_card_as_the_hub_reads_it(model: SSSDECG, tmp_path: Path) -> None:
    """Broken by a figure of another key, or by front matter that does not begin the file (seen: both)."""
    ours = SSSDECG.from_pretrained()
    folder = ours.save_pretrained(tmp_path / "ours", name="org/ours", measurements=RESULT)
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.library_name) == ("mit", "sssd-ecg")
    result = json.loads(RESULT.read_text())
    found = {one.metric_name: one.metric_value for one in card.data.eval_results}
    assert found["Frechet distance"] == result["fidelity"]["frechet_distance"]
    assert found["AUC of the requested statements"] == result["adherence"]["macro_auc"]["mean"]
    missing = 2 if result["utility"] is None else 0
    assert len(found) == 5 - missing and ours.model_hash in card.text and "PTB-XL" in card.text
    own = model.save_pretrained(tmp_path / "own") / "README.md"
    assert huggingface_hub.ModelCard.load(own).data.license == "unknown"


def test_measurements_that_are_none(model: SSSDECG, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"about": {}}')
    with pytest.raises(
        ValueError, match=r"a\.json' is no file of `sssd-ecg evaluate --json`: KeyError 'records'"
    ):
        model.save_pretrained(tmp_path / "new", measurements=tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        measured(tmp_path / "none.json")
    assert not (tmp_path / "new").exists()


def test_up_to_the_hub_and_back(model: SSSDECG, hub: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    """Broken by weights of another model, or by a revision that is not passed on (seen: both)."""
    address = model.push_to_hub("org/small", token="hf_test", measurements=RESULT)
    assert address.startswith(f"{hub.address}/org/small/commit/")
    assert set(hub.models["org/small"]["main"]) == {"README.md", "config.json", "model.safetensors"}
    assert _same(SSSDECG.from_pretrained("org/small"), model)
    pinned = address.rpartition("/")[2]
    other = SSSDECG.from_pretrained()
    other.push_to_hub("org/small", token="hf_test", revision="next")
    assert _same(SSSDECG.from_pretrained("org/small", revision="next"), other)
    other.push_to_hub("org/small", token="hf_test")
    assert _same(SSSDECG.from_pretrained("org/small"), other)
    assert _same(SSSDECG.from_pretrained(f"hf://org/small@{pinned}"), model)
    ask = ["generate", "--checkpoint", f"hf://org/small@{pinned}", "--label", "NORM", "--steps", "1", "-q"]
    assert main([*ask, "--out", "made"]) == 0
    made = json.loads(Path("made/manifest.json").read_text())
    assert (made["model"], made["checkpoint"]) == (model.model_hash, f"hf://org/small@{pinned}")
    assert main(["inspect", f"hf://org/small@{pinned}"]) == 0 and model.model_hash in capsys.readouterr().out


def test_what_is_here_wins(model: SSSDECG, hub: StandIn) -> None:
    """Broken by asking the Hub first (seen)."""
    model.save_pretrained("org/name")
    assert _same(SSSDECG.from_pretrained("org/name"), model)
    assert _same(SSSDECG.from_pretrained(Path("org/name")), model)
    with pytest.raises(FileNotFoundError, match="no checkpoint at org/other"):
        SSSDECG.from_pretrained(Path("org/other"))  # a Path is a path
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at org/other\.pkl"):
        SSSDECG.from_pretrained("org/other.pkl")
    SSSDECG.from_pretrained()
    assert hub.requests == []


def test_without_a_connection(
    model: SSSDECG, hub: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the cache is read. Broken by an error of the library that is passed on (seen)."""
    model.push_to_hub("org/small", token="hf_test")
    SSSDECG.from_pretrained("org/small")
    asked = len(hub.requests)
    assert _same(SSSDECG.from_pretrained("org/small", local_files_only=True), model)
    assert len(hub.requests) == asked
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert _same(SSSDECG.from_pretrained("org/small"), model)
    for how in ({}, {"local_files_only": True}):
        with pytest.raises(
            OSError, match="'org/new' is not in the local cache, and the Hub cannot be reached"
        ):
            SSSDECG.from_pretrained("org/new", **how)
    assert main(["generate", "--checkpoint", "hf://org/new", "--label", "NORM", "--out", "made"]) == 2
    assert capsys.readouterr().err.startswith("sssd-ecg: 'org/new' is not in the local cache")
    with pytest.raises(OSError, match="'org/new' could not be written to the Hub"):
        model.push_to_hub("org/new", token="hf_test")


def test_another_cache(model: SSSDECG, hub: StandIn, tmp_path: Path) -> None:
    """Broken by a folder that is not passed on (seen)."""
    model.push_to_hub("org/small", token="hf_test")
    assert _same(SSSDECG.from_pretrained("org/small", cache_dir=tmp_path / "mine"), model)
    assert list((tmp_path / "mine").rglob("model.safetensors")) and not (tmp_path / "cache").exists()
    assert _same(
        SSSDECG.from_pretrained("org/small", cache_dir=tmp_path / "mine", local_files_only=True), model
    )


def test_what_the_hub_does_not_have(model: SSSDECG, hub: StandIn) -> None:
    hub.put("org/other", {"README.md": b"text"})
    for name, how, message in (
        ("org/none", {}, "no file or folder 'org/none' here, and no model of this name at the Hub"),
        ("org/other", {}, r"holds no model\.safetensors: it is no model of sssd-ecg"),
        ("org/other", {"revision": "v2"}, "'org/other' of the Hub has no revision 'v2'"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            SSSDECG.from_pretrained(name, **how)
    with pytest.raises(ValueError, match="revision is 'v2', and None is no model at the Hugging Face Hub"):
        SSSDECG.from_pretrained(revision="v2")
    with pytest.raises(ValueError, match="revision is 'v2', and 'hf://org/small@v1' names 'v1': give one"):
        SSSDECG.from_pretrained("hf://org/small@v1", revision="v2")
    hub.put("org/bad", {"model.safetensors": b"no safetensors"})
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        SSSDECG.from_pretrained("org/bad")
    hub.token = "hf_right"
    with pytest.raises(OSError, match="'org/small' could not be written to the Hub: .*403"):
        model.push_to_hub("org/small", token="hf_wrong")


def test_names() -> None:
    assert as_address("hf://org/name@v1/a") == ("org/name", "v1/a")
    assert as_address(Path("hf://org/name")) == ("org/name", None)
    for other in ("org/name", "hf://name", "https://x/y", "hf://a/b/c", "hf://../b"):
        assert as_address(other) is None
    assert as_name("org/name") == ("org/name", None)
    for other in ("name", "a/b/c", "../name", "/org/name", "org/name.pt", ROOT, None):
        assert as_name(other) is None


def test_generated_records_are_the_same(model: SSSDECG, tmp_path: Path) -> None:
    """A folder gives the records of the file that it was made of."""
    again = SSSDECG.from_pretrained(model.save_pretrained(tmp_path / "m"))
    how = {"ddim_timesteps": 2, "seed": 3}
    np.testing.assert_array_equal(again.generate("NORM", **how), model.generate("NORM", **how))
