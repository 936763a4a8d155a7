"""Takes from prepared recordings what a network is trained on: signals and label columns of the right folds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..circumstances import (
    Floats,
    bits_of,
    measure,
    normalised,
    scale_of,
    spread,
    statement_weights,
    table,
    with_wander,
)
from ..config.schema import Config
from ..data.recordings import Recordings, eight_leads_mv, subset
from ..labels import CODES
from ..leads import EIGHT
from ..models.transformer import Transformer
from ..patient import unscaled_bpm
from ..signals.heart_rate import measured_rhythms


@dataclass(frozen=True)
class TrainingData:
    """Holds signals (n, 8, L) float32 in mV, leads I V1..V6 aVF, and label columns (n, K), for training and validation.

    What the network takes beside labels are the last columns (sssd.patient). source: which set each record
    to train on comes from, (n,), 0 for the first. coarse: which of them are trained on only at noise levels that hide
    what is wrong with them, (n,).
    """

    signal_mv: np.ndarray
    labels: np.ndarray
    val_signal_mv: np.ndarray
    val_labels: np.ndarray
    source: np.ndarray
    coarse: np.ndarray

    def fingerprint(self) -> str:
        """Return what tells these recordings and labels from others: a hash of all that is trained on."""
        digest = hashlib.sha256()
        for part in (self.signal_mv, self.labels, self.source, self.coarse):
            digest.update(repr((part.shape, part.dtype.str)).encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def training_data(ecgs: Recordings, config: Config, more: Sequence[Recordings] = ()) -> TrainingData:
    """Take folds 1 to 8 and all records of further sets for training, and fold 9 for validation.

    ValueError if there is nothing to train on, or if sets differ in their labels, rate or length.
    """
    train, validation = training_folds(ecgs), _folds(ecgs, 9, 9)
    if not len(train):
        raise ValueError("none of the recordings is in folds 1 to 8, so there is nothing to train on")
    for one in more:
        _check_rate_and_length(config, one)
        if one.label_names != ecgs.label_names:
            raise ValueError(
                f"a further set has the labels {', '.join(one.label_names[:8])}; expected those of the first, "
                f"{', '.join(ecgs.label_names[:8])}: prepare it with --statements"
            )
    sets = [train, *more]
    return TrainingData(
        signal_mv=np.concatenate([eight_leads_mv(one) for one in sets]),
        labels=np.concatenate([_label_columns(one, config) for one in sets]),
        val_signal_mv=eight_leads_mv(validation),
        val_labels=_label_columns(validation, config),
        source=np.repeat(np.arange(len(sets)), [len(one) for one in sets]),
        coarse=np.concatenate([_coarse(one) for one in sets]),
    )


def transformer_data(data: TrainingData, net: Transformer, fs_hz: float) -> TrainingData:
    """Return the same data with all columns that a transformer is conditioned on in place of the label columns.

    A zero follows them, since none of them is left out, then the source, and then the circumstances of the records,
    normalised by the mean and standard deviation of the training records of the first set. Those of coarse records are
    unknown. `net` gets these two numbers for each, and tables of the recordings of the first set: their circumstances,
    where those without a baseline have the wander of another, and, if it draws heart rates, these and the statements.
    """
    sources, first_set = len(net.config.sources), (data.source == 0) & ~data.coarse
    columns = [np.hstack((part, np.zeros((len(part), 1)))) for part in (data.labels, data.val_labels)]
    if sources:
        one_hot = np.eye(sources)
        first = np.zeros(len(data.val_labels), dtype=int)
        columns = [
            np.hstack((part, one_hot[which]))
            for part, which in zip(columns, (data.source, first), strict=True)
        ]
    if net.circumstances is not None and net.circumstances_scale is not None:
        measured = [measure(part, fs_hz) for part in (data.signal_mv, data.val_signal_mv)]
        reference = measured[0][first_set]
        scale = scale_of(reference)[:, : net.circumstances.shape[1]]
        values = [normalised(part, scale) for part in measured]
        known = [~data.coarse[:, None], np.ones((len(data.val_labels), 1), dtype=bool)]
        net.circumstances.copy_(table(normalised(with_wander(reference), scale), len(net.circumstances)))
        net.circumstances_scale.copy_(torch.from_numpy(scale))
        _fill_rhythms(net, data.labels[first_set], normalised(reference, scale))
        columns = [
            np.hstack((part, have, np.where(have, value, 0.0)))
            for part, have, value in zip(columns, known, values, strict=True)
        ]
    return replace(data, labels=columns[0], val_labels=columns[1])


def _fill_rhythms(net: Transformer, labels: NDArray[np.float32], circumstances: Floats) -> None:
    """Keep the heart rates of recordings with the network, how much these vary, and their statements.

    labels: (n, classes) label columns. circumstances: (n, C), normalised.
    """
    if net.heart_rates is None or net.statements is None or net.statement_weights is None:
        return
    rows, leads = len(net.heart_rates), len(EIGHT)
    chosen, statements = spread(len(labels), rows), labels[:, : net.classes - len(net.takes.columns)]
    known, scaled = labels[:, net.heart_rate_columns].T
    rates = np.where(known > 0, unscaled_bpm(scaled.astype(np.float64)), np.nan)
    net.heart_rates.copy_(torch.from_numpy(np.nan_to_num(rates[chosen]).astype(np.float16)))
    if net.variabilities is not None:
        net.variabilities.copy_(torch.from_numpy(labels[chosen, net.rhythm_columns.stop - 1]))
    net.statements.copy_(bits_of(statements, rows))
    noise = circumstances[:, leads : 2 * leads].mean(axis=1)
    net.statement_weights.copy_(statement_weights(statements, rates, noise))


def training_folds(ecgs: Recordings) -> Recordings:
    """Return the recordings of folds 1 to 8. ValueError if the recordings have no folds."""
    return _folds(ecgs, 1, 8)


def with_labels_of(ecgs: Recordings, config: Config, *, new_labels: bool = False) -> Config:
    """Return the configuration with the labels of the recordings. ValueError if rate, length or labels do not fit.

    new_labels: take the labels of the recordings, whatever the configuration calls its own.
    """
    trainset, network = config.trainset_config, config.wavenet_config
    _check_rate_and_length(config, ecgs)
    named = None if new_labels else trainset.label_names
    if named is not None and tuple(named) != ecgs.label_names:
        raise ValueError(
            f"the recordings have the labels {', '.join(ecgs.label_names[:8])}; the configuration names "
            f"{', '.join(named[:8])} (trainset_config.label_names)"
        )
    behind = len(trainset.takes.columns)
    if (
        ecgs.label_names == CODES
        and network.label_embed_classes == len(CODES) + behind
        and trainset.label_names is None
    ):
        return config
    content = config.model_dump()
    content["wavenet_config"]["label_embed_classes"] = len(ecgs.label_names) + behind
    content["trainset_config"]["label_names"] = list(ecgs.label_names)
    return Config.model_validate(content)


def with_sources(config: Config, names: Sequence[str]) -> Config:
    """Return the configuration of a transformer that is told which of these sets a record comes from.

    Where a network was trained on several sets, one alone takes the place of the first, in whose style it generates.
    ValueError if there are several for another network, or if it was trained on several others.
    """
    network = config.transformer_config
    if network is None:
        if len(names) > 1:
            raise ValueError(
                "further sets (--more) go with a transformer, which is told what set a record comes from; this "
                "configuration describes none"
            )
        return config
    if len(names) == 1 or network.sources == list(names):
        return config
    if network.sources:
        raise ValueError(
            f"the network was trained on the sets {', '.join(network.sources)}; given are {', '.join(names)}: give "
            "the same folders in the same order, or one"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"two sets have the same name: {', '.join(names)}; rename a folder")
    return config.model_copy(
        update={"transformer_config": network.model_copy(update={"sources": list(names)})}
    )


def _check_rate_and_length(config: Config, ecgs: Recordings) -> None:
    trainset, length = config.trainset_config, ecgs.signal_uv.shape[-1]
    if ecgs.fs_hz != trainset.sampling_rate or length != trainset.segment_length:
        raise ValueError(
            f"the recordings have {length} samples at {ecgs.fs_hz:g} Hz; the configuration expects "
            f"{trainset.segment_length} at {trainset.sampling_rate:g} Hz (trainset_config)"
        )


def _coarse(ecgs: Recordings) -> NDArray[np.bool_]:
    return np.zeros(len(ecgs), dtype=bool) if ecgs.coarse is None else ecgs.coarse.astype(bool)


def _folds(ecgs: Recordings, first: int, last: int) -> Recordings:
    if ecgs.strat_fold is None:
        raise ValueError("the recordings have no folds (strat_fold); `sssd-ecg prepare` assigns them")
    return subset(ecgs, (ecgs.strat_fold >= first) & (ecgs.strat_fold <= last))


def _label_columns(ecgs: Recordings, config: Config) -> NDArray[np.float32]:
    """Return the labels (n, K), followed by age, sex, heart rate and its variability, as the network takes them.

    Age and sex are unknown if recordings lack them. The heart rate and its variability are measured.
    """
    takes = config.trainset_config.takes
    known = {"age": ecgs.age, "sex": ecgs.sex}
    if takes.heart_rate:
        known["heart_rate"], known["variability"] = measured_rhythms(eight_leads_mv(ecgs), ecgs.fs_hz).T
    columns = takes.values(records=len(ecgs), **known)
    return np.hstack((ecgs.labels.astype(np.float32), columns))
