"""The methods of a model that start from a recording; each calls the function of its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from ..models.settings import settled
from ..noise import seed_or_drawn
from ..pretrained import PretrainedModel
from ..records import Records
from ..sampling import Sampling
from .completion import Gaps
from .completion import complete as _complete
from .inversion import STRENGTH
from .inversion import edit as _edit
from .inversion import interpolate as _interpolate
from .inversion import invert as _invert
from .source import Source
from .variation import vary as _vary

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..model_wrapper import SSSDECG, RunKeywords


class FromRecordings(PretrainedModel):
    """A model that varies, edits and completes recordings; `SSSDECG` is one."""

    @property
    def _whole(self) -> SSSDECG:
        return cast("SSSDECG", self)

    @settled()
    def vary(
        self,
        recording: Source,
        n: int = 1,
        strength: float = 0.4,
        *,
        statements: Sequence[str] | str | None = None,
        age: Any = None,
        sex: Any = None,
        heart_rate: Any = None,
        seed: int | None = None,
        leads: str | Sequence[str] = "clinical",
        sampler: Any = None,
        steps: int | None = None,
        **run: Unpack[RunKeywords],
    ) -> Records:
        """Return n variations of a recording (SDEdit, Meng et al. 2022).

        recording: a WFDB, NPZ, CSV, EDF or DICOM file of any rate and order of the leads, or an `Ecg`. strength: from
            above 0, hardly changed, to 1, a new record. statements: of the recording; by default those that it carries.
            Without any, the model is not conditioned. steps: of a whole run, of which this takes the share `strength`.
        The other keywords mean what they mean to `generate`. ValueError if the recording cannot be used.
        """
        sampling = Sampling.of(sampler=sampler, steps=steps)
        how: Any = dict(
            statements=statements,
            patient=dict(age=age, sex=sex, heart_rate=heart_rate),
            seed=seed_or_drawn(seed),
            leads=leads,
            **run,
        )
        return _vary(self._whole, recording, n, strength, sampling=sampling, **how)

    @settled()
    def invert(
        self,
        recording: Source,
        strength: float = 1.0,
        *,
        statements: Sequence[str] | str | None = None,
        age: Any = None,
        sex: Any = None,
        heart_rate: Any = None,
        steps: int | None = None,
        precision: str = "auto",
    ) -> Tensor:
        """Return the noise (8, L) of a recording, from which DDIM without noise gives the recording again.

        strength: the share of the noise levels up to which it is followed. statements, age, sex: of the recording.
        steps: of a whole run, of which this takes the share `strength`; by default 50.
        ValueError if the recording cannot be used.
        """
        how: Any = dict(
            statements=statements,
            patient=dict(age=age, sex=sex, heart_rate=heart_rate),
            steps=steps,
            precision=precision,
        )
        return _invert(self._whole, recording, strength, **how)

    @settled()
    def edit(
        self,
        recording: Source,
        wanted: Sequence[str] | str,
        strength: float = STRENGTH,
        *,
        statements: Sequence[str] | str | None = None,
        age: Any = None,
        sex: Any = None,
        heart_rate: Any = None,
        steps: int | None = None,
        seed: int | None = None,
        leads: str | Sequence[str] = "clinical",
        **run: Unpack[RunKeywords],
    ) -> Records:
        """Return a set of one: the recording with exactly the statements `wanted`, and otherwise as it is if possible.

        strength: the share of the noise levels that is run backwards and forwards: the more, the more may change.
        The other keywords mean what they mean to `vary`; those of the patient are the same before and after.
        """
        how: Any = dict(
            statements=statements,
            patient=dict(age=age, sex=sex, heart_rate=heart_rate),
            steps=steps,
            leads=leads,
            **run,
        )
        return _edit(self._whole, recording, wanted, strength, seed=seed_or_drawn(seed), **how)

    @settled()
    def interpolate(
        self,
        first: Source,
        last: Source,
        n: int = 5,
        *,
        steps: int | None = None,
        seed: int | None = None,
        leads: str | Sequence[str] = "clinical",
        **run: Unpack[RunKeywords],
    ) -> Records:
        """Return n records on the way from one recording to another, both included: noise and statements change."""
        how: Any = dict(steps=steps, seed=seed_or_drawn(seed), leads=leads, **run)
        return _interpolate(self._whole, first, last, n, **how)

    @settled()
    def complete(
        self,
        recording: Source,
        n: int = 1,
        *,
        known: Sequence[str] | None = None,
        gaps: Gaps = (),
        statements: Sequence[str] | str | None = None,
        age: Any = None,
        sex: Any = None,
        heart_rate: Any = None,
        seed: int | None = None,
        leads: str | Sequence[str] = "clinical",
        sampler: Any = None,
        steps: int | None = None,
        **run: Unpack[RunKeywords],
    ) -> Records:
        """Return n records that have what is known of a recording, and differ in what is missing (DDNM).

        recording: as in `vary`; leads may be missing in it, and samples may be NaN. known: leads that are kept, by
            default all that are there. gaps: pairs of seconds between which nothing is known. Known samples stay as
            they are up to rounding, and limb leads that follow from them follow.
        The other keywords mean what they mean to `vary`. ValueError if nothing is known, or nothing is missing.
        """
        sampling = Sampling.of(sampler=sampler, steps=steps)
        patient = dict(age=age, sex=sex, heart_rate=heart_rate)
        how: Any = dict(statements=statements, patient=patient, seed=seed_or_drawn(seed), leads=leads, **run)
        return _complete(self._whole, recording, n, known=known, gaps=gaps, sampling=sampling, **how)
