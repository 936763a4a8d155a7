"""The methods of a model that start from a recording; each calls the function of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, cast

from torch import Tensor

from ..checks import check_keywords, only
from ..config.names import EDIT_STRENGTH, VARY_STRENGTH
from ..detail import network_for
from ..models.settings import isolated
from ..noise import seed_or_drawn
from ..pretrained import PretrainedModel
from ..records import Records
from ..sampling import RunKeywords, Sampling
from . import completion, inversion, variation
from .change import Change, Own, OwnKeywords, PatientKeywords
from .completion import Gaps
from .source import Source

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..model_wrapper import SSSDECG


class MadeKeywords(RunKeywords, total=False):
    """The keywords of all methods that give records."""

    seed: int | None
    leads: str | Sequence[str]
    fs: float | None


class Keywords(OwnKeywords, MadeKeywords, total=False):
    """The keywords of methods that are told what the recording is."""


class BeforeKeywords(TypedDict, total=False):
    """The keywords of `edit` that say what the recording is."""

    own_statements: Sequence[str] | str | None
    own_age: Any
    own_sex: Any
    own_heart_rate: Any


class EditKeywords(PatientKeywords, BeforeKeywords, MadeKeywords, total=False):
    """The keywords of `edit`: what is wanted, what the recording is, and how to compute."""


class FromRecordings(PretrainedModel):
    """A model that varies, edits and completes recordings; `SSSDECG` is one.

    All methods take recordings as WFDB, NPZ, CSV, EDF or DICOM files of any rate and order of the leads, or as `Ecg`s.
    `OwnKeywords` say what a recording is, see `Own`; seed, leads, fs and `RunKeywords` mean what they mean to
    `generate`. With fs=500, what is above 46.5 Hz is made anew: that of a recording is not used.
    ValueError, with one message, if the recording cannot be used.
    """

    @property
    def _whole(self) -> SSSDECG:
        return cast("SSSDECG", self)

    @isolated()
    def vary(
        self,
        recording: Source,
        n: int = 1,
        strength: float = VARY_STRENGTH,
        *,
        sampler: Any = None,
        steps: int | None = None,
        **how: Unpack[Keywords],
    ) -> Records:
        """Return n variations of a recording (SDEdit, Meng et al. 2022).

        strength: from above 0, hardly changed, to 1, a new record. steps: of a whole run, of which this takes the share
            `strength`. The other keywords: see the class, and `generate`.
        """
        own, sampling = _own("vary", how), Sampling.of(sampler=sampler, steps=steps)
        return self._made(variation.vary(self._whole, recording, n, strength, own, sampling), how)

    @isolated()
    def invert(
        self,
        recording: Source,
        strength: float = 1.0,
        *,
        steps: int | None = None,
        precision: str = "auto",
        **own: Unpack[OwnKeywords],
    ) -> Tensor:
        """Return the noise (8, L) of a recording, from which DDIM without noise gives the recording again.

        strength: the share of the noise levels up to which it is followed. steps: of a whole run, of which this takes
            the share `strength`; by default 50.
        """
        check_keywords("invert", own, OwnKeywords)
        return inversion.invert(self._whole, recording, strength, Own(**own), steps, precision=precision)

    @isolated()
    def edit(
        self,
        recording: Source,
        statements: Sequence[str] | str | None = None,
        strength: float = EDIT_STRENGTH,
        *,
        steps: int | None = None,
        **how: Unpack[EditKeywords],
    ) -> Records:
        """Return a set of one: the recording with other statements, age, sex or heart rate, and otherwise as it is.

        statements: exactly those that it is to have; by default its own. age, sex, heart_rate: those that it is to
            have, for models that take them. own_statements, own_age, own_sex, own_heart_rate: those that it has; by
            default what it carries, and the heart rate that is measured in it. strength: how far the recording is
            noised, above 0 to 1: the more, the more may change. steps: of a whole run, of which this takes the share
            `strength`; by default 25, with two or three evaluations each.
        Before that, the beats of the recording are moved to the heart rate that it is to have, or to the usual one of
        STACH or SBRAD, see `editing.rate`. In the end, beats are brought back to where they are in the recording unless
        the rhythm changes, see `editing.beats`.
        """
        check_keywords("edit", how, EditKeywords)
        wanted = Own(statements, **only(how, PatientKeywords))
        own = Own(**{name.removeprefix("own_"): one for name, one in only(how, BeforeKeywords).items()})
        return self._made(inversion.edit(self._whole, recording, wanted, strength, own, steps), how)

    @isolated()
    def interpolate(
        self,
        first: Source,
        last: Source,
        n: int = 5,
        *,
        steps: int | None = None,
        **how: Unpack[MadeKeywords],
    ) -> Records:
        """Return n records on the way from one recording to another, both included: noise and statements change.

        n: by default 5; one record is the middle of the way. steps: of DDIM without noise; by default 50. The other
            keywords: see the class. ValueError too if n is no whole number of at least 1.
        """
        check_keywords("interpolate", how, MadeKeywords)
        precision = how.get("precision", "auto")
        return self._made(inversion.interpolate(self._whole, first, last, n, steps, precision=precision), how)

    @isolated()
    def complete(
        self,
        recording: Source,
        n: int = 1,
        *,
        known: Sequence[str] | None = None,
        gaps: Gaps = (),
        sampler: Any = None,
        steps: int | None = None,
        **how: Unpack[Keywords],
    ) -> Records:
        """Return n records that have what is known of a recording, and differ in what is missing (DDNM).

        recording: leads may be missing in it, and samples may be NaN. known: leads that are kept, by default all that
            are there. gaps: pairs of seconds between which nothing is known. Known samples stay as they are up to
            rounding, and limb leads that follow from them follow.
        The other keywords: see the class, and `vary`. ValueError too if nothing is known, or nothing is missing.
        """
        own, sampling = _own("complete", how), Sampling.of(sampler=sampler, steps=steps)
        change = completion.complete(self._whole, recording, n, known, gaps, own, sampling)
        return self._made(change, how)

    def _made(self, change: Change, how: MadeKeywords) -> Records:
        seed, leads = seed_or_drawn(how.get("seed")), how.get("leads", "clinical")
        detail = network_for(how.get("fs"), self._whole.fs_hz, self._whole.device)
        made = change.records(self._whole, seed=seed, leads=leads, **only(how, RunKeywords))
        return replace(made, detail=detail)


def _own(method: str, how: Keywords) -> Own:
    check_keywords(method, how, Keywords)
    return Own(**only(how, OwnKeywords))
