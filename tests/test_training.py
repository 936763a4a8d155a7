"""Training: batches depend on (seed, iteration) alone, a killed run ends like one never stopped, losses."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sssd.checkpoints import load_into, read_state
from sssd.config.schema import DEFAULT, Config, TrainConfig, read_config
from sssd.factory import build_network, build_schedule
from sssd.labels import CODES
from sssd.loss import add_noise, denoising_loss, noise_levels
from sssd.schedule import linear
from sssd.training.augment import EXTRA, augmented, lengthened
from sssd.training.batches import LIMIT_MV, chosen_records, generator, to_model_scale, training_batch
from sssd.training.checkpoint import start_from
from sssd.training.data import TrainingData
from sssd.training.guidance import guided
from sssd.training.log import Progress
from sssd.training.loop import train
from sssd.training.network import TrainingNet
from sssd.training.optimizer import learning_rate_factor
from tests.networks import s4_config

CPU = torch.device("cpu")


def tiny(**train_options: object) -> Config:
    base = s4_config()
    small = {
        "num_res_layers": 2,
        "res_channels": 32,
        "skip_channels": 8,
        "s4_d_state": 4,
        "attention_every": 1,
    }
    small |= {"label_embed_classes": 71, "patch": 4}
    options = {
        "n_iters": 8,
        "iters_per_ckpt": 2,
        "iters_per_logging": 1,
        "batch_size": 4,
        "precision": "float32",
    }
    return base.model_copy(
        update={
            "wavenet_config": base.wavenet_config.model_copy(update=small),
            "trainset_config": base.trainset_config.model_copy(update={"patient": False}),
            "train_config": TrainConfig(**{**base.train_config.model_dump(), **options, **train_options}),
        }
    )


def records(n: int = 12, seed: int = 0) -> TrainingData:
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, (n, 8, 1))
    x = 0.4 * np.sin(2 * np.pi * 1.2 * np.arange(1000) / 100 + phase).astype(np.float32)
    y = (random.random((n, 71)) < 0.05).astype(np.uint8)
    return TrainingData(x, y, x[:3], y[:3], np.zeros(n, int), np.zeros(n, bool))


def log_of(out: Path) -> list[tuple[str, str, str]]:
    with (out / "log.csv").open() as f:
        return [(r["iteration"], r["loss"], r["val_loss"]) for r in csv.DictReader(f)]


def test_a_killed_run_resumes_to_the_same_losses_and_weights(tmp_path: Path) -> None:
    """Fails if batches, noise or dropout come from a generator whose state is not a function of the iteration."""
    config, data = tiny(iters_per_logging=2, iters_per_ckpt=3, n_iters=9), records()

    class Killed(Exception):
        pass

    def kill_at_4(progress: object) -> None:
        if progress.iteration == 4:  # type: ignore[attr-defined]
            raise Killed

    whole = train(config, data, tmp_path / "whole", accelerator="cpu")
    with pytest.raises(Killed):
        train(config, data, tmp_path / "killed", accelerator="cpu", report=kill_at_4)
    resumed = train(config, data, tmp_path / "killed", accelerator="cpu")
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    assert [row[0] for row in log_of(tmp_path / "whole")] == ["2", "4", "6", "8", "9"]
    left, right = read_state(whole.path)[0], read_state(resumed.path)[0]
    assert all(torch.equal(left[k], right[k]) for k in left)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    """Fails if gradients do not reach the weights, or the averaged weights are not the ones that are kept."""
    config = tiny(
        n_iters=100,
        iters_per_ckpt=25,
        iters_per_logging=25,
        batch_size=12,
        warmup_iters=0,
        ema_decay=0.9,
        learning_rate=1e-2,
    )
    quick = {"s4_dropout": 0.0, "num_res_layers": 1, "res_channels": 32, "skip_channels": 32}
    wavenet = config.wavenet_config.model_copy(update=quick)
    short = TrainingData(*(part[..., :200] if part.ndim == 3 else part for part in vars(records()).values()))
    train(config.model_copy(update={"wavenet_config": wavenet}), short, tmp_path, accelerator="cpu")
    losses = [float(val_loss) for _, _, val_loss in log_of(tmp_path)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_trained_model_carries_its_configuration(tmp_path: Path) -> None:
    """Fails if the file lacks the metadata that lets it be loaded without a configuration."""
    config = tiny(n_iters=2)
    path = train(config, records(), tmp_path, accelerator="cpu").path
    state, metadata = read_state(path)
    assert Config.model_validate_json(metadata["config"]) == config
    load_into(build_network(config), state)
    assert path.stat().st_size < 2.6 * sum(p.numel() for p in build_network(config).parameters()) + 100_000


def test_another_configuration_is_refused_on_resume(tmp_path: Path) -> None:
    """Fails if a run goes on from a checkpoint of another network or seed."""
    train(tiny(n_iters=2), records(), tmp_path, accelerator="cpu")
    with pytest.raises(ValueError, match="another configuration"):
        train(tiny(n_iters=4, seed=99), records(), tmp_path, accelerator="cpu")


def test_until_stops_with_a_checkpoint(tmp_path: Path) -> None:
    """Fails if a run that is out of time leaves nothing to resume."""
    train(tiny(), records(), tmp_path, accelerator="cpu", until=0.0)
    assert (tmp_path / "model.safetensors").exists()


def test_tensorboard_shows_the_log_of_a_run_that_was_stopped_once(tmp_path: Path) -> None:
    """Fails if a resumed run shows iterations twice, or loses those from before."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config, data, begun = tiny(n_iters=6, iters_per_ckpt=2), records(), []

    def stop_at_5(progress: Progress) -> None:
        if progress.iteration == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            config, data, tmp_path, accelerator="cpu", report=stop_at_5, begin=begun.append, tensorboard=True
        )
    train(config, data, tmp_path, accelerator="cpu", begin=begun.append, tensorboard=True)
    assert begun == [0, 4]
    board = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    log = log_of(tmp_path)
    shown = [(event.step, event.value) for event in board.Scalars("loss")]
    assert shown == [(int(i), pytest.approx(float(loss))) for i, loss, _ in log]
    assert [e.step for e in board.Scalars("val_loss")] == [int(i) for i, _, val in log if val] == [2, 4, 6]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    """Fails if a cut-off last.pt ends in a traceback from torch."""
    tmp_path.joinpath("last.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"last\.pt cannot be read"):
        train(tiny(), records(), tmp_path, accelerator="cpu")


def test_fine_tuning_starts_from_the_given_weights(tmp_path: Path) -> None:
    """Fails if --init is ignored, or labels keep their embedding by their place rather than by their name."""
    path = train(tiny(n_iters=2), records(), tmp_path, accelerator="cpu").path
    trained = read_state(path)[0]
    config = tiny()
    names = ["NEW", "AFIB", "NORM"]
    config = config.model_copy(
        update={
            "wavenet_config": config.wavenet_config.model_copy(update={"label_embed_classes": 3}),
            "trainset_config": config.trainset_config.model_copy(update={"label_names": names}),
        }
    )
    net = build_network(config)
    start_from(net, config, path)
    key = "residual_layer.fc_t1.weight"
    assert torch.equal(net.state_dict()[key], trained[key].float())
    assert net.embedding is not None and net.embedding.weight.shape[0] == 3
    for row, name in ((1, "AFIB"), (2, "NORM")):
        assert torch.equal(net.embedding.weight[row], trained["embedding.weight"][CODES.index(name)].float())


def test_each_epoch_visits_every_record_once() -> None:
    """Fails if batches are drawn with replacement or the order does not change between epochs."""
    visits = torch.cat([chosen_records(10, 4, seed=3, iteration=i) for i in range(5)])
    assert sorted(visits[:10].tolist()) == sorted(visits[10:].tolist()) == list(range(10))
    assert visits[:10].tolist() != visits[10:].tolist()


def test_a_batch_depends_on_seed_and_iteration_only() -> None:
    """Fails if a batch depends on what was drawn before it."""
    config, data = tiny(), records()
    x, y = torch.from_numpy(data.signal_mv), torch.from_numpy(data.labels).float()
    first = training_batch(x, y, 1000, config, 7)
    torch.randn(5)
    again = training_batch(x, y, 1000, config, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[3], training_batch(x, y, 1000, config, 8)[3])


def test_label_dropout_drops_whole_vectors() -> None:
    """Fails if single statements are dropped, or none."""
    config = tiny(label_dropout=0.5, batch_size=64)
    y = training_batch(torch.zeros(64, 8, 1000), torch.ones(64, 71), 900, config, 0)[1]
    assert set(y.sum(1).tolist()) == {0.0, 71.0}


def test_a_share_at_some_steps_is_of_an_earlier_version(tmp_path: Path) -> None:
    """Checkpoints may have it. Fails if it is passed over in silence where it would have changed the training."""
    config = tiny(focus={"share": 0.5, "first": 50, "last": 59})
    with pytest.raises(ValueError, match="train_config.focus is of an earlier version .* leave it out"):
        train(config, records(), tmp_path / "run", accelerator="cpu")
    assert not (tmp_path / "run").exists()


def test_guidance_extrapolates_from_the_unconditional_prediction() -> None:
    """Fails if the sign is wrong, or a record without labels is guided too."""
    torch.manual_seed(0)
    net = build_network(tiny()).eval()
    torch.nn.init.normal_(net.outer_convs[2].weight)
    guide = guided(net, 1000, torch.full((200,), 3.0), None, "float32", CPU)
    x, t = torch.randn(2, 8, 1000), torch.full((2, 1), 50.0)
    y = torch.zeros(2, 71)
    y[0, :9] = 1
    with torch.no_grad():
        conditional, unconditional = net.predict(x, y, t), net.predict(x, torch.zeros_like(y), t)
    result = guide(x, y, t)
    difference = conditional[0] - unconditional[0]
    torch.testing.assert_close(result[0] - unconditional[0], 3 * difference, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(result[1], unconditional[1], rtol=1e-3, atol=1e-4)


def test_training_under_guidance_starts_from_a_network(tmp_path: Path) -> None:
    """Fails if guidance is accepted without a trained network to guide."""
    config = tiny(n_iters=2, guidance=2.0)
    with pytest.raises(ValueError, match="give one"):
        train(config, records(), tmp_path / "none", accelerator="cpu")
    first = train(tiny(n_iters=2), records(), tmp_path / "first", accelerator="cpu").path
    assert train(config, records(), tmp_path / "guided", init=first, accelerator="cpu").iterations == 2


def pulses(period: float, start: float, samples: int = 1000) -> torch.Tensor:
    """A record (8, samples) with a narrow pulse every `period` samples, of another size in each lead."""
    beat = start + period * torch.arange(-2, samples / period + 2)
    shape = torch.exp(-0.5 * ((torch.arange(samples) - beat[:, None]) / 3) ** 2).sum(0)
    return torch.linspace(-1, 1, 8)[:, None] * shape


def test_a_lengthened_record_goes_on_in_its_rhythm() -> None:
    """Fails if the continuation begins at another moment of the beat, or what follows 0.99 L is kept."""
    x = torch.stack([pulses(period, start) for period, start in ((80, 10), (63, 40), (121, 100), (90, 89))])
    x[..., 995:] = 5.0
    y = lengthened(x)
    assert y.shape == (4, 8, 990 + EXTRA) and torch.equal(y[..., :980], x[..., :980])
    for row, (period, start) in zip(y, ((80, 10), (63, 40), (121, 100), (90, 89)), strict=True):
        assert (
            float((row - pulses(period, start, 990 + EXTRA)).abs().max()) < 0.3
        )  # a pulse is 1: half a sample off


def test_records_too_short_to_be_lengthened_are_cut() -> None:
    assert lengthened(torch.zeros(2, 8, 500)).shape == (2, 8, 495)


def test_augmentation_is_a_moved_copy_slower_or_faster() -> None:
    """Fails if a record is read outside its samples or interpolated coarsely: a sine stays a sine."""
    x = torch.sin(2 * math.pi * 3.0 * torch.arange(1280) / 100).expand(64, 8, 1280).contiguous()
    y, rate = augmented(x, 1000, generator(0, 0, 1, CPU))
    assert y.shape == (64, 8, 1000) and torch.isfinite(y).all()
    spectrum = torch.fft.rfft(y[:, 0] * torch.hann_window(1000), n=8192).abs()
    frequency = spectrum.argmax(1) * 100 / 8192
    torch.testing.assert_close(frequency, 3.0 * rate, atol=0.02, rtol=0)
    assert 2.74 < float(frequency.min()) < 2.8 and 3.2 < float(frequency.max()) < 3.26
    for row in y[:, 0]:  # exactly a sinusoid of its own frequency and size, as y'' = -w^2 y
        w2 = -(row[2:] - 2 * row[1:-1] + row[:-2]) @ row[1:-1] / (row[1:-1] @ row[1:-1])
        residual = row[2:] - 2 * row[1:-1] + row[:-2] + w2 * row[1:-1]
        assert float(residual.abs().max()) < 2e-3
    assert float(y[:, 0, 0].std()) > 0.5  # from any place


def test_model_scale_clips_artefacts_and_divides_leads() -> None:
    """Fails if the scale of a lead meets another lead, or electrode artefacts stay."""
    x = np.full((1, 8, 4), 1.0, np.float32)
    x[0, 0, 0] = 28.0
    scale = [0.5 * (i + 1) for i in range(8)]
    y = to_model_scale(x, scale)
    assert y[0, 0, 0] == pytest.approx(LIMIT_MV / 0.5)
    np.testing.assert_allclose(y[0, :, 1], 1 / np.array(scale), rtol=1e-6)


def test_learning_rate_warms_up_and_decays() -> None:
    """Fails if warm-up starts at full rate or the cosine does not end at zero."""
    rates = [learning_rate_factor(i, 10, 100, True) for i in (0, 9, 50, 100)]
    assert rates == pytest.approx([0.1, 0.98, 0.5, 0.0], abs=0.02)
    assert learning_rate_factor(500, 0, 100, False) == 1.0


@pytest.mark.parametrize("velocity", [True, False])
def test_edm_weighting_makes_all_levels_alike_to_a_network_that_knows_nothing(velocity: bool) -> None:
    """Fails if the weight is of another error (x_0, eps, v): the best constant guess costs 1 at each level.

    Signals of standard deviation s are white, so the best linear estimate of x_0 is known, and its weighted error is
    the same at all levels (Karras et al. 2022, table 1: weight (sigma^2 + s^2) / (sigma s)^2).
    """
    s, schedule = 0.25, linear()
    levels = noise_levels(schedule, velocity=velocity, data_std=s)
    random = torch.Generator().manual_seed(0)
    x0, z = s * torch.randn(4, 8, 40_000, generator=random), torch.randn(4, 8, 40_000, generator=random)
    t = torch.tensor([0, 30, 100, 199])
    x_t, y = add_noise(x0, t, z, levels), torch.zeros(4, 0)
    alpha, sigma = levels.alpha[t][:, None, None], levels.sigma[t][:, None, None]
    guess = alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t
    eps = (x_t - alpha * guess) / sigma
    prediction = alpha * eps - sigma * guess if velocity else eps
    rows = [slice(i, i + 1) for i in range(4)]
    error = [
        float(denoising_loss(lambda *_, i=i: prediction[i], x0[i], y[i], t[i], z[i], levels)) for i in rows
    ]
    assert error == pytest.approx([1.0] * 4, rel=0.03)


def test_without_weighting_all_levels_count_one() -> None:
    """Fails if the published loss is weighted."""
    assert (noise_levels(linear(), velocity=False).weight == 1).all()


@pytest.mark.parametrize("toeplitz", [True, False])
def test_the_training_network_is_the_network(toeplitz: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if bases, padding or Toeplitz products change outputs or gradients."""
    monkeypatch.setattr(torch, "compile", lambda f: f)
    config = tiny()
    torch.manual_seed(0)
    net = build_network(config).eval()
    torch.nn.init.normal_(net.outer_convs[2].weight)
    torch.nn.init.normal_(net.blocks[0].attention.output.weight, std=0.1)  # type: ignore[union-attr]
    fast = TrainingNet(net, 1000, "float32", toeplitz).eval()
    x, y, steps = torch.randn(2, 8, 1000), torch.rand(2, 71), torch.tensor([[3.0], [150.0]])
    used = [
        p for name, p in net.named_parameters() if "1.res_conv" not in name and "1.attention" not in name
    ]  # the last of these have no effect
    outputs, gradients = [], []
    for function in (fast, net.predict):
        out = function(x, y, steps)
        outputs.append(out.detach())
        gradients.append(torch.autograd.grad(out.square().mean(), used))
    assert torch.allclose(*outputs, rtol=1e-4, atol=1e-5 * float(outputs[1].abs().max()))
    for a, b in zip(*gradients, strict=True):
        assert float((a - b).norm()) <= 2e-3 * float(b.norm()) + 1e-7


def test_the_schedule_that_ships_hides_the_signal_at_its_end() -> None:
    """Fails if sampling would start from noise that training never saw: the schedule trap."""
    for config in (read_config(DEFAULT), s4_config()):
        assert build_schedule(config).alpha[-1] == pytest.approx(0.01, rel=1e-3)
    assert build_schedule(Config()).alpha[-1] == pytest.approx(math.sqrt(0.132), abs=2e-3)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    """Fails if ranks share noise, or gradients and losses are not averaged over them."""
    code = """
import sys
from pathlib import Path
from tests.test_training import records, tiny, train
c = tiny()
c = c.model_copy(update={"wavenet_config": c.wavenet_config.model_copy(update={"s4_dropout": 0.0})})
if __name__ == "__main__":
    train(c, records(), Path(sys.argv[1]), accelerator="cpu", devices=int(sys.argv[2]))
"""
    root = Path(__file__).parents[1]
    script = tmp_path / "run.py"
    script.write_text(code)
    for n in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(script), str(tmp_path / n), n]
        subprocess.run(command, check=True, cwd=root, env=environment, timeout=300)
    one, two = ([float(loss) for _, loss, _ in log_of(tmp_path / n)] for n in ("1", "2"))
    assert two == pytest.approx(one, rel=1e-5)
