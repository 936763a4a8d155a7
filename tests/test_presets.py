"""The names of the built-in model, and the qualities of any model."""

from pathlib import Path
from typing import Any

import pytest

from sssd.config.schema import Config
from sssd.presets import (
    OF_S4,
    PRESETS,
    WEIGHTS,
    Preset,
    check_alone,
    checkpoint_file,
    is_builtin,
    is_shipped,
    presets_of,
)
from sssd.sampling import Sampling

TRANSFORMER: dict[str, Any] = {"diffusion_config": {"prediction": "v"}, "transformer_config": {}}


SIX = {
    "steps": [199, 120, 100, 90, 80, 60],
    "eta": [0.3] * 5 + [0.0],
    "slope": [0.0] * 6,
    "before": [0.0] * 6,
}


def config(*, transformer: bool = True, **sampling: Any) -> Config:
    return Config.model_validate({**(TRANSFORMER if transformer else {}), "ddim_config": sampling})


@pytest.mark.parametrize("name", [None, "builtin", "default", "built-in", Path("builtin")])
def test_every_name_of_the_built_in_model(name: Any) -> None:
    """Fails when one of the names that earlier versions wrote is no longer known, or is taken for a path."""
    assert checkpoint_file(name) == WEIGHTS and WEIGHTS.is_file()
    assert is_shipped(name) and (name is None or is_builtin(str(name)))


def test_other_weights_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a file of the user's is taken for weights of earlier versions."""
    assert checkpoint_file(Path("folder/builtin")) == Path("folder/builtin")
    assert not is_shipped("few-step") and not is_builtin("folder/builtin")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few-step").mkdir()
    (tmp_path / "few-step" / "model.safetensors").touch()
    assert checkpoint_file("few-step") == Path("few-step/model.safetensors")


@pytest.mark.parametrize(("name", "quality"), [("few-step", "standard"), ("one-step", "draft")])
def test_weights_of_earlier_versions(
    name: str,
    quality: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fails when they are taken for a path that does not exist, or the message does not say what to use."""
    from sssd.cli import main

    monkeypatch.chdir(tmp_path)
    for call in (
        ["generate", "--label", "AFIB", "--checkpoint", name, "--out", "x"],
        ["corpus", "create", "--counts", "AFIB=1", "--checkpoint", name, "--out", "x"],
        ["export", name, "--out", "x.onnx"],
        ["inspect", name],
    ):
        assert main(call) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert (
            f"the quality {quality!r} of the built-in model takes their place" in line
            and "one set of weights" in line
        )
    assert list(tmp_path.iterdir()) == []


def test_the_built_in_model_has_all_qualities() -> None:
    """Each names a sampler with its steps. Fails when a sampler is renamed, or a gain is missing."""
    from sssd import SSSDECG

    model = SSSDECG.from_pretrained(device="cpu")
    assert presets_of(model.config) == PRESETS
    for name, preset in PRESETS.items():
        table = model.step_table(quality=name)
        assert (table.name, table.S, table.settings.get("eta")) == (preset.sampler, preset.steps, preset.eta)
        assert (table.gain != 1.0).any()
    assert model.step_table().key == model.step_table(quality="standard").key
    assert model.step_table(steps=8).key == model.step_table(quality="draft").key


def test_qualities_are_samplers_of_the_model() -> None:
    """Fails when an S4 network has the qualities of a transformer, or a quality takes more steps than there are."""
    assert presets_of(config()) == PRESETS
    assert presets_of(config(transformer=False)) == OF_S4
    few = config(transformer=False, sampler="consistency", ddim_timesteps=4)
    assert presets_of(few) == {"standard": Preset("consistency", 4)}
    short = Config.model_validate({"diffusion_config": {"T": 15}, "ddim_config": {"ddim_timesteps": 5}})
    assert [of.steps for of in presets_of(short).values()] == [15, 15]


def test_what_a_model_does_unless_told() -> None:
    """Fails when a transformer does not run its standard, or a sampler that is named is not heeded."""

    def sampled(of: Config, **asked: Any) -> tuple[Any, ...]:
        found = Sampling.of(**asked).resolve(of)
        return found.sampler, found.steps, found.eta, found.spacing

    standard = PRESETS["standard"]
    assert sampled(config()) == (standard.sampler, standard.steps, None, "karras")
    assert sampled(config(sampler="unipc", ddim_timesteps=8)) == ("unipc", 8, None, "trailing")
    assert sampled(config(transformer=False)) == ("ddim", 50, 0.0, "uniform")
    assert sampled(config(transformer=False, use_ddim=False)) == ("ddpm", 200, None, None)
    assert sampled(config(fits=[SIX])) == sampled(config())
    assert sampled(config(fits=[SIX]), steps=6) == ("fitted", 6, None, None)
    assert sampled(config(), steps=30) == ("sde-dpmpp-2m", 30, None, "karras")
    assert sampled(config(), steps=23) == ("sde-ode-dpmpp-2m", 23, None, "karras")
    assert sampled(config(), steps=30, spacing="uniform") == ("sde-dpmpp-2m", 30, None, "uniform")
    assert sampled(config(), sampler="sde-dpmpp-2m", steps=30) == ("sde-dpmpp-2m", 30, None, "trailing")
    for wrong in ("20", 2.5, 0):  # Fails when steps are compared before they are checked.
        with pytest.raises(ValueError, match="^steps is .*: expected 1..200, a whole number"):
            sampled(config(), steps=wrong, spacing="uniform")
    assert sampled(config(), use_ddim=False) == ("ddpm", 200, None, None)
    assert sampled(config(), ddim_timesteps=10) == ("ddim", 10, 0.0, "uniform")
    assert sampled(config(), quality="best") == ("sde-dpmpp-2m", 24, None, "karras")


def test_a_quality_chooses_all_or_nothing() -> None:
    with pytest.raises(ValueError, match="^quality is 'draft': this model has standard and best$"):
        Sampling(quality="draft").resolve(config(transformer=False))
    with pytest.raises(
        ValueError, match=r"^quality is \['draft'\]: this model has draft and standard and best$"
    ):
        Sampling(quality=["draft"]).resolve(config())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^quality chooses ddim_eta itself: give one of the two$"):
        Sampling.of(quality="draft", ddim_eta=0.0)
    with pytest.raises(ValueError, match="^--quality chooses --eta itself"):
        check_alone("best", prefix="--", steps=None, eta=0.0)
    check_alone(None, steps=3)


@pytest.mark.parametrize("name", ["builtin", "built-in", "default"])
def test_the_command_line_knows_every_name(name: str) -> None:
    """Fails when a name is taken for a checkpoint of the user's, for which nothing is said about rare statements."""
    from sssd.cli import options

    nothing = {"sampler": None, "steps": None, "eta": None, "spacing": None}
    assert options.sampling(None, checkpoint=Path(name), **nothing) == (None, {**nothing, "quality": None})
    mine = Path("mine.safetensors")
    assert options.sampling("draft", checkpoint=mine, **nothing) == (mine, {**nothing, "quality": "draft"})
