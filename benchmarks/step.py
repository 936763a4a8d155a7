"""One step of training as `sssd-ecg train` takes it, on one GPU or several. `python benchmarks/step.py`

    python benchmarks/step.py                                        # one GPU
    torchrun --nproc-per-node 2 benchmarks/step.py                   # two: the same batch alone, then shared

A step draws a batch from records on the device, and makes loss, gradients, the optimizer's step and the average of the
weights. Records and weights are random. The first column is the network evaluated without compiling and without a
CUDA graph, the second as training runs it; the ratios are of one run.
"""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import torch
import torch.distributed as dist

import sssd.config
from sssd.benchmark import machine, median_seconds
from sssd.config.schema import PUBLISHED, Config, read_config
from sssd.device import choose_device
from sssd.factory import build_network, build_schedule
from sssd.loss import noise_levels
from sssd.models.transformer import DATA_STD, Transformer
from sssd.training.augment import lengthened
from sssd.training.balance import Balance
from sssd.training.batches import training_batch, transformer_batch
from sssd.training.ema import WeightAverage
from sssd.training.network import training_net
from sssd.training.optimizer import optimizer_for
from sssd.training.parallel import fabric_for, processes
from sssd.training.step import make_step

FOLDER = Path(sssd.config.__file__).parent


def configuration(name: str, records: int) -> Config:
    """Return a configuration with this batch; "published" is SSSD-ECG's size."""
    config = read_config(PUBLISHED if name == "published" else FOLDER / f"{name}.json")
    changes = {"batch_size": records, "guidance": None, "seed": 0}
    return config.model_copy(update={"train_config": config.train_config.model_copy(update=changes)})


def iteration(config: Config, device: torch.device, plain: bool = False) -> Callable[[], object]:
    """Return a function that makes one iteration of training, with this process's part of the batch."""
    torch.manual_seed(0)
    todo, length = config.train_config, config.trainset_config.segment_length
    net = build_network(config).to(device)
    records = 2 * todo.batch_size
    x = 0.3 * torch.randn(records, 8, length, device=device)
    y = (torch.rand(records, net.columns, device=device) < 0.05).float()
    coarse = torch.zeros(records, dtype=torch.bool, device=device)
    if todo.augment:
        x = lengthened(x)
    levels = noise_levels(
        build_schedule(config), velocity=net.velocity, device=device,
        data_std=DATA_STD if isinstance(net, Transformer) else None,
    )  # fmt: skip
    balance = Balance(levels) if isinstance(net, Transformer) else None
    model = training_net(net, length, todo.precision, device).train()
    if plain and isinstance(net, Transformer):
        from sssd.models.transformer import layer

        model.block = layer
    optimizer = optimizer_for(net, device, graph=device.type == "cuda" and not plain)
    step = make_step(model, optimizer, list(net.parameters()), levels, todo.gradient_clip, None, balance)
    average, numbers = WeightAverage(net), count()
    rank = dist.get_rank() if processes() > 1 else 0
    share = slice(rank * todo.batch_size // processes(), (rank + 1) * todo.batch_size // processes())

    def run() -> None:
        i = next(numbers)
        batch: Sequence[torch.Tensor]
        if isinstance(net, Transformer):
            batch = transformer_batch(x, y, coarse, length, config, levels, i)
        else:
            batch = training_batch(x, y, length, config, i)
        step([part[share] for part in batch], todo.learning_rate)
        average.update(todo.ema_decay)

    return run


def seconds(config: Config, device: torch.device, longest: float, plain: bool = False) -> float:
    run = iteration(config, device, plain)
    if device.type == "cuda":
        for _ in range(5):  # the first few compile and record
            run()
    return median_seconds(run, device, longest=longest)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", help="cuda or cpu")
    parser.add_argument("--networks", nargs="+", default=["default", "published"], help="configurations")
    parser.add_argument("--records", type=int, nargs="+", default=[512, 64], help="a batch of each")
    parser.add_argument("--seconds", type=float, default=10.0, help="for one figure, at most")
    given = parser.parse_args(arguments)
    if len(given.records) != len(given.networks):
        parser.error("give as many --records as --networks")
    device = choose_device(given.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    first = os.environ.get("RANK", "0") == "0"
    if first:
        print(f"{datetime.date.today()}, {machine(device)}, torch {torch.__version__}")
        print(
            f"{'network':14s} {'records':>8s} {'plain ms':>10s} {'train ms':>10s} {'ratio':>6s} {'records/s':>10s}"
        )
    alone = {}
    for name, records in zip(given.networks, given.records, strict=True):
        config = configuration(name, records)
        plain, alone[name] = (seconds(config, device, given.seconds, way) for way in (True, False))
        if first:
            print(
                f"{name:14s} {records:8d} {1e3 * plain:10.4g} {1e3 * alone[name]:10.4g} {plain / alone[name]:6.2f} "
                f"{records / alone[name]:10.4g}",
                flush=True,
            )
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    fabric = fabric_for(device.type, 1)
    fabric.launch()
    device = fabric.device
    for name, records in zip(given.networks, given.records, strict=True):
        shared = seconds(configuration(name, records), device, given.seconds)
        if first:
            print(
                f"{name:14s} {records:8d} {'':10s} {1e3 * shared:10.4g} {alone[name] / shared:6.2f} "
                f"{records / shared:10.4g}   shared by {processes()}: times one",
                flush=True,
            )


if __name__ == "__main__":
    main()
