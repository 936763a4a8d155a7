"""Exported models: ONNX Runtime agrees with the network in PyTorch, and their records with those of `generate`."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd import SSSDECG
from sssd.checkpoints import compact, write_safetensors
from sssd.circumstances import as_told, bits_of, statement_weights, with_circumstances
from sssd.cli import main
from sssd.config.schema import Config
from sssd.converter import converted
from sssd.leads import to_twelve
from sssd.models.transformer import Transformer, convolved, toeplitz
from sssd.noise import origin
from sssd.request import conditions
from tests.test_transformer import tiny

onnx = pytest.importorskip("onnx", reason="pip install '.[onnx]'")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

# once it is known to be there
from sssd.export import KEY, OPSET, WEIGHTS, onnx_bytes, onnx_parts, write_onnx  # noqa: E402
from sssd.export.evaluation import in_waves, spectrum, waves  # noqa: E402
from sssd.export.facts import facts  # noqa: E402

EXAMPLE = Path(__file__).parents[1] / "examples" / "generate_from_onnx.py"
RELATIVE = 1e-4
SAME_MV = 5e-3  # of the model that ships
ROUNDING = 1e-5  # of the random ones, which amplify little
SMALL_S4 = {
    "num_res_layers": 2,
    "res_channels": 32,
    "skip_channels": 8,
    "s4_d_state": 8,
    "label_embed_dim": 4,
}
SMALL_TRANSFORMER = {
    "width": 16,
    "layers": 2,
    "heads": 2,
    "embed": 16,
    "circumstances": 8,
    "heart_rates": True,
    "sources": ["a", "b"],
}


def s4_eps() -> Config:
    """As published: no patches, no attention, eps; DDPM's noise in four steps of DDIM."""
    return Config.model_validate(
        {
            "wavenet_config": SMALL_S4 | {"s4_lmax": 100},
            "trainset_config": {"segment_length": 100},
            "ddim_config": {"ddim_timesteps": 4, "ddim_eta": 1.0},
        }
    )


def s4_velocity() -> Config:
    """As the built-in model: patches, attention, velocity, age and sex, volts of each lead, a calibrated sampler."""
    return Config.model_validate(
        {
            "diffusion_config": {"prediction": "v", "terminal_alpha": 0.01},
            "wavenet_config": SMALL_S4
            | {"s4_lmax": 104, "patch": 8, "attention_every": 1, "label_embed_classes": 75},
            "trainset_config": {
                "segment_length": 99,
                "patient": True,
                "lead_scale_mv": [0.5, 1, 2, 1, 1, 1, 1, 0.7],
            },
            "ddim_config": {
                "sampler": "sde-dpmpp-2m",
                "ddim_timesteps": 5,
                "gains": {"sde-dpmpp-2m5": [1.1] * 8},
            },
        }
    )


def transformer(length: int = 100) -> Config:
    """As the built-in model: circumstances, sources, heart rate and its variability, raised high frequencies."""
    content = tiny(length=length).model_dump()
    content["transformer_config"] = SMALL_TRANSFORMER
    content["trainset_config"] |= {"heart_rate": True, "variability": True}
    content["wavenet_config"]["label_embed_classes"] = 79
    content["ddim_config"] |= {"sampler": "consistency", "ddim_timesteps": 3, "nodes": [199, 120, 60]}
    return Config.model_validate(content)


def random_model(config: Config) -> SSSDECG:
    torch.manual_seed(0)
    model = SSSDECG(config, device="cpu")
    with torch.no_grad():
        for name, p in model.model.named_parameters():
            if p.ndim > 1 and not name.endswith((".C", "weight_v", "weight_g")):
                p.normal_(std=p.shape[-1] ** -0.5)
        if isinstance(model.model, Transformer) and model.model.circumstances is not None:
            model.model.circumstances.normal_()
            if model.model.config.slow:  # about what recordings have
                assert model.model.circumstances_scale is not None
                mean = torch.tensor([2.3, -2.3, -2.4, 1.6]).repeat_interleave(8)
                model.model.circumstances_scale.copy_(torch.stack((mean, torch.full((32,), 0.3))))
        if isinstance(model.model, Transformer) and model.model.heart_rates is not None:
            for name, values in with_heart_rates(len(model.label_names)).items():
                model.model.get_buffer(name).copy_(values)
    return model


def with_heart_rates(labels: int, rows: int = 8) -> dict[str, torch.Tensor]:
    """What rhythms are drawn from: rows that carry a few statements each, and one whose rate is unknown."""
    random = np.random.default_rng(0)
    has, rates = random.random((rows, labels)) < 0.05, random.uniform(50, 120, rows)
    rates[1] = np.nan
    return {
        "heart_rates": torch.from_numpy(np.nan_to_num(rates)).half(),
        "statements": bits_of(has, rows),
        "statement_weights": statement_weights(has, rates, random.standard_normal(rows)),
        "variabilities": torch.from_numpy(random.standard_normal(rows)).half(),
    }


@pytest.fixture(scope="module", params=[s4_eps, s4_velocity, transformer])
def exported(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[SSSDECG, Path]:
    model = random_model(request.param())
    return model, write_onnx(model, tmp_path_factory.mktemp("exported") / "model.onnx")


def session_of(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def example() -> Any:
    spec = importlib.util.spec_from_file_location("generate_from_onnx", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def differences(model: SSSDECG, session: Any, records: int, step: int) -> tuple[float, float]:
    """Return how far eps and x0 are from those of the network, relative to the largest values."""
    columns = session.get_inputs()[2].shape[1]
    random = torch.Generator().manual_seed(step)
    x = torch.randn(records, *model.shape, generator=random)
    cond = torch.rand(records, columns, generator=random)
    with torch.no_grad():
        eps = model.model((x, cond, torch.full((records, 1), float(step)))).numpy()
    alpha, sigma = model.schedule.alpha[step], model.schedule.sigma[step]
    found = session.run(["eps", "x0"], {"x": x.numpy(), "step": np.array([step]), "cond": cond.numpy()})
    x0 = alpha * x.numpy() - sigma * ((eps - sigma * x.numpy()) / alpha) if model.model.velocity else None
    if x0 is None:
        x0 = (x.numpy() - sigma * eps) / alpha
    assert np.abs(eps).max() > 1e-3
    return tuple(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, (eps, x0), strict=True))


@pytest.mark.parametrize(("records", "step"), [(1, 0), (3, 70), (2, 199)])
def test_onnx_runtime_agrees_with_the_network(
    exported: tuple[SSSDECG, Path], records: int, step: int
) -> None:
    """Broken by kernels that run the wrong way, by a patch, by a step that does not reach the graph."""
    model, path = exported
    in_eps, in_x0 = differences(model, session_of(path), records, step)
    assert in_eps < RELATIVE
    assert in_x0 < RELATIVE


@pytest.mark.parametrize("heart_rate", [90, None])
def test_the_example_makes_the_records_of_generate(
    exported: tuple[SSSDECG, Path], heart_rate: float | None
) -> None:
    """Broken by another noise, table, gain, scale, scaling of age, circumstances, heart rate, or order of leads."""
    model, path = exported
    takes = model.config.trainset_config.takes
    patient: dict[str, Any] = {"age": 70, "sex": "female"} if takes.patient else {}
    patient |= {"heart_rate": heart_rate} if takes.heart_rate else {}
    seed = 2**40 + 7
    wanted = model.generate(
        "AFIB+CLBBB", num_samples=3, exact=True, seed=seed, precision="float32", return_numpy=True, **patient
    )
    found = example().generate(str(path), ["AFIB", "CLBBB"], seed=seed, records=3, **patient)
    assert found.shape == (3, 12, model.shape[1])
    assert np.abs(wanted).max() > 0.05
    apart = np.abs(found - to_twelve(wanted))
    assert apart.max() < 2e-3  # mV: two programs round a value between two steps of the converter differently
    assert (apart < ROUNDING * np.abs(wanted).max()).mean() > 0.95


def test_the_example_has_the_circumstances_of_the_package() -> None:
    """Broken by another row, effect, band, order of leads, quantile, window, ramp, or number of rounds."""
    content = transformer(1000).model_dump()
    content["transformer_config"] |= {"edge": True, "slow": True}
    model = random_model(Config.model_validate(content))
    told = json.loads(json.dumps(facts(model)))
    x = 0.02 * torch.randn(3, 8, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = (x.cumsum(-1) + x.flip(-1)) / 2
    state = origin(3, range(3))
    cond = with_circumstances(model.model, torch.zeros(3, 71), state, rates=True)
    wanted = as_told(model.model, x, torch.zeros(3, 71), state, 100.0)
    heart_rate = [None, 90.0, 140.0]
    vectors = np.zeros((3, 71), np.float32)
    vectors[:, [model.label_names.index("AFIB"), model.label_names.index("CLBBB")]] = 1
    asked = conditions(vectors, 3, model.classes, heart_rate=heart_rate)
    drawn = with_circumstances(model.model, torch.from_numpy(asked), state, rates=True)
    for i, rate in enumerate(heart_rate):
        row = example().conditions(told, ["AFIB", "CLBBB"], seed=3, index=i, heart_rate=rate)
        np.testing.assert_allclose(row, drawn[i].numpy(), rtol=0, atol=1e-6)
    found = [example().as_told(told, one, row) for one, row in zip(x.numpy(), cond.numpy(), strict=True)]
    np.testing.assert_allclose(np.stack(found), wanted.numpy(), rtol=0, atol=1e-9)
    assert np.abs(wanted - x).max() > 1e-3


def test_the_example_has_the_converter_of_the_package() -> None:
    """Broken by another step, hold, kernel, order of leads, or ends of a lead."""
    told = facts(random_model(transformer()))["converter"]
    x = 0.02 * torch.randn(3, 8, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = (x.cumsum(-1) + x.flip(-1)) / 2
    found = np.stack([example().converted(json.loads(json.dumps(told)), one) for one in x.numpy()])
    np.testing.assert_allclose(found, converted(x).numpy(), rtol=0, atol=1e-9)
    assert np.abs(found - x.numpy()).max() > 1e-3
    content = transformer().model_dump()
    content["trainset_config"] |= {"converter": False}
    assert facts(random_model(Config.model_validate(content)))["converter"] is None


def test_the_file_says_what_it_is(exported: tuple[SSSDECG, Path]) -> None:
    model, path = exported
    session = session_of(path)
    assert [(one.domain, one.version) for one in onnx.load(path).opset_import] == [("", OPSET)]
    told = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    assert told["model"] == model.model_hash
    x, step, cond = session.get_inputs()
    conditions = told["conditions"]
    assert x.shape[1:] == [len(told["leads"]), told["samples"]] and step.shape == [1]
    assert cond.shape[1] == len(conditions["columns"]) == len(conditions["given"])
    assert tuple(conditions["columns"][: conditions["labels"]]) == model.label_names
    steps = np.array(told["sampler"]["steps"])
    np.testing.assert_array_equal(steps, model.step_table().steps)


def test_unconditional_is_what_the_network_says(exported: tuple[SSSDECG, Path]) -> None:
    """The row of the file without statements is the network's own; broken by the wrong flag or source."""
    model, path = exported
    told = json.loads(session_of(path).get_modelmeta().custom_metadata_map[KEY])["conditions"]
    given = torch.tensor([told["given"]])
    assert model.model.unconditional(given)[0].tolist() == told["unconditional"]
    if isinstance(model.model, Transformer):
        asked = torch.zeros(1, len(model.classes.names))
        known = model.model.full(asked)[0]
        assert [a for a, b in zip(told["columns"], known.tolist(), strict=True) if b] == ["source a"]


def test_nothing_of_this_machine_is_in_the_file(exported: tuple[SSSDECG, Path]) -> None:
    content = exported[1].read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[1]).encode() not in content


@pytest.mark.parametrize(("tokens", "reach"), [(1, 2), (20, 124), (125, 124), (160, 124), (7, 2)])
def test_convolutions_in_waves_are_those_by_matrices(tokens: int, reach: int) -> None:
    """Broken by taps that run the wrong way, a ring that is too short, or another scale of a frequency."""
    random = torch.Generator().manual_seed(tokens)
    taps = torch.randn(2 * reach + 1, 3, generator=random)
    z = torch.randn(2, tokens, 3, generator=random)
    ring = waves(tokens)
    wanted = convolved(z, toeplitz(taps, tokens))
    torch.testing.assert_close(in_waves(z, spectrum(taps, ring), ring), wanted, rtol=0, atol=5e-5)


def test_a_transformer_has_no_matrix_for_each_channel(tmp_path: Path) -> None:
    """A file that made them would take the time and memory of 108 MB when a session of the built-in model begins."""
    path = write_onnx(random_model(transformer(length=1000)), tmp_path / "model.onnx")
    optimised = tmp_path / "optimised.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert optimised.stat().st_size < 1.3 * path.stat().st_size


def test_a_file_and_its_weights_apart(tmp_path: Path) -> None:
    """Broken by weights in another order, at another place, or in both files."""
    model = random_model(transformer())
    with torch.no_grad():
        for p in model.model.parameters():
            p.copy_(p.half())
    graph, weights = onnx_parts(model)
    (tmp_path / "model.onnx").write_bytes(graph)
    wide = np.frombuffer(weights, "<f2").astype("<f4")
    (tmp_path / WEIGHTS).write_bytes(wide.tobytes())
    assert wide.size >= sum(p.numel() for p in model.model.parameters() if p.numel() > 500)
    assert len(graph) + len(weights) < 1.1 * len(onnx_bytes(model))
    assert max(differences(model, session_of(tmp_path / "model.onnx"), 2, 100)) < RELATIVE


def test_weights_that_float16_holds_take_half_of_the_room(tmp_path: Path) -> None:
    """Broken by float32 for all of them, or by float16 where it would round."""
    model = random_model(transformer())
    metadata = {"config": json.dumps(model.config.content())}
    half = write_safetensors(tmp_path / "half.safetensors", compact(model.model.state_dict()), metadata)
    rounded = SSSDECG.from_pretrained(half, device="cpu")
    small = write_onnx(rounded, tmp_path / "small.onnx")
    tensors = [t for t in onnx.load(small).graph.initializer if np.prod(t.dims) > 500]
    stored = sum(int(np.prod(t.dims)) for t in tensors if t.data_type == onnx.TensorProto.FLOAT16)
    assert stored == sum(p.numel() for p in model.model.parameters() if p.numel() > 500)
    assert max(differences(rounded, session_of(small), 2, 100)) < RELATIVE


def test_the_same_model_gives_the_same_file() -> None:
    """Also where its weights are no numbers of float16: then they stay as they are."""
    content = onnx_bytes(random_model(transformer()))
    assert content == onnx_bytes(random_model(transformer()))
    kinds = {t.data_type for t in onnx.load_from_string(content).graph.initializer if np.prod(t.dims) > 500}
    assert onnx.TensorProto.FLOAT16 not in kinds


def test_the_file_does_not_depend_on_the_default_type() -> None:
    """Fails when the example inputs, or a table of the graph, have the caller's type."""
    model = random_model(transformer())
    expected = onnx_bytes(model)
    torch.set_default_dtype(torch.float64)
    try:
        assert onnx_bytes(model) == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_transformer_leaves_no_sine_to_the_program_that_runs_it() -> None:
    """By WebGPU, a sine is off by 2e-4. Broken by the sine of the noise level in the graph (seen)."""
    nodes = onnx.load_from_string(onnx_bytes(random_model(transformer()))).graph.node
    assert not {"Sin", "Cos"} & {node.op_type for node in nodes}


def test_the_command_writes_a_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = random_model(transformer()).save_checkpoint(tmp_path / "model.safetensors")
    out = tmp_path / "model.onnx"
    call = ["export", str(source), "--format", "onnx", "--out", str(out)]
    assert main(call) == 0
    assert f"opset {OPSET}" in capsys.readouterr().out
    before = out.read_bytes()
    assert main(call) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["default", "--out", "model.bin"], "a name such as model.onnx"),
        (["nowhere.safetensors", "--out", "model.onnx"], "nowhere.safetensors"),
        (["default", "--out", "nowhere/model.onnx"], "there is no folder"),
        (["default", "--format", "torchscript", "--out", "model.onnx"], "torchscript"),
    ],
)
def test_what_cannot_be_written_is_refused(
    call: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *call]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "default", "--out", str(tmp_path / "model.onnx")]) == 1
    assert "pip install 'sssd-ecg[onnx]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_shipped_model(tmp_path: Path) -> None:
    """The command as the manual has it, and the example as a program of its own, which imports no PyTorch."""
    path, out = tmp_path / "model.onnx", tmp_path / "ecgs.npy"
    assert main(["export", "default", "--format", "onnx", "--out", str(path)]) == 0
    model = SSSDECG.from_pretrained(device="cpu")
    session = session_of(path)
    for step in (0, 60, 199):
        assert max(differences(model, session, 2, step)) < RELATIVE
    call = [str(path), str(out), "--labels", "AFIB", "CLBBB", "--seed", "7", "--records", "2", "--age", "80"]
    code = f"import sys, runpy; sys.argv = {['x', *call]!r}; runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    check = "; assert not {'torch', 'sssd'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code + check], check=True, timeout=300)
    wanted = model.generate("AFIB+CLBBB", num_samples=2, exact=True, seed=7, age=80, return_numpy=True)
    assert np.abs(np.load(out) - to_twelve(wanted)).max() < SAME_MV
