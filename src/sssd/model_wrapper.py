"""SSSDECG: from labels to ECGs, the whole flow (SSSD-ECG, Alcaraz and Strodthoff 2023; DDIM, Song et al. 2021).

    labels -> noise -> step table -> loop(denoiser) -> 8 leads in mV -> 12 leads -> Ecg

Shapes: B records, K classes, L samples, T steps of the schedule. A record is a function of (model, label, sampler,
seed, index) alone, whatever the batch it is computed in.
"""

from __future__ import annotations

import json
import operator
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import labels as statements
from .checkpoints import configuration_of, load_into, read_state, state_hash, write_pickle, write_safetensors
from .config.schema import PUBLISHED, Config, Fit, read_config
from .device import batches, choose_batch_size, choose_device, choose_precision
from .engine.bound import bind
from .factory import build_network, build_schedule, label_names
from .leads import lead_names, to_twelve
from .models.denoiser import Denoiser
from .models.s4 import CAUCHY, Cauchy
from .noise import normal
from .patient import ages, columns, each, facts, sexes
from .presets import WEIGHTS, checkpoint_file
from .progress import Progress, reporting
from .record import Ecg, as_statement
from .samplers import (
    BY_STEPS,
    SAMPLERS,
    StepTable,
    ddim,
    ddpm,
    default_spacing,
    eps_denoiser,
    fitted,
    key_of,
    run,
    v_denoiser,
)
from .samplers.adapter import Scheduler, adapt, is_scheduler, run_scheduler
from .samplers.loop import Network
from .schedule import choose_steps
from .utils.util import calc_diffusion_hyperparams, std_normal
from .version import __version__

File = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Request:
    """What to generate, one row per record: vectors (B, K) float32 in full, and how each record was asked for.

    index: the records' numbers (B,), on which their noise depends; 0 .. B - 1 where it is None.
    age, sex: (B,) in years, and 0 (male) or 1 (female), NaN where unknown; None where no record has one.
    """

    vectors: NDArray[np.float32]
    requested: tuple[str, ...]
    index: tuple[int, ...] | None = None
    age: NDArray[np.float64] | None = None
    sex: NDArray[np.float64] | None = None

    @property
    def numbers(self) -> Sequence[int]:
        return range(len(self.vectors)) if self.index is None else self.index

    def part(self, rows: slice) -> Request:
        """The records of these rows."""
        index = tuple(self.numbers[rows])
        age, sex = (None if of is None else of[rows] for of in (self.age, self.sex))
        return Request(self.vectors[rows], self.requested[rows], index, age, sex)


class SSSDECG:
    """A network with its configuration and schedule, ready to generate.

    config         the configuration (sssd.config.schema.Config)
    model          the network, called as model((x (B, 8, L), cond (B, K), steps (B, 1))) -> eps (B, 8, L)
    schedule       alpha, sigma in float64
    label_names    (K,) names of the classes
    """

    _given: Config | None = None  # the configuration that the caller gave
    _source: Path | None = None  # of the weights
    _warned = False

    def __init__(
        self, config_path: File | Config | None = None, *, device: str | torch.device | None = None
    ) -> None:
        """A network with random weights, by default of the published configuration; `load_checkpoint` fills it.

        config_path: JSON file (or a Config). device: CUDA, then MPS, then the CPU, unless given.
        FileNotFoundError or ValueError where the file is missing or wrong, or there is no such device.
        """
        chosen = choose_device(device)
        config = config_path if isinstance(config_path, Config) else read_config(config_path or PUBLISHED)
        self._given = None if config_path is None else config
        self._set(config, build_network(config).to(chosen))

    @classmethod
    def from_pretrained(
        cls,
        path: File | None = None,
        *,
        cauchy: Cauchy | None = None,
        device: str | torch.device | None = None,
    ) -> SSSDECG:
        """The model that ships, or the one in any checkpoint; see `load_checkpoint`.

        path: of a checkpoint, "few-step": the model that ships distilled to 4 evaluations or 2, or "one-step".
        """
        model, chosen = cls.__new__(cls), choose_device(device)
        path = checkpoint_file(path)
        state, config, convention = _read(path, None, cauchy)
        model._set(config, _filled(config, convention, state, path).to(chosen), path)
        return model

    def _set(self, config: Config, network: Denoiser, source: Path | None = None) -> None:
        self.config, self.schedule, self.model = config, build_schedule(config), network.eval()
        self._source = source

    # --- checkpoints --------------------------------------------------------------------------------------

    def load_checkpoint(self, path: File, *, cauchy: Cauchy | None = None) -> SSSDECG:
        """Load a checkpoint: SSSD-ECG's .pkl, a bare state dict (keys may begin with model. or module.), safetensors.

        It must fit the configuration that was given. Where none was, the file's own counts, or else the size of the
        network is inferred from the shapes. `model` stays the same object where the
        network does not change.
        cauchy: "conjugate_pairs" or "half_spectrum", see docs; by default what the file says, or else the first.
        FileNotFoundError or ValueError where the file is missing, damaged or does not fit; the model stays as it was.
        """
        path = checkpoint_file(path)
        state, config, convention = _read(path, self._given, cauchy)
        parts = ("wavenet_config", "diffusion_config")
        if all(getattr(config, part) == getattr(self.config, part) for part in parts):
            load_into(self.model, state, str(path))
            self.model.cauchy = convention
            self._set(config, self.model, path)
        else:
            self._set(config, _filled(config, convention, state, path).to(self.device), path)
        return self

    def save_checkpoint(self, path: File, overwrite: bool = False) -> Path:
        """Write the model and return the path: .safetensors, or .pkl or .pt in SSSD-ECG's form.

        All hold the configuration too. FileExistsError where the file exists and `overwrite` is not set.
        """
        path = Path(path)
        if path.suffix not in (".safetensors", ".pkl", ".pt"):
            raise ValueError(
                f"checkpoint {path.name!r} has no known suffix: expected .safetensors, .pkl or .pt"
            )
        if path.exists() and not overwrite:
            raise FileExistsError(f"{str(path)!r} exists; choose another name or pass overwrite=True")
        state = {name: value.detach().cpu() for name, value in self.model.state_dict().items()}
        metadata = {"config": json.dumps(self.config.model_dump(mode="json")), "cauchy": self.model.cauchy}
        if path.suffix == ".safetensors":
            return write_safetensors(path, state, metadata)
        return write_pickle(path, {"model_state_dict": state, **metadata})

    # --- what the model is --------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def label_names(self) -> tuple[str, ...]:
        """(K,) the configuration's names, else PTB-XL's 71 codes where K is 71, else class_0, class_1, ..."""
        return label_names(self.config)

    @property
    def model_hash(self) -> str:
        """SHA-256 of the weights."""
        return state_hash(self.model.state_dict())

    @property
    def diffusion_hyperparams(self) -> dict[str, Any]:
        """The schedule as SSSD-ECG's functions take it: {"T", "Beta", "Alpha", "Alpha_bar", "Sigma"}, (T,) float32."""
        d = self.config.diffusion_config
        if d.terminal_alpha is None:
            return calc_diffusion_hyperparams(d.T, d.beta_0, d.beta_T)
        abar, beta = self.schedule.abar, self.schedule.beta
        variance = np.append(
            beta[0], beta[1:] * (1 - abar[:-1]) / (1 - abar[1:])
        )  # beta tilde, Ho et al. 2020, eq. 7
        tables = {"Beta": beta, "Alpha": 1 - beta, "Alpha_bar": abar, "Sigma": np.sqrt(variance)}
        return {"T": d.T, **{k: torch.tensor(v, dtype=torch.float32) for k, v in tables.items()}}

    @property
    def shape(self) -> tuple[int, int]:
        """(8, L) of a record."""
        return 8, self.config.trainset_config.segment_length

    def _scale(self, like: Tensor) -> Tensor:
        """(8, 1) mV that are 1 to the network."""
        scale = self.config.trainset_config.lead_scale_mv or [1.0] * 8
        return torch.tensor(scale, dtype=torch.float32, device=like.device)[:, None]

    # --- generating ---------------------------------------------------------------------------------------

    def generate(
        self,
        labels: Any = None,
        *,
        num_samples: int | None = None,
        sampler: Any = None,
        steps: int | None = None,
        use_ddim: bool | None = None,
        ddim_timesteps: int | None = None,
        ddim_eta: float | None = None,
        spacing: str | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        progress: Progress = None,
        return_numpy: bool = False,
        precision: str = "auto",
        exact: bool = False,
        age: Any = None,
        sex: Any = None,
    ) -> Tensor | NDArray[np.float32]:
        """Generate ECGs: (B, 8, L) float32 on the CPU, leads I V1..V6 aVF, in mV.

        labels: names ("AFIB", "CLBBB+LVH", a list, a nested list), class indices, or vectors (B, K); see
            sssd.labels.encode. None draws statements as they occur in PTB-XL. num_samples repeats each entry.
        exact: names and indices are all there is; otherwise statements that real records carry beside them are drawn.
            Vectors are always taken as they are.
        sampler: "ddim", "ddpm" (all steps), "dpmpp-2m", "dpmpp-3m", "dpmpp-3m-exact", "deis", "unipc", "sde-dpmpp-2m",
            "consistency" (of distilled models), or a scheduler of diffusers. steps: of all but ddpm. ddim_eta: of ddim.
            spacing: see sssd.schedule.choose_steps; without, "uniform" for ddim and "trailing" for the others.
        use_ddim, ddim_timesteps: the same by their older names, sampler "ddim" or "ddpm" and steps. What is not given
            comes from the configuration.
        age, sex: years, and "female" or "male"; one for all records or one for each, None or NaN where unknown. Of
            models that take them (`takes_patient`).
        seed: record i depends on (seed, i) and its label; without, one is drawn from torch's global generator.
        batch_size: records at once; without, as many as fill the device.
        progress: True, False, a function of (done, total), or None: a bar for runs of more than 2 s on a terminal.
        precision: "auto", "float32" or "bf16" (matrix products).
        ValueError, with one message, where an argument is wrong.
        """
        seed = _seed(seed)
        request = self.request(labels, num_samples=num_samples, seed=seed, exact=exact, age=age, sex=sex)
        table = self._sampler(use_ddim, ddim_timesteps, ddim_eta, spacing, sampler, steps)
        records = len(request.vectors)
        size = self._batch_size(batch_size)
        self._warn_if_random()
        out = torch.empty(records, *self.shape)
        with reporting(progress, -(-records // size) * table.S) as advance:
            for rows in batches(records, size):
                part = slice(rows.start, rows.stop)
                of = request.part(part)
                out[part] = self.generate_batch(
                    of.vectors,
                    [seed] * len(rows),
                    of.numbers,
                    table,
                    age=of.age,
                    sex=of.sex,
                    precision=precision,
                    on_step=lambda *_: advance(),
                )
        return out.numpy() if return_numpy else out

    def generate_batch(
        self,
        vectors: NDArray[np.float32],
        seeds: Sequence[int],
        index: Sequence[int],
        table: StepTable | Scheduler,
        *,
        age: Any = None,
        sex: Any = None,
        precision: str = "auto",
        on_step: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """One batch, each record with a seed of its own: (B, 8, L) float32 on the CPU, in mV.

        vectors (B, K) in full, seeds (B,), index (B,): the records' numbers under their seeds; age and sex as in
        `generate`; what a record becomes depends on its own row only. on_step(i, x0): the clean records as predicted at
        row i of the table, (B, 8, L) in mV on the device; what it raises ends the batch.
        """
        dtype = choose_precision(precision, self.device)
        cond = torch.from_numpy(self._conditions(vectors, age, sex)).to(self.device)  # (B, K) or (B, K + 4)
        scale = self._scale(cond)

        def tell(i: int, x0: Tensor) -> None:
            if on_step is not None:
                on_step(i, x0 * scale)

        return (self._sample(table, cond, list(zip(seeds, index, strict=True)), dtype, tell) * scale).cpu()

    def generate_ecgs(
        self,
        labels: Any = None,
        *,
        num_samples: int | None = None,
        sampler: Any = None,
        steps: int | None = None,
        use_ddim: bool | None = None,
        ddim_timesteps: int | None = None,
        ddim_eta: float | None = None,
        spacing: str | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        progress: Progress = None,
        precision: str = "auto",
        exact: bool = False,
        age: Any = None,
        sex: Any = None,
        leads: str | Sequence[str] = "clinical",
    ) -> list[Ecg]:
        """Generate 12-lead records, as `generate` does; leads: "clinical" or "sssd" order, or the names.

        Their statements are all of the label vector above 0.5; their provenance says how to make them again.
        """
        seed = _seed(seed)
        request = self.request(labels, num_samples=num_samples, seed=seed, exact=exact, age=age, sex=sex)
        table = self._sampler(use_ddim, ddim_timesteps, ddim_eta, spacing, sampler, steps)
        order = lead_names(leads)
        eight: Any = self.generate(
            request,
            sampler=sampler,
            steps=steps,
            use_ddim=use_ddim,
            ddim_timesteps=ddim_timesteps,
            ddim_eta=ddim_eta,
            spacing=spacing,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
            return_numpy=True,
            precision=precision,
        )
        how = self.provenance(table, seed=seed, eta=ddim_eta, spacing=spacing, precision=precision)
        names = np.array([as_statement(name) for name in self.label_names])
        twelve = to_twelve(eight, order)  # (B, 12, L)
        return [
            Ecg(
                signal=signal,
                fs_hz=self.config.trainset_config.sampling_rate,
                leads=order,
                statements=tuple(names[vector > 0.5].tolist()),
                provenance={**how, "index": i, "requested": asked, **patient},
            )
            for i, signal, vector, asked, patient in zip(
                request.numbers,
                twelve,
                request.vectors,
                request.requested,
                facts(request.age, request.sex, records=len(twelve)),
                strict=True,
            )
        ]

    def provenance(
        self,
        table: StepTable | Scheduler,
        *,
        seed: int,
        eta: float | None,
        spacing: str | None,
        precision: str,
    ) -> dict[str, Any]:
        """What a record says of how it was made, but for its index and what was asked for."""
        how: dict[str, Any] = {
            "synthetic": True,
            "generator": f"sssd-ecg {__version__}",
            "model": self.model_hash,
            "cauchy": self.model.cauchy,
            "sampler": table.name,
            "steps": table.S,
            "precision": "bf16" if choose_precision(precision, self.device) == torch.bfloat16 else "float32",
            "seed": seed,
        }
        if table.name == "ddim":
            how["eta"] = float(self.config.ddim_config.ddim_eta if eta is None else eta)
        if isinstance(table, Scheduler):
            how["scheduler"] = table.config
        elif table.name != "ddpm":
            if table.name == "fitted":
                how["fit"] = self.fitted_solver(table.S).model_dump()
            else:
                how["spacing"] = spacing or default_spacing(table.name)
            if (table.gain != 1.0).any():
                how["gain"] = table.gain.tolist()
        return how

    def request(
        self,
        labels: Any = None,
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        exact: bool = False,
        age: Any = None,
        sex: Any = None,
        first: int = 0,
    ) -> Request:
        """The full label vectors of a call of `generate` with these arguments, which takes them as `labels`.

        first: the number of the first record; the others follow. Warns where a statement is asked for that the
        built-in model has hardly seen.
        """
        if isinstance(labels, Request):
            if age is not None or sex is not None:
                raise ValueError("age and sex are part of a Request: leave them out beside it")
            return labels
        if num_samples is not None:
            num_samples = _whole("num_samples", num_samples)
        names, drawn = self.label_names, False
        standard = names == statements.CODES
        if labels is None:
            vectors, drawn = self._no_labels(num_samples, exact), standard
        else:
            vectors = self._encode(labels, names)
            drawn = standard and not exact and not _are_vectors(labels)
            vectors = np.repeat(vectors, num_samples or 1, axis=0)
        asked = tuple("+".join(name for name, v in zip(names, row, strict=True) if v) for row in vectors)
        if standard and self._source in WEIGHTS.values():
            _warn_rare(vectors)
        if drawn:
            vectors = statements.complete(vectors, seed=_seed(seed), index=range(first, first + len(vectors)))
        index = tuple(range(first, first + len(vectors))) if first else None
        return Request(vectors, asked, index, *self.patients(age, sex, len(vectors)))

    @property
    def takes_patient(self) -> bool:
        """Whether the model takes a patient's age and sex."""
        return self.config.trainset_config.patient

    def patients(
        self, age: Any, sex: Any, records: int
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Age and sex (B,), None where all are unknown; ValueError where one is given and the model takes neither."""
        years, numbers = each(ages(age), records, "age"), each(sexes(sex), records, "sex")
        known = [not np.isnan(v).all() for v in (years, numbers)]
        for name, given in zip(("age", "sex"), known, strict=True):
            if given and not self.takes_patient:
                raise ValueError(f"{name} is given, but this model does not take it: leave {name} out")
        return years if known[0] else None, numbers if known[1] else None

    def _conditions(self, vectors: NDArray[np.float32], age: Any, sex: Any) -> NDArray[np.float32]:
        """What the network is conditioned on: vectors (B, K), and behind them the columns of sssd.patient."""
        age, sex = self.patients(age, sex, len(vectors))
        if not self.takes_patient:
            return vectors
        return np.hstack((vectors, columns(age, sex, records=len(vectors))))

    def _encode(self, labels: Any, names: tuple[str, ...]) -> NDArray[np.float32]:
        try:
            return statements.encode(labels, names)
        except ValueError as error:
            if self.config.trainset_config.label_names is None and names and names != statements.CODES:
                hint = f"the {len(names)} classes of this model have no names: give class indices or vectors"
                raise ValueError(f"{error} ({hint}, or set trainset_config.label_names)") from None
            raise

    def _no_labels(self, num_samples: int | None, exact: bool) -> NDArray[np.float32]:
        """Rows of zeros: to be completed for the 71 statements, and right as they are for a model without classes."""
        names = self.label_names
        if num_samples is None:
            raise ValueError("there is nothing to generate: give labels, such as 'AFIB', or num_samples")
        if names and (exact or names != statements.CODES):
            raise ValueError(
                "labels are missing: they are drawn for the 71 statements of PTB-XL only, not with exact"
            )
        return np.zeros((num_samples, len(names)), np.float32)

    def step_table(
        self,
        use_ddim: bool | None = None,
        ddim_timesteps: int | None = None,
        ddim_eta: float | None = None,
        spacing: str | None = None,
        *,
        sampler: str | None = None,
        steps: int | None = None,
    ) -> StepTable:
        """The sampler as a table; what is None comes from the configuration."""
        default = self.config.ddim_config
        if sampler is None:
            asked = use_ddim or ddim_timesteps is not None or ddim_eta is not None
            sampler = "ddpm" if use_ddim is False else "ddim" if asked else self.default_sampler(steps)
        elif use_ddim is not None and use_ddim != (sampler == "ddim"):
            raise ValueError(f"sampler is {sampler!r} and use_ddim is {use_ddim}: give one of them")
        elif sampler == "ddpm" and steps not in (None, self.schedule.T):
            raise ValueError(f"steps is {steps}: ddpm always takes all {self.schedule.T}; leave it out")
        if steps is not None and ddim_timesteps not in (None, steps):
            raise ValueError(f"steps is {steps} and ddim_timesteps is {ddim_timesteps}: give one of them")
        if sampler not in ("ddim", "ddpm") and ddim_eta:
            raise ValueError(f"ddim_eta is {ddim_eta}: only ddim has it; leave it out")
        if sampler == "ddpm":
            return ddpm(self.schedule)
        count = next((n for n in (steps, ddim_timesteps) if n is not None), self.default_steps(sampler))
        usual = default_spacing(sampler)
        eta = (default.ddim_eta if ddim_eta is None else ddim_eta) if sampler == "ddim" else 0.0
        if sampler == "ddim":
            table = ddim(self.schedule, choose_steps(self.schedule, count, spacing or usual), eta)
        elif sampler in BY_STEPS:
            table = BY_STEPS[sampler](self.schedule, choose_steps(self.schedule, count, spacing or usual))
        elif sampler == "fitted":
            table = fitted(self.schedule, **self.fitted_solver(count, spacing).model_dump())
        else:
            known = ", ".join(SAMPLERS)
            raise ValueError(f"sampler is {sampler!r}: expected one of {known}, or a scheduler of diffusers")
        gain = default.gains.get(key_of(sampler, count, eta)) if spacing in (None, usual) else None
        return table if gain is None else replace(table, gain=np.array(gain))

    def fitted_solver(self, steps: int, spacing: str | None = None) -> Fit:
        """What was fitted for so many evaluations; ValueError where nothing was, or a spacing is asked for."""
        if spacing is not None:
            raise ValueError(f"spacing is {spacing!r}: the steps of fitted were fitted too; leave it out")
        fits = {len(fit.steps): fit for fit in self.config.ddim_config.fits}
        if steps not in fits:
            known = ", ".join(map(str, sorted(fits))) or "no number of them"
            raise ValueError(
                f"steps is {steps}: this model's solvers were fitted for {known}; unipc takes any"
            )
        return fits[steps]

    def default_steps(self, sampler: str) -> int:
        """Evaluations unless told: the configuration's; of fitted, if that is not its sampler, the most there are."""
        own, fits = self.config.ddim_config, self.config.ddim_config.fits
        if sampler == "fitted" and own.sampler != "fitted" and fits:
            return max(len(fit.steps) for fit in fits)
        return own.ddim_timesteps

    def default_sampler(self, steps: int | None = None) -> str:
        """The sampler of the configuration; DDIM in place of DDPM where a number of steps is asked for."""
        own = self.config.ddim_config
        return own.sampler or ("ddim" if own.use_ddim or steps is not None else "ddpm")

    def _sampler(
        self,
        use_ddim: bool | None,
        ddim_timesteps: int | None,
        ddim_eta: float | None,
        spacing: str | None,
        sampler: Any,
        steps: int | None,
    ) -> StepTable | Scheduler:
        """As `step_table`, or a scheduler of diffusers set up for this model."""
        if not is_scheduler(sampler):
            return self.step_table(use_ddim, ddim_timesteps, ddim_eta, spacing, sampler=sampler, steps=steps)
        if use_ddim is not None or ddim_eta is not None:
            raise ValueError("use_ddim and ddim_eta do not go with a scheduler of diffusers: leave them out")
        count = next(
            n for n in (steps, ddim_timesteps, self.config.ddim_config.ddim_timesteps) if n is not None
        )
        return adapt(sampler, self.schedule, _whole("steps", count), "v" if self.model.velocity else "eps")

    def _sample(
        self,
        table: StepTable | Scheduler,
        cond: Tensor,
        records: Sequence[tuple[int, int]],
        dtype: torch.dtype,
        on_step: Callable[[int, Tensor], None],
    ) -> Tensor:
        """Records, (b,) of seed and number, of labels cond (b, K), on the network's scale: (b, 8, L)."""
        net = self._network(table, cond, dtype)
        where = self.device if self.device.type == "cuda" else torch.device("cpu")  # noise needs float64

        seeds, index = zip(*records, strict=True)
        seed = seeds[0] if len(set(seeds)) == 1 else seeds

        def noise(t: int) -> Tensor:
            return normal(seed, index, t, self.shape, where).to(self.device)

        x_T = noise(self.schedule.T)
        if isinstance(table, Scheduler):
            return run_scheduler(table, net, x_T, records, on_step=on_step)
        denoiser = v_denoiser if self.model.velocity else eps_denoiser
        times = table.steps.tolist()
        return run(table, denoiser(table, net), x_T, lambda i: noise(times[i]), on_step=on_step)

    def _network(self, table: StepTable | Scheduler, cond: Tensor, dtype: torch.dtype) -> Network:
        """The network, bound to its labels and to every time step that the sampler visits."""
        times = sorted({int(t) for t in table.steps}, reverse=True)
        row = {t: i for i, t in enumerate(times)}
        predict = bind(self.model, cond, times, length=self.shape[1], dtype=dtype)
        return lambda x, t: predict(x, row[t])

    def _batch_size(self, batch_size: int | None) -> int:
        if batch_size is None:
            return choose_batch_size(self.model.config, self.shape[1], self.device)
        return _whole("batch_size", batch_size)

    def _warn_if_random(self) -> None:
        """Once, where the last layer is zero: it is after initialisation, and never again once trained or loaded."""
        if not self._warned and not self.model.outer_convs[2].weight.any():
            self._warned = True
            text = "the weights are random, so this gives no ECGs: load_checkpoint(path) or SSSDECG.from_pretrained()"
            warnings.warn(text, stacklevel=3)

    # --- training -----------------------------------------------------------------------------------------

    def __call__(self, x: Any, y: Any) -> Tensor:
        """Training loss of records x (B, 8, L) in mV with label vectors y (B, K): mean squared error, a scalar.

        At a random step of each record, on eps (Ho et al. 2020, eq. 14) or on the velocity alpha eps - sigma x0
        (Salimans and Ho 2022), whichever the network predicts. Draws steps and noise from torch's global generator.
        """
        x0 = torch.as_tensor(x, dtype=torch.float32).to(self.device)
        cond = torch.as_tensor(y, dtype=torch.float32).to(self.device)
        if x0.ndim != 3 or x0.shape[1] != 8:
            raise ValueError(
                f"x has shape {tuple(x0.shape)}: expected records (B, 8, L), leads I V1..V6 aVF, in mV"
            )
        if cond.shape != (len(x0), len(self.label_names)):
            raise ValueError(
                f"y has shape {tuple(cond.shape)}: expected {(len(x0), len(self.label_names))}, (B, K)"
            )
        x0 = x0 / self._scale(x0)
        t = torch.randint(self.schedule.T, size=(len(x0), 1, 1))
        z = std_normal(x0.shape).to(self.device)
        alpha, sigma = (
            torch.from_numpy(table)[t].float().to(self.device)
            for table in (self.schedule.alpha, self.schedule.sigma)
        )
        target = alpha * z - sigma * x0 if self.model.velocity else z
        prediction = self.model.predict(alpha * x0 + sigma * z, cond, t.view(-1, 1).float().to(self.device))
        return torch.nn.functional.mse_loss(prediction, target)


def _read(
    path: Path, given: Config | None, cauchy: Cauchy | None
) -> tuple[dict[str, Tensor], Config, Cauchy]:
    """State, configuration (see `configuration_of`) and Cauchy convention: given, else the file's, else the first."""
    state, metadata = read_state(path)
    config, _ = configuration_of(path, state, metadata, given)
    convention: Any = cauchy or metadata.get("cauchy", CAUCHY[0])
    if convention not in CAUCHY:
        raise ValueError(f"cauchy is {convention!r}: expected one of {', '.join(CAUCHY)}")
    return state, config, convention


def _filled(config: Config, cauchy: Cauchy, state: Mapping[str, Tensor], path: Path) -> Denoiser:
    network = build_network(config, cauchy, empty=True)
    load_into(network, state, str(path))
    return network


def _seed(seed: int | None) -> int:
    """The seed given, or one drawn from torch's global generator."""
    if seed is None:
        return int(torch.randint(2**63 - 1, ()))
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if not 0 <= value < 2**64:
        raise ValueError(f"seed is {seed!r}: expected a whole number, 0 <= seed < 2**64")
    return value


def _whole(name: str, value: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}: expected a whole number of at least 1")
    return count


def _are_vectors(labels: Any) -> bool:
    """Whether labels are an array or tensor (B, K) of numbers, which `encode` takes as they are."""
    if not hasattr(labels, "ndim"):
        return False
    return bool(labels.ndim == 2 and getattr(labels.dtype, "kind", "f") not in "US")


def _warn_rare(vectors: NDArray[Any]) -> None:
    rare = statements.warn_rare(vectors)
    if rare:
        listed = ", ".join(f"{code} ({count})" for code, count in rare)
        text = f"the built-in model has seen fewer than {statements.RARE} training records of {listed}: expect little"
        warnings.warn(text, stacklevel=4)
