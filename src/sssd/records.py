"""From arrays to records: 8 leads in mV -> 12 leads -> `Ecg`, with the provenance from which each can be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from .added_noise import Noise, add_noise
from .annotations import annotate, notes_of
from .detail import at_500_hz
from .labels import names_of
from .leads import CLINICAL, to_twelve
from .patient import facts
from .record import Ecg, as_statement
from .request import Request
from .signals.rates import FINE_HZ
from .version import __version__

if TYPE_CHECKING:
    from .models.detail import DetailNetwork
    from .samplers import StepTable
    from .samplers.adapter import Scheduler


def provenance(
    table: StepTable | Scheduler, *, model: str, cauchy: str | None, seed: int, precision: str
) -> dict[str, Any]:
    """Return the provenance that all records of a call share. Each record adds its index, its request and its patient.

    model: SHA-256 of the weights. cauchy: convention of the S4 kernels; None for a network without them.
    precision: "float32" or "bf16", of matrix products.
    """
    how: dict[str, Any] = {
        "synthetic": True,
        "generator": f"sssd-ecg {__version__}",
        "model": model,
        **({} if cauchy is None else {"cauchy": cauchy}),
        "sampler": table.name,
        "steps": table.S,
        "precision": precision,
        "seed": seed,
        **table.settings,
    }
    if (table.gain != 1.0).any():
        how["gain"] = table.gain.tolist()
    return how


def record(
    signal: NDArray[Any],
    vector: NDArray[Any],
    names: Sequence[str],
    *,
    fs_hz: float,
    provenance: dict[str, Any],
    leads: tuple[str, ...] = CLINICAL,
) -> Ecg:
    """Return a record of 12 leads (12, L) in mV, with the statements that its label vector (K,) has.

    names: (K,) names of the statements. leads: the names of the rows.
    """
    statements = tuple(as_statement(name) for name in names_of(vector, names))
    return Ecg(signal, fs_hz=fs_hz, leads=leads, statements=statements, provenance=provenance)


@dataclass(frozen=True, eq=False)
class Records(Sequence[Ecg]):
    """The records of a request. Each is made when it is read, so that a large set is in memory only once.

    eight: (B, 8, L) in mV, leads I V1..V6 aVF. names: (K,) of the statements. how: the provenance that they share.
    leads: the order of the 12 leads. noise: what is added to each (sssd.added_noise), by its seed and index.
    rare: the statements that the model hardly learnt, with the numbers of their training records.
    attempts: (B,) which draw each record is, see `noise.seed_of_attempt`; None if records were drawn once.
    annotated: whether each gets annotations (sssd.annotations). detail: the network that brings each from 100 to 500 Hz
    (sssd.detail); None leaves them at the rate of the model.
    """

    eight: NDArray[np.float32]
    request: Request
    names: tuple[str, ...]
    model_hz: float
    how: dict[str, Any]
    leads: tuple[str, ...] = CLINICAL
    noise: tuple[Noise, ...] = ()
    rare: Mapping[str, int] = field(default_factory=dict)
    attempts: tuple[int, ...] | None = None
    annotated: bool = False
    detail: DetailNetwork | None = None

    def __len__(self) -> int:
        return len(self.eight)

    @property
    def fs_hz(self) -> float:
        """The rate of the records."""
        return self.model_hz if self.detail is None else FINE_HZ

    @overload
    def __getitem__(self, i: int) -> Ecg: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Ecg]: ...
    def __getitem__(self, i: int | slice) -> Ecg | Sequence[Ecg]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        one = self.request.part(slice(i, i + 1 or None))
        present = names_of(one.vectors[0], self.names)
        rare = {name: count for name, count in self.rare.items() if name in present}
        eight, seed, number = self.eight[i], self.how["seed"], one.numbers[0]
        if self.detail is not None:
            eight = at_500_hz(self.detail, eight[None], [seed], [number])[0]
        ecg = record(
            to_twelve(eight, self.leads),
            one.vectors[0],
            self.names,
            fs_hz=self.fs_hz,
            leads=self.leads,
            provenance={
                **self.how,
                **({} if self.detail is None else {"detail": self.detail.hash}),
                "index": number,
                "requested": one.requested[0],
                **facts(**one.known, records=1)[0],
                **({"seconds": list(one.seconds)} if one.seconds else {}),
                **({"training_records": rare} if rare else {}),
                **({} if self.attempts is None else {"attempt": self.attempts[i]}),
            },
        )
        if one.course is not None:
            ecg = self._with_parts(ecg, one.seconds, one.course[0])
        if self.annotated:
            ecg = annotate(ecg)
        if not self.noise:
            return ecg
        return add_noise(ecg, self.noise, seed=seed, index=number)

    def _with_parts(self, ecg: Ecg, seconds: Sequence[float], vectors: NDArray[np.float32]) -> Ecg:
        """Return a record with notes of where its statements change; vectors (G, K) are of its parts."""
        starts = np.rint(np.cumsum([0.0, *seconds[:-1]]) * self.fs_hz).astype(int).tolist()
        of_parts = [tuple(as_statement(name) for name in names_of(row, self.names)) for row in vectors]
        told = {"parts": ["+".join(names) for names in of_parts]}
        notes = notes_of(list(zip(starts, of_parts, strict=True)))
        return replace(ecg, annotations=notes, provenance={**ecg.provenance, **told})
