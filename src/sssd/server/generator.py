"""The model as the service uses it: requests become arrays, batches become signals, signals become records."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from ..added_noise import parse
from ..detail import network_for, trained
from ..device import choose_batch_size, precision_name
from ..editing.change import partial_table
from ..labels import STATEMENTS, find, rare_statements
from ..model_wrapper import SSSDECG
from ..models.settings import isolated
from ..models.transformer import Transformer
from ..presets import BUILTIN, is_builtin, presets_of
from ..record import Ecg
from ..request import Request, make_request
from ..samplers import SAMPLERS
from ..sampling import Sampling
from ..signals.rates import COARSE_HZ, FINE_HZ
from ..strips import Strip, strip_of
from .answers import Label
from .asked import GenerateRequest
from .recordings import ChangeRequest, RecordingRead, RecordingRequest
from .work import Batch, EightLeads, OnStep, Plan, Work

if TYPE_CHECKING:
    from ..config.names import Cauchy
    from ..model_wrapper import Table

T = TypeVar("T")
TABLES = 256  # how many step tables are kept
# It makes detail: answers have threads of their own, and a GPU belongs to that of the batches.
CPU = torch.device("cpu")
CPU_RECORDS = 8  # larger batches are hardly faster on a CPU, and each record waits for all of its batch


def in_own_thread(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Make a call in a thread of its own, so that the OpenMP threads it starts end with it; see `Batcher`."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call, *args, **kwargs).result()


def load_generator(
    checkpoint: Path | None = None,
    *,
    config: Path | None = None,
    cauchy: Cauchy | None = None,
    device: str | None = None,
    precision: str = "float32",
) -> Generator:
    """Return the generator of a checkpoint, named after its file, or of the built-in model without one."""
    if checkpoint is None:
        name = BUILTIN
    else:  # a file must not pass for the built-in model, whatever it is called
        name = checkpoint.name if is_builtin(checkpoint.stem) else checkpoint.stem
    model = in_own_thread(SSSDECG.from_pretrained, checkpoint, config=config, cauchy=cauchy, device=device)
    return Generator(model, name, precision)


class Generator:
    """A model with its name and the precision of its matrix products: "float32", "bf16" or "auto".

    work(asked) turns a request into arrays, run(batch, on_step) generates signals (B, 8, L) in mV, and
    records(work, signals) turns them into Ecgs.
    qualities: the plan that each quality stands for, see `sssd.presets.presets_of`.
    """

    def __init__(self, model: SSSDECG, name: str, precision: str = "float32") -> None:
        self.model, self.name = model, name
        self.qualities = {
            name: Plan(Sampling(quality=name).resolve(model.config)) for name in presets_of(model.config)
        }
        self.precision = precision_name(precision, model.device)
        self._numbers = itertools.count()
        self._table = lru_cache(TABLES)(self._build_table)
        self._strip = lru_cache(TABLES)(self._build_strip)

    @cached_property
    def hash(self) -> str:
        return self.model.model_hash

    @property
    def fs_hz(self) -> float:
        return self.model.fs_hz

    @property
    def rates_hz(self) -> list[float]:
        """The rates of records that can be asked for."""
        return [self.fs_hz, FINE_HZ] if self.fs_hz == COARSE_HZ else [self.fs_hz]

    def fine(self, fs: float | None) -> bool:
        """Return whether records of this rate have detail (sssd.detail). ValueError if there are none."""
        return network_for(fs, self.fs_hz, CPU) is not None

    def windows(self, seconds: Sequence[float]) -> int:
        """Return how many windows a record with parts of these lengths in s consists of."""
        strip = self._strip(tuple(seconds))
        return 1 if strip is None else len(strip.pieces)

    def _build_strip(self, seconds: tuple[float, ...]) -> Strip | None:
        return strip_of(seconds, window=self.model.shape[1], fs_hz=self.fs_hz)

    def length(self, seconds: Sequence[float]) -> int:
        """Return the samples of a record with parts of these lengths in s."""
        return round(sum(seconds) * self.fs_hz) or self.model.shape[1]

    @property
    def batch_records(self) -> int:
        """The number of records at once that suits the device."""
        size = choose_batch_size(self.model.model.config, self.model.shape[1], self.model.device)
        if self.model.device.type != "cpu":
            return size
        # each thread computes records of its own with a transformer, and all threads share those of an S4 network
        threads = torch.get_num_threads() if isinstance(self.model.model, Transformer) else 1
        return min(size, CPU_RECORDS * threads)

    @cached_property
    def labels(self) -> list[Label]:
        known = {statement.code: statement for statement in STATEMENTS}
        found = []
        for name in self.model.label_names:
            s = known.get(name)
            found.append(
                Label(
                    name=name,
                    description=s.description if s else "",
                    superclass=s.superclass if s else "",
                    aliases=list(s.aliases) if s else [],
                    training_records=s.training_records if s and self.name == BUILTIN else None,
                )
            )
        return found

    @cached_property
    def samplers(self) -> list[str]:
        """The samplers that suit the model. Only distilled models have consistency; fitted needs fitted solvers."""
        own = self.model.config.ddim_config
        lacking = {"consistency": own.sampler != "consistency", "fitted": not own.fits}
        return [name for name in SAMPLERS if not lacking.get(name)]

    @cached_property
    def default(self) -> Plan:
        """The plan of a request that names no quality, sampler, steps or eta."""
        return Plan(Sampling().resolve(self.model.config))

    def _plan(self, asked: GenerateRequest) -> Plan:
        if asked.sampler == "fitted" and "fitted" not in self.samplers:
            raise ValueError(
                "sampler is 'fitted': only models with fitted solvers have it, and this model is not one of them"
            )
        return Plan(Sampling(**asked.sampling).resolve(self.model.config))

    def _build_table(self, plan: Plan) -> Table:
        model = self.model
        if plan.strength is not None:
            return partial_table(model, plan.sampling, plan.strength)
        return plan.sampling.table(model.schedule, model.config)

    def work(self, asked: GenerateRequest) -> Work:
        """Return the request as arrays. ValueError if the model does not have the statement, the sampler and so on."""
        names, seconds = asked.parts
        plan, classes = (
            self._plan(asked)._replace(seconds=seconds, windows=self.windows(seconds)),
            self.model.classes,
        )
        self._table(plan)
        fine = self.fine(asked.fs)
        noise = parse(asked.noise, FINE_HZ if fine else self.fs_hz)
        seed = secrets.randbits(32) if asked.seed is None else asked.seed
        together = sorted({find(name, classes.names) for name in names}) if len(seconds) < 2 else []
        request = make_request(
            names if len(seconds) > 1 else [together],
            classes,
            num_samples=asked.count,
            seed=seed,
            exact=asked.exact,
            duration=seconds or None,
            age=asked.age,
            sex=asked.sex,
            heart_rate=asked.heart_rate,
            first=asked.index,
        )
        return Work(
            request, seed, plan, noise=noise, annotated=asked.annotate, fine=fine, called=asked.called
        )

    def read(self, asked: RecordingRequest) -> RecordingRead:
        """Return a recording as the model takes it. ValueError if it cannot be used, in a thread of its own."""
        return in_own_thread(isolated()(asked.read), self.model)

    def changed(self, asked: ChangeRequest) -> Work:
        """Return a request to change a recording as arrays. ValueError if the recording or the model lacks something.

        What it computes is little, and runs in a thread of its own (see `in_own_thread`).
        """
        change = in_own_thread(isolated()(asked.change), self.model)
        steps = partial_table(self.model, change.sampling, change.strength).S
        plan = Plan(
            change.sampling,
            strength=change.strength,
            rows=steps,
            passes=change.evaluations,
            alone=next(self._numbers) if change.given.known is not None else None,
        )
        numbers = tuple(range(asked.index, asked.index + len(change.request)))
        seed = secrets.randbits(32) if asked.seed is None else asked.seed
        request, fine = replace(change.request, index=numbers), self.fine(asked.fs)
        return Work(request, seed, plan, change.given, change.facts, fine=fine, called=asked.called)

    def run(self, batch: Batch, on_step: OnStep) -> EightLeads:
        """Generate a batch: signals (B, 8, L) in mV."""
        # CUDA graphs are recorded for one batch size each, so batches on a GPU have few different sizes.
        rows = batch.padded() if self.model.device.type == "cuda" else batch
        strip, length = self._strip(batch.plan.seconds), self.length(batch.plan.seconds)
        signals = self.model.generate_batch(
            rows.vectors if strip is not None else rows.vectors.reshape(len(rows), -1),
            rows.seeds,
            rows.index,
            self._table(batch.plan),
            age=rows.age,
            sex=rows.sex,
            heart_rate=rows.heart_rate,
            precision=self.precision,
            on_step=lambda i, x0: on_step(i, x0[..., :length]),
            given=rows.given,
            strip=strip,
            rows=self.batch_records,
        )
        return np.asarray(signals)[: len(batch), :, :length]

    def warm_up(self) -> None:
        """Run one step, so that kernels and folded weights are ready for requests."""
        nothing = Request(np.zeros((1, len(self.model.label_names)), np.float32), ("",))
        one_step = Sampling("ddim", 1, 0.0).resolve(self.model.config)
        self.run(Batch.of([Work(nothing, 0, Plan(one_step))]), lambda *_: None)

    def records(self, work: Work, signals: EightLeads) -> Sequence[Ecg]:
        """Return signals (n, 8, L) as 12-lead records in the clinical order."""
        table = self._table(work.plan)
        ecgs = self.model.records(signals, work.request, table, seed=work.seed, precision=self.precision)
        detail = trained(CPU) if work.fine else None
        ecgs = replace(ecgs, how={**ecgs.how, **work.facts}, noise=work.noise, annotated=work.annotated)
        ecgs = replace(ecgs, detail=detail)
        return replace(ecgs, rare=rare_statements()) if self.name == BUILTIN else ecgs
