"""Sampling: what the keywords and the configuration make together; tables that know how they were made."""

import inspect
import itertools
from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pytest
import torch

from sssd.config import names
from sssd.config.schema import Config
from sssd.samplers import SAMPLERS, ddim, default_spacing
from sssd.samplers.adapter import Scheduler
from sssd.sampling import Sampling, SamplingKeywords
from sssd.schedule import SPACINGS, choose_steps
from tests.test_wrapper import SECTIONS, T, tiny

FIT = {"steps": [19, 10, 3], "eta": [0.5, 0.2, 0.0], "slope": [0.0, 0.1, 0.2], "before": [0.0, 0.0, 0.1]}


def config(**ddim_config):
    return Config.model_validate(
        {**SECTIONS, "ddim_config": {"ddim_timesteps": 5, "fits": [FIT], **ddim_config}}
    )


CONFIG = config()


# --- every combination of arguments ---------------------------------------------------------------------------


def expected(sampler, steps, eta, spacing):
    """(sampler, steps, eta, spacing), or what the error has to say: the rules, one after the other."""
    if sampler is None:
        sampler = "ddim"  # the configuration's, and what an eta means
    if spacing == "odd":
        return "spacing is 'odd': expected one of"
    if eta is not None and sampler != "ddim":
        return f"eta is {eta}: {sampler} has no eta"
    if sampler == "ddpm":
        if steps not in (None, T):
            return f"steps is {steps}: ddpm always takes all 20"
        return f"spacing is {spacing!r}: ddpm visits every step" if spacing else (sampler, T, None, None)
    if sampler == "consistency":
        return "sampler is 'consistency': only distilled models have it"
    if sampler == "fitted" and spacing:
        return f"spacing is {spacing!r}: a fitted solver brings its own steps"
    steps = 5 if steps is None else steps
    if not 1 <= steps <= T:
        return f"steps is {steps}: expected 1..20"
    if sampler == "fitted":
        return (
            (sampler, 3, None, None)
            if steps == 3
            else f"steps is {steps}: this model has fitted solvers for 3 steps"
        )
    if eta is not None and not 0 <= eta <= 1:
        return f"eta is {eta}: expected 0"
    eta = (0.0 if eta is None else float(eta)) if sampler == "ddim" else None
    return sampler, steps, eta, spacing or default_spacing(sampler)


@pytest.mark.parametrize("sampler", [None, *SAMPLERS])
def test_every_combination_is_built_as_asked_or_refused(sampler):
    """Fails when an argument is ignored: each either reaches the table or has an error that names it."""
    schedule = tiny().schedule
    for steps, eta, spacing in itertools.product(
        (None, 0, 1, 3, 5, T, T + 1), (None, 0, 0.3, 1.0, 2), (None, *SPACINGS, "odd")
    ):
        asked = Sampling(sampler, steps, eta, spacing)
        if sampler == "fitted" and steps is None:
            continue  # see the next test
        want = expected(sampler, steps, eta, spacing)
        if isinstance(want, str):
            with pytest.raises(ValueError) as error:
                asked.resolve(CONFIG)
            assert str(error.value).startswith(want), (asked, str(error.value))
            assert "\n" not in str(error.value)
            continue
        got = asked.resolve(CONFIG)
        assert (got.sampler, got.steps, got.eta, got.spacing) == want, asked
        assert got.resolve(CONFIG) == got, "resolving twice changes something"
        if sampler == "deis":
            continue
        table = asked.table(schedule, CONFIG)
        assert (table.name, table.S) == (got.sampler, got.steps)
        assert table.settings.get("eta") == got.eta and table.settings.get("spacing") == got.spacing
        if got.spacing:
            assert np.array_equal(table.steps, choose_steps(schedule, got.steps, got.spacing))


def test_a_fitted_solver_by_default():
    """The largest number of evaluations there is one for; the configuration's where fitted is its sampler."""
    four = {"steps": [19, 12, 6, 2], "eta": [0.0] * 4, "slope": [0.0] * 4, "before": [0.0] * 4}
    assert Sampling("fitted").resolve(config(fits=[four, FIT])).steps == 4
    assert Sampling().resolve(config(fits=[four, FIT], sampler="fitted", ddim_timesteps=3)) == Sampling(
        "fitted", 3
    )
    with pytest.raises(ValueError, match="this model has no fitted solvers"):
        Sampling("fitted").resolve(config(fits=[]))


@pytest.mark.parametrize("wrong", [True, 2.5, "5", None])
def test_steps_and_eta_are_numbers(wrong):
    if wrong is not None:
        with pytest.raises(ValueError, match="steps is .*: expected 1..20, a whole number"):
            Sampling("unipc", wrong).resolve(CONFIG)
    with pytest.raises(ValueError, match="eta is .*: expected 0"):
        Sampling("ddim", eta=wrong if isinstance(wrong, str | bool) else float("nan")).resolve(CONFIG)


# --- the keywords of generate ---------------------------------------------------------------------------------


def of(**keywords):
    got = Sampling.of(**keywords).resolve(CONFIG)
    return got.sampler, got.steps, got.eta


@pytest.mark.parametrize(
    ("keywords", "want"),
    [
        ({}, ("ddim", 5, 0.0)),
        ({"use_ddim": True}, ("ddim", 5, 0.0)),
        ({"use_ddim": False}, ("ddpm", T, None)),
        ({"use_ddim": 0}, ("ddpm", T, None)),
        ({"use_ddim": np.bool_(False)}, ("ddpm", T, None)),
        # SSSD-ECG's own interface: what DDIM would do has no effect on DDPM
        ({"use_ddim": False, "ddim_timesteps": 7, "ddim_eta": 0.5}, ("ddpm", T, None)),
        ({"use_ddim": False, "steps": T}, ("ddpm", T, None)),
        ({"use_ddim": True, "ddim_timesteps": 7, "ddim_eta": 0.5}, ("ddim", 7, 0.5)),
        ({"ddim_timesteps": 7}, ("ddim", 7, 0.0)),
        ({"ddim_eta": 1}, ("ddim", 5, 1.0)),
        ({"steps": np.int64(7)}, ("ddim", 7, 0.0)),
        ({"steps": 7, "ddim_timesteps": 7}, ("ddim", 7, 0.0)),
        ({"sampler": "unipc", "ddim_timesteps": 7}, ("unipc", 7, None)),
        ({"sampler": "unipc", "use_ddim": False}, ("unipc", 5, None)),
    ],
)
def test_keywords(keywords, want):
    assert of(**keywords) == want


def test_equal_samplings_are_equal():
    """Whatever the keywords were, so that equal requests can share a batch and its table."""
    assert Sampling.of(ddim_timesteps=5) == Sampling.of(use_ddim=True, steps=5) == Sampling("ddim", 5)
    assert hash(Sampling.of(ddim_timesteps=5)) == hash(Sampling("ddim", 5)) and "steps_name" not in repr(
        Sampling()
    )


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"use_ddim": False, "steps": 5}, "steps is 5: ddpm always takes all 20"),
        ({"sampler": "ddpm", "ddim_timesteps": 5}, "ddim_timesteps is 5: ddpm always takes all 20"),
        ({"sampler": "ddpm", "use_ddim": False, "ddim_timesteps": 5}, "ddim_timesteps is 5: ddpm always"),
        ({"sampler": "ddpm", "ddim_eta": 0.0}, "eta is 0.0: ddpm has no eta"),
        ({"use_ddim": False, "spacing": "odd"}, "spacing is 'odd'"),
        ({"sampler": "ddpm", "spacing": "trailing"}, "spacing is 'trailing': ddpm visits every step"),
        ({"sampler": "unipc", "steps": 0}, "steps is 0: expected 1..20"),
        ({"ddim_timesteps": 0}, "ddim_timesteps is 0: expected 1..20"),
        ({"sampler": "ddim", "use_ddim": False}, "give one of them"),
        ({"sampler": "unipc", "use_ddim": True}, "give one of them"),
        ({"steps": 4, "ddim_timesteps": 5}, "give one of them"),
    ],
)
def test_keywords_are_never_ignored(keywords, message):
    """Through `generate`. Fails when one of them runs something else than what it says."""
    with pytest.raises(ValueError, match=message):
        tiny().generate("AFIB", **keywords)


def test_an_unknown_keyword_is_refused():
    for method in ("generate", "generate_ecgs"):
        with pytest.raises(TypeError, match="unexpected keyword argument 'step'"):
            getattr(tiny(), method)("AFIB", step=5)


def test_the_configuration_says_the_rest():
    """Each value of ddim_config reaches the records. Fails when its eta is ignored, or its steps."""
    own = tiny(ddim_config={"ddim_timesteps": 4, "ddim_eta": 1.0})
    assert Sampling().resolve(own.config) == Sampling("ddim", 4, 1.0, "uniform")
    by_configuration = own.generate("AFIB", seed=1)
    assert torch.equal(by_configuration, tiny().generate("AFIB", seed=1, steps=4, ddim_eta=1.0))
    assert not torch.equal(by_configuration, tiny().generate("AFIB", seed=1, steps=4))
    assert own.generate_ecgs("AFIB", seed=1)[0].provenance["eta"] == 1.0
    assert (
        tiny(ddim_config={"use_ddim": False, "ddim_timesteps": 5})
        .generate_ecgs("AFIB")[0]
        .provenance["sampler"]
        == "ddpm"
    )
    other = tiny(ddim_config={"sampler": "unipc", "ddim_timesteps": 3})
    assert other.generate_ecgs("AFIB")[0].provenance["sampler"] == "unipc"


# --- tables know how they were made ---------------------------------------------------------------------------


def test_a_table_is_recorded_as_it_was_made():
    """Whatever the configuration says. Fails when eta or spacing come from anywhere but the table."""
    model = tiny(ddim_config={"ddim_timesteps": 5, "ddim_eta": 0.7})
    table = model.step_table(sampler="ddim", steps=3, ddim_eta=0.3, spacing="trailing")
    how = model.provenance(table, seed=1)
    assert (how["sampler"], how["steps"], how["eta"], how["spacing"]) == ("ddim", 3, 0.3, "trailing")
    assert "gain" not in how
    assert model.provenance(replace(table, gain=[1.5] * 8), seed=1)["gain"] == [1.5] * 8
    request = model.request("AFIB", seed=1)
    (ecg,) = model.records(model.sample(request, table, seed=1), request, table, seed=1)
    assert (ecg.provenance["eta"], ecg.provenance["spacing"]) == (0.3, "trailing")
    again = model.generate_ecgs("AFIB", seed=1, sampler="ddim", steps=3, ddim_eta=0.3, spacing="trailing")[0]
    assert np.array_equal(again.signal, ecg.signal) and again.provenance == ecg.provenance
    plain = model.provenance(ddim(model.schedule, np.array([19, 3]), 0.2), seed=1)
    assert plain["eta"] == 0.2 and "spacing" not in plain  # of steps that somebody chose one by one


def test_records_are_a_sequence():
    """Fails when a record counted from the end, or one of a slice, is another than that of its number."""
    model = tiny()
    request, table = model.request(["AFIB", "NORM", "LVH"], seed=1, exact=True), model.step_table(steps=1)
    records = model.records(model.sample(request, table, seed=1), request, table, seed=1)
    assert [ecg.statements for ecg in records] == [("AFIB",), ("NORM",), ("LVH",)]
    last = records[-1].provenance
    assert (last["index"], last["requested"]) == (2, "LVH")
    assert [ecg.provenance["index"] for ecg in records[1:]] == [1, 2] and len(records) == 3
    with pytest.raises(IndexError):
        records[3]


def test_what_a_table_says_of_itself_can_be_written_down():
    """Settings survive a change of the gain, and are plain values."""
    import json

    table = Sampling("fitted", 3).table(tiny().schedule, CONFIG)
    assert table.settings == {"fit": FIT} and json.loads(json.dumps(table.settings)) == table.settings
    table = Sampling("unipc", 3).table(tiny().schedule, config(gains={"unipc3": [1.5] * 8}))
    assert replace(table, gain=np.ones(1)).settings == {"spacing": "trailing"} and (table.gain == 1.5).all()


def test_a_scheduler_has_its_own_settings():
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDIMScheduler()
    made = Sampling(scheduler, 4).table(tiny().schedule, CONFIG)
    assert isinstance(made, Scheduler) and list(made.settings) == ["scheduler"]
    for wrong in ({"eta": 0.5}, {"spacing": "trailing"}):
        with pytest.raises(ValueError, match="do not go with a scheduler"):
            Sampling(scheduler, **wrong).resolve(CONFIG)
    with pytest.raises(ValueError, match="has no table"):
        tiny().step_table(sampler=scheduler)


ODD = (
    np.array(["ddim", "ddpm"]),
    np.array([1.0, 2.0]),
    torch.ones(2),
    ["ddim"],
    {"a": 1},
    b"ddim",
    3.5,
    object(),
)


NAMES = (
    "sampler",
    "steps",
    "spacing",
    "use_ddim",
    "ddim_timesteps",
    "ddim_eta",
    "exact",
    "seed",
    "num_samples",
)
NAMES += ("batch_size", "precision", "return_numpy", "progress")


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_another_type_is_named(name):
    """Fails when an array reaches a comparison, or text counts as True."""
    model = tiny()
    for value, beside in itertools.product(ODD, ({}, {"sampler": "ddpm"}, {"steps": 3})):
        with pytest.raises(ValueError, match=rf"^({name}|{name.removeprefix('ddim_')}) is"):
            model.generate("AFIB", **{"seed": 1, **beside, name: value})


@pytest.mark.parametrize("value", [True, np.True_, 1])
def test_what_is_true(value):
    model = tiny()
    made = model.generate("AFIB", seed=1, use_ddim=value, exact=value, return_numpy=value)
    assert np.array_equal(made, model.generate("AFIB", seed=1, use_ddim=True, exact=True).numpy())


# --- the same settings everywhere -----------------------------------------------------------------------------


def test_every_interface_has_the_settings_of_sampling():
    """Fails when a setting is added to `Sampling` and forgotten elsewhere. The service takes no spacing."""
    from sssd.cli import generate
    from sssd.cli.corpus import create
    from sssd.corpora.schema import Recipe
    from sssd.server.asked import GenerateRequest

    settings = {field.name for field in fields(Sampling)} - {"steps_name"}
    assert settings == {"quality", "sampler", "steps", "eta", "spacing"}
    assert {"ddim_eta" if name == "eta" else name for name in settings} < set(
        SamplingKeywords.__annotations__
    )
    for command in (generate.command, create.command):
        assert settings < set(inspect.signature(command).parameters)
    assert settings - {"quality"} < {field.name for field in fields(Recipe)}
    request = GenerateRequest(statements=["NORM"], sampler="ddim", steps=3, eta=0.5)
    assert set(request.sampling) == settings - {"spacing"}
    assert Sampling(**request.sampling) == Sampling("ddim", 3, 0.5)
    assert (get_args(names.Sampler), get_args(names.Spacing)) == (SAMPLERS, SPACINGS)


def test_generate_and_corpora_have_the_same_options():
    """Fails when an option of one of them has another name, type or help in the other."""
    from sssd.cli import generate
    from sssd.cli.corpus import create

    one, other = (inspect.signature(command).parameters for command in (generate.command, create.command))
    differ = {name for name in set(one) & set(other) if str(one[name]) != str(other[name])}
    # What is written, whether records are counted for labels too, statements that change, and where marks are kept.
    assert differ == {"out", "count", "duration", "annotate"}
    assert set(one) - set(other) == {
        "label", "text", "formats", "order", "overwrite", "check", "require_shown",
        "layout", "speed", "gain", "rhythm",
    }  # fmt: skip
