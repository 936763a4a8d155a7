"""The heart rate as a condition: its columns, what is unknown, models with and without, tables that tell it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd.checkpoints import read_state
from sssd.cli import main
from sssd.cli.requests import read_requests
from sssd.config.schema import DEFAULT, Config, read_config
from sssd.data.recordings import Recordings, read, write
from sssd.evaluation.asked_heart_rate import delivered
from sssd.factory import build_network, label_count, label_names
from sssd.io import npz, wfdb
from sssd.labels import CODES
from sssd.leads import to_twelve
from sssd.loss import noise_levels
from sssd.model_wrapper import SSSDECG
from sssd.patient import Takes, columns, facts, heart_rate_columns, heart_rate_from_cell, heart_rates
from sssd.schedule import karras
from sssd.signals.beats import find_beats, mean_heart_rate
from sssd.signals.heart_rate import measured_heart_rates
from sssd.training.augment import lengthened
from sssd.training.batches import chosen_records, training_batch, transformer_batch, with_patients_hidden
from sssd.training.checkpoint import start_from
from sssd.training.data import training_data
from tests.networks import s4_config

SIZE = {"num_res_layers": 2, "res_channels": 32, "skip_channels": 8, "s4_d_state": 4}


def configuration(**trainset: Any) -> Config:
    content = s4_config().model_dump()
    takes = Takes(trainset.get("patient", False), trainset.get("heart_rate", False))
    content["wavenet_config"] |= SIZE | {"label_embed_classes": 71 + len(takes.columns)}
    content["trainset_config"] |= {"patient": False, **trainset}
    return Config.model_validate(content)


def model(**trainset: Any) -> SSSDECG:
    torch.manual_seed(0)
    made = SSSDECG(configuration(**trainset), device="cpu")
    torch.nn.init.normal_(made.model.outer_convs[2].weight, std=0.3)
    return made


def test_columns() -> None:
    """Fails if an unknown rate differs from none, or the scale is another."""
    known = heart_rate_columns([75, 100, 50, None], records=4)
    np.testing.assert_allclose(known, [[1, 0], [1, 1], [1, -1], [0, 0]])
    np.testing.assert_array_equal(heart_rate_columns(records=2), np.zeros((2, 2)))


@pytest.mark.parametrize("wrong", [24.9, 250.1, "fast", float("inf"), -60])
def test_impossible_rates(wrong: object) -> None:
    with pytest.raises(ValueError, match="heart_rate is .*: expected beats per minute, 25 to 250"):
        heart_rates(wrong)


def test_rates_at_the_ends_are_accepted() -> None:
    np.testing.assert_array_equal(heart_rates([25, 250]), [25, 250])


@pytest.mark.parametrize(
    ("cell", "rate"),
    [
        ("72", 72),
        (" 72.5 ", 72.5),
        ("72,5", 72.5),
        ("72 bpm", 72),
        ("72/min", 72),
        ("", np.nan),
        ("NaN", np.nan),
    ],
)
def test_cells(cell: str, rate: float) -> None:
    np.testing.assert_equal(heart_rate_from_cell(cell), rate)


@pytest.mark.parametrize("cell", ["24", "300", "72 Hz", "fast", "-72"])
def test_wrong_cells(cell: str) -> None:
    with pytest.raises(ValueError, match="expected beats per minute, 25 to 250"):
        heart_rate_from_cell(cell)


@pytest.mark.parametrize(
    ("takes", "behind"),
    [
        (Takes(), ()),
        (Takes(patient=True), ("age", "sex")),
        (Takes(heart_rate=True), ("heart_rate",)),
        (Takes(True, True), ("age", "sex", "heart_rate")),
        (Takes(True, True, True), ("age", "sex", "heart_rate")),
    ],
)
def test_what_a_network_takes(takes: Takes, behind: tuple[str, ...]) -> None:
    """The heart rate comes last. Fails if columns are missing, in another order, or there unasked."""
    given = takes.values(records=2, age=50, sex="male", heart_rate=[60, None])
    parts = [columns(50, "male", records=2)] * takes.patient
    parts += [heart_rate_columns([60, None], records=2)] * takes.heart_rate
    parts += [np.zeros((2, 2))] * takes.variability  # nobody asks for it
    np.testing.assert_array_equal(given, np.hstack([np.zeros((2, 0)), *parts]))
    assert given.shape == (2, len(takes.columns)) and given.dtype == np.float32
    assert tuple(name for name in ("age", "sex", "heart_rate") if name in takes) == behind


@pytest.mark.parametrize("patient", [False, True])
def test_an_unknown_rate_is_what_a_network_is_given_that_gets_labels_only(patient: bool) -> None:
    """Fails if 71 columns are refused, an unknown rate is not all zeros, or a known one does not matter."""
    made = model(patient=patient, heart_rate=True)
    takes, net = made.classes.takes, made.model
    x, t, labels = torch.randn(2, 8, 100), torch.full((2, 1), 5.0), torch.zeros(2, 71)
    labels[:, 4] = 1

    def predicted(**known: Any) -> torch.Tensor:
        behind = torch.from_numpy(takes.values(records=2, **known))
        return net((x, torch.cat((labels, behind), dim=1), t))

    with torch.no_grad():
        torch.testing.assert_close(net((x, labels, t)), predicted())
        assert (predicted(heart_rate=140) - predicted()).abs().max() > 1e-4
    few, full = 71 + len(takes.columns) - 2 * (1 + patient), 71 + len(takes.columns)
    assert few == 71 + 2 * patient
    with pytest.raises(
        ValueError, match=f"conditions have 72 columns: the network expects {full}, or all but the"
    ):
        net((x, torch.zeros(2, 72), t))


def test_a_transformer_is_given_labels_only_too() -> None:
    content = read_config(DEFAULT).model_dump()
    content["transformer_config"] |= {"width": 32, "layers": 1, "heads": 2, "embed": 16}
    content["transformer_config"] |= {"circumstances": 0, "heart_rates": False}
    content["trainset_config"]["variability"] = False
    content["wavenet_config"]["label_embed_classes"] = 77
    content["trainset_config"]["heart_rate"] = True
    net = build_network(Config.model_validate(content)).eval()
    for width in (71, 77, 78):
        assert net.full(torch.ones(1, width)).shape == (1, 78)
    for width in (73, 75):
        with pytest.raises(
            ValueError, match=f"conditions have {width} columns: the network expects 71 or 77 or 78"
        ):
            net.full(torch.ones(1, width))


def test_generating_with_a_heart_rate(tmp_path: Path) -> None:
    """Fails if it does not reach the network, is another record's, or is lost by a file."""
    m = model(patient=True, heart_rate=True)
    assert m.takes_heart_rate and m.takes_patient and len(m.label_names) == 71
    how = {"num_samples": 1, "steps": 2, "seed": 1, "exact": True, "precision": "float32"}
    both = m.generate_ecgs(["NORM", "NORM"], heart_rate=[48, None], **how)
    assert both[0].provenance["heart_rate"] == 48 and "heart_rate" not in both[1].provenance
    alone, nothing = m.generate("NORM", heart_rate=48, **how), m.generate("NORM", **how)
    assert abs(both[0].signal[0] - alone[0, 0].numpy()).max() < 1e-3
    assert (alone - nothing).abs().max() > 1e-3
    request = m.request("NORM", heart_rate=48, exact=True, seed=1)
    again = m.generate(request, steps=2, seed=1, precision="float32")
    torch.testing.assert_close(again, alone)
    wfdb.write(tmp_path / "one", both[0])
    npz.write(tmp_path / "both.npz", both)
    read = [wfdb.read(tmp_path / "one"), npz.read(tmp_path / "both.npz")[0]]
    assert [ecg.provenance["heart_rate"] for ecg in read] == [48, 48]
    header = (tmp_path / "one.hea").read_text()
    assert "# provenance.heart_rate: 48.0\n" in header


@pytest.mark.parametrize("patient", [False, True])
def test_a_model_without_refuses(patient: bool) -> None:
    with pytest.raises(
        ValueError, match="heart_rate is given, but this model does not take it: leave heart_rate out"
    ):
        model(patient=patient).generate("NORM", heart_rate=60, steps=1)


def test_the_built_in_model_obeys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fails when the rate does not reach the network, or is taken for another unit."""
    asked = ["generate", "--label", "NORM", "--heart-rate", "24", "--out", str(tmp_path / "x"), "-q"]
    assert main(asked) == 2
    assert "heart_rate is 24: expected beats per minute, 25 to 250" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    shipped = SSSDECG.from_pretrained(device="cpu")
    for bpm in (50, 110):
        made = shipped.generate("NORM+SR", num_samples=8, heart_rate=bpm, seed=1, return_numpy=True)
        found = measured_heart_rates(made, shipped.fs_hz)
        assert np.isfinite(found).sum() >= 6 and np.nanmedian(found) == pytest.approx(bpm, abs=5)


def test_the_command_line(tmp_path: Path) -> None:
    """Fails if the option or the column does not reach the records, or the manifest does not say so."""
    path = model(heart_rate=True).save_checkpoint(tmp_path / "m.safetensors")
    (tmp_path / "wanted.csv").write_text("labels,heart_rate\nNORM,90\nNORM,\n")
    how = ["--checkpoint", str(path), "--labels-from", str(tmp_path / "wanted.csv"), "--steps", "2", "-q"]
    out = tmp_path / "out"
    assert main(["generate", *how, "--heart-rate", "55", "--format", "npz", "--out", str(out)]) == 0
    assert [ecg.provenance["heart_rate"] for ecg in npz.read(out / "ecgs.npz")] == [90, 55]
    records = json.loads((out / "manifest.json").read_text())["records"]
    assert [record["heart_rate"] for record in records] == [90, 55]


def test_a_configuration() -> None:
    """Fails if labels count the columns behind them, or an older version meets a key that no model of it needs."""
    config = configuration(patient=True, heart_rate=True)
    assert label_count(config) == 71 and label_names(config) == CODES
    assert Config.model_validate(config.content()) == config
    assert "heart_rate" not in configuration().content()["trainset_config"]
    content = config.model_dump()
    content["wavenet_config"]["label_embed_classes"] = 5
    with pytest.raises(ValueError, match="expected at least the 6 of age, sex and heart rate"):
        Config.model_validate(content)
    content["trainset_config"]["patient"] = False
    content["trainset_config"]["label_names"] = ["one", "two"]
    with pytest.raises(ValueError, match=r"has 2 names: expected 3 \(.*, less 2 of heart rate\)"):
        Config.model_validate(content)


def test_a_table_tells_the_heart_rate(tmp_path: Path) -> None:
    """The command line gives what the table lacks. Fails if the column is taken for a statement."""
    file = tmp_path / "wanted.csv"
    for header in ("heart_rate", "Heart Rate", "bpm", "HeartRate_bpm"):
        file.write_text(f"AFIB,{header},NORM\n1,71,0\n0,,1\n")
        asked = read_requests(None, file, CODES, heart_rate=50)
        np.testing.assert_array_equal(asked.heart_rate, [71, 50])
        assert asked.vectors.sum() == 2 and np.isnan(asked.age).all()
    file.write_text("labels,heart_rate\nAFIB,71\nNORM,271\n")
    with pytest.raises(ValueError, match="row 2: heart_rate is 271: expected beats per minute"):
        read_requests(None, file, CODES)


def test_facts() -> None:
    assert facts(None, None, np.array([50.0, np.nan]), records=2) == [{"heart_rate": 50.0}, {}]


# --- training ------------------------------------------------------------------------------------------------


def test_training_hides_each_apart() -> None:
    """Fails if two of them are always hidden together, or labels are touched."""
    out = with_patients_hidden(torch.ones(4000, 77), Takes(True, True), torch.Generator().manual_seed(0))
    assert (out[:, :71] == 1).all()
    parts = [out[:, k : k + 2] for k in (71, 73, 75)]
    shown = torch.stack([part[:, 0] for part in parts])
    assert all((part[:, 0] == part[:, 1]).all() for part in parts)
    np.testing.assert_allclose(shown.mean(1), 0.5, atol=0.04)
    np.testing.assert_allclose(np.corrcoef(shown.numpy()), np.eye(3), atol=0.06)
    labels = torch.ones(3, 71)
    assert with_patients_hidden(labels, Takes(), torch.Generator()) is labels


def beating(bpm: float, shape: float = 1.0, length: int = 1000) -> np.ndarray:
    """A record (8, length) at 100 Hz whose beats are narrow bumps, the first one after 0.3 s."""
    at = np.arange(length) / 100
    beats = np.arange(0.3, length / 100, 60 / bpm)
    bumps = np.exp(-(((at - beats[:, None]) / 0.02) ** 2)).sum(0)
    return (shape * np.array([1, -1, -0.5, 1, 1.5, 1.2, 1, 0.4])[:, None] * bumps).astype(np.float32)


def test_the_rate_of_a_recording() -> None:
    """Fails if it follows single samples (at 180 /min one is 5 /min), or the resampled end of a record counts."""
    rates = [36.0, 61.7, 90.0, 143.3, 181.0]
    records = np.stack([beating(bpm) for bpm in rates])
    np.testing.assert_allclose(measured_heart_rates(records, 100.0), rates, rtol=0.003)
    spoiled = records.copy()
    spoiled[..., 992:] = 3 * np.resize([1, -1], 8)
    np.testing.assert_allclose(measured_heart_rates(spoiled, 100.0), rates, rtol=0.003)


def test_a_rate_in_doubt_is_unknown() -> None:
    """Too few beats, a pause, chest leads that beat otherwise, nothing at all."""
    few, paused, apart, flat = beating(75), beating(75), beating(50), np.zeros((8, 1000), np.float32)
    few[:, 300:] = 0
    paused[:, 400:700] = 0
    apart[[0, 1, 7]] = beating(100)[[0, 1, 7]]
    records = np.stack([few, paused, apart, flat])
    assert np.isnan(measured_heart_rates(records, 100.0)).all()
    assert np.isfinite(measured_heart_rates(beating(75)[None], 100.0)).all()


def recordings(bpm: list[float]) -> Recordings:
    n = len(bpm)
    signal = np.rint(1000 * to_twelve(np.stack([beating(one) for one in bpm]))).astype(np.int16)
    labels = np.zeros((n, 71), np.uint8)
    return Recordings(signal, labels, CODES, strat_fold=np.arange(n) % 9 + 1, age=np.full(n, 60.0))


def test_training_data_tell_the_measured_rate() -> None:
    """Fails if a column is another record's, or validation has none."""
    bpm = [40.0 + 10 * k for k in range(9)]
    data = training_data(recordings(bpm), configuration(patient=True, heart_rate=True))
    assert data.labels.shape == (8, 77) and (data.labels[:, 71] == 1).all()
    measured = 75 + 25 * np.append(data.labels[:, 76], data.val_labels[:, 76])
    np.testing.assert_allclose(measured, bpm, rtol=0.01)
    assert (data.labels[:, 75] == 1).all()
    assert training_data(recordings(bpm), configuration()).labels.shape == (8, 71)


@pytest.mark.parametrize("transformer", [False, True])
def test_a_record_that_is_played_faster_has_a_faster_heart(transformer: bool) -> None:
    """Two routes: the rate that a batch tells of is the rate that is measured on its records."""
    bpm = np.linspace(45.0, 110.0, 32)
    given = np.where(np.arange(32) % 8 == 0, np.nan, bpm)  # some are unknown
    config = configuration(heart_rate=True)
    todo = {"batch_size": 32, "augment": True, "label_dropout": 0.0}
    config = config.model_copy(update={"train_config": config.train_config.model_copy(update=todo)})
    signals = lengthened(torch.from_numpy(np.stack([beating(one) for one in bpm])))
    labels = np.zeros((32, 71), np.float32)
    labels = torch.from_numpy(np.hstack((labels, heart_rate_columns(given, records=32))))
    if transformer:
        levels = noise_levels(karras(), velocity=True, data_std=0.3)
        conditions = torch.cat((labels, torch.zeros(32, 1)), dim=1)
        none = torch.zeros(32, dtype=torch.bool)
        x, y, t, _, _ = transformer_batch(signals, conditions, none, 1000, config, levels, 0)
        quiet = (levels.sigma / levels.alpha)[t] < 1
        order = chosen_records(32, 32, config.train_config.seed, 0)
        torch.testing.assert_close(y[quiet, 72], y[quiet, 71] * labels[order][quiet, 72])
    else:
        x, y = training_batch(signals, labels, 1000, config, 0)[:2]
    known = y[:, 71].numpy() > 0
    assert 6 < known.sum() < 22 and (y[:, 72].numpy()[~known] == 0).all()
    told = 75 + 25 * y[:, 72].numpy()[known]
    found = np.array([mean_heart_rate(find_beats(one, 100.0), 100.0) for one in x.numpy()[known]])
    np.testing.assert_allclose(found, told, rtol=0.015)
    if not transformer:
        order = chosen_records(32, 32, config.train_config.seed, 0).numpy()
        assert (abs(told / bpm[order][known] - 1) > 0.02).mean() > 0.5


def test_fine_tuning_keeps_what_both_models_take(tmp_path: Path) -> None:
    """Fails if the embedding of the heart rate starts from that of an age."""
    path = model(heart_rate=True).save_checkpoint(tmp_path / "m.safetensors")
    known = read_state(path)[0]["embedding.weight"]
    config = configuration(patient=True, heart_rate=True)
    torch.manual_seed(1)
    net = build_network(config)
    fresh = net.embedding.weight.detach().clone()
    start_from(net, config, path)
    now = net.embedding.weight.detach()
    torch.testing.assert_close(now[:71], known[:71])
    torch.testing.assert_close(now[71:75], fresh[71:75])
    torch.testing.assert_close(now[75:], known[71:])


# --- asked and delivered ----------------------------------------------------------------------------------------


def asked(bpm: list[float], wanted: list[float], afib: list[int] | None = None) -> Recordings:
    made = recordings(bpm)
    for k in afib or []:
        made.labels[k, CODES.index("AFIB")] = 1
    return replace(made, heart_rate=np.array(wanted))


def test_asked_and_delivered_by_hand() -> None:
    """Fails if AFIB, rates outside 40 to 160, or records that were not asked count, or a flat record does not."""
    made = asked([60, 64, 66, 150, 34, 170, 80, 90], [60, 60, 60, 150, 40, 170, np.nan, 50], afib=[7])
    made.signal_uv[3] = 0
    found = delivered(made)
    assert found is not None and found["records"] == 5 and found["share"] == pytest.approx(2 / 5)
    assert found["low"] == pytest.approx(0.1176, abs=1e-3) and found["high"] == pytest.approx(
        0.7693, abs=1e-3
    )
    assert found["median_difference"] == pytest.approx((4 + 6) / 2, abs=0.2)
    assert delivered(recordings([60, 70])) is None
    assert delivered(asked([60, 70], [np.nan, 30])) is None


def test_sets_say_what_was_asked(tmp_path: Path) -> None:
    """From `generate`, from a corpus and from our own archive; nothing where nothing was asked."""
    from sssd.corpora.plan import by_counts, with_patients
    from tests.corpora import make

    m = model(heart_rate=True)
    for name, given, found in (("some", [48, None], [48, np.nan]), ("none", None, None)):
        made = m.generate_ecgs(["NORM", "NORM"], heart_rate=given, steps=1, seed=1)
        npz.write(tmp_path / f"{name}.npz", made)
        np.testing.assert_equal(read(tmp_path / f"{name}.npz").heart_rate, found)
    make(tmp_path / "corpus", plan=with_patients(by_counts("AFIB=3"), None, None, 72))
    np.testing.assert_array_equal(read(tmp_path / "corpus" / "data" / "00000.npz").heart_rate, [72] * 3)
    write(tmp_path / "own.npz", asked([60, 70], [60, np.nan]))
    np.testing.assert_array_equal(read(tmp_path / "own.npz").heart_rate, [60, np.nan])
    foreign = dict(np.load(tmp_path / "none.npz"))
    for provenance in (np.array("{"), np.array(["[1]", "7"]), np.array(["{}", '{"heart_rate": null}'])):
        np.savez(tmp_path / "foreign.npz", **(foreign | {"provenance": provenance}))
        assert read(tmp_path / "foreign.npz").heart_rate is None
    np.savez(tmp_path / "foreign.npz", **(foreign | {"provenance": np.array(['{"heart_rate": "x"}', "{}"])}))
    with pytest.raises(ValueError, match="expected beats per minute"):
        read(tmp_path / "foreign.npz")
