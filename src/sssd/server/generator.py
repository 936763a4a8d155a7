"""The model as the service sees it: requests to arrays, batches to signals, signals to records."""

from __future__ import annotations

import secrets
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..device import choose_batch_size, choose_precision
from ..labels import STATEMENTS, find
from ..leads import CLINICAL, to_twelve
from ..record import Ecg, as_statement
from .schemas import Ask, Label
from .work import Batch, Eight, OnStep, Sampling, Work

if TYPE_CHECKING:
    from ..model_wrapper import SSSDECG
    from ..samplers import StepTable

PLANS = 256  # kept at once
CPU_RECORDS = 8  # more at once are no faster on a CPU, and each waits for all


class Generator:
    """A model, its name, and the precision of its matrix products: "float32", "bf16" or "auto".

    work(ask) -> arrays; run(batch, on_step) -> (B, 8, L) mV; records(work, eight) -> Ecgs.
    """

    def __init__(self, model: SSSDECG, name: str, precision: str = "float32") -> None:
        self.model, self.name = model, name
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
                    training_records=s.training_records if s and self.name == "built-in" else None,
                )
            )
        return found

    def default(self) -> Sampling:
        return self._sampling(Ask(statements=["-"]))

    def _sampling(self, ask: Ask) -> Sampling:
        own = self.model.config.ddim_config
        few = own.use_ddim or ask.steps is not None or ask.eta is not None
        sampler = ask.sampler or ("ddim" if few else "ddpm")
        everything = self.model.schedule.T
        if sampler != "ddim" and ask.eta is not None:
            raise ValueError(f"eta is of ddim only: leave it out with {sampler}")
        if sampler == "ddpm":
            if ask.steps not in (None, everything):
                raise ValueError(f"steps is {ask.steps}: ddpm takes all {everything}; leave steps out")
            return Sampling(sampler, everything, 1.0)
        steps = own.ddim_timesteps if ask.steps is None else ask.steps
        if steps > everything:
            raise ValueError(f"steps is {steps}: expected 1 to {everything}")
        eta = own.ddim_eta if ask.eta is None else ask.eta
        return Sampling(sampler, steps, eta if sampler == "ddim" else 0.0)

    def plan(self, sampling: Sampling) -> tuple[StepTable, dict[str, Any]]:
        """The step table of a sampling, and what its records say of how they were made, but for the seed."""
        if sampling not in self._plans:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            name, steps, eta = sampling
            table = self.model.step_table(sampler=name, steps=steps, ddim_eta=eta)
            how = self.model.provenance(table, seed=0, eta=eta, spacing=None, precision=self.precision)
            self._plans[sampling] = table, how
        return self._plans[sampling]

    def work(self, ask: Ask) -> Work:
        """A request as arrays; ValueError where the model has no such statement, sampler, age or sex."""
        for name, value in (("age", ask.age), ("sex", ask.sex)):
            if value is not None:
                raise ValueError(f"{name} is given, but this model does not take it: leave {name} out")
        sampling = self._sampling(ask)
        self.plan(sampling)
        names = self.model.label_names
        members = sorted({find(name, names) for name in ask.statements})
        seed = secrets.randbits(32) if ask.seed is None else ask.seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rare statements: /v1/labels tells
            request = self.model.request(
                [members], num_samples=ask.count, seed=seed, exact=ask.exact, first=ask.index
            )
        return Work(request.vectors, request.requested[0], seed, ask.index, sampling)

    def run(self, batch: Batch, on_step: OnStep) -> Eight:
        rows = (
            batch.padded() if self.model.device.type == "cuda" else batch
        )  # a GPU's graphs are of one size each
        table = self.plan(batch.sampling)[0]
        eight = self.model.generate_batch(
            rows.vectors, rows.seeds, rows.index, table, precision=self.precision, on_step=on_step
        )
        return np.asarray(eight)[: len(batch.seeds)]

    def warm_up(self) -> None:
        """Compute what is computed once: kernels and folded weights."""
        nothing = np.zeros((1, len(self.model.label_names)), np.float32)
        self.run(Batch(nothing, (0,), (0,), Sampling("ddim", 1, 0.0)), lambda *_: None)

    def provenance(self, work: Work) -> dict[str, Any]:
        """What all records of a request have in common."""
        return {**self.plan(work.sampling)[1], "seed": work.seed, "requested": work.requested}

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
