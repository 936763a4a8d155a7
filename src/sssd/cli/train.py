"""`sssd-ecg train`: train a network, or fine-tune one, on prepared recordings."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..presets import BUILTIN, checkpoint_file
from .console import UsageError, progress_bar, say, usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..config.schema import Config, DdimConfig
    from ..data.recordings import Recordings
    from ..training.loop import TrainingData

EXAMPLES = (
    "Examples: sssd-ecg train --config default --data data/ --out runs/mine | "
    "sssd-ecg train --init builtin --data data/ --out runs/tuned"
)


def command(
    data: Annotated[Path, typer.Option(help="What `prepare` wrote: the folder or its signals.npz.")],
    out: Annotated[Path, typer.Option(help="Folder for the run: model.safetensors, log.csv, last.pt.")],
    config: Annotated[
        str | None,
        typer.Option(
            help="A JSON configuration, or 'default' (the model that ships), 'published', 'guided', 'finetune'. One "
            "that describes no network, as the last two, goes with --init; with that alone, 'finetune' is taken."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Start from the weights of this checkpoint; 'builtin' for the model that ships."),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Devices of this machine; torchrun decides itself.")
    ] = 1,
    accelerator: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="What to train on.")
    ] = "auto",
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after this time, with a model; the same command goes on."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Train on folds 1-8, validate on fold 9, leave fold 10 alone. The same command again goes on where it ended."""
    with usage():
        from ..data import recordings

        if config is None and init is None:
            raise UsageError("give --config (a file, 'default' or 'published'), or --init to fine-tune")
        start = None if init is None else weights(init)
        ecgs = recordings.read(data)
        asked, kept = _settings(config, start)
        settings = fitted(asked, ecgs, new_labels=kept)
        if start is not None and asked.ddim_config.sampler == "consistency":
            raise UsageError(
                f"{start} was distilled: fine-tune the network that it was distilled from, then distil again"
            )
        if out.exists() and not out.is_dir():
            raise UsageError(f"{str(out)!r} is a file; choose a folder for the run")
        if find_spec("lightning_fabric") is None:
            raise UsageError("training needs the package lightning-fabric: pip install 'sssd-ecg[train]'")
        split = training_data(ecgs, settings)
    from ..training.loop import Progress, train

    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"  # torchrun sets both
    first = int(rank) == 0  # of several processes, one speaks
    quiet = quiet or not first
    total = settings.train_config.n_iters
    say(
        f"{len(split.signal_mv)} records to train on, {len(split.val_signal_mv)} to validate, "
        f"{split.labels.shape[1]} labels, {total} iterations of {settings.train_config.batch_size} records",
        quiet=quiet,
    )
    shown = "loss {task.fields[loss]}, validation {task.fields[val]}"
    with progress_bar(quiet, shown) as bar:
        task = bar.add_task("training", total=total, loss="-", val="-")

        def report(row: Progress) -> None:
            bar.update(task, completed=row.iteration, loss=f"{row.loss:.4f}")
            if row.val_loss is not None:
                bar.update(task, val=f"{row.val_loss:.4f}")

        done = train(
            settings,
            split,
            out,
            init=start,
            accelerator=accelerator,
            devices=devices,
            report=report,
            until=None if max_minutes is None else time.monotonic() + 60 * max_minutes,
        )
    model = done.path
    if done.iterations < done.of:
        say(f"stopped at iteration {done.iterations} of {done.of}; the same command goes on", quiet=quiet)
    say(
        f"wrote {model} (averaged weights and configuration) and {out / 'log.csv'}",
        f"generate with it: sssd-ecg generate --checkpoint {model} --label {ecgs.label_names[0]} --out ecgs",
        quiet=quiet,
    )


def fitted(config: Config, ecgs: Recordings, *, new_labels: bool = False) -> Config:
    """The configuration with the labels of the recordings; ValueError where rate, length or labels do not fit.

    new_labels: what the configuration calls its labels does not count.
    """
    from ..config.schema import Config
    from ..labels import CODES
    from ..patient import COLUMNS

    trainset, network = config.trainset_config, config.wavenet_config
    _same_length(config, ecgs)
    named = None if new_labels else trainset.label_names
    if named is not None and tuple(named) != ecgs.label_names:
        raise ValueError(
            f"the recordings have the labels {', '.join(ecgs.label_names[:8])}; the configuration names "
            f"{', '.join(named[:8])} (trainset_config.label_names)"
        )
    patient = len(COLUMNS) if trainset.patient else 0
    if (
        ecgs.label_names == CODES
        and network.label_embed_classes == len(CODES) + patient
        and trainset.label_names is None
    ):
        return config
    content = config.model_dump()
    content["wavenet_config"]["label_embed_classes"] = len(ecgs.label_names) + patient
    content["trainset_config"]["label_names"] = list(ecgs.label_names)
    return Config.model_validate(content)


def training_data(ecgs: Recordings, settings: Config) -> TrainingData:
    """Folds 1 to 8 to train on and fold 9 to validate; ValueError where there is nothing to train on."""
    from ..data.recordings import eight_leads_mv
    from ..training.loop import TrainingData

    train, validation = (_folds(ecgs, *folds) for folds in ((1, 8), (9, 9)))
    if not len(train):
        raise ValueError("none of the recordings is in folds 1 to 8: there is nothing to train on")
    return TrainingData(
        signal_mv=eight_leads_mv(train),
        labels=_conditions(train, settings),
        val_signal_mv=eight_leads_mv(validation),
        val_labels=_conditions(validation, settings),
    )


def training_labels(ecgs: Recordings, settings: Config) -> NDArray[np.float32]:
    """What the network of `settings` is conditioned on, of folds 1 to 8: (n, K); ValueError where that does not fit."""
    from ..factory import label_names

    _same_length(settings, ecgs)
    names = label_names(settings)
    if not names:
        raise ValueError("the network takes no labels: give one that does")
    labels = _conditions(training_folds(ecgs), settings)
    if not len(labels) or names != ecgs.label_names:
        raise ValueError(
            f"folds 1 to 8 hold {len(labels)} recordings with labels {', '.join(ecgs.label_names[:8])}; the network "
            f"was trained on {', '.join(names[:8])}: give the data that it was trained on"
        )
    return labels


def _same_length(config: Config, ecgs: Recordings) -> None:
    trainset, length = config.trainset_config, ecgs.signal_uv.shape[-1]
    if ecgs.fs_hz != trainset.sampling_rate or length != trainset.segment_length:
        raise ValueError(
            f"the recordings have {length} samples at {ecgs.fs_hz:g} Hz; the configuration expects "
            f"{trainset.segment_length} at {trainset.sampling_rate:g} Hz (trainset_config)"
        )


def training_folds(ecgs: Recordings) -> Recordings:
    """Folds 1 to 8."""
    return _folds(ecgs, 1, 8)


def _folds(ecgs: Recordings, first: int, last: int) -> Recordings:
    from ..data.recordings import subset

    if ecgs.strat_fold is None:
        raise ValueError("the recordings have no folds (strat_fold); `sssd-ecg prepare` assigns them")
    return subset(ecgs, (ecgs.strat_fold >= first) & (ecgs.strat_fold <= last))


def _conditions(ecgs: Recordings, settings: Config) -> NDArray[np.float32]:
    """(n, K) labels, and behind them age and sex where the network takes them, unknown where recordings do not tell."""
    import numpy as np

    from ..patient import columns

    vectors = ecgs.labels.astype(np.float32)
    if not settings.trainset_config.patient:
        return vectors
    return np.hstack((vectors, columns(ecgs.age, ecgs.sex, records=len(ecgs))))


def _settings(name: str | None, start: Path | None) -> tuple[Config, bool]:
    """The configuration asked for, and whether its network is the one in `start`; without a name, finetune."""
    from ..checkpoints import configuration_of, read_state
    from ..config.schema import DEFAULT, PUBLISHED, read_config

    packaged = {"default": DEFAULT, "published": PUBLISHED}
    packaged |= {kind: DEFAULT.with_name(f"{kind}.json") for kind in ("finetune", "guided")}
    name = name or "finetune"
    settings = read_config(Path(name) if Path(name).exists() else packaged.get(name, Path(name)))
    if "wavenet_config" in settings.model_fields_set or (
        start is None and name not in ("finetune", "guided")
    ):
        return settings, False
    if start is None:
        raise ValueError(f"--config {name} describes no network: give --init, the one to start from")
    others = sorted(settings.model_fields_set - {"train_config"})
    if others:
        raise ValueError(
            f"{name} describes no network (wavenet_config), and beside that of --init only train_config counts: "
            f"leave out {', '.join(others)}, or describe the network too"
        )
    own, _ = configuration_of(start, *read_state(start))
    return own.model_copy(
        update={"train_config": settings.train_config, "ddim_config": _without_fits(own)}
    ), True


def _without_fits(own: Config) -> DdimConfig:
    """The sampling of a configuration without what was fitted to weights that are about to change."""
    sampling = own.ddim_config
    sampler = None if sampling.sampler == "fitted" else sampling.sampler
    return sampling.model_copy(update={"fits": [], "gains": {}, "sampler": sampler})


def weights(init: str) -> Path:
    """The file of a checkpoint, or of the model that ships; FileNotFoundError where there is none."""
    path = checkpoint_file(init)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: give the path of one, or '{BUILTIN}'")
    return path
