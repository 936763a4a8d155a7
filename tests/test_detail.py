"""Records at 500 Hz: the record at 100 Hz inside, noise of given levels, and what decides the detail."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
import wfdb as physionet

from sssd import Ecg
from sssd.cli import main
from sssd.detail import (
    BANDS_HZ,
    CUT_HZ,
    DetailScale,
    _noise,
    _sampled,
    _windows,
    at_500_hz,
    beats_of,
    known_of,
    plausible,
    ratios_of,
    trained,
)
from sssd.io.recording import read_recording
from sssd.leads import to_twelve
from sssd.models.detail import FACTOR, LEVELS, SHAPE, WINDOW, DetailNetwork, detail_schedule
from sssd.models.transformer import DATA_STD, LEADS
from sssd.presets import WEIGHTS
from sssd.signals.rates import FINE_HZ, agreeing, band, decimated, interpolated
from tests.test_wrapper import tiny

CPU = torch.device("cpu")


def recording(seconds=10.0, seed=0):
    """Sharp beats (8, N) in mV at 500 Hz, at 0.5 s, 1.3 s, ..., with white noise of 10 uV."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * FINE_HZ)) / FINE_HZ
    pulse = np.exp(-((((t % 0.8) - 0.5) / 0.01) ** 2))
    return np.linspace(0.3, 1.5, 8)[:, None] * pulse + 0.01 * random.standard_normal((8, len(t)))


def untrained(rows=3):
    torch.manual_seed(0)
    network = DetailNetwork(rows)
    network.mean[:LEADS], network.mean[LEADS:] = -2.5, -0.3
    return network.eval()


def test_the_way_to_500_hz_and_back_is_the_same_record():
    """Fails when the mirror image has other samples than the fine signal (100 uV at the ends), or the filter stays."""
    coarse = decimated(recording())
    np.testing.assert_allclose(decimated(interpolated(coarse)), coarse, atol=0.005)
    assert np.abs(band(interpolated(coarse), 51, 250, FINE_HZ)).max() < 5e-4


def test_decimating_is_what_reading_a_recording_does():
    fine = to_twelve(recording())
    read = read_recording(Ecg(fine, FINE_HZ), fs_hz=100.0, samples=1000).signal_mv
    np.testing.assert_allclose(read, decimated(fine.astype(np.float32).astype(np.float64)), atol=1e-9)


def test_decimating_by_another_ratio_keeps_low_frequencies():
    time = np.arange(3600) / 360
    coarse = decimated(np.cos(2 * np.pi * 7 * time), Fraction(100, 360))
    np.testing.assert_allclose(
        coarse[20:-20], np.cos(2 * np.pi * 7 * np.arange(1000) / 100)[20:-20], atol=1e-3
    )


def test_what_is_made_to_agree_has_the_record_inside_and_its_own_detail():
    coarse, fine = decimated(recording()), band(recording(seed=1), CUT_HZ, 250, FINE_HZ)
    made = agreeing(fine, coarse)
    np.testing.assert_allclose(decimated(made), coarse, atol=0.005)
    np.testing.assert_allclose(band(made - fine, 51, 250, FINE_HZ), 0, atol=5e-4)


def scale_and_levels(leads=None):
    fine = recording(60.0)[None]
    known = known_of(decimated(fine))
    random = np.random.default_rng(0)
    ratios = ratios_of(fine, known.level) + random.uniform(-0.3, 0.3, (1, LEADS, len(BANDS_HZ) - 1))
    return known, ratios, DetailScale.of(known, ratios, torch.eye(LEADS) if leads is None else leads)


def test_noise_that_is_white_to_the_network_has_the_levels_in_mv():
    """Fails when a band counts twice, or widths of bands are left out: they differ by a factor of twelve."""
    known, ratios, scale = scale_and_levels()
    quiet = DetailScale(torch.ones_like(scale.gain), scale.amplitude, scale.leads)
    white = DATA_STD * torch.randn(scale.gain.shape, generator=torch.Generator().manual_seed(0))
    found = ratios_of(quiet.to_mv(white).double().numpy(), known.level)
    assert abs(np.mean(found - ratios)) < 0.03
    assert np.abs(found - ratios).mean() < 0.1


def test_the_scale_goes_back_and_forth():
    leads = torch.linalg.cholesky(0.7 * torch.eye(LEADS) + 0.3)
    _, _, scale = scale_and_levels(leads)
    x = torch.randn(scale.gain.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(scale.to_network(scale.to_mv(x)), x, atol=1e-4, rtol=1e-3)


def test_noise_of_recordings_is_white_to_the_network():
    """The other way round: the detail of a recording of white noise has unit variance at all frequencies."""
    fine = 0.01 * np.random.default_rng(0).standard_normal((1, LEADS, 30_000))
    known = known_of(decimated(fine))
    detail = torch.from_numpy(band(fine, CUT_HZ, 251, FINE_HZ)).float()
    x = DetailScale.of(known, ratios_of(fine, known.level), torch.eye(LEADS)).to_network(detail) / DATA_STD
    for low, high in ((50, 100), (100, 150), (150, 200)):
        power = band(x.double().numpy(), low, high, FINE_HZ).var() / ((high - low) / (FINE_HZ / 2))
        assert power == pytest.approx(1, abs=0.1)


def test_an_untrained_network_leaves_noise_as_it_is():
    """Fails when the steps of the sampler take variance away: four would take a sixth of it."""
    noise = torch.randn(4, LEADS, FACTOR * WINDOW, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = _sampled(untrained(), noise, torch.zeros(4, LEVELS + SHAPE * LEADS * WINDOW))
    torch.testing.assert_close(made, made.std() / noise.std() * noise, atol=1e-5, rtol=1e-4)
    assert float(made.std() / noise.std()) == pytest.approx(DATA_STD, rel=0.02)


def test_the_network_reads_each_window_alone():
    network = untrained()
    torch.nn.init.normal_(network.last.weight)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(3, LEADS, FACTOR * WINDOW, generator=random)
    given = torch.randn(3, LEVELS + SHAPE * LEADS * WINDOW, generator=random)
    step = torch.full((1, 1), 40.0)
    with torch.no_grad():
        torch.testing.assert_close(network(x, given, step)[1:2], network(x[1:2], given[1:2], step))


def test_beats_have_noise_in_common_where_the_detail_is_strong():
    """Fails when the noise of a beat is not the same as of the next, or mixing changes its variance."""
    gain, beats = np.ones((LEADS, 5000), np.float32), np.arange(300, 4800, 400)
    gain[:, :] = np.where(np.abs((np.arange(5000) - 100) % 400 - 200) < 30, 10.0, 1.0)
    noise = np.concatenate([_noise(gain, beats, 1, i)[None] for i in range(30)])
    assert noise.var() == pytest.approx(1, abs=0.02)
    about = np.stack([noise[..., at - 20 : at + 20].ravel() for at in beats])
    away = np.stack([noise[..., at + 100 : at + 140].ravel() for at in beats])
    assert np.corrcoef(about)[0, 1:].mean() == pytest.approx(0.99, abs=0.02)
    assert abs(np.corrcoef(away)[0, 1:].mean()) < 0.03


def test_windows_share_the_record():
    beats = np.array([10, 160, 700, 880, 4990])
    starts, rows = _windows(beats, 1000)
    assert all(
        FACTOR * start <= row.start < row.stop <= FACTOR * (start + WINDOW)
        for start, row in zip(starts, rows, strict=True)
    )
    assert all(a.stop <= b.start for a, b in zip(rows, rows[1:], strict=False))
    assert all(row.start <= beat < row.stop for beat, row in zip(beats, rows, strict=True))


def test_beats_are_found_where_they_are():
    found = beats_of(known_of(decimated(recording())[None]))
    assert len(found) == 12
    np.testing.assert_allclose(
        np.abs(found - np.arange(250, 5000, 400)), 4, atol=1
    )  # where a beat is steepest


@pytest.mark.parametrize("seconds", [2.5, 10.0, 23.0])
def test_the_record_at_100_hz_is_inside(seconds):
    coarse = decimated(recording(seconds))[None]
    made = at_500_hz(trained(CPU), coarse, [3], [0])
    assert made.shape == (1, 8, round(seconds * FINE_HZ))
    np.testing.assert_allclose(decimated(made.astype(np.float64)), coarse, atol=0.005)
    assert band(made[0].astype(np.float64), 60, 150, FINE_HZ).std() > 1e-3


def test_what_recordings_do_not_have_at_the_upper_end_is_lowered():
    """Fails when it is undone with the filter: eight times 20 uV would be a hum of 160 uV."""
    coarse = decimated(recording())[None]
    np.testing.assert_allclose(plausible(coarse), coarse, atol=1e-3)
    hum = 0.02 * np.sin(2 * np.pi * 48 * np.arange(1000) / 100)
    made = at_500_hz(trained(CPU), coarse + hum, [3], [0]).astype(np.float64)
    assert band(made, 47.5, 48.5, FINE_HZ).std() < 0.02


def test_a_flat_record_gets_noise_and_no_beats():
    made = at_500_hz(trained(CPU), np.zeros((1, 8, 1000)), [3], [0])
    assert np.isfinite(made).all() and np.abs(made).max() < 0.05


def test_seed_and_index_decide_and_not_the_batch():
    coarse = np.stack([decimated(recording(seed=k)) for k in range(3)])
    made = at_500_hz(trained(CPU), coarse, [1, 1, 2], [0, 1, 1])
    np.testing.assert_array_equal(at_500_hz(trained(CPU), coarse[1:2], [1], [1])[0], made[1])
    same = at_500_hz(trained(CPU), coarse[[0, 0, 0]], [1, 1, 2], [0, 1, 1])
    assert np.abs(same[0] - same[1]).max() > 1e-3 and np.abs(same[1] - same[2]).max() > 1e-3


def test_generating_at_500_hz():
    model = tiny(trainset_config={"segment_length": 1000})
    coarse = model.generate("NORM", seed=4, num_samples=2, return_numpy=True)
    fine = model.generate("NORM", seed=4, num_samples=2, fs=500, return_numpy=True)
    np.testing.assert_array_equal(fine, at_500_hz(trained(CPU), coarse, [4, 4], [0, 1]))
    first, second = model.generate_ecgs("NORM", seed=4, num_samples=2, fs=500, noise="mains:60Hz")
    np.testing.assert_allclose(second.clean.signal, to_twelve(fine[1]), atol=1e-6)
    assert first.fs_hz == 500 and first.provenance["detail"] == trained(CPU).hash
    assert model.generate("NORM", seed=4, fs=100, return_numpy=True).shape == (1, 8, 1000)
    with pytest.raises(ValueError, match="fs is 250: this model makes records at 100 or 500 Hz"):
        model.generate("NORM", fs=250)


def test_a_strip_at_500_hz_changes_its_statements_where_it_should():
    ecg = tiny(trainset_config={"segment_length": 1000}).generate_ecgs(
        ["NORM", "AFIB"], duration=(4, 5), seed=1, fs=500
    )[0]
    assert ecg.signal.shape == (12, 4500)
    assert sorted({one.sample for one in ecg.annotations}) == [0, 2000]


def test_the_command_writes_records_at_500_hz(tmp_path):
    given = ["generate", "--label", "NORM", "--seed", "1", "--quality", "draft", "--device", "cpu"]
    assert main([*given, "--fs", "500", "--out", str(tmp_path / "fine")]) == 0
    manifest = json.loads((tmp_path / "fine/manifest.json").read_text())
    record = physionet.rdrecord(str(tmp_path / "fine" / manifest["records"][0]["name"]))
    assert record.fs == manifest["fs_hz"] == 500
    assert main([*given, "--fs", "250", "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


def test_what_is_made_of_a_recording_gets_detail():
    """Known leads stay what they are at 100 Hz, and the detail is that of seed and number."""
    model = tiny(trainset_config={"segment_length": 1000})
    ecg = Ecg(to_twelve(decimated(recording())), 100, statements=("NORM",))
    how = {"known": ["I", "II"], "seed": 3, "steps": 2}
    fine, coarse = model.complete(ecg, 2, **how, fs=500), model.complete(ecg, 2, **how)
    for i, (one, before) in enumerate(zip(fine, coarse, strict=True)):
        expected = at_500_hz(trained(CPU), coarse.eight[i : i + 1], [3], [i])[0]
        np.testing.assert_allclose(one.signal, to_twelve(expected), atol=1e-5)
        inside = decimated(one.lead("I").astype(np.float64))
        np.testing.assert_allclose(inside, before.lead("I"), atol=0.005)
        np.testing.assert_allclose(inside, ecg.lead("I"), atol=0.005)
        assert one.fs_hz == 500 and one.provenance["detail"] == trained(CPU).hash
    assert model.vary(ecg, seed=1, fs=500)[0].signal.shape == (12, 5000)
    assert model.edit(ecg, "AFIB", seed=1, fs=500)[0].signal.shape == (12, 5000)
    assert model.interpolate(ecg, ecg, 2, steps=2, seed=1, fs=500)[1].signal.shape == (12, 5000)
    with pytest.raises(ValueError, match="fs is 250: this model makes records at 100 or 500 Hz"):
        model.vary(ecg, fs=250)


@pytest.mark.parametrize("command", [["vary"], ["edit", "--label", "AFIB"], ["complete", "--known", "I,II"]])
def test_commands_that_take_recordings_write_500_hz(tmp_path, command):
    weights = tiny(trainset_config={"segment_length": 1000}).save_checkpoint(tmp_path / "small.safetensors")
    source = Ecg(to_twelve(decimated(recording())), 100, statements=("NORM",)).save(tmp_path / "a.npz")
    given = [command[0], str(source), *command[1:], "--checkpoint", str(weights), "--device", "cpu"]
    assert main([*given, "--fs", "500", "--format", "wfdb", "--out", str(tmp_path / "fine")]) == 0
    manifest = json.loads((tmp_path / "fine/manifest.json").read_text())
    record = physionet.rdrecord(str(tmp_path / "fine" / manifest["records"][0]["name"]))
    assert record.fs == manifest["fs_hz"] == 500 and record.sig_len == 5000
    assert main([*given, "--fs", "250", "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


def test_the_weights_are_small():
    assert (WEIGHTS.parent / "detail.safetensors").stat().st_size < 1e6
    assert trained(CPU).rows.shape == (2010, LEVELS)


def test_the_schedule_begins_in_noise():
    assert detail_schedule().sigma[-1] / detail_schedule().alpha[-1] >= 20 * DATA_STD
