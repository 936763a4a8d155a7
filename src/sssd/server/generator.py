"""The model as the service uses it: requests become arrays, batches become signals, signals become records."""

from __future__ import annotations

import secrets
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch

from .. import sampling
from ..device import choose_batch_size, choose_precision
from ..labels import STATEMENTS, find
from ..leads import to_twelve
from ..model_wrapper import SSSDECG
from ..patient import ages, facts, sexes
from ..presets import BUILTIN, PRESETS, UNDISTILLED, WEIGHTS, choose, is_builtin
from ..record import Ecg
from ..records import record
from ..samplers import SAMPLERS
from .schemas import GenerateRequest, Label
from .work import Batch, EightLeads, OnStep, Sampling, Work

if TYPE_CHECKING:
    from ..models.s4 import Cauchy
    from ..samplers import StepTable

T = TypeVar("T")
PLANS = 256  # how many step tables are kept
CPU_RECORDS = 8  # larger batches are no faster on a CPU, and each record waits for all of its batch


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
    """The generator of a checkpoint, which gets the name of the file; without one, that of the built-in model."""

    def load() -> SSSDECG:
        if config is None or checkpoint is None:
            return SSSDECG.from_pretrained(checkpoint, cauchy=cauchy, device=device)
        return SSSDECG(config, device=device).load_checkpoint(checkpoint, cauchy=cauchy)

    if checkpoint is None:
        name = BUILTIN
    else:  # a file must not pass for the built-in model, whatever it is called
        name = checkpoint.name if is_builtin(checkpoint.stem) else checkpoint.stem
    return Generator(in_own_thread(load), name, precision)


class Generator:
    """A model with its name and the precision of its matrix products: "float32", "bf16" or "auto".

    work(asked) turns a request into arrays, run(batch, on_step) generates signals (B, 8, L) in mV, and
    records(work, signals) turns them into Ecgs.
    qualities: the sampling that each quality stands for. The built-in model has all weights that ship, which `warm_up`
    loads. Any other model has its own weights only, and no draft.
    """

    def __init__(self, model: SSSDECG, name: str, precision: str = "float32") -> None:
        self.model, self.name = model, name
        self._weights, self._loading = {"default": model}, threading.Lock()
        distilled = name == BUILTIN and all(
            WEIGHTS[of.weights].exists() for of in PRESETS.values() if of.weights is not None
        )
        self._presets = PRESETS if distilled else UNDISTILLED
        self.qualities = {
            quality: self._sampled(
                of.sampler, min(of.steps, model.schedule.T), of.eta, of.weights or "default"
            )
            for quality, of in self._presets.items()
        }
        bf16 = choose_precision(precision, model.device) == torch.bfloat16
        self.precision: Literal["float32", "bf16"] = "bf16" if bf16 else "float32"
        self.plan = lru_cache(PLANS)(self._plan)

    @cached_property
    def hash(self) -> str:
        return self.model.model_hash

    @property
    def batch_records(self) -> int:
        """How many records at once suit the device."""
        size = choose_batch_size(self.model.model.config, self.model.shape[1], self.model.device)
        return min(size, CPU_RECORDS) if self.model.device.type == "cpu" else size

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

    def default(self) -> Sampling:
        return self._sampling(GenerateRequest(statements=["-"]))

    def _sampling(self, asked: GenerateRequest) -> Sampling:
        if asked.quality is not None:
            return self._chosen(asked)
        if asked.sampler not in (None, *self.samplers):
            kind = "distilled models" if asked.sampler == "consistency" else "models with fitted solvers"
            raise ValueError(
                f"sampler is {asked.sampler!r}: only {kind} have it, and this model is not one of them"
            )
        chosen = sampling.Sampling(asked.sampler, asked.steps, asked.eta).resolve(self.model.config)
        assert chosen.steps is not None
        return self._sampled(chosen.sampler, chosen.steps, chosen.eta)

    def _chosen(self, asked: GenerateRequest) -> Sampling:
        """The sampling that the requested quality stands for."""
        assert asked.quality is not None
        choose(asked.quality, self._presets, sampler=asked.sampler, steps=asked.steps, eta=asked.eta)
        return self.qualities[asked.quality]

    def _sampled(
        self, sampler: str, steps: int, eta: float | None = None, weights: str = "default"
    ) -> Sampling:
        """A complete sampling: DDPM has all steps and eta 1, DDIM the model's own eta unless given, others eta 0."""
        if sampler == "ddpm":
            return Sampling(sampler, self.model.schedule.T, 1.0, weights)
        own = self.model.config.ddim_config.ddim_eta if eta is None else eta
        return Sampling(sampler, steps, own if sampler == "ddim" else 0.0, weights)

    def model_of(self, chosen: Sampling) -> SSSDECG:
        """The model with the weights of a sampling."""
        with self._loading:
            if chosen.weights not in self._weights:
                path = WEIGHTS[chosen.weights]
                self._weights[chosen.weights] = in_own_thread(
                    SSSDECG.from_pretrained, path, device=self.model.device
                )
            return self._weights[chosen.weights]

    def _plan(self, chosen: Sampling) -> tuple[StepTable, dict[str, Any]]:
        """The step table of a sampling, and the provenance of its records except for their seed."""
        name, steps, eta, _ = chosen
        model = self.model_of(chosen)
        table = model.step_table(sampler=name, steps=steps, ddim_eta=eta if name == "ddim" else None)
        return table, model.provenance(table, seed=0, precision=self.precision)

    def work(self, asked: GenerateRequest) -> Work:
        """The request as arrays. Raises ValueError if the model lacks the statement, sampler, age or sex."""
        chosen = self._sampling(asked)
        self.plan(chosen)
        model = self.model_of(chosen)
        names = model.label_names
        members = sorted({find(name, names) for name in asked.statements})
        seed = secrets.randbits(32) if asked.seed is None else asked.seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warns of rare statements, which /v1/labels lists
            request = model.request(
                [members],
                num_samples=asked.count,
                seed=seed,
                exact=asked.exact,
                age=asked.age,
                sex=asked.sex,
                first=asked.index,
            )
        return Work(request.vectors, request.requested[0], seed, asked.index, chosen, asked.age, asked.sex)

    def run(self, batch: Batch, on_step: OnStep) -> EightLeads:
        """Generate a batch: signals (B, 8, L) in mV."""
        # CUDA graphs are recorded for one batch size each, so batches on a GPU have few different sizes.
        rows = batch.padded() if self.model.device.type == "cuda" else batch
        signals = self.model_of(batch.sampling).generate_batch(
            rows.vectors,
            rows.seeds,
            rows.index,
            self.plan(batch.sampling)[0],
            age=rows.age,
            sex=rows.sex,
            precision=self.precision,
            on_step=on_step,
        )
        return np.asarray(signals)[: len(batch.seeds)]

    def warm_up(self) -> None:
        """Run one step with each set of weights, so that kernels and folded weights are ready for requests."""
        nothing = np.zeros((1, len(self.model.label_names)), np.float32)
        for weights in {each.weights for each in (self.default(), *self.qualities.values())}:
            self.run(Batch.of([Work(nothing, "", 0, 0, Sampling("ddim", 1, 0.0, weights))]), lambda *_: None)

    def provenance(self, work: Work) -> dict[str, Any]:
        """The provenance that all records of a request share."""
        (patient,) = facts(ages(work.age), sexes(work.sex), records=1)
        shared = self.plan(work.sampling)[1]
        return {**shared, "seed": work.seed, "requested": work.requested, **patient}

    def records(self, work: Work, signals: EightLeads) -> list[Ecg]:
        """Signals (n, 8, L) as 12-lead records in the clinical order."""
        shared = self.provenance(work)
        names, fs_hz = self.model.label_names, self.model.config.trainset_config.sampling_rate
        return [
            record(signal, vector, names, fs_hz=fs_hz, provenance={**shared, "index": work.first + i})
            for i, (signal, vector) in enumerate(zip(to_twelve(signals), work.vectors, strict=True))
        ]
