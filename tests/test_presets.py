"""Presets and the names of the weights that ship."""

from pathlib import Path

import pytest

from sssd.presets import BUILTIN, PRESETS, UNDISTILLED, WEIGHTS, checkpoint_file, choose, is_builtin


@pytest.mark.parametrize("name", [None, "builtin", "default", "built-in", Path("builtin")])
def test_every_name_of_the_built_in_model(name):
    """Fails when one of the names that earlier versions wrote is no longer known, or is taken for a path."""
    assert checkpoint_file(name) == WEIGHTS[BUILTIN] and WEIGHTS[BUILTIN].is_file()
    assert name is None or is_builtin(str(name))


def test_other_weights_are_names_or_paths():
    assert checkpoint_file("few-step") == WEIGHTS["few-step"] != WEIGHTS[BUILTIN]
    assert checkpoint_file(Path("folder/builtin")) == Path("folder/builtin")
    assert not is_builtin("few-step") and not is_builtin("folder/builtin")


def test_presets_can_be_had():
    """Each names weights that ship and a sampler with its steps. Fails when a file or a sampler is renamed."""
    from sssd import SSSDECG

    for preset in (*PRESETS.values(), *UNDISTILLED.values()):
        model = SSSDECG.from_pretrained(preset.weights, device="cpu")
        table = model.step_table(sampler=preset.sampler, steps=preset.steps, ddim_eta=preset.eta)
        assert (table.name, table.S, table.settings.get("eta")) == (preset.sampler, preset.steps, preset.eta)


def test_a_preset_chooses_all_or_nothing():
    assert choose("draft", steps=None, eta=None) is PRESETS["draft"]
    with pytest.raises(ValueError, match="^quality is 'draft': this model has standard and best$"):
        choose("draft", UNDISTILLED)
    with pytest.raises(ValueError, match="^--quality chooses --eta itself"):
        choose("best", prefix="--", steps=None, eta=0.0)


@pytest.mark.parametrize("name", ["builtin", "built-in", "default"])
def test_the_command_line_knows_every_name(name):
    """Fails when a name is taken for a checkpoint of the user's, for which nothing is said about rare statements."""
    from sssd.cli import options

    nothing = {"sampler": None, "steps": None, "eta": None, "spacing": None}
    assert options.sampling(None, checkpoint=Path(name), **nothing) == (None, nothing)
    assert options.sampling("draft", checkpoint=None, **nothing)[0] == Path("one-step")
