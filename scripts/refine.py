"""Write a checkpoint that has learnt from a discriminator of its records: scripts/refine.py IN DATA OUT

This is discriminator guidance (Kim et al. 2023, "Refining Generative Process with Discriminator Guidance in Score-based
Diffusion Models", https://arxiv.org/abs/2211.17091), which the network learns into its weights. There are three parts:

1. IN makes one set of records for each quality in --made, with the label vectors of folds 1 to 8. If IN draws heart
   rates, it also makes one more set of the first quality without any heart rate.
2. A discriminator D(x_t, t, c) learns to tell recordings of folds 1 to 8 from these records, both with the noise of
   step t. It starts as a copy of the network. The logit of an optimal discriminator is log(p_recorded / p_made), so its
   gradient is what the network's score lacks.
3. The network learns its own velocity with this correction, on recordings and generated records. A record then still
   takes one evaluation a step.

OUT has the configuration of IN without its calibration, which does not hold for other weights, so calibrate OUT
afterwards. Calibrate IN before, too: if the means of leads are not lowered as the calibration says, the discriminator
can tell the records by their means alone. Both trainings are in float32, with products in TF32: at low noise, the
rounding of bf16 is larger than what the network is to learn. Under torchrun, each GPU takes its part of every batch.

Shapes: B records of a batch, n in all, L samples, L' of records that are continued, K columns of conditions, T steps.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sssd.circumstances import BANDWIDTH, takes_circumstances, with_circumstances
from sssd.config.schema import Config
from sssd.data.recordings import read
from sssd.factory import label_count
from sssd.loss import NoiseLevels, add_noise, noise_levels
from sssd.model_wrapper import SSSDECG
from sssd.models.precision import float32_products
from sssd.models.transformer import Transformer, circumstance_columns, layer
from sssd.noise import origin
from sssd.presets import PRESETS
from sssd.scale import Scale
from sssd.training.augment import augmented_under_noise, lengthened
from sssd.training.batches import (
    HIDING,
    generator,
    to_model_scale,
    with_dropout,
    with_heart_rate_times,
)
from sssd.training.checkpoint import save_model
from sssd.training.data import training_data, transformer_data
from sssd.training.ema import WeightAverage, warmed_up_decay
from sssd.training.graph import stepping
from sssd.training.network import training_net
from sssd.training.optimizer import learning_rate_factor, optimizer_for, set_learning_rate
from sssd.training.parallel import average_gradients, fabric_for, summed

RATE, WARMUP, CLIP = 2e-4, 100, 1.0  # of the discriminator; of both
DECAY, BETAS = 0.1, (0.9, 0.99)  # of AdamW, for the discriminator
AVERAGE = 0.998
TOLD = 10.0  # noise levels sigma / alpha below it are those at which the discriminator learns
STRENGTH = (1.0, 1.5), (5.0, 1.0)  # of the correction, below these noise levels; there is none above
ABOVE = 0.1  # share of the network's batches at noise levels without a correction, where it stays as it is
HIDDEN = 0.25  # share of the recordings whose heart rates the discriminator does not know: one in four, as of the sets
BINS = 20  # of the steps
FORGETTING = 0.02  # share of a new batch in the running mean power of the correction in a bin
LOGGED = 250, 500  # steps of the discriminator and of the network
CHECKED = 40  # batches for the error of the averaged weights


@dataclass(frozen=True)
class Records:
    """Records x (n, 8, L') on the scale of the leads, continued and without emphasis, and their conditions (n, K)."""

    x: Tensor
    cond: Tensor

    def drawn(self, count: int, random: torch.Generator) -> Records:
        """Return this many of them, drawn with replacement."""
        rows = torch.randint(len(self.x), (count,), generator=random, device=self.x.device)
        return Records(self.x[rows], self.cond[rows])


def joined(parts: Sequence[Records]) -> Records:
    """Return the records of all parts."""
    return Records(torch.cat([part.x for part in parts]), torch.cat([part.cond for part in parts]))


@dataclass(frozen=True)
class Scales:
    """What the network sees of a record: its length in samples, its scale and the noise of each step."""

    length: int
    scale: Scale
    levels: NoiseLevels

    @property
    def level(self) -> Tensor:
        """The noise level sigma / alpha of each step, (T,), ascending."""
        return self.levels.sigma / self.levels.alpha

    def noisy(self, x: Tensor, t: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return x_t (B, 8, L) of augmented records x (B, 8, L') at steps t (B,), and how fast each is read (B,)."""
        x, _, faster = augmented_under_noise(x, self.length, self.level[t] >= HIDING, random)
        x = self.scale.emphasised(x)
        noise = torch.randn(x.shape, device=x.device, generator=random)
        return add_noise(x, t, noise, self.levels), faster


class Discriminator(nn.Module):
    """Tells recordings from records under noise, by the mean and the maximum over the tokens of a transformer.

    net: a transformer; the discriminator starts from a copy of it. On a GPU its layers are compiled.
    """

    def __init__(self, net: Transformer) -> None:
        super().__init__()
        gpu, width = net.first.weight.is_cuda, net.config.width
        self.net = copy.deepcopy(net)
        self.norm = nn.LayerNorm(width)
        first, last = nn.Linear(2 * width, width), nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(first, nn.SiLU(), last)
        self.block = torch.compile(layer) if gpu else layer
        self.to(net.first.weight.device)

    def forward(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        """Return the logit (B,) of "recorded" for x_t (B, 8, L), conditions (B, K) and steps (B, 1)."""
        self.net.forget()
        weights = self.net.weights(torch.float32, x.shape[-1])
        h = self.norm(self.net.tokens(x, cond, steps, weights, self.block))
        return self.head(torch.cat((h.mean(1), h.amax(1)), 1))[:, 0]


def slope(
    logit: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, cond: Tensor, steps: Tensor
) -> Tensor:
    """Return the gradient (B, 8, L) of the logit (B,) of each record at x (B, 8, L)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(logit(x, cond, steps).sum(), x)[0]


def correction(slope: Tensor, t: Tensor, strength: Tensor, levels: NoiseLevels) -> Tensor:
    """Return what the velocity (B, 8, L) lacks at steps t (B,), for the `slope` of the logit and its strength (B,).

    The score gains strength * slope (Kim et al. 2023), so eps becomes eps - strength * sigma * slope. With x_t
    given, v = (eps - sigma x_t) / alpha, since v = alpha eps - sigma x_0 and alpha^2 + sigma^2 = 1.
    """
    return -(strength * levels.sigma[t] / levels.alpha[t])[:, None, None] * slope


def strength_of_steps(level: Tensor) -> Tensor:
    """Return the strength of the correction at noise levels (T,)."""
    strength = torch.zeros_like(level)
    for below, value in reversed(STRENGTH):
        strength = torch.where(level < below, value, strength)
    return strength


def made_by(model: SSSDECG, labels: NDArray[np.float32], quality: str, seed: int) -> Records:
    """Return records of a quality for label vectors, rounded to 1 uV as recordings are. Age and sex are unknown."""
    signal_mv = model.generate(labels, quality=quality, seed=seed, return_numpy=True)
    vectors = torch.from_numpy(labels).to(model.device)
    state = origin(seed, range(len(labels)), model.device)
    cond = with_circumstances(
        model.model, vectors, state, rates=True
    )  # those that were drawn for these records
    return records(np.rint(1000 * signal_mv) / np.float32(1000), cond, model)


def made_without_rates(model: SSSDECG, labels: NDArray[np.float32], quality: str, seed: int) -> Records:
    """Return records as `made_by` does, but made without telling the network a heart rate."""
    net = model.model
    assert isinstance(net, Transformer)
    drawn_from, net.heart_rates = net.heart_rates, None
    net.forget()  # graphs in which rates are drawn
    made = made_by(model, labels, quality, seed)
    net.heart_rates = drawn_from
    net.forget()
    return made


def records(signal_mv: NDArray[np.float32], cond: Tensor, model: SSSDECG) -> Records:
    """Return records (n, 8, L) in mV, and their conditions, as both networks are trained on them."""
    x = to_model_scale(signal_mv, model.config.trainset_config.lead_scale_mv)
    return Records(lengthened(torch.from_numpy(x).to(model.device)), cond)


def as_made(net: Transformer, cond: Tensor, hidden: Tensor) -> Tensor:
    """Return conditions (B, K) of recordings in the form of those of the records made here: without age and sex.

    hidden: (B,) whether the heart rate is left out, too.
    """
    cond = cond.clone()
    rhythm = net.rhythm_columns
    cond[:, net.classes - len(net.takes.columns) : rhythm.start] = 0
    cond[:, rhythm] *= ~hidden[:, None]
    return cond


def with_jitter(cond: Tensor, columns: int, random: torch.Generator) -> Tensor:
    """Return conditions (B, K) with the noise of generation in the circumstances, the last `columns` of them."""
    values = cond[:, -columns:]
    jitter = BANDWIDTH * torch.randn(values.shape, device=cond.device, generator=random)
    return torch.cat((cond[:, :-columns], values + jitter), 1)


def batch_of_both(
    net: Transformer,
    config: Config,
    scales: Scales,
    recorded: Records,
    made: Records,
    size: int,
    random: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x_t (2 B, 8, L), conditions (2 B, K) and steps (2 B, 1) of B = `size` recordings, then of B records."""
    real, other = recorded.drawn(size, random), made.drawn(size, random)
    device = real.x.device
    hidden = torch.rand(size, generator=random, device=device) < HIDDEN
    cond = torch.cat(
        (as_made(net, with_jitter(real.cond, circumstance_columns(net.config), random), hidden), other.cond)
    )
    told = int((scales.level < TOLD).sum())
    t = torch.randint(told, (2 * size,), generator=random, device=device)
    x_t, faster = scales.noisy(torch.cat((real.x, other.x)), t, random)
    return x_t, with_heart_rate_times(cond, faster, config), t[:, None]


def train_discriminator(
    net: Transformer,
    config: Config,
    scales: Scales,
    recorded: Records,
    made: Records,
    *,
    steps: int,
    size: int,
    random: torch.Generator,
    unseen: tuple[Records, Records] | None = None,
    say: Callable[..., object] = print,
) -> Discriminator:
    """Return a discriminator, which starts from `net`, trained on `size` recordings and `size` records a step.

    size: of this process, if several train together. unseen: recordings and records on which its loss is shown as
    well. It remembers the others.
    """
    discriminator = Discriminator(net)
    parameters = list(discriminator.parameters())
    device = recorded.x.device
    gpu, rate = device.type == "cuda", torch.tensor(0.0, device=device)
    optimizer = torch.optim.AdamW(
        parameters, lr=rate if gpu else 0.0, weight_decay=DECAY, betas=BETAS, fused=gpu, capturable=gpu
    )
    answer = torch.arange(2 * size, device=device).less(size).float()
    losses: list[Tensor] = []

    def update(*batch: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(discriminator(*batch), answer)
        loss.backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        return loss.detach()

    step = stepping(update, optimizer)
    for i in range(steps):
        set_learning_rate(optimizer, RATE * learning_rate_factor(i, WARMUP, steps, True))
        losses.append(step(batch_of_both(net, config, scales, recorded, made, size, random)))
        if (i + 1) % LOGGED[0] == 0 or i + 1 == steps:
            shown = f"discriminator, {i + 1}: loss {float(torch.stack(losses).mean()):.4f}"
            if unseen is not None:
                with torch.no_grad():
                    logits = [
                        discriminator(*batch_of_both(net, config, scales, *unseen, size, random))
                        for _ in range(CHECKED)
                    ]
                    loss = torch.stack([F.binary_cross_entropy_with_logits(z, answer) for z in logits]).mean()
                shown += f", of records that it has not seen {float(loss):.4f}"
            say(shown, flush=True)
            losses = []
    return discriminator.requires_grad_(False)


def train_network(
    net: Transformer,
    discriminator: Discriminator,
    config: Config,
    scales: Scales,
    recorded: Records,
    made: Records,
    *,
    steps: int,
    size: int,
    rate: float,
    random: torch.Generator,
    say: Callable[..., object] = print,
) -> None:
    """Let `net` learn its velocity with the correction of the discriminator. In the end it has averaged weights.

    size: of a batch of this process, of which half are recordings. The squared error of a record is divided by the mean
    power of the correction at noise levels like its own, so that all of them count alike.
    """
    device, levels, level = recorded.x.device, scales.levels, scales.level
    strength = strength_of_steps(level)
    corrected = int((strength > 0).sum())
    bin_of_step = torch.arange(len(level), device=device) * BINS // len(level)
    last = int(bin_of_step[corrected - 1])
    teacher = training_net(copy.deepcopy(net).requires_grad_(False), scales.length, "float32", device)
    model = training_net(net, scales.length, "float32", device)
    optimizer, average = optimizer_for(net, device, graph=device.type == "cuda"), WeightAverage(net)
    parameters = list(net.parameters())
    power, shown = torch.zeros(BINS, device=device), torch.zeros(2, BINS, device=device)

    def batch() -> tuple[Tensor, ...]:
        """Return x_t (B, 8, L), conditions of the network and of the discriminator (B, K), and steps t (B,)."""
        real, other = recorded.drawn(size // 2, random), made.drawn(size // 2, random)
        shown = with_dropout(real.cond, config, random)
        hidden = (shown[:, net.heart_rate_columns] == 0).all(1)
        told = as_made(net, real.cond, hidden)  # what the discriminator sees of them
        t = torch.randint(corrected, (size,), generator=random, device=device)
        above = torch.rand(size, device=device, generator=random) < ABOVE
        t = torch.where(
            above, torch.randint(corrected, len(level), (size,), generator=random, device=device), t
        )
        x_t, faster = scales.noisy(torch.cat((real.x, other.x)), t, random)
        cond, seen = (
            with_heart_rate_times(torch.cat((part, other.cond)), faster, config) for part in (shown, told)
        )
        return x_t, cond, seen, t

    def errors(x_t: Tensor, cond: Tensor, seen: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the squared error (B,) of a batch, the power of the correction (B,) and the bins (B, BINS)."""
        at = t[:, None].float()
        lacking = correction(slope(discriminator, x_t, seen, at), t, strength[t], levels)
        with torch.no_grad():
            now = teacher(x_t, cond, at)
        gained = model(x_t, cond, at) - now
        inside = (bin_of_step[t][:, None] == torch.arange(BINS, device=device)).float()
        return ((gained - lacking) ** 2).mean((1, 2)), (lacking**2).mean((1, 2)), inside

    def update(*batch: Tensor) -> Tensor:
        error, wanted, inside = errors(*batch)
        power.copy_(with_batch(power, *summed(torch.stack((inside.sum(0), wanted @ inside)))))
        loss = (error / (inside @ divisor(power, last))).mean()
        loss.backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        shown.mul_(0.99).add_(torch.stack((error.detach(), wanted)) @ inside)
        return loss.detach()

    step = stepping(update, optimizer)
    for i in range(steps):
        set_learning_rate(optimizer, rate * learning_rate_factor(i, WARMUP, steps, True))
        loss = step(batch())
        average.update(warmed_up_decay(AVERAGE, i))
        if (i + 1) % LOGGED[1] == 0 or i + 1 == steps:
            say(f"network, {i + 1}: loss {float(loss):.4f}, {not_learnt(shown)}", flush=True)
    average.copy_to_network()
    shown.zero_()
    with torch.no_grad():
        for _ in range(CHECKED):
            error, wanted, inside = errors(*batch())
            shown += torch.stack((error, wanted)) @ inside
    say(f"averaged weights: {not_learnt(shown)}", flush=True)


def not_learnt(shown: Tensor) -> str:
    """Return in words what is not learnt yet, from summed squared errors and powers of the correction (2, BINS)."""
    left = " ".join(f"{float(share):.2f}" for share in (shown[0] / shown[1])[shown[1] > 0])
    return f"not learnt yet, by noise level, {left}"


def with_batch(power: Tensor, count: Tensor, total: Tensor) -> Tensor:
    """Return the running mean power (BINS,) with a batch of `count` (BINS,) records, whose powers add up to `total`."""
    new = total / count.clamp(min=1)
    return torch.where(count > 0, torch.where(power == 0, new, torch.lerp(power, new, FORGETTING)), power)


def divisor(power: Tensor, last: int) -> Tensor:
    """Return what to divide errors by in each bin (BINS,): where there is no correction, the power in bin `last`."""
    return torch.where(power > 0, power, power[last].clamp(min=1e-12))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path, help="a folder that `sssd-ecg prepare` wrote")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--made",
        nargs="+",
        default=list(PRESETS),
        choices=list(PRESETS),
        metavar="QUALITY",
        help="one set of each",
    )
    parser.add_argument("--rate", type=float, default=1e-4, help="of learning, of the network")
    parser.add_argument("--discriminator-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--device", default="auto", help="the kind of it: auto, cpu or cuda")
    options = parser.parse_args()
    fabric = fabric_for(options.device, 1)
    fabric.launch()
    if options.batch_size % (2 * fabric.world_size):
        parser.error(f"--batch-size must be a multiple of {2 * fabric.world_size}: two sets on each device")
    model = SSSDECG.from_pretrained(options.checkpoint, device=fabric.device)
    net, device = model.model, model.device
    if not takes_circumstances(net):
        parser.error("IN is no transformer that is conditioned on circumstances")
    content = model.config.content()
    content["ddim_config"].update(gains={}, fits=[])
    model.config = Config.model_validate(content)
    data = training_data(read(options.data), model.config)
    full = transformer_data(data, copy.deepcopy(net), model.fs_hz)  # a copy, since it gets their table
    labels = data.labels[:, : label_count(model.config)].astype(np.float32)
    recorded = records(data.signal_mv, torch.from_numpy(full.labels.astype(np.float32)).to(device), model)
    sets = [made_by(model, labels, quality, options.seed + k) for k, quality in enumerate(options.made)]
    if net.heart_rates is not None:
        sets.append(made_without_rates(model, labels, options.made[0], options.seed + len(sets)))
    made = joined(sets)
    held_out = records(
        data.val_signal_mv, torch.from_numpy(full.val_labels.astype(np.float32)).to(device), model
    )
    others = data.val_labels[:, : label_count(model.config)].astype(np.float32)
    beside = [made_by(model, others, quality, options.seed + k) for k, quality in enumerate(options.made)]
    fabric.print(f"{len(recorded.x)} recordings, {len(made.x)} records made", flush=True)
    levels = noise_levels(model.schedule, velocity=net.velocity, device=device)
    scales = Scales(data.signal_mv.shape[-1], model.scale, levels)
    torch.manual_seed(options.seed)
    with float32_products("high"):
        discriminator = train_discriminator(
            net,
            model.config,
            scales,
            recorded,
            made,
            steps=options.discriminator_steps,
            size=options.batch_size // fabric.world_size // 2,
            random=generator(options.seed, fabric.global_rank, 0, device),
            unseen=(held_out, joined(beside)),
            say=fabric.print,
        )
        train_network(
            net,
            discriminator,
            model.config,
            scales,
            recorded,
            made,
            steps=options.steps,
            size=options.batch_size // fabric.world_size,
            rate=options.rate,
            random=generator(options.seed, fabric.global_rank, 1, device),
            say=fabric.print,
        )
    content["trainset_config"]["mean"] = None
    if fabric.is_global_zero:
        print(save_model(options.out, net, Config.model_validate(content)))


if __name__ == "__main__":
    main()
