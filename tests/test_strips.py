"""Strips: windows that are denoised together, parts with statements of their own, and what a command makes of them."""

import json

import numpy as np
import pytest
import torch
import wfdb as physionet

from sssd import SSSDECG
from sssd.checks import timed
from sssd.circumstances import draw, rows_like
from sssd.cli import main
from sssd.config.schema import Config
from sssd.engine.bound import bind
from sssd.io import npz
from sssd.labels import CODES
from sssd.noise import normal, origin
from sssd.request import conditions
from sssd.strips import EDGE_S, Strip, strip_of
from tests.reference import textbook
from tests.test_cli import checkpoint  # noqa: F401
from tests.test_transformer import random_net
from tests.test_transformer import tiny as transformer
from tests.test_wrapper import tiny

FS_HZ = 100.0


@pytest.fixture(scope="module")
def model():
    return tiny()


def strip(seconds=35.0, *, ends=None, window=1000, **how):
    samples = round(seconds * FS_HZ)
    return Strip(samples, window, ends or (samples,), FS_HZ, **how)


@pytest.mark.parametrize("seconds", [10.01, 12.3, 15, 35, 600])
@pytest.mark.parametrize("overlap", [0.2, 0.5])
def test_windows_cover_the_strip_and_overlap(seconds, overlap):
    """Fails when the last window ends before the strip, or two neighbours share less than they should."""
    one = strip(seconds, overlap=overlap)
    starts = np.array(one.starts)
    assert starts[0] == 0 and starts[-1] + one.window == one.padded >= one.samples + EDGE_S * FS_HZ
    assert (starts[:-1] + one.window - starts[1:] >= overlap * one.window - 1).all()
    assert len(one.seams) == len(starts) - 1


@pytest.mark.parametrize("ends", [None, (900, 3500), (250, 500, 750, 3500)])
def test_weights_add_up_to_one_and_ends_of_windows_count_for_nothing(ends):
    one = strip(ends=ends)
    total = torch.zeros(one.padded)
    for start, _, weight in one.pieces:
        total[start : start + one.window] += weight
        edge = weight[: round(EDGE_S * FS_HZ)], weight[-round(EDGE_S * FS_HZ) :]
        assert start == 0 or not edge[0].any()
        assert start + one.window == one.padded or not edge[1].any()
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_network_that_sees_one_sample_sees_no_windows():
    """What is done to each sample by itself is done to the strip, however many windows are read at once."""
    one, x = strip(ends=(900, 3500)), torch.randn(2, 8, 3520)
    for rows in (1, 3, 100):
        read = []

        def bind(strips, parts, read=read):
            read.append(len(strips))
            return lambda cut, t: torch.sin(cut) + t

        np.testing.assert_allclose(one.stitched(bind, 2, rows)(x, 3), torch.sin(x) + 3, atol=1e-5)
        assert max(read) <= rows and sum(read) == 2 * len(one.pieces)


def test_each_part_is_read_with_its_own_statements():
    """Fails when the parts change places or the change takes longer than a second."""
    one = strip(ends=(900, 3500))
    out = one.stitched(
        lambda strips, parts: lambda cut, t: torch.tensor(parts)[:, None, None] * torch.ones_like(cut), 1, 7
    )(torch.zeros(1, 8, one.padded), 0)[0, 0]
    assert (out[:850] == 0).all() and (out[950:3500] > 1 - 1e-5).all()
    assert float(out[899]) == pytest.approx(0.495, abs=0.01) and (out[850:950].diff() > -1e-6).all()


def test_a_strip_is_the_textbook_run_over_averaged_windows(model):
    """MultiDiffusion by hand: DDIM with float64 windows, read one by one. Fails for another weight or another noise."""
    made = model.generate(
        "NORM", exact=True, duration=4.5, sampler="ddim", steps=4, seed=7, precision="float32"
    )
    window, abar = model.shape[1], model.schedule.abar
    one = strip_of((4.5,), window=window, fs_hz=FS_HZ)
    cond = torch.from_numpy(conditions(model.request("NORM", exact=True).vectors, 1, model.classes))

    def eps(x, t):
        out = np.zeros_like(x)
        for start, _, weight in one.pieces:
            given = torch.from_numpy(x[None, :, start : start + window]).float(), cond, torch.full((1, 1), t)
            with torch.no_grad():
                out[:, start : start + window] += (
                    weight.double().numpy() * model.model(given)[0].double().numpy()
                )
        return out

    steps = [int(t) for t in model.step_table(sampler="ddim", steps=4).steps]
    z = normal(7, [0], model.schedule.T, (one.padded, 8))[0].T.double().numpy()
    np.testing.assert_allclose(made[0], textbook.ddim(abar, steps, eps, z)[:, :450], atol=2e-4)


@pytest.mark.parametrize(
    "how",
    [
        {"sampler": "ddpm"},
        {"sampler": "ddim", "steps": 3, "ddim_eta": 1.0},
        {"sampler": "sde-dpmpp-2m", "steps": 3},
    ],
)
def test_seed_and_index_decide_and_not_the_batch(model, how):
    how = {**how, "duration": 4.0, "num_samples": 3, "precision": "float32"}
    whole, single = (model.generate("AFIB", seed=5, batch_size=size, **how) for size in (64, 1))
    np.testing.assert_allclose(whole, single, atol=1e-4)
    assert whole.shape == (3, 8, 400) and np.isfinite(whole.numpy()).all()
    other = model.generate("AFIB", seed=6, **how)
    assert min(float((whole[0] - x).abs().max()) for x in (whole[1], other[0])) > 0.01


def test_a_scheduler_of_diffusers_makes_strips_as_well(model):
    diffusers = pytest.importorskip("diffusers")
    how = dict(
        sampler=diffusers.DDIMScheduler(timestep_spacing="trailing"), steps=3, duration=4, precision="float32"
    )
    whole, single = (
        model.generate("NORM", num_samples=2, seed=5, batch_size=size, **how) for size in (64, 1)
    )
    np.testing.assert_allclose(whole, single, atol=1e-4)
    assert whole.shape == (2, 8, 400) and float((whole[0] - whole[1]).abs().max()) > 0.01


def test_a_short_record_is_the_beginning_of_a_whole_one():
    model = tiny(network={"s4_lmax": 300}, trainset_config={"segment_length": 300})
    whole = model.generate("NORM", seed=3, steps=3)
    for seconds in (2.5, 3.0):
        cut = model.generate("NORM", seed=3, steps=3, duration=seconds)
        assert torch.equal(cut, whole[..., : round(seconds * 100)])


def test_noise_of_a_longer_strip_begins_with_that_of_a_shorter_one():
    long, short = (strip(seconds).noise(origin([1], [2]), 3) for seconds in (60, 30))
    assert torch.equal(long[..., : short.shape[-1]], short)
    assert long.std() == pytest.approx(1, abs=0.02)


def test_labels_follow_each_other(model):
    ecg = model.generate_ecgs(["NORM", "AFIB+LVH"], exact=True, duration=(3, 2.5), seed=1, steps=2)[0]
    assert ecg.duration_s == 5.5 and set(ecg.statements) == {"NORM", "AFIB", "LVH"}
    assert ecg.provenance["parts"] == ["NORM", "AFIB+LVH"] and ecg.provenance["seconds"] == [3, 2.5]
    assert ecg.provenance["requested"] == "NORM+AFIB+LVH"
    assert [(one.sample, one.symbol, one.note) for one in ecg.annotations] == [
        (0, '"', "NORM"),
        (300, "+", "(AFIB"),
        (300, '"', "AFIB+LVH"),
    ]
    request = model.request(["NORM", "AFIB"], duration=(3, 3), num_samples=4, seed=1)
    assert request.course.shape == (4, 2, 71) and (request.course[:, 0].argmax(-1) >= 0).all()
    np.testing.assert_array_equal(request.vectors, request.course.max(axis=1))
    assert request.part(slice(1, 3)).course.shape == (2, 2, 71) and list(request.pick([3]).numbers) == [3]
    one = request.pick([2])
    again = model.sample(one, model.step_table(steps=2), seed=1)
    all_of_them = model.sample(request, model.step_table(steps=2), seed=1)
    np.testing.assert_allclose(again[0], all_of_them[2], atol=1e-4)


def test_the_statements_of_a_part_decide_its_signal(model):
    """The beginning is that of a strip with the first statement alone, the end is not."""
    how = dict(exact=True, seed=2, sampler="ddim", steps=1, precision="float32")  # one step: nothing travels
    both = model.generate(["NORM", "AFIB"], duration=(3, 3), **how)[0]
    first, second = (model.generate(name, duration=6, **how)[0] for name in ("NORM", "AFIB"))
    np.testing.assert_allclose(both[:, :250], first[:, :250], atol=1e-5)
    np.testing.assert_allclose(both[:, 350:], second[:, 350:], atol=1e-5)
    assert float((first - second).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("labels", "duration", "message"),
    [
        ("NORM", 2, "duration is 2: expected seconds, at least 2.5"),
        ("NORM", float("inf"), "expected seconds"),
        ("NORM", "long", "expected seconds"),
        ("NORM", [], "expected seconds"),
        (["NORM", "AFIB"], (30, 1), "expected seconds"),
        (["NORM", "AFIB"], (3, 3, 3), "2 labels for 3 durations"),
    ],
)
def test_durations_that_make_no_sense(model, labels, duration, message):
    with pytest.raises(ValueError, match=message):
        model.generate(labels, duration=duration)


def test_a_request_has_its_duration(model):
    with pytest.raises(ValueError, match="duration is part of a Request"):
        model.generate(model.request("NORM"), duration=3)


def test_times_of_labels():
    assert timed(["NORM", "a@b"]) == (["NORM", "a@b"], ())
    assert timed(["NORM@0-30", "AFIB+LVH@30-62.5"]) == (["NORM", "AFIB+LVH"], (30.0, 32.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "NORM@0-3", "--label", "AFIB@4-8"], "parts that follow each other"),
        (["--label", "NORM@0-3", "--label", "AFIB"], "parts that follow each other"),
        (["--label", "NORM@0-3", "--label", "AFIB@3-4"], "at least 2.5"),
        (["--label", "NORM@0-3", "--duration", "3"], "not both"),
        (["--label", "NORM", "--duration", "1"], "at least 2.5"),
        (["--label", "NORM", "--duration", "121", "--format", "png"], "no pictures"),
        (["--label", "NORM@0-3", "--label", "AFIB@3-6", "--check"], "stay the same"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, checkpoint, arguments, message, capsys):  # noqa: F811
    given = ["generate", *arguments, "--checkpoint", str(checkpoint), "--out", str(tmp_path / "x")]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (tmp_path / "x").exists()


def test_the_command_writes_a_strip(tmp_path, checkpoint, capsys):  # noqa: F811
    given = [
        "generate",
        "--checkpoint",
        str(checkpoint),
        "--seed",
        "3",
        "--exact",
        "--format",
        "wfdb,npz,csv,png",
    ]
    parts = ["--label", "NORM+SR@0-3", "--label", "AFIB@3-6", "-n", "2"]
    assert main([*given, *parts, "--noise", "muscle:20uV", "--out", str(tmp_path / "x")]) == 0
    manifest = json.loads((tmp_path / "x/manifest.json").read_text())
    assert [record["name"] for record in manifest["records"]] == ["NORM-SR-AFIB_00000", "NORM-SR-AFIB_00001"]
    for name in ("NORM-SR-AFIB_00001", "NORM-SR-AFIB_00001_clean"):
        assert physionet.rdrecord(str(tmp_path / "x" / name)).sig_len == 600
        read = physionet.rdann(str(tmp_path / "x" / name), "atr")
        notes = [note.rstrip("\x00") for note in read.aux_note]
        assert list(zip(read.sample.tolist(), read.symbol, notes, strict=True)) == [
            (0, "+", "(N"),
            (1, '"', "NORM+SR"),
            (300, "+", "(AFIB"),
            (300, '"', "AFIB"),
        ]
    assert npz.read(tmp_path / "x/ecgs.npz")[0].duration_s == 6
    assert main([*given, "--label", "NORM", "--duration", "2.5", "--out", str(tmp_path / "y")]) == 0
    assert npz.read(tmp_path / "y/ecgs.npz")[0].duration_s == 2.5


def test_all_windows_of_a_strip_have_its_own_circumstances():
    """For a transformer, they are those of the strip's seed and index. Fails when another strip's are taken."""
    model = SSSDECG(transformer(), device="cpu")
    model.model.load_state_dict(random_net().state_dict())
    seen = []
    original = model.model.embedded

    def embedded(cond, at):
        seen.append(cond[:, -16:].clone())
        return original(cond, at)

    model.model.embedded = embedded
    model.generate("NORM", duration=4, num_samples=2, seed=9, steps=1, sampler="ddim", batch_size=64)
    state = origin([9, 9], [0, 1])
    drawn = draw(model.model.circumstances, rows_like(model.model, torch.zeros(2, 75), state), state)
    found = torch.cat(seen)
    assert len(found) > 4
    for row in found:
        assert torch.isclose(row, drawn).all(dim=1).any()
    assert all(torch.isclose(found, one).all(dim=1).any() for one in drawn)


def test_all_windows_of_a_part_have_one_heart_rate(monkeypatch):
    """It is the one that is given, or that which is drawn for the record of ordinary length with the same seed."""
    config = transformer().model_dump()
    config["transformer_config"]["heart_rates"] = config["trainset_config"]["heart_rate"] = True
    config["wavenet_config"]["label_embed_classes"] = 77
    model, seen = SSSDECG(Config.model_validate(config), device="cpu"), []
    model.model.heart_rates.copy_(torch.linspace(50, 120, len(model.model.heart_rates)))

    def watched(network, cond, *more, **how):
        seen.extend(cond[:, [CODES.index("AFIB"), 75, 76]].tolist())
        return bind(network, cond, *more, **how)

    def told_to_network():
        rates = {tuple(round(x, 4) for x in row) for row in seen}
        seen.clear()
        return rates

    monkeypatch.setattr("sssd.batch.bind", watched)
    how = dict(exact=True, seed=2, sampler="ddim", steps=1, precision="float32")
    model.generate(["NORM", "AFIB"], duration=(12, 12), **how)
    to_windows = told_to_network()
    for label in ("NORM", "AFIB"):
        model.generate(label, **how)
    assert len(to_windows) == 2 and to_windows == told_to_network()
    model.generate("NORM", duration=12, heart_rate=80, **how)
    assert told_to_network() == {(0.0, 1.0, 0.2)}
