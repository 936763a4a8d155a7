"""Runs training on Lightning Fabric, on a CPU or on GPUs, with a log, checkpoints and an exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..checks import needed_for
from ..config.schema import Config
from ..factory import build_network, build_schedule
from ..loss import noise_levels
from ..models.transformer import DATA_STD, Transformer
from ..scale import Scale
from .augment import lengthened
from .balance import Balance
from .batches import seed_of, to_model_scale, training_batch, transformer_batch
from .checkpoint import LAST, MODEL, RunState, resume, save_model, save_run, start_from
from .data import TrainingData, transformer_data
from .ema import WeightAverage, warmed_up_decay
from .guidance import guided, network_to_guide, strength_of_steps
from .log import LOG, Progress, read_log, write_log
from .network import training_net
from .optimizer import learning_rate_factor, optimizer_for, round_moments
from .parallel import fabric_for
from .step import make_step
from .torch_state import training_state
from .validation import validation_loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger


@dataclass(frozen=True)
class Trained:
    """The result of a run: the model's file, and how many of its iterations the run has done."""

    path: Path
    iterations: int
    of: int


def train(
    config: Config,
    data: TrainingData,
    out: Path,
    *,
    init: Path | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    report: Callable[[Progress], None] = lambda _: None,
    begin: Callable[[int], None] = lambda _: None,
    tensorboard: bool = False,
    until: float | None = None,
) -> Trained:
    """Train, or go on from the last checkpoint in `out`. The model that is written has the averaged weights.

    out: the folder for log.csv, last.pt and model.safetensors. init: a checkpoint to start from. report: called with
    each row of the log. begin: called once, with the number of iterations that an earlier run has done. tensorboard:
    write the losses to `out`/tensorboard too. until: the time.monotonic() at which the run stops cleanly; the same call
    goes on from there.
    Batches, noise and augmentation are functions of the seed and the iteration, so a resumed run draws what an
    undisturbed one would have drawn. ValueError if the configuration, `init` or an earlier run in `out` do not fit;
    ModuleNotFoundError without the `tensorboard` extra if it is asked for.
    """
    if config.train_config.focus is not None:
        raise ValueError(
            "train_config.focus is of an earlier version and has no effect any more: leave it out"
        )
    fabric = fabric_for(accelerator, devices)
    fabric.launch()
    if config.train_config.batch_size % fabric.world_size:
        raise ValueError(
            f"batch_size is {config.train_config.batch_size}; expected a multiple of the {fabric.world_size} devices"
        )
    with training_state(fabric.device):
        return _train(fabric, config, data, out, init, report, begin, tensorboard, until)


def _train(
    fabric: Fabric,
    config: Config,
    data: TrainingData,
    out: Path,
    init: Path | None,
    report: Callable[[Progress], None],
    begin: Callable[[int], None],
    tensorboard: bool,
    until: float | None,
) -> Trained:
    todo, device, world, rank = config.train_config, fabric.device, fabric.world_size, fabric.global_rank
    torch.manual_seed(todo.seed)
    net = build_network(config)
    if init is not None:
        start_from(net, config, init)
    net.to(device)
    length, fingerprint = data.signal_mv.shape[-1], data.fingerprint()
    transformer = isinstance(net, Transformer)
    if isinstance(net, Transformer):
        data = transformer_data(data, net, config.trainset_config.sampling_rate)
    scale = config.trainset_config.lead_scale_mv
    x_train = torch.from_numpy(to_model_scale(data.signal_mv, scale)).to(device)
    y_train = torch.from_numpy(data.labels.astype(np.float32)).to(device)
    x_val = torch.from_numpy(to_model_scale(data.val_signal_mv, scale)).to(device)
    x_val = Scale.of(config.trainset_config).emphasised(x_val)
    coarse = torch.from_numpy(data.coarse).to(device)
    y_val = torch.from_numpy(data.val_labels.astype(np.float32)).to(device)
    data_std = float(x_train.std()) if todo.edm_weighting else None
    if transformer:
        data_std = DATA_STD
    if todo.augment:
        x_train = lengthened(x_train)
    levels = noise_levels(build_schedule(config), velocity=net.velocity, data_std=data_std, device=device)
    balance = Balance(levels) if transformer else None
    model = training_net(net, length, todo.precision, device)
    optimizer = optimizer_for(net, device, graph=device.type == "cuda")
    average = WeightAverage(net)
    teacher = None
    if todo.guidance is not None:
        strength = strength_of_steps(todo.guidance, levels)
        of_heart_rate, of_circumstances = (
            None if one is None else strength_of_steps(one, levels)
            for one in (todo.heart_rate_guidance, todo.circumstances_guidance)
        )
        source = network_to_guide(config, init)
        teacher = guided(
            source,
            length,
            strength,
            of_heart_rate,
            todo.precision,
            device,
            of_circumstances=of_circumstances,
        )

    out.mkdir(parents=True, exist_ok=True)
    last = out / LAST
    iteration, saved = 0, -1
    started = time.monotonic()
    losses: list[Tensor] = []  # since the last row of the log
    if last.exists():
        run = resume(last, config, net, optimizer, average, balance, data=fingerprint)
        iteration = saved = run.iteration
        losses, started = list(run.losses), started - run.seconds
    rows = read_log(out / LOG, iteration)
    board = _tensorboard(out, iteration) if tensorboard and fabric.is_global_zero else None
    begin(iteration)

    def checkpoint() -> None:
        nonlocal saved
        saved = iteration
        round_moments(optimizer)
        pending: Any = fabric.all_reduce(torch.stack(losses), reduce_op="mean") if losses else torch.empty(0)
        if fabric.is_global_zero:
            write_log(out / LOG, rows)
            run = RunState(iteration, time.monotonic() - started, pending)
            save_run(last, run, config, net, optimizer, average, balance, data=fingerprint)
        fabric.barrier()

    def out_of_time() -> bool:
        """Return whether `until` has passed. If several processes run, the first of them decides for all."""
        if until is None or (world > 1 and iteration % 10):
            return False
        return bool(fabric.broadcast(time.monotonic() > until))

    step = make_step(
        model,
        optimizer,
        list(net.parameters()),
        levels,
        todo.gradient_clip,
        teacher,
        balance,
    )
    share = slice(rank * todo.batch_size // world, (rank + 1) * todo.batch_size // world)
    model.train()
    while iteration < todo.n_iters and not out_of_time():
        batch: tuple[Tensor, ...]
        if isinstance(net, Transformer):
            batch = transformer_batch(
                x_train, y_train, coarse, length, config, levels, iteration, net.circumstances_scale
            )
        else:
            batch = training_batch(x_train, y_train, length, config, iteration)
        torch.manual_seed(seed_of(todo.seed, iteration, 3 + rank))  # for dropout
        factor = learning_rate_factor(iteration, todo.warmup_iters, todo.n_iters, todo.decay)
        losses.append(step([part[share] for part in batch], todo.learning_rate * factor))
        average.update(warmed_up_decay(todo.ema_decay, iteration))
        iteration += 1
        at_checkpoint = iteration % todo.iters_per_ckpt == 0 or iteration == todo.n_iters
        if iteration % todo.iters_per_logging == 0 or iteration == todo.n_iters:
            loss = float(fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean"))  # type: ignore[arg-type]
            if not math.isfinite(loss):
                raise ValueError(
                    f"the loss is no longer finite at iteration {iteration}: lower learning_rate or set "
                    f"gradient_clip; {last} holds the last good state"
                )
            val_loss = None
            if at_checkpoint:
                val_loss = validation_loss(
                    model, average, x_val, y_val, levels, seed=todo.seed, batch_size=todo.batch_size
                )
            losses = []
            rows.append(Progress(iteration, loss, val_loss, time.monotonic() - started))
            if fabric.is_global_zero:
                report(rows[-1])
                if board is not None:
                    board.log_metrics(_metrics(rows[-1]), iteration)
        if at_checkpoint:
            checkpoint()
    if saved != iteration:
        checkpoint()
    if board is not None:
        board.finalize("success")

    path = out / MODEL
    if fabric.is_global_zero:
        average.copy_to_network()
        save_model(path, net, config)
    fabric.barrier()
    return Trained(path, iteration, todo.n_iters)


def _tensorboard(out: Path, iteration: int) -> TensorBoardLogger:
    """Return the logger of a run that begins at this iteration; what an earlier run logged behind it is not shown."""
    with needed_for("a log for TensorBoard needs", "tensorboard"):
        import tensorboard  # noqa: F401  the logger imports it later, where it is first used
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger
    return TensorBoardLogger(out, name="tensorboard", version="", purge_step=iteration + 1)


def _metrics(row: Progress) -> dict[str, float]:
    return {"loss": row.loss} | ({} if row.val_loss is None else {"val_loss": row.val_loss})
