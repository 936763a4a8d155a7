"""What is set around the library changes nothing in records and files, and is left as it was."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd import SSSDECG, Ecg
from sssd.checkpoints.inspection import fit_cauchy
from sssd.cli import main
from sssd.data.recordings import Recordings
from sssd.engine import processor
from sssd.evaluation import classifier
from sssd.evaluation.memorisation import nearest
from sssd.export.evaluation import Evaluation
from sssd.io.recording import read_recording
from sssd.measurements import measurements
from sssd.models.settings import isolated
from sssd.plot import draw, paper, sheet
from sssd.signals import delineator
from sssd.utils.util import calc_diffusion_hyperparams, sampling_label_ddim, std_normal
from tests.test_transformer import random_net
from tests.test_transformer import tiny as tiny_transformer
from tests.test_wrapper import LENGTH, tiny

from .page import row, rows
from .records import beats_mv, wfdb_record

TYPE = "PyTorch's default type: float64, float16, bfloat16"
DEVICE = "PyTorch's default device, also `meta`"
MODES = "inference mode, gradients off, anomaly detection"
EXACT = "deterministic algorithms, TF32 or bf16 for float32 products"
NUMPY = "NumPy's error state, warnings as errors"


@contextlib.contextmanager
def switched(switch: Callable[[Any], Any], value: Any, before: Any) -> Iterator[None]:
    switch(value)
    try:
        yield
    finally:
        switch(before)


@contextlib.contextmanager
def warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def default(kind: torch.dtype) -> Callable[[], Any]:
    return lambda: switched(torch.set_default_dtype, kind, torch.float32)


def default_device() -> Any:
    return switched(torch.set_default_device, "meta", None)


def products(name: str) -> Callable[[], Any]:
    return lambda: switched(torch.set_float32_matmul_precision, name, "highest")


STATES: list[tuple[str, Callable[[], Any]]] = [
    (TYPE, default(torch.float64)),
    (TYPE, default(torch.float16)),
    (TYPE, default(torch.bfloat16)),
    (DEVICE, default_device),
    (DEVICE, lambda: torch.device("meta")),
    ("autocast", lambda: torch.autocast("cpu", torch.bfloat16)),
    ("autocast", lambda: torch.autocast("cpu", torch.float16)),
    (MODES, torch.inference_mode),
    (MODES, torch.no_grad),
    (MODES, torch.enable_grad),
    (MODES, lambda: torch.autograd.set_detect_anomaly(True)),
    (EXACT, lambda: switched(torch.use_deterministic_algorithms, True, False)),
    (EXACT, products("medium")),
    (EXACT, products("high")),
    (NUMPY, lambda: np.errstate(all="raise")),
    (NUMPY, warnings_as_errors),
]


def settings() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_autocast_enabled("cpu"),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in float32 with attention, velocity and a scale."""
    model = tiny(
        diffusion_config={"T": 20, "prediction": "v", "terminal_alpha": 0.01},
        trainset_config={"segment_length": LENGTH, "lead_scale_mv": [0.5] * 8},
    )
    return model.save_checkpoint(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a transformer with random weights, which takes circumstances."""
    model = SSSDECG(tiny_transformer(), device="cpu")
    model.model.load_state_dict(random_net().state_dict())
    return model.save_checkpoint(tmp_path_factory.mktemp("transformer") / "m.safetensors")


def of_transformer(path: Path) -> list[torch.Tensor]:
    """Records of a transformer that is loaded on the spot, and one evaluation as it is exported."""
    processor.onednn.cache_clear()
    model = SSSDECG.from_pretrained(path, device="cpu")
    records = model.generate(["AFIB", "NORM"], seed=1, steps=3, precision="float32")
    at: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    with isolated(), torch.no_grad():
        evaluation = Evaluation(model.model, model.schedule, model.shape[1])
        x, cond = torch.ones(2, *model.shape, **at), torch.zeros(2, model.model.columns, **at)
        eps, x0 = evaluation(x, torch.full((1,), 5, device="cpu"), cond)
    return [torch.as_tensor(records, device="cpu"), eps, x0]


@rows("state", STATES)
def test_a_transformer_does_not_depend_on_it(state: Callable[[], Any], transformer: Path) -> None:
    """Fails when a constant of its faster form, or of its export, has the caller's type (seen)."""
    expected = of_transformer(transformer)
    onednn = processor.onednn()
    with state():
        found = of_transformer(transformer)
        assert processor.onednn() == onednn
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32 and torch.equal(one, other)


def everything(path: Path) -> list[torch.Tensor]:
    """Records of several samplers, and of SSSD-ECG's function, of a model that is loaded on the spot."""
    model = SSSDECG.from_pretrained(path, device="cpu")
    how: dict[str, Any] = {"seed": 1, "steps": 3, "precision": "float32"}
    made = [model.generate(["AFIB", "NORM"], sampler=s, **how) for s in ("ddim", "unipc", "sde-dpmpp-2m")]
    torch.manual_seed(0)
    size = (1, 8, LENGTH)
    cond = torch.zeros(1, len(model.label_names), device="cpu", dtype=torch.float32)
    made.append(sampling_label_ddim(model.model, size, model.diffusion_hyperparams, cond, 3, 1.0))
    table = calc_diffusion_hyperparams(20, 1e-4, 0.02)
    return [torch.as_tensor(part, device="cpu") for part in (*made, table["Sigma"], std_normal((3, 4)))]


@rows("state", STATES)
def test_records_do_not_depend_on_it(state: Callable[[], Any], saved: Path) -> None:
    """Fails when a tensor is made with the caller's type or device, or a product under its autocast (seen)."""
    expected = everything(saved)
    with state():
        torch.manual_seed(0)
        found = everything(saved)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32 and not one.is_inference()
        assert torch.equal(one, other)


@rows("state", STATES)
def test_it_is_left_as_it_was(state: Callable[[], Any], saved: Path) -> None:
    """Fails when a setting, or a random generator, is another one afterwards, or for others in the meantime."""
    seen: list[Any] = []
    with state():
        before = settings()
        model = SSSDECG.from_pretrained(saved, device="cpu")
        model.generate("AFIB", seed=1, steps=2, progress=lambda *_: seen.append(torch.get_default_dtype()))
        assert settings() == before
        assert set(seen) == {torch.get_default_dtype()}


@row(MODES)
@pytest.mark.parametrize("state", [torch.inference_mode, torch.no_grad])
def test_a_model_that_was_loaded_there_can_be_trained(state: Callable[[], Any], saved: Path) -> None:
    """Fails when its weights, or the kernels that are kept, are tensors without gradients (seen)."""
    with state():
        model = SSSDECG.from_pretrained(saved, device="cpu")
        model.generate("AFIB", seed=1, steps=1)
    loss = model(torch.zeros(2, 8, LENGTH), torch.zeros(2, len(model.label_names)))
    loss.backward()
    assert all(p.requires_grad for p in model.model.parameters()) and loss.requires_grad
    optimizer = torch.optim.SGD(model.model.parameters(), lr=0.1)
    optimizer.step()


@rows("state", [(TYPE, default(torch.float64)), (DEVICE, default_device), (MODES, torch.no_grad)])
def test_training_does_not_depend_on_it(state: Callable[[], Any], tmp_path: Path) -> None:
    """Fails when the first weights or the batches are drawn in another type, or gradients stay off."""
    pytest.importorskip("lightning_fabric")
    from sssd.training.loop import train
    from tests.test_training import records
    from tests.test_training import tiny as to_train

    config = to_train(n_iters=2, iters_per_ckpt=2)
    expected = train(config, records(), tmp_path / "a", accelerator="cpu").path.read_bytes()
    with state():
        before = settings()
        found = train(config, records(), tmp_path / "b", accelerator="cpu").path.read_bytes()
        assert settings() == before
    assert hashlib.sha256(found).digest() == hashlib.sha256(expected).digest()


def measured() -> list[Any]:
    """What is measured in records: a classifier's answers, distances, and waves by a network that is loaded anew."""
    x = np.stack([beats_mv(k)[[0, *range(6, 12), 5]] for k in range(8)]).astype(np.float32)
    trained = classifier.train(x, (np.arange(8) % 2)[:, None], epochs=1, width=4)
    delineator.trained.cache_clear()
    return [
        classifier.predict(trained, x),
        classifier.features(trained, x),
        nearest(x[:3], x[3:])[0],
        np.array([value for _, value in sorted(measurements(Ecg(beats_mv(1), 100)).items())]),
    ]


@rows("state", STATES)
def test_measures_do_not_depend_on_it(state: Callable[[], Any]) -> None:
    """Fails when a classifier of `evaluate` has the caller's type, or is trained without gradients (seen)."""
    expected = measured()
    with state():
        before = settings()
        found = measured()
        assert settings() == before
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@row(EXACT)
def test_the_convention_of_a_checkpoint_does_not_depend_on_it() -> None:
    path = Path(__file__).parents[1] / "golden" / "sssd_ecg_small.pkl"
    signal = np.stack([beats_mv(k) * 1000 for k in range(2)]).astype(np.int16)
    real = Recordings(signal, np.zeros((2, 1), np.uint8), ("NORM",))
    expected = fit_cauchy(path, real).loss
    with products("medium")():
        assert fit_cauchy(path, real).loss == expected


# --- pictures ---------------------------------------------------------------------------------------------

PICTURES = "matplotlib's rc file and backend"
ECG = Ecg(
    np.sin(np.arange(12_000.0)).reshape(12, 1000),
    statements=("AFIB", "LVH", "NDT"),
    provenance={"synthetic": True, "requested": "AFIB", "seed": 3, "cauchy": "conjugate_pairs"},
)


@rows(
    "rc",
    [
        (PICTURES, {"text.usetex": True}),
        (PICTURES, {"savefig.bbox": "tight", "savefig.facecolor": "black", "savefig.transparent": True}),
        (PICTURES, {"font.size": 30, "text.color": "red", "font.family": "serif", "axes.linewidth": 9}),
        (PICTURES, {"path.simplify_threshold": 1.0, "lines.antialiased": False, "agg.path.chunksize": 200}),
        (PICTURES, {"figure.constrained_layout.use": True, "figure.dpi": 30, "savefig.dpi": 20}),
        (PICTURES, {"svg.fonttype": "none", "pdf.fonttype": 42, "pdf.compression": 0, "svg.hashsalt": "x"}),
        (PICTURES, {"path.sketch": (1, 100, 2), "path.effects": []}),
    ],
)
def test_pictures_do_not_depend_on_it(rc: dict[str, Any]) -> None:
    """Fails when a style of the user reaches a picture, or ours stays."""
    import matplotlib

    def pictures() -> list[bytes]:
        return [draw(figure, form) for figure in (paper(ECG), sheet([ECG])) for form in ("svg", "pdf", "png")]

    expected = pictures()
    with matplotlib.rc_context(rc):
        before = dict(matplotlib.rcParams)
        assert pictures() == expected
        assert dict(matplotlib.rcParams) == before


# --- the command line -------------------------------------------------------------------------------------

TERMINAL = "a terminal of ASCII, Latin-1 or cp437, 20 columns, TERM=dumb"
ARGUMENTS = ["generate", "--label", "AFIB", "--steps", "1", "--seed", "1"]


def digest(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


@row(TERMINAL)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_terminals_that_cannot_show_all(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when the files are written and the exit code is 1, or when help ends in the middle (seen)."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    table = tmp_path / "日本.csv"
    table.write_text("labels\nAFIB\n", encoding="utf-8")
    assert main(["generate", "--help"]) == 0
    assert main(["generate", "--labels-from", str(table), "--out", str(tmp_path / "ü日"), "--seed", "x"]) == 2
    assert main(["labels", "bundle"]) == 0
    from sssd.cli.console import note, say

    say("ü日")
    note("ü日")
    out.flush(), err.flush()
    shown = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "--overwrite" in shown and "CLBBB" in shown and "\\u65e5" in shown


@row(TERMINAL, "locale, time zone, `python -O`, hash seed", PICTURES)
def test_files_of_an_odd_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All at once, in a process of its own. Fails when one of them reaches a file or the exit code."""
    (tmp_path / "rc").write_text("text.usetex: True\nfont.size: 30\n")
    odd = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
        "TZ": "Asia/Tokyo",
        "PYTHONHASHSEED": "7",
        "PYTHONOPTIMIZE": "2",
        "TERM": "dumb",
        "COLUMNS": "20",
        "MATPLOTLIBRC": str(tmp_path / "rc"),
        "MPLBACKEND": "nosuch",
    }
    formats = ["--format", "wfdb,npz,csv,png,svg,pdf"]
    assert main([*ARGUMENTS, *formats, "--out", str(tmp_path / "plain")]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "sssd", *ARGUMENTS, *formats, "--out", tmp_path / "ü"],
        env={**os.environ, **odd},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "ü") == digest(tmp_path / "plain")
    assert b"1 ECG in " in done.stdout


@row("locale, time zone, `python -O`, hash seed")
def test_help_without_docstrings() -> None:
    """Fails when `python -OO`, which drops docstrings, leaves the help without them."""
    given = [sys.executable, "-OO", "-m", "sssd", "corpus", "create", "--help"]
    env = {**os.environ, "COLUMNS": "100"}
    shown = subprocess.run(given, env=env, capture_output=True, text=True, encoding="utf-8")
    whole = subprocess.run([given[0], *given[2:]], env=env, capture_output=True, text=True, encoding="utf-8")
    assert shown.returncode == 0 and shown.stdout == whole.stdout and len(shown.stdout) > 1000


@row(TERMINAL)
@pytest.mark.parametrize("columns", ["0", "1", "5"])
def test_a_terminal_without_width(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails when a terminal of no width, as some programs set it, gets none of the help, with exit code 0."""
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["generate", "--help"]) == 0
    assert "--overwrite" in capsys.readouterr().out


@row(TEMPORARY := "no folder for temporary files, or a full disk")
def test_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when every recording is called missing because links to its files cannot be made."""
    header = wfdb_record(tmp_path, "a", line="a.mat {n} 100 {length}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(OSError, match="none"):
        read_recording(header)


@row(TEMPORARY)
def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: nothing is left behind, and the message says why."""
    resource = pytest.importorskip("resource")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "sssd", *ARGUMENTS, "--format", "npz,wfdb", "--out", str(out)],
        preexec_fn=limited, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.strip() == "sssd-ecg: [Errno 27] File too large"
    assert not list(tmp_path.iterdir())


# --- SSSD-ECG's functions, and sets that are compared ------------------------------------------------------

EMPTY = "`sampling_label`, `sampling_label_ddim` of 0 records or samples"
SIZES = "a size that is negative, no whole numbers, or of another number of leads"


@pytest.fixture(scope="module")
def model() -> SSSDECG:
    return tiny()


def sampled(model: SSSDECG, size: Any, labels: int | None, eta: Any = 0.0) -> torch.Tensor:
    cond = None if labels is None else torch.zeros(labels, len(model.label_names))
    return sampling_label_ddim(model.model, size, model.diffusion_hyperparams, cond, 2, eta)


@row(EMPTY)
@pytest.mark.parametrize("size", [(0, 8, LENGTH), (1, 8, 0), (0, 8, 0)])
def test_none_are_none(size: tuple[int, int, int], model: SSSDECG) -> None:
    """Fails with an error of the FFT library (seen)."""
    assert sampled(model, size, size[0]).shape == size
    table = model.step_table(steps=2)
    nothing = np.zeros((0, len(model.label_names)), np.float32)
    assert model.generate_batch(nothing, [], [], table).shape == (0, 8, LENGTH)


@row("eta as a tensor")
def test_eta_as_a_tensor(model: SSSDECG) -> None:
    made = []
    for eta in (0.5, torch.tensor(0.5), torch.tensor([0.5]), np.float32(0.5)):
        torch.manual_seed(0)
        made.append(sampled(model, (1, 8, LENGTH), 1, eta))
    assert all(torch.equal(one, made[0]) for one in made)


@rows(
    "size,labels,told",
    [
        (SIZES, (-1, 8, LENGTH), 1, "whole numbers"),
        (SIZES, (1.0, 8, LENGTH), 1, "whole numbers"),
        (SIZES, (1, 8), 1, "whole numbers"),
        (SIZES, (1, 12, LENGTH), 1, "makes 8 leads"),
        ("no labels for a network with labels", (1, 8, LENGTH), None, "needs label vectors"),
    ],
)
def test_sizes_that_are_none(size: Any, labels: int | None, told: str, model: SSSDECG) -> None:
    with pytest.raises(ValueError, match=told):
        sampled(model, size, labels)


@row("the training loss of no records")
def test_the_loss_of_nothing(model: SSSDECG) -> None:
    with pytest.raises(ValueError, match=r"x has shape \(0, 8, "):
        model(torch.zeros(0, 8, LENGTH), torch.zeros(0, len(model.label_names)))


@row(
    "`evaluate` with labels in another order or another case",
    "`evaluate` with a label that one set lacks",
    "`evaluate` without any common label",
)
def test_sets_with_other_labels() -> None:
    """Fails when columns are compared by place, or a set is refused for one label."""
    from sssd.data.recordings import Recordings
    from sssd.evaluation.sets import aligned, unshared

    signal = np.zeros((8, 12, 100), np.int16)
    bits = np.eye(8, 3, dtype=np.uint8)
    real = Recordings(signal, bits, ("AFIB", "NORM", "LVH"))
    turned = Recordings(signal, bits[:, ::-1].copy(), ("lvh", "norm", "afib"))
    assert np.array_equal(aligned("synthetic", turned, real).labels, bits)
    assert unshared("synthetic", turned, real) == []
    other = Recordings(signal, bits, ("NORM", "PACE", "STACH"))
    found = aligned("synthetic", other, real)
    assert np.array_equal(found.labels, np.stack((0 * bits[:, 0], bits[:, 0], 0 * bits[:, 0]), axis=1))
    assert found.stated is not None and found.stated[0].tolist() == [0, 1, 0]
    lacking, unused = unshared("synthetic", other, real)
    assert "no label AFIB, LVH" in lacking and "no label PACE, STACH" in unused
    with pytest.raises(ValueError, match="no label in common"):
        aligned("synthetic", Recordings(signal, bits, ("a", "b", "c")), real)
