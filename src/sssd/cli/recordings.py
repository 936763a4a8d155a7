"""What the commands share that make ECGs of a recording: options, and to check, load, run, write and say."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from ..checks import counted
from ..labels import names_of
from ..presets import checkpoint_name
from . import options
from .console import note, progress_bar, say, usage
from .process import loading
from .sets import check_space, write_records

if TYPE_CHECKING:
    from ..editing import Taken
    from ..model_wrapper import SSSDECG
    from ..records import Records

# make(model, taken, how) returns the records; how has the keywords that all methods of a model take
Make = Callable[["SSSDECG", "Taken", dict[str, Any]], "Records"]


def from_recording(*, partial: bool = False) -> Callable[[Callable[..., Make]], Callable[..., None]]:
    """Turn a function of a command's own options, which returns a `Make`, into the command.

    The command takes a recording, these options, and those of `_of_recording` that do not have the name of one of
    these. partial: whether leads and samples of the recording may be missing.
    """

    def decorate(prepare: Callable[..., Make]) -> Callable[..., None]:
        own = inspect.signature(prepare, eval_str=True).parameters
        all_ = inspect.signature(_of_recording, eval_str=True).parameters
        shared = {name: one for name, one in all_.items() if name not in ("make", "partial", *own)}
        first = [shared.pop(name) for name in ("recording", "out")]
        ordered = [*own.values(), *shared.values()]
        required = [one for one in ordered if one.default is one.empty]
        optional = [one for one in ordered if one.default is not one.empty]

        @wraps(prepare)
        def command(**given: Any) -> None:
            with usage():
                make = prepare(**{name: given.pop(name) for name in own})
            _of_recording(make, partial, **given)

        parameters = [*first, *required, *optional]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


def _of_recording(
    make: Make,
    partial: bool,
    recording: options.Recording,
    out: options.Out,
    own_label: options.Own = None,
    age: options.Age = None,
    sex: options.Sex = None,
    heart_rate: options.HeartRate = None,
    seed: options.Seed = None,
    fs: options.Fs = None,
    formats: options.Formats = "wfdb,npz",
    layout: options.Layout = "3x4",
    speed: options.Speed = 25,
    gain: options.Gain = 10,
    rhythm: options.Rhythm = "II",
    order: options.Order = "clinical",
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Make records of a recording and write them into a folder."""
    with usage():
        from ..io.folder import check_formats, earlier_files

        kinds = check_formats(options.listed(formats))
        drawing = options.drawn(layout, speed, gain, rhythm, kinds)
        options.check(seed, None, checkpoint)
        earlier_files(out.resolve(), overwrite)
        check_space(out, kinds, 1, fs_hz=fs or 100)

        with loading():
            from ..editing import take
            from ..model_wrapper import SSSDECG

        model = SSSDECG.from_pretrained(checkpoint, device=device)
        seed, drawn = options.seed_of(seed)
        taken = take(model, recording, partial=partial)
    with progress_bar(quiet) as bar:
        task = bar.add_task("generating", total=None)
        how: dict[str, Any] = {
            "statements": own_label,
            "age": age,
            "sex": sex,
            "heart_rate": heart_rate,
            "seed": seed,
            "leads": order,
            "fs": fs,
            "progress": lambda done, of: bar.update(task, completed=done, total=of),
        }
        with usage():
            ecgs = make(model, taken, how)
        write_records(
            ecgs,
            out,
            kinds,
            asked=[names_of(row, model.label_names) for row in ecgs.request.vectors],
            manifest={
                "checkpoint": checkpoint_name(checkpoint),
                "device": str(model.device),
                "done_to_source": list(taken.notes),
            },
            overwrite=overwrite,
            bar=bar,
            drawing=drawing,
        )
    for text in taken.notes if not quiet else ():
        note(f"{recording}: {text}")
    say(
        f"{counted(len(ecgs), 'ECG')} in {out}{drawn}",
        f"formats: {', '.join(kinds)}; labels and provenance: {out / 'manifest.json'}",
        quiet=quiet,
    )
