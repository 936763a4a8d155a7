"""SSSDECG: from labels to ECGs, the whole flow (SSSD-ECG, Alcaraz and Strodthoff 2023; DDIM, Song et al. 2021).

    labels -> noise -> step table -> loop(denoiser) -> 8 leads in mV -> 12 leads -> Ecg

Shapes: B records, K classes, L samples, T steps of the schedule. A record depends on the model, its label, the sampler,
the seed and its index only, whatever the batch in which it is computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import presets
from .added_noise import parse
from .batch import Given, sample
from .checks import check_keywords, flag, only, warn, whole
from .circumstances import as_told
from .converter import converted
from .copied import Copied
from .detail import at_500_hz, network_for
from .device import batches, choose_batch_size, choose_precision, precision_name
from .editing.beats import with_beats_of
from .editing.methods import FromRecordings
from .labels import encode, rare_note
from .leads import lead_names
from .loss import denoising_loss, noise_levels
from .models.detail import DetailNetwork
from .models.network import Network
from .models.settings import isolated
from .noise import origin, seed_or_drawn
from .progress import ShowProgress, reporting
from .record import Ecg
from .records import Records, provenance
from .request import Request, RequestKeywords, conditions, make_request
from .samplers import StepTable
from .samplers.adapter import Scheduler
from .sampling import RunKeywords, Sampling, SamplingKeywords
from .schedule import IntArray
from .signals.rates import FINE_HZ
from .strips import Strip, strip_of
from .utils.util import std_normal

if TYPE_CHECKING:
    from typing_extensions import Unpack

Table = StepTable | Scheduler


class Keywords(RequestKeywords, SamplingKeywords, RunKeywords, total=False):
    """The keywords of `generate` and `generate_ecgs`."""

    seed: int | None
    fs: float | None


class SSSDECG(FromRecordings):
    """A network with its configuration and schedule, ready to generate ECGs.

    `PretrainedModel` loads and saves it. `FromRecordings` has the methods that start from a recording.

    config         the configuration (sssd.config.schema.Config)
    model          the network, called as model((x (B, 8, L), cond (B, K), steps (B, 1))) -> eps (B, 8, L)
    schedule       alpha, sigma in float64
    label_names    (K,) names of the classes
    """

    _warned = False

    def generate(
        self, labels: Any = None, *, return_numpy: bool = False, **how: Unpack[Keywords]
    ) -> Tensor | NDArray[np.float32]:
        """Generate ECGs: (B, 8, L) float32 on the CPU, leads I V1..V6 aVF, in mV.

        labels: names ("AFIB", "CLBBB+LVH", a list, a nested list), class indices, or vectors (B, K); see
            sssd.labels.encode. Without labels, statements are drawn as they occur in PTB-XL. A `Request` is used as is.
        num_samples: number of records per label, by default 1.
        duration: seconds of each record, from 2.5; by default what the network makes, 10 s. Several, such as (30, 30):
            the labels follow each other in one record, each for so long (sssd.strips). There must be a label for each,
            num_samples is the number of these records, and each of them has one age, sex and heart rate.
        exact: give records the named statements only. Otherwise statements that occur beside them in real records are
            drawn as well. Vectors are always used as they are.
        age, sex: years, and "female" or "male"; one for all records or one for each, None or NaN where unknown. Only
            some models take them (see `takes_patient`).
        heart_rate: beats per minute, 25 to 250; one or one for each, as these (see `takes_heart_rate`).
        quality: "draft", "standard" or "best", in place of the sampler and its settings; some models have no draft.
            The built-in model makes a record of "standard" unless a sampler is given (sssd.presets).
        sampler: "ddim", "ddpm" (all steps), "dpmpp-2m", "dpmpp-3m", "dpmpp-3m-exact", "deis", "unipc", "sde-dpmpp-2m",
            "sde-ode-dpmpp-2m", "consistency" (distilled models only), "fitted" (models with fitted solvers), or a
            scheduler of diffusers.
        steps: number of network evaluations; ddpm always takes all. Given alone to a transformer whose configuration
            names no sampler, it means the spacing "karras" and the sampler of "best" from 24 steps on, else that of
            "standard", or the solver fitted for this number.
        spacing: how the steps are spread, see sssd.schedule.choose_steps; by default "uniform" for ddim and "trailing"
            for the others.
        use_ddim, ddim_timesteps, ddim_eta: SSSD-ECG's keywords. use_ddim chooses DDIM or DDPM, ddim_timesteps is the
            number of steps, and ddim_eta the noise of DDIM, from 0 (deterministic) to 1 (as much as DDPM). What is not
            given comes from the configuration.
        seed: 0 to 2**64 - 1. Record i depends on (seed, i) and its label. By default one is drawn from torch's global
            generator.
        fs: samples per second, by default those of the network, 100. With 500, records also have what is above
            46.5 Hz (sssd.detail).
        batch_size: number of records at once, by default as many as fill the device.
        progress: True, False, a function of (done, total), or None for a bar on a terminal if the run takes over 2 s.
        precision: of matrix products, "auto", "float32" or "bf16".
        return_numpy: return an array instead of a tensor.
        ValueError, with one message, if an argument is wrong or two do not go together.
        """
        return_numpy = flag("return_numpy", return_numpy)
        request, table, seed, detail = self._resolve(labels, how)
        signal = self.sample(request, table, seed=seed, **only(how, RunKeywords))
        if detail is not None:
            seeds = [seed] * len(request)
            signal = torch.from_numpy(at_500_hz(detail, signal.numpy(), seeds, request.numbers))
        return signal.numpy() if return_numpy else signal

    def generate_ecgs(
        self,
        labels: Any = None,
        *,
        leads: str | Sequence[str] = "clinical",
        noise: str | None = None,
        annotate: bool = False,
        **how: Unpack[Keywords],
    ) -> list[Ecg]:
        """Generate 12-lead records with the signals of `generate`, whose keywords mean the same here.

        leads: "clinical" or "sssd" order, or the 12 names. noise: what is added to each record, such as
        "baseline:0.3mV, muscle:20uV, mains:50Hz" (sssd.added_noise); `Ecg.clean` is the record without it. annotate:
        whether `Ecg.annotations` say where waves begin, peak and end (sssd.annotations). A record has the statements of
        its label vector (sssd.labels.has), and its provenance says how to make it again.
        """
        order, annotated = lead_names(leads), flag("annotate", annotate)
        request, table, seed, detail = self._resolve(labels, how)
        kinds = parse(noise, self.fs_hz if detail is None else FINE_HZ)
        signal = self.sample(request, table, seed=seed, **only(how, RunKeywords))
        precision = how.get("precision", "auto")
        made = self.records(signal, request, table, seed=seed, precision=precision, leads=order)
        return list(replace(made, noise=kinds, annotated=annotated, detail=detail))

    def request(
        self,
        labels: Any = None,
        *,
        seed: int | None = None,
        first: int = 0,
        **how: Unpack[RequestKeywords],
    ) -> Request:
        """Return the request of a call of `generate` with these arguments, which also takes it in place of labels.

        first: the number of the first record. Warns about statements that the built-in model has hardly seen.
        """
        request = make_request(labels, self.classes, seed=seed_or_drawn(seed), first=first, **how)
        if self.classes.standard and self._source == presets.WEIGHTS and request is not labels:
            asked = sorted(set(request.requested) - {""})
            note = rare_note(encode(asked)) if asked else None
            if note is not None:
                warn(note)
        return request

    def step_table(self, **how: Unpack[SamplingKeywords]) -> StepTable:
        """Return the step table of a call of `generate` with these arguments.

        ValueError for a scheduler of diffusers.
        """
        table = Sampling.of(**how).table(self.schedule, self.config)
        if isinstance(table, Scheduler):
            raise ValueError(f"{table.name} is a scheduler of diffusers, which has no table")
        return table

    @isolated()
    def sample(
        self,
        request: Request,
        table: Table,
        *,
        seed: int,
        batch_size: int | None = None,
        precision: str = "auto",
        progress: ShowProgress = None,
        given: Given | None = None,
    ) -> Tensor:
        """Generate the records of a request with a step table: (B, 8, L) float32 on the CPU, in mV.

        given: where the run starts and what it holds fixed, in mV; otherwise it starts from noise.
        """
        records, fs_hz = len(request), self.fs_hz
        strip = strip_of(request.seconds, window=self.shape[1], fs_hz=fs_hz)
        length = round(sum(request.seconds) * fs_hz) or self.shape[1]
        fits = choose_batch_size(self.model.config, self.shape[1], self.device)
        size = fits if batch_size is None else whole("batch_size", batch_size)
        self._warned = self._warned or _warn_if_random(self.model)
        at_once = size if strip is None else max(1, size // len(strip.pieces))
        out = torch.empty(records, 8, length, dtype=torch.float32)
        copies: deque[tuple[slice, Copied]] = deque()

        def collect(left: int) -> None:
            while len(copies) > left:
                where, copied = copies.popleft()
                out[where] = copied.wait()

        with reporting(progress, -(-records // at_once) * table.S) as advance:
            for rows in batches(records, at_once):
                chosen = slice(rows.start, rows.stop)
                part = request.part(chosen)
                made = self.batch_on_device(
                    part.vectors if strip is None else part.parts,
                    [seed] * len(rows),
                    part.numbers,
                    table,
                    **part.known,
                    precision=precision,
                    on_step=None,
                    advance=advance,
                    given=given and given.part(chosen),
                    strip=strip,
                    rows=size,
                )
                copies.append((chosen, Copied(made[..., :length])))
                collect(1)  # a GPU works on this batch while the one before is copied
            collect(0)
        return out

    def generate_batch(
        self,
        vectors: NDArray[np.float32],
        seeds: Sequence[int] | IntArray,
        index: Sequence[int] | IntArray,
        table: Table,
        **how: Any,
    ) -> Tensor:
        """Return `batch_on_device` on the CPU."""
        return self.batch_on_device(vectors, seeds, index, table, **how).cpu()

    @isolated()
    def batch_on_device(
        self,
        vectors: NDArray[np.float32],
        seeds: Sequence[int] | IntArray,
        index: Sequence[int] | IntArray,
        table: Table,
        *,
        age: Any = None,
        sex: Any = None,
        heart_rate: Any = None,
        precision: str = "auto",
        on_step: Callable[[int, Tensor], None] | None = None,
        advance: Callable[[], None] = lambda: None,
        given: Given | None = None,
        strip: Strip | None = None,
        rows: int = 1,
    ) -> Tensor:
        """Generate one batch, in which each record has its own seed: (B, 8, L) float32 on the device, in mV.

        vectors: (B, K), complete; (B, G, K) for the parts of strips. seeds: (B,). index: (B,) the number of each record
            under its seed. age, sex, heart_rate: as in `generate`. A record depends on its own row only.
        on_step(i, x0): is called after row i of the table with the clean records predicted there, (B, 8, L) in mV on
            the device. An exception that it raises ends the batch. advance(): is called with it.
        given: see `sample`. strip, rows: windows of strips, and how many of them the network reads at once.
        """
        known = {"age": age, "sex": sex, "heart_rate": heart_rate}
        cond = torch.from_numpy(conditions(vectors, len(seeds), self.classes, **known)).to(self.device)

        def after(i: int, x0: Tensor) -> None:
            advance()
            if on_step is not None:
                on_step(i, self.scale.to_mv(x0))

        x = sample(
            self.model,
            table,
            cond,
            seeds,
            index,
            T=self.schedule.T,
            length=self.shape[1],
            dtype=choose_precision(precision, self.device),
            on_step=after,
            given=given and given.scaled(self.scale, self.device),
            strip=strip,
            rows=rows,
        )
        made = self.scale.to_mv(x)
        if given is not None and given.start is not None and given.keeps_beats is not None:
            made = with_beats_of(given.start, made, given.keeps_beats, self.fs_hz)
        if given is not None and given.anything:
            return made
        if strip is None:
            state = origin(seeds, list(map(int, index)), "cpu" if self.device.type == "mps" else self.device)
            made = as_told(self.model, made, cond, state, self.fs_hz)
        return converted(made) if self.config.trainset_config.converter else made

    def records(
        self,
        signal: Tensor | NDArray[np.float32],
        request: Request,
        table: Table,
        *,
        seed: int,
        precision: str = "auto",
        leads: str | Sequence[str] = "clinical",
    ) -> Records:
        """Return the 12-lead records of a signal (B, 8, L) in mV that `sample` made with these arguments."""
        how = self.provenance(table, seed=seed, precision=precision)
        return Records(np.asarray(signal), request, self.label_names, self.fs_hz, how, lead_names(leads))

    def provenance(self, table: Table, *, seed: int, precision: str = "auto") -> dict[str, Any]:
        """Return the provenance that all records made with these arguments share."""
        name = precision_name(precision, self.device)
        cauchy = self.model.cauchy if self.config.transformer_config is None else None
        return provenance(table, model=self.model_hash, cauchy=cauchy, seed=seed, precision=name)

    def _resolve(self, labels: Any, how: Keywords) -> tuple[Request, Table, int, DetailNetwork | None]:
        """Return the request, the sampler, the seed and the network for 500 Hz, or None, of a call of `generate`."""
        check_keywords("generate", how, Keywords)
        seed = seed_or_drawn(how.get("seed"))
        request = self.request(labels, seed=seed, **only(how, RequestKeywords))
        table = Sampling.of(**only(how, SamplingKeywords)).table(self.schedule, self.config)
        return request, table, seed, network_for(how.get("fs"), self.fs_hz, self.device)

    # --- training -----------------------------------------------------------------------------------------

    def __call__(self, x: Any, y: Any) -> Tensor:
        """Return the training loss of records x (B, 8, L) in mV with label vectors y (B, K): a scalar.

        It is the mean squared error of eps (Ho et al. 2020, eq. 14) or of the velocity alpha eps - sigma x0 (Salimans
        and Ho 2022), whichever the network predicts, at a random step of each record. Steps and noise are drawn from
        torch's global generator.
        """
        x0 = torch.as_tensor(x, dtype=torch.float32, device=self.device)
        cond = torch.as_tensor(y, dtype=torch.float32, device=self.device)
        if x0.ndim != 3 or x0.shape[1] != 8 or not x0.numel():
            raise ValueError(
                f"x has shape {tuple(x0.shape)}: expected records (B, 8, L), leads I V1..V6 aVF, in mV"
            )
        if cond.shape != (len(x0), len(self.label_names)):
            raise ValueError(
                f"y has shape {tuple(cond.shape)}: expected {(len(x0), len(self.label_names))}, (B, K)"
            )
        x0 = self.scale.to_network(x0)
        t = torch.randint(self.schedule.T, size=(len(x0), 1, 1), device="cpu").view(-1).to(self.device)
        z = std_normal(x0.shape).to(self.device)
        levels = noise_levels(self.schedule, velocity=self.model.velocity, device=self.device)
        return denoising_loss(self.model.predict, x0, cond, t, z, levels)


def _warn_if_random(network: Network) -> bool:
    """Return whether the last layer is zero, as it is before any training, and warn if it is."""
    if network.untrained:
        warn(
            "the weights are random, so this gives no ECGs: load_checkpoint(path) or SSSDECG.from_pretrained()"
        )
    return network.untrained
