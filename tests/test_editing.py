"""Recordings in, ECGs out: where a run starts, runs backwards, and what a command makes of a file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sssd import SSSDECG, Ecg
from sssd.checks import Notice
from sssd.circumstances import of_recordings
from sssd.cli import main
from sssd.config.schema import Config
from sssd.editing import completion, inversion, rate, take
from sssd.editing.beats import at_rate, continued, with_beats_at, with_beats_of
from sssd.editing.change import Own, checked_strength, partial_sampling, partial_table
from sssd.editing.completion import projection
from sssd.editing.inversion import slerp
from sssd.io.recording import read_recording
from sssd.leads import CLINICAL, to_eight, to_twelve
from sssd.noise import normal
from sssd.samplers import ddim, invert, run
from sssd.sampling import Sampling
from sssd.schedule import linear
from sssd.signals.beats import find_beats, mean_heart_rate
from sssd.signals.heart_rate import measured_heart_rates
from tests.inputs.records import beats_mv, wfdb_record
from tests.reference import textbook
from tests.test_cli import LENGTH, checkpoint  # noqa: F401
from tests.test_transformer import tiny as small_transformer
from tests.test_wrapper import tiny


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def ecg():
    return Ecg(beats_mv(3, seconds=0.64), 100.0, statements=("NORM", "SR"))


def difference(records, ecg):
    return float(np.abs(np.stack([one.signal for one in records]) - ecg.signal).max())


def test_a_variation_is_the_textbook_run_from_the_noised_recording(model, ecg):
    made = model.vary(ecg, 2, 0.5, sampler="ddim", steps=8, seed=7, precision="float32")
    abar = model.schedule.abar
    steps = [int(t) for t in partial_table(model, Sampling("ddim", 8), 0.5).steps]
    assert len(steps) == 4 and steps[0] == 9  # half of 8 steps, over half of 20 levels
    x0 = to_eight(ecg.signal.astype(np.float64))
    cond = torch.zeros(1, 71)
    cond[0, [model.label_names.index(code) for code in ecg.statements]] = 1

    def eps(x, t):
        with torch.no_grad():
            given = torch.from_numpy(x[None]).float(), cond, torch.full((1, 1), t)
            return model.model(given)[0].double().numpy()

    for i, one in enumerate(made):
        z = normal(7, [i], model.schedule.T, x0.shape)[0].double().numpy()
        x = np.sqrt(abar[steps[0]]) * x0 + np.sqrt(1 - abar[steps[0]]) * z
        expected = textbook.ddim(abar, steps, eps, x)
        np.testing.assert_allclose(to_eight(one.signal), expected, atol=2e-4)
        assert one.statements == ("NORM", "SR") and one.synthetic
        assert one.provenance["operation"] == "vary" and one.provenance["source_statements"] == "NORM+SR"


def test_a_transformer_takes_more_steps_for_changes_than_for_its_standard():
    """20 trailing ones unless told. Fails when its standard is taken, or a solver that was fitted for whole runs."""
    content = small_transformer().model_dump()
    fit = {"steps": [199, 100, 40], "eta": [0.0] * 3, "slope": [0.0] * 3, "before": [0.0] * 3}
    content["ddim_config"]["fits"] = [fit]
    transformer = SSSDECG(Config.model_validate(content), device="cpu")
    for asked, steps in ((Sampling(), 20), (Sampling(steps=30), 30), (Sampling(steps=3), 3)):
        found = partial_sampling(transformer, asked)
        assert found == Sampling("sde-dpmpp-2m", steps, None, "trailing")
    assert partial_sampling(transformer, Sampling(quality="draft")).spacing == "karras"
    with pytest.raises(ValueError, match="^ddim_timesteps is 0: expected 1..200"):
        partial_sampling(transformer, Sampling(steps=0, steps_name="ddim_timesteps"))
    with pytest.raises(ValueError, match="a sampler that takes any steps"):
        partial_sampling(transformer, Sampling("fitted", 3))


def test_the_distance_grows_with_the_strength(model, ecg):
    found = [difference(model.vary(ecg, 2, s, seed=1), ecg) for s in (0.05, 0.3, 0.6, 1.0)]
    assert found == sorted(found) and found[0] < 0.1 * found[-1]


def test_seed_and_index_decide_and_not_the_batch(model, ecg):
    whole = model.vary(ecg, 3, 0.5, seed=5, precision="float32")
    single = model.vary(ecg, 3, 0.5, seed=5, batch_size=1, precision="float32")
    np.testing.assert_allclose([a.signal for a in whole], [b.signal for b in single], atol=1e-5)
    assert np.abs(whole[0].signal - whole[1].signal).max() > 0.01
    assert difference(model.vary(ecg, 1, 0.5, seed=6), whole[0]) > 0.01


def test_ddim_backwards_and_forwards_gives_the_record_back():
    """A Gaussian, of which the exact noise is known and linear in x, so that fixed points are found fast."""
    schedule = linear()
    table = ddim(schedule, np.arange(199, -1, -20))
    means, stds = [0.3], [0.8]
    eps = textbook.mixture_eps(schedule.abar, means, stds, [1.0])
    alpha, sigma = table.alpha, table.sigma

    def denoise(x, i):
        e = torch.from_numpy(eps(x.numpy(), int(table.steps[i])))
        return e, (x - sigma[i] * e) / alpha[i]

    x0 = torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(1, 8, 3)

    def error_after(rounds):
        latent = invert(table, denoise, x0, rounds=rounds)
        return float((run(table, denoise, latent, lambda i: latent) - x0).abs().max())

    error = [error_after(rounds) for rounds in (1, 3, 40)]
    assert error[0] > error[1] > error[2] and error[2] < 1e-9
    with pytest.raises(ValueError, match="cannot be run backwards"):
        invert(ddim(schedule, table.steps, 1.0), denoise, x0, rounds=1)


def test_a_null_edit_gives_the_recording_back_and_another_statement_does_not(model, ecg):
    for strength in (0.5, 1.0):
        assert difference(model.edit(ecg, "NORM+SR", strength, steps=10), ecg) < 1e-3
        assert difference(model.edit(ecg, "AFIB", strength, steps=10), ecg) > 0.05
    own = {"own_statements": "AFIB"}
    assert difference(model.edit(ecg, "AFIB", 0.5, steps=10, **own), ecg) < 1e-3
    assert difference(model.edit(ecg, "NORM+SR", 0.5, steps=10, **own), ecg) > 0.05
    noise = model.invert(ecg, 0.5, steps=20)
    assert noise.shape == (8, 64)


def test_an_edit_is_the_paper_s(model, ecg):
    """Another route: each step plus what it leaves over of a path whose noise is independent from step to step."""
    made = model.edit(ecg, "AFIB", 0.5, steps=8, seed=7, precision="float32")[0]
    table = partial_table(model, Sampling("ddim", 8, 1.0, "trailing"), 0.5)
    x0 = to_eight(ecg.signal.astype(np.float64))

    def eps(x, i, *codes):
        cond = torch.zeros(1, 71)
        cond[0, [model.label_names.index(code) for code in codes]] = 1
        with torch.no_grad():
            given = torch.from_numpy(x[None]).float(), cond, torch.full((1, 1), int(table.steps[i]))
            return model.model(given)[0].double().numpy()

    levels = [model.schedule.T, *map(int, table.steps)]
    path = [
        a * x0 + s * normal(7, [0], t, x0.shape)[0].double().numpy()
        for a, s, t in zip(table.alpha, table.sigma, levels, strict=True)
    ]
    x, facts = path[0], made.provenance
    guided = [int(t) < round(facts["guided"] * model.schedule.T) for t in table.steps]
    assert True in guided and False in guided
    for i in range(table.S):
        guidance = facts["guidance"] * guided[i]
        own, there = eps(path[i], i, "NORM", "SR"), eps(x, i, "AFIB")
        wanted = there + guidance * (there - eps(x, i, "NORM", "SR"))
        a, b = table.a[i], table.b[i, 0]
        if table.history == "x0":
            own = (path[i] - table.sigma[i] * own) / table.alpha[i]
            wanted = (x - table.sigma[i] * wanted) / table.alpha[i]
        x = a * x + b * wanted + (path[i + 1] - a * path[i] - b * own)
    np.testing.assert_allclose(to_eight(made.signal), x, atol=2e-3)


def test_an_edit_needs_something_wanted(model, ecg):
    with pytest.raises(ValueError, match="there is nothing to edit"):
        model.edit(ecg, own_statements="NORM")
    with pytest.raises(ValueError, match="age is given, but this model does not take it"):
        model.edit(ecg, age=50)


@pytest.fixture(scope="module")
def told():
    """A transformer that takes age, sex, heart rate and circumstances."""
    config = small_transformer(length=640).model_dump()
    config["trainset_config"]["heart_rate"] = True
    config["wavenet_config"]["label_embed_classes"] = 77
    model = SSSDECG(Config.model_validate(config), device="cpu")
    for p in model.model.parameters():
        torch.nn.init.normal_(p, std=0.2, generator=torch.Generator().manual_seed(p.numel()))
    model.model.circumstances.normal_(generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture(scope="module")
def beating():
    return Ecg(beats_mv(3, seconds=6.4), 100.0, statements=("NORM", "SR"))


@pytest.mark.parametrize(
    "wanted", [{"age": 80}, {"sex": "male"}, {"heart_rate": 120}, {"statements": "AFIB"}], ids=str
)
def test_an_edit_to_another_age_sex_or_heart_rate(told, beating, wanted):
    own = {"own_age": 30, "own_sex": "female"}
    made = told.edit(beating, **wanted, **own, steps=4, seed=1)
    assert difference(made, beating) > 0.005
    same = {"age": 30, "sex": "female"}
    assert difference(told.edit(beating, **same, **own, steps=4, seed=1), beating) < 1e-3
    expected = {**same, **wanted}
    for name in set(expected) - {"statements"}:
        assert made[0].provenance[name] == expected[name]


def test_the_heart_rate_of_the_recording_is_measured(told, beating):
    rate = float(measured_heart_rates(to_eight(beating.signal)[None], 100.0)[0])
    assert np.isfinite(rate)
    given = told.edit(beating, "AFIB", own_heart_rate=rate, steps=4, seed=1)
    assert difference(told.edit(beating, "AFIB", steps=4, seed=1), given[0]) == 0.0
    other = told.edit(beating, "AFIB", own_heart_rate=150, heart_rate=rate, steps=4, seed=1)
    assert difference(other, given[0]) > 0.005
    assert told.vary(beating, 1, seed=1)[0].provenance["heart_rate"] == pytest.approx(rate)


def heart_mv(rr=0.8, seconds=10.0, wander_hz=0.2):
    """Leads (8, L) in mV of a heart with P, QRS and T, which wander: R peaks at 0.5, 0.5 + rr, ..."""
    t = np.arange(round(100 * seconds)) / 100
    x = np.zeros_like(t)
    for r in np.arange(0.5, seconds + 1, rr):
        for away, height, width in (
            (-0.16, 0.15, 0.02),
            (0.0, 1.0, 0.012),
            (0.03, -0.3, 0.01),
            (0.28, 0.3, 0.04),
        ):
            x += height * np.exp(-0.5 * ((t - r - away) / width) ** 2)
    return np.outer(np.linspace(0.5, 1.5, 8), x) + wander(len(t), wander_hz)


def wander(samples, hz):
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(samples) / 100)


@pytest.mark.parametrize("bpm", [40.0, 60.0, 74.0, 76.0, 100.0, 120.0, 180.0])
def test_at_another_rate_beats_keep_their_shape(bpm):
    """P, PQ and QRS, copied where there is room; T after a QT of the cube root of RR. Fails for a stretched record."""
    x = heart_mv()
    beats = find_beats(x[:, :990], 100.0)
    made = at_rate(x, beats, 75.0 / bpm, 100.0)
    found = find_beats(made, 100.0)
    assert made.shape == x.shape and mean_heart_rate(found, 100.0) == pytest.approx(bpm, rel=0.01)
    first = 22 if bpm < 100 else 6

    def beat(signal, at):
        cut = (signal - wander(1000, 0.2))[:, at - first : at + 6]
        return cut - cut[:, :1]

    for at in found[(found >= first) & (found < 990)]:
        np.testing.assert_allclose(beat(made, at), beat(x, beats[4]), atol=0.03)
    if bpm < 100:
        t = [at + 15 + int(made[7, at + 15 : at + 45].argmax()) - at for at in found[:-1]]
        expected = (28 + 6) * (75.0 / bpm) ** (1 / 3) - 6  # from the onset of QRS to the peak of T
        assert np.median(t) == pytest.approx(expected, abs=2)
    low = np.abs(np.fft.rfft(made - x))[:, 2] / len(x[0])  # wander of 0.2 Hz
    assert low.max() < 0.01


def test_a_record_goes_on_by_itself_without_a_seam():
    x = heart_mv()
    beats = find_beats(x, 100.0)
    long, more = continued(x, beats, 3000, 25)
    np.testing.assert_array_equal(long[:, : beats[-1] - 40], x[:, : beats[-1] - 40])
    assert long.shape == (8, 3000) and set(np.diff(more)) == {80} and more[-1] > 2900
    long, _ = continued(heart_mv(wander_hz=0), beats, 3000, 25)
    np.testing.assert_allclose(long, heart_mv(seconds=30, wander_hz=0), atol=1e-6)
    rising, _ = continued(np.tile(np.linspace(0.0, 1.0, 1000), (8, 1)), beats, 1500, 25)
    assert np.abs(np.diff(rising)).max() < 0.15  # in place of one step of 0.9


def test_a_rate_needs_beats():
    with pytest.raises(ValueError, match="got 2 beats: expected at least 5"):
        at_rate(heart_mv(), np.array([100, 200]), 0.5, 100.0)


@pytest.mark.parametrize("away", [-35, -12, 0, 12, 35])
def test_beats_go_where_they_are_to_be(away):
    """Fails where beats go elsewhere, are stretched, or lose the wander, or where a record has gaps at its ends."""
    x = heart_mv()
    beats = find_beats(x[:, :990], 100.0)
    there = beats + away + np.random.default_rng(1).integers(-6, 7, len(beats))
    there = there[(there >= 0) & (there < 990)]
    made = with_beats_at(x, there, 100.0)
    found = find_beats(made[:, :990], 100.0)
    nearest = np.abs(found[:, None] - there[None]).min(axis=1)
    inside = (found >= there[0]) & (found <= there[-1])
    assert inside.sum() == len(there) and nearest[inside].max() <= 1

    def beat(signal, at):
        cut = (signal - wander(1000, 0.2))[:, at - 22 : at + 6]
        return cut - cut[:, :1]

    for at in found[(found >= 22) & (found < 990)]:
        alike = [np.abs(beat(made, at + d) - beat(x, beats[4])).max() for d in (-1, 0, 1)]
        assert min(alike) < 0.05  # with a step of one sample, 0.9
    assert np.abs(np.fft.rfft(made - x))[:, 2].max() / len(x[0]) < 0.01  # wander of 0.2 Hz
    assert np.ptp(made[7, :80]) > 1 and np.ptp(made[7, -80:]) > 1  # a beat in the first and in the last 0.8 s


def test_beats_that_are_there_or_too_far_away_stay():
    x = heart_mv()
    beats = find_beats(x[:, :990], 100.0)
    twice = beats[0] + np.array([0, 20, 190, 210, 380, 400])  # from one beat in 0.8 s to one in 0.2 and 1.7 s
    slower = beats[0] + 180 * np.arange(6)  # 2.25 times the RR interval, which is too far; 1.9 times is not
    for there in (beats, beats + np.arange(len(beats)) % 2, beats[:4], twice, slower):
        assert with_beats_at(x, there, 100.0) is x
    assert with_beats_at(x, beats[0] + 152 * np.arange(6), 100.0) is not x
    assert with_beats_at(x[:, :300], beats, 100.0) is not x
    np.testing.assert_array_equal(with_beats_at(x[:, :300], beats, 100.0), x[:, :300])


@pytest.fixture(scope="module")
def heart():
    return Ecg(to_twelve(heart_mv(seconds=6.4)), 100.0, statements=("NORM", "SR"))


def change_of(model, ecg, **wanted):
    return inversion.edit(model, ecg, Own(**wanted), 0.5, Own(), 4)


@pytest.mark.parametrize(
    ("wanted", "bpm"),
    [
        ({"heart_rate": 120}, 120),
        ({"statements": "NORM+STACH"}, 109),
        ({"statements": "NORM+SBRAD"}, 49),
        ({"statements": "NORM+SBRAD", "heart_rate": 55}, 55),
    ],
)
def test_an_edit_moves_the_beats_to_the_rate(told, heart, wanted, bpm):
    change = change_of(told, heart, **wanted)
    start = change.given.start[0].numpy()
    assert mean_heart_rate(find_beats(start, 100.0), 100.0) == pytest.approx(bpm, abs=1.5)
    assert change.facts["beats"] == f"moved from 75 to {bpm} /min"
    assert float(change.request.known["heart_rate"][0]) == pytest.approx(bpm)
    made = told.edit(heart, **wanted, steps=4, seed=1)
    nearly = float(np.abs(to_eight(made[0].signal) - start).max())
    assert (nearly < 1e-3) == (
        "statements" not in wanted
    )  # a rate alone is a null edit of the moved recording
    assert made[0].provenance["beats"] == change.facts["beats"]


def test_a_network_without_a_heart_rate_gets_moved_beats_too(heart):
    model = SSSDECG(small_transformer(length=640), device="cpu")
    change = change_of(model, heart, statements="STACH")
    assert change.facts["beats"] == "moved from 75 to 109 /min" and change.request.known["heart_rate"] is None


def test_other_edits_leave_the_recording_as_it_is(told, heart, monkeypatch):
    """Fast hearts with STACH, and rates that it has, too."""
    monkeypatch.setattr(rate, "at_rate", None)
    fast = replace(heart, signal=to_twelve(heart_mv(0.5, 6.4)))
    asked = (heart, {"statements": "AFIB"}), (heart, {"age": 50}), (heart, {"heart_rate": 75.3})
    for ecg, wanted in (*asked, (fast, {"statements": "STACH"})):
        change = change_of(told, ecg, **wanted)
        assert torch.equal(change.given.start[0], take(told, ecg).eight)
        assert "moved" not in change.facts.get("beats", "")


def test_beats_that_cannot_be_moved_stay_with_a_note(told, heart):
    few = replace(heart, signal=to_twelve(heart_mv(2.5, 6.4)))
    fibrillation = replace(heart, statements=("AFIB",))
    for ecg, why in ((few, "is in doubt"), (fibrillation, "with AFIB, waves do not follow")):
        with pytest.warns(Notice, match=f"the beats are left where they are: .*{why}") as said:
            change = change_of(told, ecg, heart_rate=120)
        assert len(said) == 1 and why in change.facts["beats"]
        assert torch.equal(change.given.start[0], take(told, ecg).eight)


@pytest.mark.parametrize(
    ("wanted", "keeps"),
    [
        ({"statements": "CLBBB+SR"}, True),
        ({"age": 80}, True),
        ({"heart_rate": 120}, True),
        ({"statements": "NORM+STACH"}, True),
        ({"statements": "AFIB"}, False),
        ({"statements": "NORM+SR+PVC"}, False),
    ],
    ids=str,
)
def test_an_edit_keeps_the_beats_unless_their_places_change(told, heart, wanted, keeps, monkeypatch):
    """Fails where the beats of another record are kept, or those of a rhythm that is to change."""
    change = change_of(told, heart, **wanted)
    assert change.given.keeps_beats.tolist() == [keeps]
    calls = []
    monkeypatch.setattr(
        "sssd.model_wrapper.with_beats_of", lambda *args: calls.append(args) or torch.ones_like(args[1])
    )
    made = told.edit(heart, **{"statements": None, **wanted}, steps=4, seed=1)
    start, _, kept, fs_hz = calls[0]
    torch.testing.assert_close(start, change.given.start)
    assert kept.tolist() == [keeps] and fs_hz == 100.0 and (to_eight(made[0].signal) == 1).all()


def test_edits_in_one_batch_keep_beats_each_for_itself():
    x = torch.from_numpy(np.stack((heart_mv(), heart_mv(), heart_mv(rr=0.9)))).float()
    start = torch.from_numpy(np.stack([heart_mv(rr=0.9)] * 3)).float()
    made = with_beats_of(start, x, torch.tensor([True, False, True]), 100.0)
    assert torch.equal(made[1:], x[1:]) and not torch.equal(made[0], x[0])
    there = find_beats(start[0, :, :990].numpy(), 100.0)
    assert np.abs(find_beats(made[0, :, :990].numpy(), 100.0)[: len(there)] - there).max() <= 1


def test_a_network_is_given_the_circumstances_of_the_recording(told, beating, monkeypatch):
    """Fails where they are drawn, as they are at generation, or are those of another lead order or scale."""
    seen = []
    full = told.model.full

    def watched(cond):
        seen.append(full(cond))
        return seen[-1]

    monkeypatch.setattr(told.model, "full", watched)
    expected = of_recordings(told.model, to_eight(beating.signal.astype(np.float64))[None], 100.0)[0]
    for make in (
        lambda: told.vary(beating, 2, steps=2, seed=1),
        lambda: told.edit(beating, "AFIB", steps=4, seed=1),
        lambda: told.invert(beating, steps=4),
    ):
        seen.clear()
        make()
        whole = [cond for cond in seen if bool((cond[:, -17] == 1).all())]
        assert whole
        for cond in whole:
            torch.testing.assert_close(cond[:, -16:], expected.expand(len(cond), -1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("statements", ["AFIB", "NORM+STACH"])
def test_an_edited_record_has_the_circumstances_of_its_statements(told, heart, monkeypatch, statements):
    """Fails where the recording's own side of an edit is told them, too, or the edited side is not.

    What STACH changes is in a recording that was brought to its rate, and must not be added again.
    """

    def change(network, measured, own, wanted):
        return measured + 5.0 * (wanted[:, : len(told.label_names)] != own[:, : len(told.label_names)]).sum()

    monkeypatch.setattr("sssd.editing.change.with_statements", change)
    given = change_of(told, heart, statements=statements).given
    own = of_recordings(told.model, given.start.double().numpy(), 100.0)
    torch.testing.assert_close(given.own_circumstances, own, atol=1e-3, rtol=0)
    changed = {"AFIB": 3, "NORM+STACH": 0}[statements]  # NORM and SR go, and AFIB comes
    torch.testing.assert_close(given.circumstances, own + 5.0 * changed, atol=1e-3, rtol=0)
    seen, full = [], told.model.full
    monkeypatch.setattr(told.model, "full", lambda cond: seen.append(full(cond)) or seen[-1])
    told.edit(heart, statements, steps=4, seed=1)
    sides = {float(cond[0, -1]) for cond in seen if bool((cond[:, -17] == 1).all())}
    expected = sorted({float(given.own_circumstances[0, -1]), float(given.circumstances[0, -1])})
    np.testing.assert_allclose(sorted(sides), expected, atol=1e-3)


def test_completions_have_the_circumstances_of_the_known_leads(told, beating, monkeypatch):
    """I and II give I and aVF, the first and the last of the eight leads; what the others have differs."""
    seen, given = [], completion.Given
    monkeypatch.setattr(completion, "Given", lambda **how: seen.append(how) or given(**how))
    made = told.complete(beating, 3, known=["I", "II"], steps=2, seed=1)
    found = seen[0]["circumstances"]
    expected = of_recordings(told.model, to_eight(beating.signal.astype(np.float64))[None], 100.0)[0]
    known = torch.zeros(16, dtype=torch.bool)
    known[[0, 7, 8, 15]] = True
    assert found.shape == (3, 16) and torch.equal(found.isfinite(), known.expand(3, -1))
    torch.testing.assert_close(found[0, known], expected[known], atol=1e-3, rtol=0)
    assert np.abs(made[0].signal - made[1].signal).max() > 1e-3
    gap = told.complete(beating, 1, gaps=[(1.0, 1.5)], steps=2, seed=1)
    assert seen[1]["circumstances"].isnan().all() and len(gap) == 1


def test_interpolation_ends_at_the_recordings(model, ecg):
    other = replace(ecg, signal=beats_mv(4, seconds=0.64), statements=("AFIB",))
    path = model.interpolate(ecg, other, 3, steps=20)
    assert difference(path[:1], ecg) < 0.05 and difference(path[2:], other) < 0.05
    assert difference(path[1:2], ecg) > 0.05
    assert difference(model.interpolate(ecg, other, 1, steps=20), path[1]) < 0.05
    a, b = torch.randn(2, 1, 8, 500, generator=torch.Generator().manual_seed(0))
    middle = slerp(a, b, torch.tensor([[[0.5]]]))
    assert abs(float(middle.std()) - 1) < 0.02  # the straight line would give 0.7


@pytest.mark.parametrize("strength", [0, -0.1, 1.5, True, "much", float("nan")])
def test_a_strength_that_is_none_is_refused(model, ecg, strength):
    with pytest.raises(ValueError, match="strength is"):
        model.vary(ecg, 1, strength)
    assert checked_strength(np.float32(0.5)) == 0.5


def test_recordings_that_cannot_be_used(model, ecg):
    flat = ecg.signal.copy()
    flat[1] = 0.5
    with pytest.raises(ValueError, match="II flat"):
        model.vary(replace(ecg, signal=flat))
    with pytest.raises(ValueError, match="expected at least 0.64 s"):
        model.vary(replace(ecg, signal=ecg.signal[:, :30]))
    with pytest.raises(ValueError, match="no record"):
        model.vary("nowhere")


def test_missing_leads_and_samples_where_they_may_be(tmp_path, model):
    signal = beats_mv(2)
    file = wfdb_record(
        tmp_path, "two", signal_mv=signal[[0, 6]], leads=("I", "V1"), line="{name} {n} 100 {length}"
    )
    with pytest.raises(ValueError, match="lacks lead"):
        read_recording(file)
    found = read_recording(file, partial=True)
    there = np.isfinite(found.signal_mv).all(axis=1)
    assert [lead for lead, is_there in zip(CLINICAL, there, strict=True) if is_there] == ["I", "V1"]
    assert len(found.missing) == 10 and "are missing" in " ".join(found.notes) and not found.flat
    gap = signal.copy()
    gap[:, 200:300] = np.nan
    np.savez(tmp_path / "gap.npz", signal_mv=gap, fs_hz=100.0)
    assert np.isnan(read_recording(tmp_path / "gap.npz", partial=True).signal_mv[:, 200:300]).all()
    fine = beats_mv(2, fs_hz=500)
    fine[0, 2000:2500] = np.nan
    np.savez(tmp_path / "fine.npz", signal_mv=fine, fs_hz=500.0)
    read = read_recording(tmp_path / "fine.npz", partial=True).signal_mv
    assert np.isnan(read[0, 400:500]).all() and np.isnan(read).sum() == 100
    whole = read_recording(Ecg(beats_mv(2, fs_hz=500), 500.0)).signal_mv
    np.testing.assert_allclose(
        np.delete(read[0], range(380, 520)), np.delete(whole[0], range(380, 520)), atol=0.01
    )
    assert take(model, file, partial=True).twelve_mv.shape == (12, 64)


@pytest.mark.parametrize(
    "known", [("II",), ("I", "II"), ("aVR", "V2", "V5"), ("I", "II", "III", "aVR", "aVL", "aVF")]
)
def test_the_known_leads_are_held_and_the_others_differ(model, ecg, known):
    made = model.complete(ecg, 2, known=known, seed=1)
    for one in made:
        for lead in known:
            np.testing.assert_allclose(one.lead(lead), ecg.lead(lead), atol=1e-4)
        if {"I", "II"} <= set(known):
            np.testing.assert_allclose(one.lead("aVL"), ecg.lead("aVL"), atol=1e-4)
    assert np.abs(made[0].lead("V4") - made[1].lead("V4")).max() > 0.01
    assert made[0].provenance["operation"] == "complete" and made[0].provenance["known"] == "+".join(
        lead for lead in CLINICAL if lead in known
    )


MAKE = {
    "vary": lambda model, ecg: model.vary(ecg, 1, 0.5, seed=1),
    "edit": lambda model, ecg: model.edit(ecg, "AFIB", 0.5, steps=4, seed=1),
    "interpolate": lambda model, ecg: model.interpolate(ecg, ecg, 2, steps=4, seed=1),
    "complete": lambda model, ecg: model.complete(ecg, 1, known=["I", "II"], seed=1),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_what_a_caller_has_set_for_pytorch_has_no_effect(model, ecg, make):
    """Fails where a tensor is made without naming its type or device, or a product is left to autocast."""
    expected = make(model, ecg)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
            made = make(model, ecg)
            assert torch.zeros(1).device.type == "meta" and torch.is_autocast_enabled("cpu")
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal([a.signal for a in made], [b.signal for b in expected])


def test_a_keyword_that_does_not_exist_is_an_error(model, ecg):
    with pytest.raises(TypeError, match="complete.. got an unexpected keyword argument 'gap'"):
        model.complete(ecg, known=["I"], gap=[(0.1, 0.2)])
    with pytest.raises(TypeError, match="interpolate.. got an unexpected keyword argument 'age'"):
        model.interpolate(ecg, ecg, 2, age=50)


def test_gaps_are_made_and_the_rest_is_held(model, ecg):
    made = model.complete(ecg, 2, gaps=[(0.2, 0.4)], seed=1)
    inside = np.zeros(64, bool)
    inside[20:40] = True
    for one in made:
        np.testing.assert_allclose(one.signal[:, ~inside], ecg.signal[:, ~inside], atol=1e-4)
    assert np.abs(made[0].signal - made[1].signal)[:, inside].max() > 0.01


def test_from_nothing_the_projection_is_linear_regression(ecg):
    """Two routes: the covariance of data, and least squares on the same data."""
    random = np.random.default_rng(0)
    data = random.normal(size=(5000, 8)) @ random.normal(size=(8, 8))
    spread = data.T @ data / len(data)
    known = np.full((12, 3), np.nan)
    known[[0, 6]] = random.normal(size=(2, 3))  # I and V1
    found = projection(known, spread, "cpu")(torch.zeros(1, 8, 3))[0].numpy()
    weights = np.linalg.lstsq(data[:, [0, 1]], data, rcond=None)[0]
    np.testing.assert_allclose(found, (known[[0, 6]].T @ weights).T, atol=1e-4)
    x = torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(0))
    once = projection(known, spread, "cpu")(x)
    np.testing.assert_allclose(projection(known, spread, "cpu")(once), once, atol=1e-4)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"known": ["X"]}, "known is X"),
        ({"known": []}, "known is empty"),
        ({"gaps": [(0.3, 0.2)]}, "a gap from 0.3 to 0.2 s"),
        ({"gaps": [(0, 0.64)]}, "nothing is known"),
        ({"known": "II"}, r"known is 'II': expected a list of leads"),
        ({"gaps": (0.2, 0.4)}, r"gaps is \(0.2, 0.4\): expected pairs of seconds"),
        ({"gaps": [(0.2, 0.3, 0.4)]}, "expected pairs of seconds"),
        ({"gaps": [(0.2, 0.3), (0.4,)]}, "expected pairs of seconds"),
        ({"gaps": [("a", "b")]}, "expected pairs of seconds"),
        ({"gaps": [(0.2, float("inf"))]}, "expected pairs of seconds"),
        ({"gaps": 0.2}, "gaps is 0.2: expected pairs of seconds"),
        ({}, "nothing is missing"),
    ],
)
def test_requests_that_cannot_be_completed(model, ecg, how, message):
    with pytest.raises(ValueError, match=message):
        model.complete(ecg, 1, **how)


@pytest.mark.parametrize(
    ("command", "operation"),
    [
        (["vary", "-n", "2"], "vary"),
        (["edit", "--label", "AFIB"], "edit"),
        (["complete", "--known", "I,II", "--gap", "0.5:1"], "complete"),
    ],
)
def test_a_command_writes_a_set(tmp_path, checkpoint, command, operation, capsys):  # noqa: F811
    Ecg(beats_mv(1, fs_hz=250), 250.0, statements=("NORM",)).save(tmp_path / "a.hea")
    given = [command[0], str(tmp_path / "a"), *command[1:], "--checkpoint", str(checkpoint), "--seed", "3"]
    assert main([*given, "--out", str(tmp_path / "x")]) == 0
    assert "resampled from 250 to 100 Hz" in capsys.readouterr().err
    assert main([*given, "--out", str(tmp_path / "y")]) == 0
    manifest = json.loads((tmp_path / "x/manifest.json").read_text())
    assert (
        manifest["operation"] == operation
        and manifest["source"] == "a"
        and len(manifest["source_sha256"]) == 64
    )
    for file in manifest["files"]:
        assert (tmp_path / "x" / file).read_bytes() == (tmp_path / "y" / file).read_bytes()
    with np.load(tmp_path / "x/ecgs.npz") as archive:
        assert archive["signal_uv"].shape[1:] == (12, LENGTH)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vary", "nowhere"], "no record"),
        (["vary", "a", "--strength", "2"], "strength is 2"),
        (["vary", "a", "--own-label", "XYZ"], "unknown statement"),
        (["edit", "a", "--label", "XYZ"], "unknown statement"),
        (["edit", "short", "--label", "AFIB"], "expected at least"),
        (["complete", "a", "--known", "X"], "known is X"),
        (["complete", "a", "--gap", "1-2"], "--gap is"),
        (["complete", "a"], "nothing is missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, checkpoint, arguments, message, capsys, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    Ecg(beats_mv(1), 100.0).save(tmp_path / "a.hea")
    Ecg(beats_mv(1, seconds=1.5), 100.0).save(tmp_path / "short.hea")
    assert main([*arguments, "--checkpoint", str(checkpoint), "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (tmp_path / "x").exists()
