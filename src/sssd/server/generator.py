"""The model as the service sees it: requests to arrays, batches to signals, signals to records."""

from __future__ import annotations

import secrets
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch

from ..device import choose_batch_size, choose_precision
from ..labels import STATEMENTS, find
from ..leads import CLINICAL, to_twelve
from ..model_wrapper import SSSDECG
from ..patient import ages, facts, sexes
from ..quality import ITSELF, QUALITIES, WEIGHTS
from ..record import Ecg, as_statement
from ..samplers import SAMPLERS
from .schemas import Ask, Label
from .work import Batch, Eight, OnStep, Sampling, Work

if TYPE_CHECKING:
    from ..samplers import StepTable

T = TypeVar("T")
BUILT_IN = "built-in"
PLANS = 256  # kept at once
CPU_RECORDS = 8  # more at once are no faster on a CPU, and each waits for all


def apart(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The result of a call in a thread of its own, whose OpenMP threads end with it; see `Batcher`."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call, *args, **kwargs).result()


class Generator:
    """A model, its name, and the precision of its matrix products: "float32", "bf16" or "auto".

    work(ask) -> arrays; run(batch, on_step) -> (B, 8, L) mV; records(work, eight) -> Ecgs.
    qualities: what each that can be asked for runs. The built-in model has all weights that ship, loaded by `warm_up`;
    any other has its own, and no draft.
    """

    def __init__(self, model: SSSDECG, name: str, precision: str = "float32") -> None:
        self.model, self.name = model, name
        self._weights, self._loading = {"default": model}, threading.Lock()
        distilled = name == BUILT_IN and all(WEIGHTS[of.weights].exists() for of in QUALITIES.values())
        self.qualities = {
            quality: self._sampled(of.sampler, min(of.steps, model.schedule.T), of.eta, of.weights)
            for quality, of in (QUALITIES if distilled else ITSELF).items()
        }
        bf16 = choose_precision(precision, model.device) == torch.bfloat16
        self.precision: Literal["float32", "bf16"] = "bf16" if bf16 else "float32"
        self._plans: dict[Sampling, tuple[StepTable, dict[str, Any]]] = {}

    @cached_property
    def hash(self) -> str:
        return self.model.model_hash

    @property
    def batch_records(self) -> int:
        """Records at once that suit the device."""
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
                    training_records=s.training_records if s and self.name == BUILT_IN else None,
                )
            )
        return found

    @cached_property
    def samplers(self) -> list[str]:
        """That suit the model: consistency is of distilled ones, fitted of those that a solver was fitted to."""
        own = self.model.config.ddim_config
        lacking = {"consistency": own.sampler != "consistency", "fitted": not own.fits}
        return [name for name in SAMPLERS if not lacking.get(name)]

    def default(self) -> Sampling:
        return self._sampling(Ask(statements=["-"]))

    def _sampling(self, ask: Ask) -> Sampling:
        if ask.quality is not None:
            return self._chosen(ask)
        everything = self.model.schedule.T
        sampler = ask.sampler or ("ddim" if ask.eta is not None else self.model.default_sampler(ask.steps))
        if sampler not in self.samplers:
            kind = "distilled models" if sampler == "consistency" else "models that a solver was fitted to"
            raise ValueError(f"sampler is {sampler!r}, which is of {kind}: this is none")
        if sampler != "ddim" and ask.eta is not None:
            raise ValueError(f"eta is of ddim only: leave it out with {sampler}")
        if sampler == "ddpm" and ask.steps not in (None, everything):
            raise ValueError(f"steps is {ask.steps}: ddpm takes all {everything}; leave steps out")
        steps = self.model.default_steps(sampler) if ask.steps is None else ask.steps
        if sampler != "ddpm" and steps > everything:
            raise ValueError(f"steps is {steps}: expected 1 to {everything}")
        return self._sampled(sampler, steps, ask.eta)

    def _chosen(self, ask: Ask) -> Sampling:
        """What a quality stands for."""
        for name in ("sampler", "steps", "eta"):
            if getattr(ask, name) is not None:
                raise ValueError(f"quality chooses {name} itself: give one of the two")
        if ask.quality not in self.qualities:
            raise ValueError(f"quality is {ask.quality!r}: this model has {' and '.join(self.qualities)}")
        return self.qualities[ask.quality]

    def _sampled(
        self, sampler: str, steps: int, eta: float | None = None, weights: str = "default"
    ) -> Sampling:
        """With all steps and eta 1 for DDPM, the model's own eta for DDIM unless given, 0 for the others."""
        if sampler == "ddpm":
            return Sampling(sampler, self.model.schedule.T, 1.0, weights)
        own = self.model.config.ddim_config.ddim_eta if eta is None else eta
        return Sampling(sampler, steps, own if sampler == "ddim" else 0.0, weights)

    def model_of(self, sampling: Sampling) -> SSSDECG:
        """The model with the weights of a sampling."""
        with self._loading:
            if sampling.weights not in self._weights:
                path = WEIGHTS[sampling.weights]
                self._weights[sampling.weights] = apart(
                    SSSDECG.from_pretrained, path, device=self.model.device
                )
            return self._weights[sampling.weights]

    def plan(self, sampling: Sampling) -> tuple[StepTable, dict[str, Any]]:
        """The step table of a sampling, and what its records say of how they were made, but for the seed."""
        if sampling not in self._plans:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            name, steps, eta, _ = sampling
            model = self.model_of(sampling)
            table = model.step_table(sampler=name, steps=steps, ddim_eta=eta)
            how = model.provenance(table, seed=0, eta=eta, spacing=None, precision=self.precision)
            self._plans[sampling] = table, how
        return self._plans[sampling]

    def work(self, ask: Ask) -> Work:
        """A request as arrays; ValueError where the model has no such statement, sampler, age or sex."""
        sampling = self._sampling(ask)
        self.plan(sampling)
        model = self.model_of(sampling)
        names = model.label_names
        members = sorted({find(name, names) for name in ask.statements})
        seed = secrets.randbits(32) if ask.seed is None else ask.seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rare statements: /v1/labels tells
            request = model.request(
                [members],
                num_samples=ask.count,
                seed=seed,
                exact=ask.exact,
                age=ask.age,
                sex=ask.sex,
                first=ask.index,
            )
        return Work(request.vectors, request.requested[0], seed, ask.index, sampling, ask.age, ask.sex)

    def run(self, batch: Batch, on_step: OnStep) -> Eight:
        rows = (
            batch.padded() if self.model.device.type == "cuda" else batch
        )  # a GPU's graphs are of one size each
        eight = self.model_of(batch.sampling).generate_batch(
            rows.vectors,
            rows.seeds,
            rows.index,
            self.plan(batch.sampling)[0],
            age=rows.age,
            sex=rows.sex,
            precision=self.precision,
            on_step=on_step,
        )
        return np.asarray(eight)[: len(batch.seeds)]

    def warm_up(self) -> None:
        """Compute what is computed once: kernels and folded weights, of all that the qualities need."""
        nothing = np.zeros((1, len(self.model.label_names)), np.float32)
        for weights in {sampling.weights for sampling in (self.default(), *self.qualities.values())}:
            self.run(Batch.of([Work(nothing, "", 0, 0, Sampling("ddim", 1, 0.0, weights))]), lambda *_: None)

    def provenance(self, work: Work) -> dict[str, Any]:
        """What all records of a request have in common."""
        (patient,) = facts(ages(work.age), sexes(work.sex), records=1)
        how = self.plan(work.sampling)[1]
        return {**how, "seed": work.seed, "requested": work.requested, **patient}

    def records(self, work: Work, eight: Eight) -> list[Ecg]:
        """Signals (n, 8, L) as 12-lead records in the clinical order."""
        how = self.provenance(work)
        names = np.array([as_statement(name) for name in self.model.label_names])
        return [
            Ecg(
                signal=signal,
                fs_hz=self.model.config.trainset_config.sampling_rate,
                leads=CLINICAL,
                statements=tuple(names[vector > 0.5].tolist()),
                provenance={**how, "index": work.first + i},
            )
            for i, (signal, vector) in enumerate(zip(to_twelve(eight), work.vectors, strict=True))
        ]
