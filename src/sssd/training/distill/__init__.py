"""Distillation trains students that need 4, 2 or 1 evaluations, from a teacher that needs many.

A student starts as its teacher, or as an earlier student of it, and is sampled by `consistency`. It learns in stages:

1. trajectories.py (Luhman and Luhman 2021; Song et al. 2023). At every level of a deterministic trajectory of the
   teacher, the student predicts the end of that trajectory. This is quick, but where several ends are possible
   the student learns their mean.
2. dmd.py, distribution matching distillation (Yin et al. 2024). The student's records, noised again, become as likely
   as under the teacher. The difference of two denoisers gives the direction: the teacher, and a critic that is trained
   on the student's records. For one evaluation a discriminator joins them (discriminator.py). It sees what denoisers
   average away, such as beats that differ within one record.
3. finetune.py, for one evaluation. A loss on features (features.py) compares the student's records with recordings: how
   alike their beats are, how quiet they are between waves, where waves are and how regularly beats come.

Without a discriminator, the second stage overshoots: amplitudes grow from node to node, because a teacher under
guidance is not the denoiser of any distribution. The first stage falls short. So the weights that are kept lie on the
line between those before and after the second stage (`share`).

The first two stages need only label columns, and recordings if the discriminator is to see some. The third stage needs
recordings.

A transformer has the first two stages in one run (run.py), which gives a student for 1, 2 and 4 evaluations alike. In
its second stage (dmd2.py) the discriminator (adversary.py) sees recordings only.

Shapes: B records, K label columns, N nodes (the levels at which the student is evaluated), T steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checkpoints import load_into, read_state
from ...config.schema import Config
from ...device import choose_device
from ...factory import build_network
from ...models.denoiser import Denoiser
from ..batches import to_model_scale
from ..checkpoint import MODEL, save_model
from ..parallel import join
from ..torch_state import training_state
from .context import Distillation, Distilled, OutOfTime, StageProgress
from .discriminator import Discriminator, TrueRecords, make_true_records
from .dmd import match_distributions
from .finetune import fine_tune
from .resume import load_stages, origin_of, save_stages
from .run import distil_transformer
from .trajectories import follow_trajectories


def distill(
    config: Config,
    teacher: Path,
    labels: NDArray[np.float32],
    out: Path,
    *,
    signal_mv: NDArray[np.float32] | None = None,
    init: Path | None = None,
    device: str | None = None,
    report: Callable[[StageProgress], None] = lambda _: None,
    until: float | None = None,
) -> Distilled:
    """Distil the network in `teacher` as config.distill_config says, and write out/model.safetensors.

    The student behind each stage is kept in out/last.pt. The same call goes on with the first stage that an earlier one
    has not ended, and gives what an undisturbed run would have given.

    config: the student's, with the network and the schedule of the teacher. labels (n, K): the label columns that
    records are made for, drawn at random. signal_mv: the recordings (n, 8, L) in mV that have these labels. init: a
    student to go on with, in place of the teacher. until: the time.monotonic() at which the stages end; the student is
    then written as it is. ValueError if the networks differ or do not predict the velocity, if recordings are needed
    and missing, or do not fit, or if an earlier run in `out` began with something else.
    """
    todo, chosen = config.distill_config, choose_device(device)
    if todo is None:
        raise ValueError("the configuration has no distill_config: start from config/distill.json")
    for name in ("adversary_recordings", "polish_iters"):
        if getattr(todo, name) and signal_mv is None:
            raise ValueError(
                f"{name} is {getattr(todo, name)}, which needs recordings: give them (signal_mv), or set it to 0"
            )
    expected = (len(labels), 8, config.trainset_config.segment_length)
    if signal_mv is not None and signal_mv.shape != expected:
        raise ValueError(
            f"signal_mv has the shape {signal_mv.shape}; expected {expected}, one recording for each label vector"
        )
    if config.transformer_config is not None:
        return distil_transformer(config, teacher, labels, signal_mv, out, init, join(chosen), report, until)
    with training_state(chosen):
        student, done, of = _distil(config, teacher, labels, out, signal_mv, init, chosen, report, until)
        out.mkdir(parents=True, exist_ok=True)
        return Distilled(save_model(out / MODEL, student, config), done, of)


def _distil(
    config: Config,
    teacher: Path,
    labels: NDArray[np.float32],
    out: Path,
    signal_mv: NDArray[np.float32] | None,
    init: Path | None,
    device: torch.device,
    report: Callable[[StageProgress], None],
    until: float | None,
) -> tuple[Denoiser, int, int]:
    """Run the stages; return the student, how many of them have ended, and how many there are."""
    todo = config.distill_config
    assert todo is not None
    torch.manual_seed(todo.seed)

    def network(path: Path) -> Denoiser:
        net = build_network(config, empty=True)
        assert isinstance(net, Denoiser)
        load_into(net, read_state(path)[0], str(path))
        return net.to(device)

    teacher_net, student = network(teacher), network(init or teacher)
    if not teacher_net.velocity:
        raise ValueError(
            f"{teacher} predicts the noise; only networks that predict the velocity can be distilled"
        )
    run = Distillation(config, teacher_net, torch.from_numpy(labels).to(device), until)
    begun = time.monotonic()
    ended: set[str] = set()

    def reporter(name: str, of: int, every: int = 50) -> Callable[[int, Tensor], None]:
        losses: list[Tensor] = []

        def on_iteration(iteration: int, loss: Tensor) -> None:
            losses.append(loss)
            if iteration == of:
                ended.add(name)
            if iteration % every == 0 or iteration == of:
                mean = float(torch.stack(losses).mean())
                losses.clear()
                if not np.isfinite(mean):
                    raise ValueError(
                        f"the loss is no longer finite at iteration {iteration} of stage {name!r}: lower the "
                        "learning rates in distill_config"
                    )
                report(StageProgress(name, iteration, of, mean, time.monotonic() - begun))

        return on_iteration

    def keep_share(stage: Callable[[], None]) -> None:
        """Run a stage, and keep only the share `share` of the change that it made to the weights."""
        before = [p.detach().clone() for p in student.parameters()]
        stage()
        with torch.no_grad():
            for p, first in zip(student.parameters(), before, strict=True):
                p.copy_(torch.lerp(first, p, todo.share))

    recordings = None
    if signal_mv is not None:
        scale = config.trainset_config.lead_scale_mv
        recordings = torch.from_numpy(to_model_scale(signal_mv, scale)).to(device)

    def trajectories() -> None:
        follow_trajectories(run, student, reporter("trajectories", todo.trajectory_iters))

    def matching() -> None:
        discriminator, true_records = None, None
        if todo.adversary:
            on_records = reporter("true records", todo.records, every=1)
            true_records = make_true_records(run, on_records, recordings)
            discriminator = Discriminator(network(teacher), run)
        on_iteration = reporter("distribution matching", todo.matching_iters)
        keep_share(
            lambda: match_distributions(
                run, student, network(teacher), on_iteration, discriminator, true_records
            )
        )

    def polishing() -> None:
        assert recordings is not None
        on_iteration = reporter("fine-tuning", todo.polish_iters, every=10)
        keep_share(lambda: fine_tune(run, student, recordings, on_iteration))

    stages = [("trajectories", trajectories)] if todo.trajectory_iters else []
    stages += [("distribution matching", matching)] if todo.matching_iters else []
    stages += [("fine-tuning", polishing)] if todo.polish_iters else []
    origin = origin_of(config, teacher_net, student, labels)
    done = load_stages(out, student, origin, device)
    if done == 0:
        save_stages(out, 0, student, origin, device)
    for name, stage in stages[done:]:
        if run.out_of_time:
            break
        try:
            stage()
        except OutOfTime:
            break
        if name not in ended:
            break
        done += 1
        save_stages(out, done, student, origin, device)
    return student, done, len(stages)


__all__ = [
    "Discriminator",
    "Distilled",
    "Distillation",
    "StageProgress",
    "TrueRecords",
    "distill",
    "fine_tune",
    "follow_trajectories",
    "make_true_records",
    "match_distributions",
]
