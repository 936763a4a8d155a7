"""Three steps of Adam and of the averaged weights, recomputed by hand; where the averaged weights are used."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sssd.checkpoints import read_state
from sssd.config.schema import Config
from sssd.factory import build_network, build_schedule
from sssd.loss import noise_levels
from sssd.schedule import linear
from sssd.training import loop
from sssd.training.batches import to_model_scale, training_batch
from sssd.training.ema import WeightAverage, warmed_up_decay
from sssd.training.loop import train
from sssd.training.validation import validation_loss
from tests.test_training import records, tiny

RATE, DECAY = 3e-3, 0.3
CLIP = 1e-6  # brings gradients near the epsilon of Adam, without which clipping would hardly change its steps
STEPS = 3
BETA1, BETA2, TINY = 0.9, 0.99, 1e-8


def small() -> Config:
    """A network without dropout: three steps with warm-up, decay, clipping and averaging."""
    config = tiny(
        n_iters=STEPS, iters_per_ckpt=STEPS, learning_rate=RATE, warmup_iters=2, decay=True, gradient_clip=CLIP,
        ema_decay=DECAY, edm_weighting=False, augment=False, label_dropout=0.0,
    )  # fmt: skip
    wavenet = config.wavenet_config.model_copy(update={"s4_dropout": 0.0, "num_res_layers": 1})
    return config.model_copy(update={"wavenet_config": wavenet})


class ByHand:
    """A network after each step, by the formulas of Kingma and Ba (2015), algorithm 1, in float64."""

    def __init__(self, net: nn.Module) -> None:
        self.parameters = list(net.parameters())
        self.m, self.v = ([torch.zeros_like(p, dtype=torch.float64) for p in self.parameters] for _ in "mv")
        self.average = [p.detach().double().clone() for p in self.parameters]
        self.norms: list[float] = []
        self.count = 0

    def step(self, loss: Tensor, rate: float, decay: float) -> None:
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        known = [None if g is None else g.double() for g in gradients]
        norm = math.sqrt(sum(float(g.square().sum()) for g in known if g is not None))
        self.norms.append(norm)
        self.count += 1
        for i, (p, g) in enumerate(zip(self.parameters, known, strict=True)):
            if g is not None:
                g = g * min(1.0, CLIP / (norm + 1e-6))
                self.m[i] = BETA1 * self.m[i] + (1 - BETA1) * g
                self.v[i] = BETA2 * self.v[i] + (1 - BETA2) * g * g
                m, v = self.m[i] / (1 - BETA1**self.count), self.v[i] / (1 - BETA2**self.count)
                p.data = (p.double() - rate * m / (v.sqrt() + TINY)).float()
            self.average[i] = decay * self.average[i] + (1 - decay) * p.detach().double()


def close(found: Tensor, expected: Tensor) -> None:
    """Equal to well below one step of Adam, which moves each weight by about its rate."""
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-6, atol=0.01 * RATE)


def test_three_steps_of_training_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where the loss, clipping, the learning rate, Adam or the average differ from their formulas, or the model
    or the validation loss has other weights than the averaged ones."""
    shipped: list[list[Tensor]] = []
    save = loop.save_model

    def watched(path: Path, net: Any, config: Config) -> Path:
        shipped.append([p.detach().clone() for p in net.parameters()])  # float32, before they are rounded
        return save(path, net, config)

    monkeypatch.setattr(loop, "save_model", watched)
    config, data = small(), records()
    losses: list[loop.Progress] = []
    done = train(config, data, tmp_path, accelerator="cpu", report=losses.append)

    torch.manual_seed(config.train_config.seed)
    net = build_network(config)
    by_hand = ByHand(net)
    x = torch.from_numpy(to_model_scale(data.signal_mv, config.trainset_config.lead_scale_mv))
    y = torch.from_numpy(data.labels.astype(np.float32))
    schedule = build_schedule(config)
    alpha, sigma = (torch.tensor(v, dtype=torch.float32) for v in (schedule.alpha, schedule.sigma))

    def loss_of(x0: Tensor, cond: Tensor, t: Tensor, z: Tensor) -> Tensor:
        a, s = alpha[t][:, None, None], sigma[t][:, None, None]
        v = net.predict(a * x0 + s * z, cond, t[:, None].float())
        return (v - (a * z - s * x0)).square().mean()

    for iteration in range(STEPS):
        loss = loss_of(*training_batch(x, y, 1000, config, iteration))
        assert losses[iteration].loss == pytest.approx(float(loss.detach()), rel=1e-4)
        factor = min(1, (iteration + 1) / 2) * 0.5 * (1 + math.cos(math.pi * iteration / STEPS))
        by_hand.step(loss, RATE * factor, min(DECAY, (1 + iteration) / (10 + iteration)))
    assert min(by_hand.norms) > 2 * CLIP, "the gradients are clipped in this test"
    moved = max(
        float((p.detach() - a).abs().max()) for p, a in zip(by_hand.parameters, by_hand.average, strict=True)
    )
    assert moved > 0.05 * RATE, "the averaged weights are not the last ones in this test"
    for found, expected in zip(shipped[0], by_hand.average, strict=True):
        close(found, expected)
    state = read_state(done.path)[0]
    for (name, _), expected in zip(net.named_parameters(), by_hand.average, strict=True):
        torch.testing.assert_close(state[name].double(), expected, rtol=2e-3, atol=1e-4)

    with torch.no_grad():
        for p, mean in zip(net.parameters(), by_hand.average, strict=True):
            p.copy_(mean)
    levels = noise_levels(schedule, velocity=True)
    expected_loss = validation_loss(
        Raw(net), WeightAverage(net), x[:3], y[:3], levels, seed=config.train_config.seed, batch_size=4
    )
    assert losses[-1].val_loss == pytest.approx(expected_loss, rel=1e-4)


class Raw(nn.Module):
    """The network's raw prediction, called as training calls it."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return self.net.predict(x, y, t)


def test_the_averaged_weights_are_validated() -> None:
    """Fails if the loss is that of the network's own weights, or these are not put back."""

    class Constant(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.tensor([value]))

        def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return self.value.expand_as(x)

    net = Constant(0.0)
    average = WeightAverage(net)
    average.load([torch.tensor([3.0])])
    x, y = torch.zeros(50, 8, 100), torch.zeros(50, 2)
    levels = noise_levels(linear(), velocity=False)  # the target is the noise: the loss is 1 + value^2
    assert validation_loss(net, average, x, y, levels, seed=0, batch_size=7) == pytest.approx(10, rel=0.02)
    assert float(net.value.detach()) == 0.0 and net.training
    assert validation_loss(net, average, x[:0], y[:0], levels, seed=0, batch_size=7) is None


def test_the_average_follows_its_formula_and_leaves_the_network_alone() -> None:
    """Fails if the average stands still, is zero, or is the network itself."""
    net = nn.Linear(2, 1)
    first = net.weight.detach().clone()
    average = WeightAverage(net)
    with torch.no_grad():
        net.weight += 1.0
    average.update(0.75)
    torch.testing.assert_close(average.average[0], first + 0.25)
    torch.testing.assert_close(net.weight.detach(), first + 1.0)
    with average.in_network():
        torch.testing.assert_close(net.weight.detach(), first + 0.25)
    torch.testing.assert_close(net.weight.detach(), first + 1.0)
    with pytest.raises(RuntimeError), average.in_network():
        raise RuntimeError
    torch.testing.assert_close(net.weight.detach(), first + 1.0)
    average.copy_to_network()
    torch.testing.assert_close(net.weight.detach(), first + 0.25)
    average.load([torch.full((1, 2), 7.0), torch.zeros(1)])
    assert (average.average[0] == 7.0).all()


def test_the_decay_is_short_at_first() -> None:
    assert [warmed_up_decay(0.9, i) for i in (0, 8, 10**6)] == pytest.approx([0.1, 0.5, 0.9])


def test_a_resumed_run_has_the_average_of_one_that_never_stopped(tmp_path: Path) -> None:
    """Fails if the average is not kept over a stop, or starts again at the network's weights."""
    config, data = small(), records()
    config = config.model_copy(
        update={
            "train_config": config.train_config.model_copy(update={"iters_per_ckpt": 1, "ema_decay": 0.9})
        }
    )

    def stop(row: Any) -> None:
        if row.iteration == 2:
            raise KeyboardInterrupt

    whole = train(config, data, tmp_path / "whole", accelerator="cpu").path
    with pytest.raises(KeyboardInterrupt):
        train(config, data, tmp_path / "stopped", accelerator="cpu", report=stop)
    resumed = train(config, data, tmp_path / "stopped", accelerator="cpu").path
    left, right = read_state(whole)[0], read_state(resumed)[0]
    assert all(torch.equal(left[k], right[k]) for k in left)
    last = torch.load(tmp_path / "whole" / "last.pt", weights_only=True)
    net = list(last["model_state_dict"].values())
    assert any(not torch.equal(a, p) for a in last["average"] for p in net if p.shape == a.shape)


def test_the_data_of_validation_do_not_train(tmp_path: Path) -> None:
    """Fails if validation changes the weights, or draws from the generators of training."""
    data = records()
    none = replace(data, val_signal_mv=data.val_signal_mv[:0], val_labels=data.val_labels[:0])
    left, right = (
        read_state(train(small(), d, tmp_path / str(i), accelerator="cpu").path)[0]
        for i, d in enumerate((data, none))
    )
    assert all(torch.equal(left[k], right[k]) for k in left)
