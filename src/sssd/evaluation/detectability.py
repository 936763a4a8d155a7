"""Detectability: can a classifier tell generated records from recordings, and by what?

A classifier is trained to answer "recorded or generated?", and the area under its ROC curve (AUC) is measured on
records of both kinds that it has not seen. 0.5 is perfect, and recordings against other recordings give it; 1.0 means
that every generated record is found out. Both sides should have the same label vectors, or else the classifier may
learn the labels. All records are rounded to 1 uV and cut to their first 9.9 s, because the last 0.1 s of a recording is
an artefact of resampling.

    simple   gradient boosting on named features of each lead: the power in bands, extremes, quantiles of |dx|;
             cross-validated in four parts. It runs on a CPU in a minute and says which features decide.
    deep     the residual network of `classifier`, on the signals themselves; mean of several seeds.

Both are measured on whole signals (raw) and on signals of which only a band is left (`spectrum.band_limited`): every
feature, not the power alone, is then taken from the band-limited signal.

A recording and the generated record with its label vector are always in the same part of a cross-validation. In
different parts, a classifier that remembers the recording would take a record like it for recorded, and the AUC would
come out too small.

x (n, C, L) is in mV, n records, C leads (those of `leads.EIGHT` in the project), L samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import counted, needed_for
from ..leads import EIGHT
from . import auc, manifold, spectrum

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.floating]
Advance = Callable[[], None]

LENGTH_S = 9.9
PARTS = 4  # of a cross-validation
LEAST = 2 * PARTS  # records of each kind
LEAF = 20  # records of a leaf at least, fewer with less than 400 records to fit on
QUANTILES = (0.1, 0.5, 0.9, 0.99)  # of |dx|
SIMPLE_BANDS_HZ = ((0.5, 35.0), (0.5, 25.0), (1.0, 15.0))
DIGITS = 6  # of |dx| in mV: the rounding errors behind them depend on the offset of a lead, and so would give it away
DEEP_LOW_PASS_HZ = 20.0
SPECTRA = 300  # records of each kind whose log spectra are compared
DECISIVE = 12  # single features to name


@dataclass(frozen=True)
class Area:
    """The area under a ROC curve: mean over seeds, each seed's value, and the 95 % bootstrap interval of the mean."""

    mean: float
    low: float
    high: float
    std: float | None  # over seeds; None for one seed
    values: list[float]


@dataclass(frozen=True)
class Group:
    """Features of one kind in all leads, such as the power in one band.

    alone: AUC of gradient boosting that sees these features only.
    permuted: how much the AUC with all features falls when these are shuffled over records (Breiman 2001).
    """

    name: str
    alone: float
    permuted: float


@dataclass(frozen=True)
class Feature:
    """One feature: its AUC without any classifier, and its medians (decades of mV^2, or mV)."""

    name: str
    auc: float
    recorded: float
    generated: float


@dataclass(frozen=True)
class Detectability:
    """What `detectability` returns; `asdict` turns it into plain dictionaries.

    simple, deep: {"raw": Area, "0.5-35 Hz": Area, ...}; deep is empty where no network was trained.
    bands: power in every band, generated against recorded.
    spectra: what `spectra` returns: precision, recall, density and coverage on log spectra.
    groups: what gives the records away, the group that does so best alone first. features: the same of single ones.
    recorded_score, generated_score: the simple classifier's probability that each record is generated, in the order
        of the records given, from a fit that did not see it.
    """

    records: int
    simple: dict[str, Area]
    deep: dict[str, Area]
    bands: spectrum.BandDifference
    spectra: dict[str, dict[str, float]]
    groups: list[Group]
    features: list[Feature]
    recorded_score: NDArray[np.float64]
    generated_score: NDArray[np.float64]

    def asdict(self) -> dict[str, Any]:
        """Return the same as dictionaries, lists and arrays."""
        return asdict(self)


def detectability(
    recorded: FloatArray,
    generated: FloatArray,
    *,
    train: tuple[FloatArray, FloatArray] | None = None,
    fs_hz: float = 100.0,
    lead_names: Sequence[str] = EIGHT,
    seeds: int = 3,
    deep_seeds: int | None = None,
    device: str | torch.device = "cpu",
    epochs: int | None = None,
    width: int | None = None,
    on_fit: Callable[[int, int], None] | None = None,
) -> Detectability:
    """Measure how well a classifier tells generated records from recordings, (n, C, L) in mV each, and by what.

    Record i of one set belongs to record i of the other: they should have the same label vector. train: recordings and
    generated records for the deep classifier to train on; without it, the deep one is cross-validated like the simple
    one. seeds: partitions of the simple cross-validation. deep_seeds: networks, by default as many; 0 trains none.
    epochs, width: the network's, by default those of `classifier`. on_fit: called with (fits done, fits in all).

    ValueError for sets of other sizes or fewer than eight records; ModuleNotFoundError without the `eval` extra.
    """
    recorded, generated = prepared(recorded, fs_hz), prepared(generated, fs_hz)
    check(recorded, generated)
    deep_seeds = seeds if deep_seeds is None else deep_seeds
    views = simple_views(fs_hz)
    groups = group_names(spectrum.edges(fs_hz))
    networks = 2 * deep_seeds * (1 if train is not None else PARTS)
    total, done = PARTS * (len(views) * seeds + 1 + len(groups)) + networks, 0

    def advance() -> None:
        nonlocal done
        done += 1
        if on_fit is not None:
            on_fit(done, total)

    scores = simple_scores(recorded, generated, fs_hz=fs_hz, seeds=seeds, advance=advance)
    real, made = (features(x, fs_hz=fs_hz) for x in (recorded, generated))
    columns = group_columns(real.shape[1], len(groups))
    _, permuted = cross_validated_boosting(real, made, groups=columns, advance=advance)
    of_record = np.mean(scores["raw"], axis=0)
    return Detectability(
        records=len(recorded),
        simple={name: area(by_seed) for name, by_seed in scores.items()},
        deep={}
        if not deep_seeds
        else deep(
            recorded,
            generated,
            train=train,
            fs_hz=fs_hz,
            seeds=deep_seeds,
            device=device,
            epochs=epochs,
            width=width,
            advance=advance,
        ),
        bands=spectrum.band_difference(recorded, generated, fs_hz=fs_hz),
        spectra=spectra(recorded, generated, fs_hz=fs_hz),
        groups=what_decides(real, made, groups, permuted, advance),
        features=single_features(real, made, feature_names(spectrum.edges(fs_hz), lead_names)),
        recorded_score=of_record[: len(recorded)],
        generated_score=of_record[len(recorded) :],
    )


def spectra(
    recorded: FloatArray, generated: FloatArray, *, fs_hz: float = 100.0, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Measure precision, recall, density and coverage (see `manifold`) on spectra of x (n, C, L) in mV, in 1 Hz steps.

    This is done for 0.5 to 39.5 Hz, which a diagnostic ECG shows, and for everything up to the Nyquist frequency. The
    sets may differ in size: 300 records of each are drawn, or as many as the smaller set has ("records").
    """
    size = min(len(recorded), len(generated), SPECTRA)
    rows = np.random.default_rng(seed).permutation(len(recorded))[:size]
    others = (
        rows if len(recorded) == len(generated) else np.random.default_rng(seed).permutation(len(generated))
    )
    pair = (prepared(recorded[rows], fs_hz), prepared(generated[others[:size]], fs_hz))
    found = {}
    for name, low, high in (("0.5-39.5 Hz", 0.5, 39.5), (f"0-{fs_hz / 2:g} Hz", 0.0, fs_hz / 2)):
        levels = [spectrum.log_spectra(x, low, high, fs_hz=fs_hz) for x in pair]
        found[name] = {**manifold.precision_recall_density_coverage(*levels), "records": float(size)}
    return found


def prepared(x: FloatArray, fs_hz: float = 100.0) -> NDArray[np.float32]:
    """Return the first 9.9 s of each record, rounded to 1 uV: (n, C, L) in mV, of both kinds alike."""
    x = np.asarray(x, dtype=np.float32)
    if x.ndim != 3:
        raise ValueError(f"got an array of shape {x.shape}: give records as (records, leads, samples)")
    if not np.isfinite(x).all():
        raise ValueError(
            "a record holds values that are no numbers: remove it, or find out where they come from"
        )
    return np.rint(x[..., : round(LENGTH_S * fs_hz)] * np.float32(1e3)) / np.float32(1e3)


def check(recorded: FloatArray, generated: FloatArray) -> None:
    """Raise ValueError unless both sets have the same shape and two records for each part of a cross-validation."""
    if recorded.shape != generated.shape:
        raise ValueError(
            f"recordings of shape {recorded.shape} and generated records of shape {generated.shape}: give as many of "
            "one kind as of the other, record i with the label vector of recording i"
        )
    if len(recorded) < LEAST:
        raise ValueError(f"got {counted(len(recorded), 'record')} of each kind: expected {LEAST} or more")


# --- simple -----------------------------------------------------------------------------------------------


def simple_areas(
    recorded: FloatArray, generated: FloatArray, *, fs_hz: float = 100.0, seeds: int = 3
) -> dict[str, Area]:
    """Return the AUC of the simple classifier alone, {"raw": Area, "0.5-35 Hz": Area, ...}; see `detectability`."""
    recorded, generated = prepared(recorded, fs_hz), prepared(generated, fs_hz)
    check(recorded, generated)
    scores = simple_scores(recorded, generated, fs_hz=fs_hz, seeds=seeds)
    return {name: area(by_seed) for name, by_seed in scores.items()}


def simple_scores(
    recorded: FloatArray,
    generated: FloatArray,
    *,
    fs_hz: float,
    seeds: int,
    advance: Advance = lambda: None,
) -> dict[str, list[NDArray[np.float64]]]:
    """Return scores (2 n,) of each view and seed of prepared records, see `cross_validated_boosting`."""
    scores = {}
    for name, limits in simple_views(fs_hz).items():
        real, made = (features(x, limits, fs_hz=fs_hz) for x in (recorded, generated))
        scores[name] = [
            cross_validated_boosting(real, made, seed=seed, advance=advance)[0] for seed in range(seeds)
        ]
    return scores


def simple_views(fs_hz: float = 100.0) -> dict[str, tuple[float, ...] | None]:
    """Return what the simple classifier sees: the edges of the bands that are left, None for the whole signal."""
    every = spectrum.edges(fs_hz)
    views: dict[str, tuple[float, ...] | None] = {"raw": None}
    for low, high in SIMPLE_BANDS_HZ:
        if high < every[-1]:
            views[f"{low:g}-{high:g} Hz"] = tuple(edge for edge in every if low <= edge <= high)
    return views


def features(
    x: FloatArray, edges_hz: tuple[float, ...] | None = None, *, fs_hz: float = 100.0
) -> NDArray[np.float64]:
    """Return features of x (n, C, L) in mV, group by group, each of all leads: (n, (B + 2 + Q) * C).

    Groups: log10 power in each of the B bands, the maximum, the minimum, Q quantiles of |x(t+1) - x(t)|. With edges_hz,
    everything outside its first and last edge is taken out of the signal first. Maximum and minimum are measured from
    the median of the lead.
    """
    if edges_hz is not None:
        x = spectrum.band_limited(x, edges_hz[0], edges_hz[-1], fs_hz=fs_hz)
    x = np.asarray(x, dtype=np.float64)
    levels = spectrum.band_levels(x, fs_hz=fs_hz, edges_hz=edges_hz)  # (n, C, B)
    centred = x - np.median(x, axis=-1, keepdims=True)
    steps = np.abs(np.diff(x, axis=-1)).round(DIGITS)
    slopes = np.quantile(steps, QUANTILES, axis=-1)  # (Q, n, C)
    groups = [*np.moveaxis(levels, -1, 0), centred.max(axis=-1), centred.min(axis=-1), *slopes]
    return np.concatenate(groups, axis=1)


def group_names(edges_hz: Sequence[float]) -> list[str]:
    """Return names of the groups of `features`, in their order."""
    powers = [f"power {low:g}-{high:g} Hz" for low, high in zip(edges_hz, edges_hz[1:], strict=False)]
    return [*powers, "maximum", "minimum", *(f"{100 * q:g} % quantile of |dx|" for q in QUANTILES)]


def feature_names(edges_hz: Sequence[float], lead_names: Sequence[str]) -> list[str]:
    """Return names of the columns of `features`."""
    return [f"{group}, {lead}" for group in group_names(edges_hz) for lead in lead_names]


def group_columns(columns: int, groups: int) -> list[NDArray[np.int64]]:
    """Return the columns of each group of `features`."""
    return np.split(np.arange(columns), groups)


def cross_validated_boosting(
    recorded: FloatArray,
    generated: FloatArray,
    *,
    seed: int = 0,
    groups: Sequence[NDArray[np.int64]] = (),
    advance: Advance = lambda: None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability of "generated" of each unseen row of features recorded and generated (n, F): (2 n,).

    Recordings come first. Also returns, for each group of columns, by how much the AUC falls when these columns are
    shuffled over the records of a part: mean of the parts, (groups,).
    """
    boosting = _boosting()
    x, y = np.concatenate([recorded, generated]), _kinds(len(recorded))
    scores, falls = np.zeros(len(x)), np.zeros((PARTS, len(groups)))
    rng = np.random.default_rng(seed)
    for part, (fitted, unseen) in enumerate(partition(len(recorded), seed)):
        leaf = min(LEAF, max(1, len(fitted) // LEAF))
        model = boosting(random_state=seed, min_samples_leaf=leaf).fit(x[fitted], y[fitted])
        scores[unseen] = model.predict_proba(x[unseen])[:, 1]
        for i, columns in enumerate(groups):
            shuffled = x[unseen].copy()
            shuffled[:, columns] = shuffled[rng.permutation(len(unseen))][:, columns]
            fallen = model.predict_proba(shuffled)[:, 1]
            falls[part, i] = auc.single_auc(y[unseen], scores[unseen]) - auc.single_auc(y[unseen], fallen)
        advance()
    return scores, falls.mean(axis=0)


def partition(n: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return rows to fit on and rows to test on, four times, of n recordings followed by the n generated records.

    Rows i and n + i are always on the same side. Every row is tested once.
    """
    for unseen in np.array_split(np.random.default_rng(seed).permutation(n), PARTS):
        fitted = np.setdiff1d(np.arange(n), unseen)
        yield np.append(fitted, n + fitted), np.append(unseen, n + unseen)


def what_decides(
    recorded: FloatArray,
    generated: FloatArray,
    names: Sequence[str],
    permuted: FloatArray,
    advance: Advance = lambda: None,
) -> list[Group]:
    """Return each group of features with its AUC alone and its permutation importance; the largest AUC first."""
    y, found = _kinds(len(recorded)), []
    columns_of = group_columns(recorded.shape[1], len(names))
    for name, columns, fall in zip(names, columns_of, permuted, strict=True):
        scores, _ = cross_validated_boosting(recorded[:, columns], generated[:, columns], advance=advance)
        found.append(Group(name, auc.single_auc(y, scores), float(fall)))
    return sorted(found, key=lambda group: -group.alone)


def single_features(recorded: FloatArray, generated: FloatArray, names: Sequence[str]) -> list[Feature]:
    """Return the features that give most away by themselves, by max(AUC, 1 - AUC) of the feature as a score."""
    y = _kinds(len(recorded))
    found = []
    for k, name in enumerate(names):
        by_value = auc.single_auc(y, np.append(recorded[:, k], generated[:, k]))
        medians = (float(np.median(x[:, k])) for x in (recorded, generated))
        found.append(Feature(name, max(by_value, 1.0 - by_value), *medians))
    return sorted(found, key=lambda feature: -feature.auc)[:DECISIVE]


# --- deep -------------------------------------------------------------------------------------------------


def deep(
    recorded: FloatArray,
    generated: FloatArray,
    *,
    train: tuple[FloatArray, FloatArray] | None = None,
    fs_hz: float = 100.0,
    seeds: int = 3,
    device: str | torch.device = "cpu",
    epochs: int | None = None,
    width: int | None = None,
    advance: Advance = lambda: None,
) -> dict[str, Area]:
    """Return the AUC of the residual network of `classifier`, on whole signals and below 20 Hz.

    The arguments are those of `detectability`.
    """
    from . import classifier

    how: dict[str, Any] = {
        "epochs": epochs or classifier.EPOCHS,
        "width": width or classifier.WIDTH,
        "device": device,
    }
    recorded, generated = prepared(recorded, fs_hz), prepared(generated, fs_hz)
    check(recorded, generated)
    n = len(recorded)
    tested = np.concatenate([recorded, generated])
    known = None if train is None else np.concatenate([prepared(part, fs_hz) for part in train])
    kinds = None if train is None else np.repeat([0, 1], [len(part) for part in train])[:, None]
    found = {}
    for name, limit in (("raw", None), (f"below {DEEP_LOW_PASS_HZ:g} Hz", DEEP_LOW_PASS_HZ)):

        def view(x: FloatArray, limit: float | None = limit) -> FloatArray:
            if limit is None:
                return x
            return spectrum.band_limited(x, 0.0, limit, fs_hz=fs_hz).astype(np.float32)

        shown = view(tested)
        by_seed: list[FloatArray] = []
        if known is not None and kinds is not None:
            training = view(known)
            for seed in range(seeds):
                by_seed.append(classifier.train_and_predict(training, kinds, shown, seed=seed, **how)[:, 0])
                advance()
        else:
            for seed in range(seeds):
                scores, y = np.zeros(2 * n), _kinds(n)[:, None]
                for fitted, unseen in partition(n, seed):
                    scores[unseen] = classifier.train_and_predict(
                        shown[fitted], y[fitted], shown[unseen], seed=seed, **how
                    )[:, 0]
                    advance()
                by_seed.append(scores)
        found[name] = area(by_seed)
    return found


# --- areas ------------------------------------------------------------------------------------------------


def area(scores: Sequence[FloatArray]) -> Area:
    """Return the area of scores (2 n,), recordings first, one array for each seed."""
    y = _kinds(len(scores[0]) // 2)[:, None]
    found = auc.macro_auc(y, [np.asarray(s)[:, None] for s in scores], np.array([0]))
    assert found is not None
    return Area(**found)


def _kinds(n: int) -> NDArray[np.int64]:
    """Return 0 for each of n recordings, 1 for each of n generated records."""
    return np.repeat(np.array([0, 1]), n)


def _boosting() -> Any:
    with needed_for("detectability needs", "eval"):
        from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier
