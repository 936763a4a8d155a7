"""Noise on request: exact amplitudes, spectra, relations of leads, and what decides it."""

import json

import numpy as np
import pytest
import wfdb as physionet

from sssd import Ecg
from sssd.added_noise import add_noise, parse
from sssd.cli import main
from sssd.io import npz
from sssd.leads import SSSD, reorder
from tests.inputs.records import beats_mv
from tests.test_cli import checkpoint  # noqa: F401
from tests.test_wrapper import tiny

ALL = "baseline:0.3mV, muscle:20uV, mains:50Hz"


def flat(seconds=60, fs_hz=500.0, **changes):
    return Ecg(np.zeros((12, round(seconds * fs_hz))), fs_hz, **changes)


def added(text, *, seed=1, index=0, **how):
    return add_noise(flat(**how), text, seed=seed, index=index).signal.astype(np.float64)


def share(x, fs_hz, low, high):
    """The share of the power of x (12, L) between two frequencies."""
    power = (np.abs(np.fft.rfft(x * np.hanning(x.shape[1]))) ** 2).sum(axis=0)
    f = np.fft.rfftfreq(x.shape[1], 1 / fs_hz)
    return power[(f >= low) & (f <= high)].sum() / power.sum()


@pytest.mark.parametrize("text", ["baseline:0.3mV", "muscle:20uV", "mains:50Hz", ALL])
@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
def test_einthoven_and_goldberger_hold_for_the_noise(text, fs_hz):
    """Fails when noise is drawn for leads, or a chest electrode is not taken against Wilson's terminal."""
    one, two, three, avr, avl, avf, *chest = added(text, fs_hz=fs_hz)
    np.testing.assert_allclose(one + three, two, atol=1e-6)
    np.testing.assert_allclose(avr + avl + avf, 0, atol=1e-6)
    np.testing.assert_allclose(avf, (two + three) / 2, atol=1e-6)
    assert np.ptp(chest, axis=0).max() > 1e-3


def test_chest_leads_share_the_noise_of_the_limbs():
    """In V1 to V6, a third of the limb electrodes' power is common: correlation (1/3) / (4/3) = 1/4 of two of them."""
    chest = added("muscle:20uV", seconds=300)[6:]
    between = np.corrcoef(chest)[np.triu_indices(6, 1)]
    assert between.mean() == pytest.approx(0.25, abs=0.01)


def test_electrodes_are_equally_strong():
    """Powers of I, aVR, aVF and V1 by the sums of independent electrodes: 2, 1.5, 1.5 and 4/3."""
    power = added("muscle:20uV", seconds=300).var(axis=1)
    np.testing.assert_allclose(power[[0, 3, 5, 6]] / power[0], [1, 0.75, 0.75, 2 / 3], atol=0.02)


@pytest.mark.parametrize("seconds", [2.5, 10, 60])
def test_amplitudes_are_exact(seconds):
    """Fails when the rms is that of one lead, or the peak that of a sine between two samples."""
    assert np.sqrt((added("muscle:20uV", seconds=seconds) ** 2).mean()) == pytest.approx(0.02, rel=1e-6)
    assert np.abs(added("baseline:0.3mV", seconds=seconds)).max() == pytest.approx(0.3, rel=1e-6)
    for hz, fs_hz in ((50, 100.0), (50, 500.0), (60, 500.0)):
        hum = added(f"mains:{hz}Hz:80uV", seconds=seconds, fs_hz=fs_hz)
        assert np.abs(hum).max() == pytest.approx(0.08, rel=1e-6)
    assert np.abs(added("mains:50Hz")).max() == pytest.approx(0.05, rel=1e-6)


def test_spectra():
    """Fails when the wander has a trend or steps, the EMG is white, or the hum is at another frequency."""
    assert share(added("baseline:0.3mV"), 500.0, 0.03, 0.55) > 0.999
    assert share(added("mains:50Hz"), 500.0, 49.9, 50.1) > 0.999
    assert share(added("mains:60Hz:1mV"), 500.0, 59.9, 60.1) > 0.999
    muscle = added("muscle:20uV", seconds=300)
    f = np.linspace(0, 250, 100_001)
    expected = f**2 / ((f**2 + 30.0**2) * (f**2 + 60.0**2) ** 2)
    for low, high in ((0, 10), (10, 40), (40, 80), (80, 150)):
        of_model = expected[(f >= low) & (f <= high)].sum() / expected.sum()
        assert share(muscle, 500.0, low, high) == pytest.approx(of_model, abs=0.01)


def test_seed_and_index_decide_and_kinds_do_not_touch_each_other():
    both = added("muscle:20uV, baseline:0.3mV")
    np.testing.assert_allclose(both, added("baseline:0.3mV") + added("muscle:20uV"), atol=1e-6)
    np.testing.assert_array_equal(both, added("muscle:20uV, baseline:0.3mV"))
    for other in ({"seed": 2}, {"index": 1}):
        assert (
            np.abs(np.corrcoef(both.ravel(), added("muscle:20uV, baseline:0.3mV", **other).ravel())[0, 1])
            < 0.2
        )


def test_the_noise_of_a_lead_does_not_depend_on_the_order_of_leads():
    np.testing.assert_allclose(reorder(added(ALL, leads=SSSD), SSSD), added(ALL), atol=1e-7)


def test_the_clean_record_is_kept_and_the_provenance_says_what_was_added():
    ecg = Ecg(beats_mv(1, seconds=10), 100.0, statements=("SR",), provenance={"source": "a"})
    noisy = add_noise(ecg, ALL, seed=5, index=3)
    assert noisy.clean is ecg and noisy.statements == ("SR",)
    told = noisy.provenance["noise"]
    assert (told["seed"], told["index"]) == (5, 3) and noisy.provenance["source"] == "a"
    again = add_noise(ecg, told["added"], seed=5, index=3)
    np.testing.assert_array_equal(again.signal, noisy.signal)
    noise, clean = (x.astype(np.float64) for x in (noisy.signal - ecg.signal, ecg.signal))
    ratio = (clean - clean.mean(axis=1, keepdims=True)).var() / (noise**2).mean()
    assert told["snr_db"] == pytest.approx(10 * np.log10(ratio), abs=0.01)
    with pytest.raises(ValueError, match="has noise already"):
        add_noise(noisy, ALL, seed=5)
    with pytest.raises(ValueError, match="clean must be"):
        Ecg(ecg.signal[:, 1:], 100.0, clean=ecg)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one of baseline, muscle, mains"),
        ("hum:1mV", "expected one of baseline, muscle, mains"),
        ("baseline", "expected an amplitude above 0"),
        ("baseline:0mV", "expected an amplitude above 0"),
        ("baseline:-1mV", "expected one amplitude"),
        ("muscle:20", "expected one amplitude"),
        ("muscle:50Hz", "expected one amplitude"),
        ("muscle:1uV:2uV", "expected one amplitude"),
        ("mains:20uV", "expected a frequency above 0"),
        ("mains:50Hz:60Hz", "expected a frequency and an amplitude"),
        ("mains:60Hz", "show frequencies up to 50 Hz"),
        ("muscle:11mV", "at most 10 mV"),
        ("muscle:1uV, muscle:2uV", "named 2 times"),
    ],
)
def test_what_makes_no_sense_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text, 100.0)


def test_units_and_spaces():
    assert parse("muscle:20uV", 100.0) == parse(" muscle : 0.02 mV ", 100.0) == parse("muscle:20µV", 100.0)
    assert parse(None, 100.0) == ()


def test_generated_records_keep_their_signal_beside_the_noise():
    """The clean records are those without noise, whatever the batch."""
    model = tiny()
    how = dict(num_samples=3, seed=4, sampler="ddim", steps=3, precision="float32")
    clean, noisy = (
        model.generate_ecgs("NORM", **how),
        model.generate_ecgs("NORM", noise=ALL, batch_size=1, **how),
    )
    for i, (a, b) in enumerate(zip(clean, noisy, strict=True)):
        np.testing.assert_allclose(b.clean.signal, a.signal, atol=1e-5)
        np.testing.assert_allclose(add_noise(b.clean, ALL, seed=4, index=i).signal, b.signal, atol=1e-6)
    with pytest.raises(ValueError, match="noise is 5"):
        model.generate_ecgs("NORM", noise=5)


def test_the_command_writes_both(tmp_path, checkpoint, capsys):  # noqa: F811
    given = ["generate", "--checkpoint", str(checkpoint), "--label", "NORM", "-n", "2", "--seed", "3"]
    assert main([*given, "--noise", ALL, "--format", "wfdb,npz,csv", "--out", str(tmp_path / "x")]) == 0
    assert "noise: baseline:300uV, muscle:20uV, mains:50Hz:50uV" in capsys.readouterr().out
    assert main([*given, "--out", str(tmp_path / "y")]) == 0
    manifest = json.loads((tmp_path / "x/manifest.json").read_text())
    assert manifest["noise"] == "baseline:300uV, muscle:20uV, mains:50Hz:50uV"
    assert {f"NORM_00001_clean.{kind}" for kind in ("hea", "dat", "csv")} < set(manifest["files"])
    plain, both = npz.read(tmp_path / "y/ecgs.npz"), npz.read(tmp_path / "x/ecgs.npz")
    for i, (a, b) in enumerate(zip(plain, both, strict=True)):
        np.testing.assert_array_equal(b.clean.signal, a.signal)
        assert b.clean.provenance == a.provenance and b.provenance["noise"]["index"] == i
        for name, ecg in ((f"NORM_{i:05d}", b), (f"NORM_{i:05d}_clean", b.clean)):
            read = physionet.rdrecord(str(tmp_path / "x" / name)).p_signal.T
            np.testing.assert_allclose(read, ecg.signal, atol=1e-6)
            table = np.loadtxt(
                tmp_path / "x" / f"{name}.csv", delimiter=",", skiprows=1, usecols=range(1, 13)
            ).T
            np.testing.assert_allclose(table, ecg.signal, atol=1e-6)


def test_one_record_is_saved_with_its_clean_one(tmp_path):
    noisy = add_noise(Ecg(beats_mv(1, seconds=3), 100.0), "muscle:20uV", seed=1)
    noisy.save(tmp_path / "a.hea")
    noisy.save(tmp_path / "a.csv")
    noisy.save(tmp_path / "a.npz")
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["a.csv", "a.dat", "a.hea", "a.npz", "a_clean.csv", "a_clean.dat", "a_clean.hea"]
    assert npz.read(tmp_path / "a.npz")[0].clean is not None
    assert any("noise muscle:20uV" in text.get_text() for text in noisy.plot().axes[0].texts)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(FileExistsError):  # nothing is replaced, nothing half-written
        noisy.save(tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()
    with pytest.raises(ValueError, match="1 of 2"):
        npz.render([noisy, noisy.clean])
