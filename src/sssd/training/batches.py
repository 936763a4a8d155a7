"""Makes training batches from the seed and the iteration alone, so that a resumed run equals one that never stopped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..circumstances import BANDWIDTH, slow_parts
from ..config.schema import Config
from ..factory import label_count
from ..leads import EIGHT
from ..loss import NoiseLevels
from ..models.transformer import circumstance_columns
from ..patient import HEART_RATE, VARIABILITY, Takes, scaled_bpm, unscaled_bpm
from ..scale import Scale
from ..signals.recorded import used
from .augment import augmented, augmented_under_noise, with_exchanged_wander

LIMIT_MV = 6.0  # samples beyond it are electrode artefacts

# The noise levels that a transformer is trained at, as sigma / alpha: most of them where rhythm and shapes are decided,
# some where the fine noise is, and the rest at any step. Log-normal levels follow Karras et al. 2022, table 1.
DECIDED = 0.65, 2.0, 1.4  # share; median and standard deviation of the logarithm
FINE = 0.15, 0.0015, 0.05  # share; from, to
HIDING = 1.0  # the level from which on noise hides what augmentation breaks
COARSE = 1.0, 10.0  # from, to; for records that are only trained on under noise
CIRCUMSTANCES_DROPOUT = 0.1  # share of the records that are trained on without their circumstances
# `with_asked_heart_rates`: share of records; the lowest noise level; per minute
ASKED = 0.5, 2.0, (40.0, 160.0)


def seed_of(seed: int, iteration: int, stream: int) -> int:
    """Return a seed for each iteration and purpose."""
    key = np.random.SeedSequence((seed, iteration, stream)).generate_state(2, np.uint32)
    return int(key[0]) << 31 ^ int(key[1])


def generator(seed: int, iteration: int, stream: int, device: torch.device) -> torch.Generator:
    """Return a random generator with that seed."""
    return torch.Generator(device).manual_seed(seed_of(seed, iteration, stream))


def chosen_records(records: int, batch: int, seed: int, iteration: int) -> Tensor:
    """Choose the records of one batch, (batch,) int64 on the CPU. Each epoch visits all records in a new order."""
    cpu = torch.device("cpu")
    position = iteration * batch + torch.arange(batch)
    chosen = torch.empty(batch, dtype=torch.long)
    for epoch in range(int(position[0]) // records, int(position[-1]) // records + 1):
        order = torch.randperm(records, generator=generator(seed, epoch, 0, cpu))
        inside = position // records == epoch
        chosen[inside] = order[position[inside] % records]
    return chosen


def on_device(rows: Tensor, device: torch.device) -> Tensor:
    """Copy rows to the device. From pinned memory, this does not wait for what a GPU still has to do."""
    if device.type != "cuda":
        return rows.to(device)
    return rows.pin_memory().to(device, non_blocking=True)


def training_batch(
    signals: Tensor, labels: Tensor, length: int, config: Config, iteration: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch: records x (B, 8, length), label columns y (B, K), steps t (B,) and noise z (B, 8, length).

    signals (n, 8, length), or longer if they are augmented (see `lengthened`); labels (n, K).
    """
    todo, device = config.train_config, signals.device
    chosen = on_device(chosen_records(len(signals), todo.batch_size, todo.seed, iteration), device)
    random = generator(todo.seed, iteration, 1, device)
    x, y = signals[chosen], labels[chosen]
    if todo.augment:
        x, rate = augmented(x, length, random)
        y = with_heart_rate_times(y, rate, config)
    x = Scale.of(config.trainset_config).emphasised(x)
    if todo.label_dropout:
        y = y * (torch.rand(len(y), 1, device=device, generator=random) >= todo.label_dropout)
    y = with_patients_hidden(y, config.trainset_config.takes, random)
    t = torch.randint(config.diffusion_config.T, (len(x),), device=device, generator=random)
    return x, y, t, torch.randn(x.shape, device=device, generator=random)


def transformer_batch(
    signals: Tensor,
    conditions: Tensor,
    coarse: Tensor,
    length: int,
    config: Config,
    levels: NoiseLevels,
    iteration: int,
    scale: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return what `training_batch` does, for a transformer, and the mask (B, 1, length) of `augmented_under_noise`.

    conditions (n, K): all columns that the transformer takes (sssd.models.transformer). coarse (n,): records that are
    trained on only at noise levels that hide what is wrong with them. scale: (2, C) of circumstances, if the
    transformer takes them.
    """
    todo, device = config.train_config, signals.device
    chosen = on_device(chosen_records(len(signals), todo.batch_size, todo.seed, iteration), device)
    random = generator(todo.seed, iteration, 1, device)
    level = levels.sigma / levels.alpha
    t = drawn_steps(len(chosen), level, random)
    t = torch.where(coarse[chosen], steps_between(*COARSE, len(t), level, random), t)
    x, y, hidden = signals[chosen], conditions[chosen], level[t] >= HIDING
    if todo.augment:
        x, mask, rate = augmented_under_noise(x, length, hidden, random)
        y = with_heart_rate_times(y, rate, config)
        if scale is not None:
            known = y[:, -scale.shape[1] - 1] > 0
            x = with_exchanged_wander(x, hidden & known, random)
            y = with_wander_of(y, x, scale, config)
    else:
        recorded = torch.arange(length, device=device) < used(length)
        mask = (hidden[:, None] | recorded)[:, None].float()
    if todo.guidance is not None:
        y = with_asked_heart_rates(y, level[t], config, random)
    x = Scale.of(config.trainset_config).emphasised(x)
    return x, with_dropout(y, config, random), t, torch.randn(x.shape, device=device, generator=random), mask


def drawn_steps(count: int, level: Tensor, random: torch.Generator) -> Tensor:
    """Draw steps t (count,) int64 for training; (T,) ascending holds the noise level sigma / alpha of each step."""
    device, last = level.device, len(level) - 1

    def uniform() -> Tensor:
        return torch.rand(count, device=device, generator=random)

    which = uniform()
    t = torch.randint(last + 1, (count,), device=device, generator=random)
    decided = DECIDED[1] * torch.exp(DECIDED[2] * torch.randn(count, device=device, generator=random))
    fine = FINE[1] * (FINE[2] / FINE[1]) ** uniform()
    wanted = torch.where(which < DECIDED[0], decided, fine)
    at_level = torch.searchsorted(level, wanted).clamp(max=last)
    return torch.where(which < DECIDED[0] + FINE[0], at_level, t)


def steps_between(low: float, high: float, count: int, level: Tensor, random: torch.Generator) -> Tensor:
    """Draw steps (count,) int64, equally likely among those whose noise level (T,) is from `low` to below `high`."""
    first, last = (level < low).sum(), (level < high).sum()
    share = torch.rand(count, device=level.device, generator=random)
    return (first + share * (last - first)).long().clamp(max=len(level) - 1)


def with_dropout(y: Tensor, config: Config, random: torch.Generator) -> Tensor:
    """Leave statements, patients and circumstances out of the conditions (B, K) of some records.

    The circumstances that are left get the noise that `sssd.circumstances.draw` adds at generation. Exact ones would
    tell the records apart, and the network would remember them.
    """
    labels, classes = label_count(config), config.wavenet_config.label_embed_classes
    u = torch.rand(2, len(y), 1, device=y.device, generator=random)
    kept, known = (u[0] >= config.train_config.label_dropout).float(), (u[1] >= CIRCUMSTANCES_DROPOUT).float()
    shown = torch.cat((y[:, :labels] * kept, y[:, labels:classes]), dim=1)
    shown = with_patients_hidden(shown, config.trainset_config.takes, random)
    rest = y[:, classes + 1 :]
    network = config.transformer_config
    if network is not None and network.circumstances:
        measured = circumstance_columns(network)
        values = rest[:, -measured:]
        values = values + BANDWIDTH * torch.randn(values.shape, device=y.device, generator=random)
        known = known * rest[:, -measured - 1 : -measured]
        rest = torch.cat((rest[:, : -measured - 1], known, known * values), dim=1)
    return torch.cat((shown, 1 - kept, rest), dim=1)


def with_wander_of(y: Tensor, x: Tensor, scale: Tensor, config: Config) -> Tensor:
    """Return conditions (B, K) of a transformer with the wander that its records x (B, 8, L) have where they are read.

    They also have what is slow there, if the transformer is told of it. scale: (2, C) the mean and standard deviation
    of circumstances. Unknown circumstances stay unknown.
    """
    leads, measured, trainset = len(EIGHT), scale.shape[1], config.trainset_config
    if trainset.lead_scale_mv is not None:
        x = x * torch.tensor(trainset.lead_scale_mv, dtype=x.dtype, device=x.device)[:, None]
    found = slow_parts(x[..., : used(x.shape[-1])], trainset.sampling_rate)
    y = y.clone()
    for part, first in zip(found, (0, 3 * leads), strict=True):
        if first < measured:
            mean, spread = scale[:, first : first + leads]
            of_part = slice(y.shape[1] - measured + first, y.shape[1] - measured + first + leads)
            y[:, of_part] = (part - mean) / spread * y[:, -measured - 1 : -measured]
    return y


def with_asked_heart_rates(y: Tensor, level: Tensor, config: Config, random: torch.Generator) -> Tensor:
    """Give some of the conditions (B, K) a heart rate that somebody may ask for, whose variability is unknown.

    level (B,): the noise levels of the records; only much noise hides which heart rate they have. Hardly any recording
    has SR and 120 beats per minute, so without this a network would not learn what guidance predicts there.
    """
    takes = config.trainset_config.takes
    if not takes.heart_rate:
        return y
    share, lowest, (slow, fast) = ASKED
    u = torch.rand(2, len(y), device=y.device, generator=random)
    asked = (u[0] < share) & (level >= lowest)
    first = (
        config.wavenet_config.label_embed_classes - len(takes.columns) + takes.columns.index(HEART_RATE[0])
    )
    end = first + len(HEART_RATE) + len(VARIABILITY) * takes.variability
    told = torch.zeros_like(y[:, first:end])
    told[:, 0] = 1
    told[:, 1] = scaled_bpm(slow + (fast - slow) * u[1])
    return torch.cat((y[:, :first], torch.where(asked[:, None], told, y[:, first:end]), y[:, end:]), dim=1)


def with_heart_rate_times(y: Tensor, rate: Tensor, config: Config) -> Tensor:
    """Return the conditions (B, K) of records that are read `rate` (B,) times as fast: so much faster is the heart.

    How much the RR interval varies is a share of it, and stays the same.
    """
    takes = config.trainset_config.takes
    if not takes.heart_rate:
        return y
    first = config.wavenet_config.label_embed_classes - len(takes.columns)
    at = first + takes.columns.index(HEART_RATE[1])
    known, scaled = y[:, at - 1], y[:, at]
    faster = known * scaled_bpm(unscaled_bpm(scaled) * rate)
    return torch.cat((y[:, :at], faster[:, None], y[:, at + 1 :]), dim=1)


def with_patients_hidden(y: Tensor, takes: Takes, random: torch.Generator) -> Tensor:
    """Make what is behind the labels in y (B, K), such as age and heart rate, unknown, each in half of the records."""
    behind = len(takes.columns)  # two for each of them
    if not behind:
        return y
    labels = y.shape[1] - behind
    keep = torch.rand(len(y), behind // 2, device=y.device, generator=random) >= 0.5
    return torch.cat((y[:, :labels], y[:, labels:] * keep.repeat_interleave(2, dim=1)), dim=1)


def to_model_scale(signal_mv: np.ndarray, lead_scale_mv: list[float] | None) -> np.ndarray:
    """Bring signals (n, 8, L) in mV to the network's scale: clip artefacts, and divide each lead by its scale."""
    x = np.clip(signal_mv, -LIMIT_MV, LIMIT_MV)
    if lead_scale_mv is not None:
        x = x / np.asarray(lead_scale_mv, dtype=np.float32)[:, None]
    return x.astype(np.float32)
