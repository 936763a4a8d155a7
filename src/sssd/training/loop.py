"""One training run on Lightning Fabric: CPU or GPUs, EMA, validation loss, log, atomic checkpoints, exact resume."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checkpoints import compact, configuration_of, load_into, read_state, write_pickle, write_safetensors
from ..config.schema import Config, TrainConfig
from ..engine.bound import kernels_run
from ..factory import build_network, build_schedule, label_names
from ..io.files import replacing
from ..models.denoiser import Denoiser
from ..models.function import biases, denoise, residual_block
from ..models.weights import effective_weights, kernel_bases
from .batches import (
    augmented,
    chosen_records,
    generator,
    hidden,
    learning_rate_factor,
    lengthened,
    seed_of,
    to_model_scale,
)
from .loss import Levels, levels, noisy, weighted_error
from .step import Guide, make_step

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SHORT = (
    512  # tokens of a record up to which Toeplitz matrices are stored: 0.3 GB a layer of 512 features in bf16
)
VALIDATION_DRAWS = 4  # noise levels and noises per validation record, the same at each validation


@dataclass(frozen=True)
class TrainingData:
    """signal_mv (n, 8, L) float32 in mV, leads I V1..V6 aVF, and labels (n, K); the same of the validation records.

    With `trainset_config.patient` the last four columns of the labels are those of sssd.patient.
    """

    signal_mv: np.ndarray
    labels: np.ndarray
    val_signal_mv: np.ndarray
    val_labels: np.ndarray


@dataclass(frozen=True)
class Trained:
    """The end of a run: the model's file, and how many iterations it has had of those it is to have."""

    path: Path
    iterations: int
    of: int


@dataclass(frozen=True)
class Progress:
    """What a run reports: its iteration, the mean loss since the last report, the last validation loss."""

    iteration: int
    loss: float
    val_loss: float | None
    seconds: float


class TrainingNet(nn.Module):
    """The network as training calls it: raw prediction, constant kernel bases, tensor-core convolution on a GPU."""

    def __init__(self, net: Denoiser, length: int, precision: str, toeplitz: bool) -> None:
        super().__init__()
        self.net, self.length, self.toeplitz = net, length, toeplitz
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.block: Callable[..., Any] = residual_block
        if toeplitz:
            # one for each of: attention or none, dropout or none, gradients or none, and networks that are not alike
            torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
            self.block = torch.compile(_gpu_block(length // net.config.patch))
        for i, pair in enumerate(kernel_bases(net, length)):
            for j, basis in enumerate(pair):
                self.register_buffer(f"basis_{i}_{j}", basis, persistent=False)

    def forward(
        self,
        x: Tensor,
        cond: Tensor,
        steps: Tensor,
        seen: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        layers = range(self.net.config.num_res_layers)
        bases = [(self.get_buffer(f"basis_{i}_0"), self.get_buffer(f"basis_{i}_1")) for i in layers]
        weights = effective_weights(
            self.net, self.length, dtype=self.dtype, bases=bases, toeplitz=self.toeplitz
        )
        dropout = self.net.config.s4_dropout if self.training else 0.0
        return denoise(weights, x, biases(self.net, cond, steps), dropout, self.block, seen)


def _gpu_block(tokens: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """The residual block with the convolution that suits a GPU and records of so many tokens."""
    if tokens <= SHORT or not torch.cuda.is_available():
        return residual_block
    if not kernels_run(torch.device("cuda", torch.cuda.current_device())):
        return residual_block
    from ..engine.kernels.trainable import convolve

    return partial(residual_block, convolve=convolve)


def train(
    config: Config,
    data: TrainingData,
    out: Path,
    *,
    init: Path | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    report: Callable[[Progress], None] = lambda _: None,
    until: float | None = None,
) -> Trained:
    """Train, or go on from the last checkpoint in `out`; the trained model has the averaged weights (EMA).

    out: folder for log.csv, last.pt (everything a resume needs) and model.safetensors. `until` stops cleanly at that
    time.monotonic(), as if killed just after a checkpoint. Batches, noise and augmentation are functions of
    (seed, iteration), so a resumed run draws what an undisturbed one would have.
    """
    fabric = _fabric(accelerator, devices)
    fabric.launch()
    todo, world, rank = config.train_config, fabric.world_size, fabric.global_rank
    if todo.batch_size % world:
        raise ValueError(f"batch_size is {todo.batch_size}: expected a multiple of the {world} devices")
    torch.manual_seed(todo.seed)
    torch.set_float32_matmul_precision("high")
    net = build_network(config)
    if init is not None:
        start_from(net, config, init)
    net.to(fabric.device)
    device = fabric.device
    length = data.signal_mv.shape[-1]
    wrapped = TrainingNet(net, length, todo.precision, toeplitz=device.type == "cuda").to(device)
    graph = device.type == "cuda" and world == 1  # the step sees it by a learning rate on the device
    rate = torch.tensor(todo.learning_rate, device=device) if graph else todo.learning_rate
    optimizer = torch.optim.Adam(
        net.parameters(), lr=rate, betas=(0.9, 0.99), fused=device.type == "cuda", capturable=graph
    )
    model, optimizer = fabric.setup(wrapped, optimizer)
    parameters = list(net.parameters())
    average = [p.detach().clone() for p in parameters]

    scale = config.trainset_config.lead_scale_mv
    x_train = torch.from_numpy(to_model_scale(data.signal_mv, scale)).to(device)
    y_train = torch.from_numpy(data.labels.astype(np.float32)).to(device)
    x_val = torch.from_numpy(to_model_scale(data.val_signal_mv, scale)).to(device)
    y_val = torch.from_numpy(data.val_labels.astype(np.float32)).to(device)
    data_std = float(x_train.std()) if todo.edm_weighting else None
    if todo.augment:
        x_train = lengthened(x_train)
    at = levels(build_schedule(config), velocity=net.velocity, data_std=data_std, device=device)

    out.mkdir(parents=True, exist_ok=True)
    last = out / "last.pt"
    iteration, seconds = 0, 0.0
    losses: list[Tensor] = []  # since the last row of the log
    if last.exists():
        iteration, seconds, losses = _resume(last, config, net, optimizer, average)
        for group in optimizer.param_groups:
            group["lr"] = rate
    rows = _log_before(out / "log.csv", iteration)
    saved = iteration if last.exists() else -1
    started = time.monotonic() - seconds
    share = slice(rank * todo.batch_size // world, (rank + 1) * todo.batch_size // world)

    def checkpoint() -> None:
        nonlocal saved
        saved = iteration
        pending = fabric.all_reduce(torch.stack(losses), reduce_op="mean") if losses else torch.empty(0)
        if fabric.is_global_zero:
            _write_log(out / "log.csv", rows)
            state = {
                "iteration": iteration,
                "seconds": time.monotonic() - started,
                "config": config.model_dump_json(),
                "cauchy": net.cauchy,
                "model_state_dict": net.state_dict(),
                "average": average,
                "optimizer_state_dict": optimizer.state_dict(),
                "losses": pending,
            }
            write_pickle(last, state)
        fabric.barrier()

    def out_of_time() -> bool:
        """Whether `until` has passed; where several processes run, the first of them decides for all."""
        if until is None or (world > 1 and iteration % 10):
            return False
        return bool(fabric.broadcast(time.monotonic() > until))

    guide = None
    if todo.guidance is not None:
        guide = guided_by(_first(config, init), length, todo, device)
    step = make_step(model, fabric.backward, optimizer, parameters, average, at, todo.gradient_clip, guide)
    model.train()
    while iteration < todo.n_iters and not out_of_time():
        factor = learning_rate_factor(iteration, todo.warmup_iters, todo.n_iters, todo.decay)
        batch = training_batch(x_train, y_train, length, config, iteration)
        ema_decay = min(todo.ema_decay, (1 + iteration) / (10 + iteration))
        torch.manual_seed(seed_of(todo.seed, iteration, 3 + rank))  # dropout
        loss = step([part[share] for part in batch], todo.learning_rate * factor, ema_decay)
        losses.append(loss)
        iteration += 1
        if iteration % todo.iters_per_logging == 0 or iteration == todo.n_iters:
            mean = fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean")
            at_checkpoint = iteration % todo.iters_per_ckpt == 0 or iteration == todo.n_iters
            val = _validation_loss(wrapped, average, x_val, y_val, at, todo) if at_checkpoint else None
            if not torch.isfinite(mean):  # type: ignore[arg-type]
                raise ValueError(
                    f"the loss is no longer finite at iteration {iteration}: lower learning_rate or set gradient_clip; "
                    f"{last} holds the last good state"
                )
            row = Progress(iteration, float(mean), val, time.monotonic() - started)  # type: ignore[arg-type]
            rows.append(row)
            losses.clear()
            if fabric.is_global_zero:
                report(row)
        if iteration % todo.iters_per_ckpt == 0 or iteration == todo.n_iters:
            checkpoint()
    if saved != iteration:
        checkpoint()

    path = out / "model.safetensors"
    if fabric.is_global_zero:
        with torch.no_grad():
            for p, mean_p in zip(parameters, average, strict=True):
                p.copy_(mean_p)
        save_model(path, net, config)
    fabric.barrier()
    return Trained(path, iteration, todo.n_iters)


def _first(config: Config, init: Path | None) -> Denoiser:
    """The network that training started from, as it was."""
    if init is None:
        raise ValueError("train_config.guidance is of a network to start from: give one (--init)")
    before, _ = configuration_of(init, *read_state(init))
    if label_names(before) != label_names(config):
        raise ValueError(
            f"guidance is of the labels that {init} knows: fine-tune it to these first, without guidance"
        )
    net = build_network(config)
    start_from(net, config, init)
    return net


def guided_by(net: Denoiser, length: int, todo: TrainConfig, device: torch.device) -> Guide:
    """What `net` says of (x, y, t) under guidance: away from what it says without labels (Ho and Salimans 2022, eq. 6).

    A network trained on that needs one evaluation where guidance takes two (Meng et al. 2023, first stage).
    """
    frozen = (
        TrainingNet(net.to(device), length, todo.precision, toeplitz=device.type == "cuda").to(device).eval()
    )
    w = todo.guidance or 1.0

    @torch.no_grad()
    def guide(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        untold = frozen(x, torch.zeros_like(y), t)
        return untold + w * (frozen(x, y, t) - untold)

    return guide


def _fabric(accelerator: str, devices: int | str) -> Fabric:
    """One process per device: those that torchrun started, on one machine or several, or else `devices` here."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    nodes = 1
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    alone = devices == 1 and nodes == 1
    strategy = "auto" if alone else DDPStrategy(find_unused_parameters=True)
    return Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)


def training_batch(
    signals: Tensor, labels: Tensor, length: int, config: Config, iteration: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Records x (B, 8, length), labels y (B, K), steps t (B,) and noise z (B, 8, length) of one iteration.

    signals (n, 8, length), lengthened where they are to be augmented; labels (n, K).
    """
    todo, device = config.train_config, signals.device
    chosen = chosen_records(len(signals), todo.batch_size, todo.seed, iteration).to(device)
    random = generator(todo.seed, iteration, 1, device)
    x, y = signals[chosen], labels[chosen]
    if todo.augment:
        x = augmented(x, length, random)
    if todo.label_dropout:
        y = y * (torch.rand(len(y), 1, device=device, generator=random) >= todo.label_dropout)
    if config.trainset_config.patient:
        y = hidden(y, random)
    t = torch.randint(config.diffusion_config.T, (len(x),), device=device, generator=random)
    if todo.focus is not None:
        focused = torch.rand(len(x), device=device, generator=random) < todo.focus.share
        inside = torch.randint(
            todo.focus.first, todo.focus.last + 1, t.shape, device=device, generator=random
        )
        t = torch.where(focused, inside, t)
    return x, y, t, torch.randn(x.shape, device=device, generator=random)


@torch.no_grad()
def _validation_loss(
    model: TrainingNet, average: list[Tensor], x: Tensor, y: Tensor, at: Levels, todo: TrainConfig
) -> float | None:
    """Loss of the averaged weights on the validation records, always at the same noise levels and noises."""
    if not len(x):
        return None
    parameters = [p.detach() for p in model.net.parameters()]
    trained = [p.clone() for p in parameters]
    torch._foreach_copy_(parameters, average)
    model.eval()
    total, count = 0.0, 0
    for draw in range(VALIDATION_DRAWS):
        random = generator(todo.seed, draw, 2, x.device)
        t = torch.randint(len(at.alpha), (len(x),), device=x.device, generator=random)
        for i in range(0, len(x), todo.batch_size):
            part = slice(i, i + todo.batch_size)
            z = torch.randn(x[part].shape, device=x.device, generator=random)
            x_t, target, weight = noisy(x[part], t[part], z, at)
            prediction = model(x_t, y[part], t[part, None].float())
            total += float(weighted_error(prediction, target, weight)) * len(x_t)
            count += len(x_t)
    model.train()
    torch._foreach_copy_(parameters, trained)
    return total / count


def start_from(net: Denoiser, config: Config, init: Path) -> None:
    """Load weights to fine-tune from; labels that the checkpoint knows by name keep their embedding."""
    state, metadata = read_state(init)
    before, now = label_names(configuration_of(init, state, metadata)[0]), label_names(config)
    known = state.get("embedding.weight")
    if (
        net.embedding is not None
        and known is not None
        and (before != now or len(known) != net.config.label_embed_classes)
    ):
        rows = net.embedding.weight.detach().clone()
        for k, name in enumerate(now):
            if name in before:
                rows[k] = known[before.index(name)]
        patient = min(len(known) - len(before), len(rows) - len(now))  # age and sex, where both have them
        rows[len(now) : len(now) + patient] = known[len(before) : len(before) + patient]
        state["embedding.weight"] = rows
    load_into(net, state, str(init))


def save_model(path: Path, net: Denoiser, config: Config) -> Path:
    """The model as it ships: float16 weights and the configuration in one safetensors file."""
    metadata = {"config": json.dumps(config.model_dump(mode="json")), "cauchy": net.cauchy}
    return write_safetensors(path, compact(net.state_dict()), metadata)


def _resume(
    last: Path, config: Config, net: Denoiser, optimizer: torch.optim.Optimizer, average: list[Tensor]
) -> tuple[int, float, list[Tensor]]:
    """Restore a run: its iteration, its seconds, and the losses since the last row of the log."""
    try:
        state = torch.load(last, map_location="cpu", weights_only=True)
    except Exception as e:
        raise ValueError(f"{last} cannot be read ({type(e).__name__}): remove it to start anew") from None
    before, now = Config.model_validate_json(state["config"]), config
    same = before.model_copy(update={"train_config": now.train_config})
    if same != now or before.train_config.seed != now.train_config.seed:
        raise ValueError(
            f"{last} was made with another configuration: train into a new folder, or give the same one"
        )
    net.load_state_dict(state["model_state_dict"])
    optimizer.load_state_dict(state["optimizer_state_dict"])
    for mean, saved in zip(average, state["average"], strict=True):
        mean.copy_(saved)
    losses = list(state["losses"].to(average[0].device))
    return int(state["iteration"]), float(state["seconds"]), losses


def _log_before(path: Path, iteration: int) -> list[Progress]:
    """The rows of an earlier run up to the iteration that is resumed."""
    if not path.exists() or not iteration:
        return []
    with path.open(newline="", encoding="utf-8") as f:
        rows = [
            Progress(
                int(r["iteration"]),
                float(r["loss"]),
                float(r["val_loss"]) if r["val_loss"] else None,
                float(r["seconds"]),
            )
            for r in csv.DictReader(f)
        ]
    return [r for r in rows if r.iteration <= iteration]


def _write_log(path: Path, rows: list[Progress]) -> None:
    with replacing(path, overwrite=True) as (part,), part.open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(["iteration", "loss", "val_loss", "seconds"])
        for r in rows:
            writer.writerow(
                [
                    r.iteration,
                    repr(r.loss),
                    "" if r.val_loss is None else repr(r.val_loss),
                    f"{r.seconds:.1f}",
                ]
            )
