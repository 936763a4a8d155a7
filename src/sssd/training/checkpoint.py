"""Reads what a run starts from (another model) or resumes from (last.pt), and writes its model.safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints import (
    compact,
    configuration_of,
    infer_config,
    load_into,
    read_state,
    write_pickle,
    write_safetensors,
)
from ..config.schema import Config
from ..factory import label_names
from ..models.denoiser import Denoiser
from ..models.network import Network
from ..models.transformer import Transformer
from .balance import Balance
from .ema import WeightAverage

LAST = "last.pt"  # everything that a resumed run needs
MODEL = "model.safetensors"


@dataclass(frozen=True)
class RunState:
    """Says how far a run is: its iteration, its seconds, and the losses (n,) since the last row of its log."""

    iteration: int
    seconds: float
    losses: Tensor


def save_run(
    path: Path,
    run: RunState,
    config: Config,
    net: Network,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    balance: Balance | None = None,
    *,
    data: str,
) -> None:
    """Write everything that `resume` needs; moments in bf16, to which `round_moments` has rounded them.

    data: the fingerprint of the recordings that are trained on.
    """
    moments = optimizer.state_dict()
    moments["state"] = {
        k: {name: value if name == "step" else value.bfloat16() for name, value in one.items()}
        for k, one in moments["state"].items()
    }
    state = {
        "iteration": run.iteration,
        "seconds": run.seconds,
        "config": json.dumps(config.content()),
        "cauchy": net.cauchy,
        "model_state_dict": net.state_dict(),
        "average": average.average,
        "optimizer_state_dict": moments,
        "losses": run.losses,
        "data": data,
        **({} if balance is None else {"balance": balance.state_dict()}),
    }
    write_pickle(path, state)


def resume(
    path: Path,
    config: Config,
    net: Network,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    balance: Balance | None = None,
    *,
    data: str,
) -> RunState:
    """Restore the network, optimizer, average and balance.

    ValueError if the run had another configuration, or other data; runs of earlier versions do not tell.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:
        raise ValueError(f"{path} cannot be read ({type(e).__name__}): remove it to start anew") from None
    if not isinstance(state, dict) or "optimizer_state_dict" not in state:
        raise ValueError(f"{path} is not the state of a run: train into a new folder")
    before = Config.model_validate_json(state["config"])
    same = before.model_copy(update={"train_config": config.train_config})
    if same != config or before.train_config.seed != config.train_config.seed:
        raise ValueError(
            f"{path} was written with another configuration: train into a new folder, or give the same configuration"
        )
    if state.get("data", data) != data:
        raise ValueError(
            f"{path} was written with other recordings or labels: train into a new folder (--init starts from a "
            "model), or give the same data"
        )
    net.load_state_dict(state["model_state_dict"])
    optimizer.load_state_dict(state["optimizer_state_dict"])
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate  # the tensor on the device, if there is one
    average.load(state["average"])
    if balance is not None:
        balance.load_state_dict(state["balance"])
    losses = state["losses"].to(average.average[0].device)
    return RunState(int(state["iteration"]), float(state["seconds"]), losses)


def save_model(path: Path, net: Network, config: Config) -> Path:
    """Write the model as it ships: float16 weights and the configuration in one safetensors file."""
    metadata = {"config": json.dumps(config.content()), "cauchy": net.cauchy}
    return write_safetensors(path, compact(net.state_dict()), metadata)


def start_from(net: Network, config: Config, init: Path) -> None:
    """Load the weights to fine-tune from. Labels that the checkpoint knows by name keep theirs, others are new."""
    state, metadata = read_state(init)
    earlier = configuration_of(init, state, metadata, whole=False)[0]
    before, now = label_names(earlier), label_names(config)
    if isinstance(net, Transformer):
        behind, takes = earlier.trainset_config.takes.columns, config.trainset_config.takes.columns
        _keep_columns(net, state, [*before, *behind], [*now, *takes])
    if isinstance(net, Denoiser):
        _check_size(net, state, init)
    known = state.get("embedding.weight")
    if (
        isinstance(net, Denoiser)
        and net.embedding is not None
        and known is not None
        and (before != now or len(known) != net.config.label_embed_classes)
    ):
        rows = net.embedding.weight.detach().clone()
        for k, name in enumerate(now):
            if name in before:
                rows[k] = known[before.index(name)]
        behind = earlier.trainset_config.takes.columns
        for k, name in enumerate(config.trainset_config.takes.columns, start=len(now)):
            if name in behind:
                rows[k] = known[len(before) + behind.index(name)]
        state["embedding.weight"] = rows
    load_into(net, state, str(init))


def _keep_columns(net: Transformer, state: dict[str, Tensor], before: list[str], now: list[str]) -> None:
    """Arrange the weights of a transformer's conditions in `state` for other classes: from `before` to `now`, by name.

    Those of new classes are the initial ones of `net`. What is behind the classes stays as it is. The statements from
    which heart rates are drawn are those of `net`, which gets others from the data that it is trained on.
    """
    state |= {
        name: value for name, value in net.state_dict().items() if name in ("statements", "statement_weights")
    }
    kept = [(k, before.index(name)) for k, name in enumerate(now) if name in before]
    for layer in ("early", "late"):
        known, rows = state[f"{layer}.weight"].T, net.get_parameter(f"{layer}.weight").detach().T.clone()
        if len(known) - len(before) != len(rows) - len(now):
            return  # of other sets or circumstances, which `load_into` refuses
        rows[len(now) :] = known[len(before) :]
        for k, at in kept:
            rows[k] = known[at]
        state[f"{layer}.weight"] = rows.T.contiguous()


def _check_size(net: Denoiser, state: Mapping[str, Tensor], init: Path) -> None:
    """ValueError names the first option of the network in which a checkpoint differs, but for its labels."""
    found, wanted = infer_config(state), net.config
    nodes = [
        size.s4_lmax // size.patch // 2 for size in (found, wanted)
    ]  # all that shapes tell of the length
    free = {"s4_dropout", "label_embed_classes"} | ({"s4_lmax"} if nodes[0] == nodes[1] else set())
    for name, now in vars(wanted).items():
        before = getattr(found, name)
        if name not in free and before != now:
            raise ValueError(
                f"{init} has wavenet_config.{name} {before}, and the configuration says {now}: give a "
                "configuration with the network of the checkpoint, or leave out its wavenet_config"
            )
