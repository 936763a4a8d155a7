"""Reports what a checkpoint is: its form, size and configuration, and the Cauchy convention it was trained with.

A file of SSSD-ECG does not say with which of the two conventions it was trained (see sssd.models.s4). Real ECGs reveal
it: the network has the lower denoising loss with the right convention.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ..config.names import Cauchy
from ..config.schema import Config, read_config
from ..data.recordings import Recordings, eight_leads_mv
from ..factory import build_network, build_schedule, label_names
from ..labels import CODES
from ..models.precision import float32_products
from ..models.settings import isolated
from ..noise import normal
from ..presets import checkpoint_file
from ..scale import Scale
from .read import configuration_of, form_of, read_state
from .state import load_into, state_hash

STEPS = 6  # noise levels at which the conventions are compared
CLEAR = 3.0  # standard errors; a larger difference is clear
NOTHING = 1.0  # the loss of predicting no noise at all; a network above it knows nothing of these ECGs
BATCH = 4


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    form          the form of the file
    parameters    the number of trainable values
    stored        the number of all values in the file
    config_from   where the configuration comes from
    cauchy        the convention that the file names, or None
    """

    path: str
    size_bytes: int
    form: str
    parameters: int
    stored: int
    dtypes: tuple[str, ...]
    config: Config
    config_from: str
    cauchy: str | None
    model_hash: str


@dataclass(frozen=True)
class CauchyFit:
    """The denoising loss on real ECGs with each convention, and the better one, or None if they hardly differ."""

    loss: dict[str, float]
    better: str | None
    records: int
    steps: tuple[int, ...]


@isolated()
def inspect(path: str | os.PathLike[str], *, config: str | os.PathLike[str] | None = None) -> Inspection:
    """Inspect a checkpoint of any form that can be loaded.

    config: a configuration file; without one, the configuration in the file is used, or else one that is inferred from
    the shapes, with the published schedule. FileNotFoundError or ValueError if the checkpoint cannot be read.
    """
    path = checkpoint_file(path)
    state, metadata = read_state(path)
    given = None if config is None else read_config(config)
    settings, source = configuration_of(path, state, metadata, given, whole=False)
    net = build_network(settings)
    load_into(net, state, str(path))
    return Inspection(
        path=str(path),
        size_bytes=path.stat().st_size,
        form=form_of(path),
        parameters=sum(p.numel() for p in net.parameters()),
        stored=sum(v.numel() for v in state.values()),
        dtypes=tuple(sorted({str(v.dtype).removeprefix("torch.") for v in state.values()})),
        config=settings,
        config_from=source,
        cauchy=metadata.get("cauchy"),
        model_hash=state_hash(net.state_dict()),
    )


@isolated()
@float32_products("highest")
def fit_cauchy(
    path: str | os.PathLike[str],
    real: Recordings,
    *,
    config: str | os.PathLike[str] | None = None,
    records: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> CauchyFit:
    """Compare the two Cauchy conventions by the denoising loss (Ho et al. 2020, eq. 14) on real ECGs.

    The first `records` of `real` are used, at 6 time steps spread over the schedule, with the same noise for both
    conventions. Signals in mV are divided by the lead scale of the configuration, if it has one. One convention is the
    better if the mean difference is more than 3 standard errors over the records, and if the network removes any noise
    at all (a loss below 1). ValueError if the sampling rate is not that of the configuration, or for fewer than 2 ECGs.
    """
    path = checkpoint_file(path)
    state, metadata = read_state(path)
    given = None if config is None else read_config(config)
    settings, _ = configuration_of(path, state, metadata, given)
    if settings.transformer_config is not None:
        raise ValueError(
            f"{path} holds a transformer, which has no S4 kernels: there are no conventions to compare"
        )
    rate = settings.trainset_config.sampling_rate
    if real.fs_hz != rate:
        raise ValueError(f"the real ECGs are at {real.fs_hz:g} Hz; this checkpoint works at {rate:g} Hz")
    if len(real) < 2:
        raise ValueError(f"there are {len(real)} real ECGs; the comparison needs at least 2")
    chosen = min(records, len(real))
    signal = torch.from_numpy(eight_leads_mv(real)[:chosen])  # (n, 8, L)
    x0 = Scale.of(settings.trainset_config).to_network(signal)
    y = torch.from_numpy(_conditions(real, settings)[:chosen])

    schedule = build_schedule(settings)
    steps = np.rint((np.arange(STEPS) + 0.5) / STEPS * (schedule.T - 1)).astype(int)
    conventions = get_args(Cauchy)
    losses = np.zeros((len(conventions), chosen))
    done = 0
    for c, convention in enumerate(conventions):
        net = build_network(settings, convention)
        load_into(net, state, str(path))
        net.eval()
        for t in steps.tolist():
            alpha, sigma = float(schedule.alpha[t]), float(schedule.sigma[t])
            z = normal(0, range(chosen), t, (8, x0.shape[-1]))
            for i in range(0, chosen, BATCH):
                at = slice(i, min(i + BATCH, chosen))
                level = torch.full((at.stop - i, 1), float(t), dtype=torch.float32)
                with torch.no_grad():
                    eps = net((alpha * x0[at] + sigma * z[at], y[at], level))
                losses[c, at] += ((eps - z[at]) ** 2).mean(dim=(1, 2)).double().numpy() / STEPS
                done += at.stop - i
                if progress is not None:
                    progress(done, len(conventions) * STEPS * chosen)
    difference = losses[1] - losses[0]  # (n,)
    error = difference.std(ddof=1) / np.sqrt(chosen)
    clear = abs(difference.mean()) > CLEAR * error and losses.mean(axis=1).min() < NOTHING
    return CauchyFit(
        loss={name: float(loss) for name, loss in zip(conventions, losses.mean(axis=1), strict=True)},
        better=conventions[int(losses.mean(axis=1).argmin())] if clear else None,
        records=chosen,
        steps=tuple(steps.tolist()),
    )


def _conditions(real: Recordings, config: Config) -> NDArray[np.float32]:
    """Return what the network takes beside the signal (n, columns); age, sex and heart rate are unknown.

    Labels that the recordings lack are 0. ValueError if the labels of the network have no names.
    """
    names = label_names(config)
    if config.trainset_config.label_names is None and names != CODES:
        raise ValueError(
            f"this checkpoint has {len(names)} classes without names: give its configuration with "
            "trainset_config.label_names (--config)"
        )
    y = np.zeros((len(real), len(names)), np.float32)
    for column, name in enumerate(names):
        if name in real.label_names:
            y[:, column] = real.labels[:, real.label_names.index(name)]
    return np.hstack((y, config.trainset_config.takes.values(records=len(real))))
