"""Few-step students: a network asked at 1, 2 or 4 noise levels, taught by the same network asked at many.

    labels ─▶ trajectories of the teacher ─▶ student ends where they end ─▶ student's records as likely as the teacher's
                                                                                      ─▶ and like recordings as wholes

The student starts as its teacher, or as another student of it, and is sampled by `consistency`. Lessons:

1. Trajectories (Luhman and Luhman 2021; Song et al. 2023): from every level of a deterministic trajectory of the
   teacher the student's clean record is to be its end. Quick, but the mean of several possible ends is none of them.
2. Distributions (Yin et al. 2024, distribution matching): noised again, what the student makes is to be as likely as
   under the teacher. The difference of two denoisers tells the direction: the teacher, and a critic that is trained on
   the student's records as they become. For one evaluation that is not enough: an adversary joins in, which sees what
   denoisers average away, such as beats that change from one to the next.
3. Polish, for one evaluation: its records beside recordings, in how alike beats are, how quiet quiet stretches are,
   where waves are and how regularly beats return (views.py).

Without an adversary the second lesson overshoots: amplitudes grow from node to node, because a teacher under guidance
is no denoiser of any distribution. The first falls short of them. So what is kept lies on the line between the weights
after the two (`share`).

The first two need labels only, and recordings where the adversary is to know some; the third needs recordings. Shapes:
B records, K conditions, N nodes (the student's levels), T steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
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
from ..loop import save_model
from .adversary import Adversary, Records, make_records
from .matching import match_distributions
from .polish import polish
from .school import School
from .trajectories import follow_trajectories


@dataclass(frozen=True)
class Lesson:
    """What is reported: which lesson, its iteration and how many it has, its mean loss since the last report."""

    name: str
    iteration: int
    of: int
    loss: float
    seconds: float


def distill(
    config: Config,
    teacher: Path,
    labels: NDArray[np.float32],
    out: Path,
    *,
    signal_mv: NDArray[np.float32] | None = None,
    init: Path | None = None,
    device: str | None = None,
    report: Callable[[Lesson], None] = lambda _: None,
    until: float | None = None,
) -> Path:
    """Distil the network in `teacher` as config.distill_config says and write out/model.safetensors.

    labels (n, K): the conditions that records are made for, drawn at random; config is the student's, with the network
    and the schedule of the teacher. signal_mv: the recordings (n, 8, L) in mV that have these labels. init: a student
    to go on with, in place of the teacher. `until` ends the lessons at that time.monotonic(). ValueError where the
    networks differ, or do not predict the velocity, or recordings are wanted and not given, or do not fit.
    """
    todo, chosen = config.distill_config, choose_device(device)
    if todo is None:
        raise ValueError("the configuration has no distill_config: start from config/distill.json")
    for name in ("adversary_recordings", "polish_iters"):
        if getattr(todo, name) and signal_mv is None:
            raise ValueError(
                f"{name} is {getattr(todo, name)}: give the recordings (signal_mv), or set it to 0"
            )
    expected = (len(labels), 8, config.trainset_config.segment_length)
    if signal_mv is not None and signal_mv.shape != expected:
        raise ValueError(
            f"signal_mv has the shape {signal_mv.shape}: expected {expected}, one for each label vector"
        )
    torch.manual_seed(todo.seed)
    torch.set_float32_matmul_precision("high")

    def network(path: Path) -> Denoiser:
        net = build_network(config, empty=True)
        load_into(net, read_state(path)[0], str(path))
        return net.to(chosen)

    master, student = network(teacher), network(init or teacher)
    if not master.velocity:
        raise ValueError(
            f"{teacher} predicts the noise: only networks that predict the velocity can be distilled"
        )
    school = School(config, master, torch.from_numpy(labels).to(chosen), until)
    begun = time.monotonic()

    def told(name: str, of: int, every: int = 50) -> Callable[[int, Tensor], None]:
        losses: list[Tensor] = []

        def tell(iteration: int, loss: Tensor) -> None:
            losses.append(loss)
            if iteration % every == 0 or iteration == of:
                mean = float(torch.stack(losses).mean())
                losses.clear()
                if not np.isfinite(mean):
                    raise ValueError(
                        f"the loss is no longer finite at iteration {iteration} ({name}): lower the rates"
                    )
                report(Lesson(name, iteration, of, mean, time.monotonic() - begun))

        return tell

    def partly(lesson: Callable[[], None]) -> None:
        """Of a lesson the weights keep `share` of the way that they went."""
        before = [p.detach().clone() for p in student.parameters()]
        lesson()
        with torch.no_grad():
            for p, first in zip(student.parameters(), before, strict=True):
                p.copy_(torch.lerp(first, p, todo.share))

    recordings = None
    if signal_mv is not None:
        scale = config.trainset_config.lead_scale_mv
        recordings = torch.from_numpy(to_model_scale(signal_mv, scale)).to(chosen)
    if todo.trajectory_iters:
        follow_trajectories(school, student, told("trajectories", todo.trajectory_iters))
    if todo.matching_iters and not school.over:
        adversary, records = None, None
        if todo.adversary:
            records = make_records(school, told("true records", todo.records, every=1), recordings)
            adversary = Adversary(network(teacher), school)
        tell = told("distributions", todo.matching_iters)
        partly(lambda: match_distributions(school, student, network(teacher), tell, adversary, records))
    if todo.polish_iters and recordings is not None and not school.over:
        tell = told("polish", todo.polish_iters, every=10)
        partly(lambda: polish(school, student, recordings, tell))
    out.mkdir(parents=True, exist_ok=True)
    return save_model(out / "model.safetensors", student, config)


__all__ = [
    "Adversary",
    "Lesson",
    "Records",
    "School",
    "distill",
    "follow_trajectories",
    "make_records",
    "match_distributions",
    "polish",
]
