"""SSSDECG: labels in, ECGs out; what a record depends on; the sampler chosen; errors; training loss."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from sssd import Ecg
from sssd.config.schema import Config
from sssd.labels import CODES
from sssd.leads import to_twelve
from sssd.model_wrapper import SSSDECG
from sssd.presets import WEIGHTS
from sssd.utils import util

ROOT = Path(__file__).parents[1]
LENGTH, T = 64, 20
NETWORK = {
    "num_res_layers": 2,
    "res_channels": 8,
    "skip_channels": 8,
    "diffusion_step_embed_dim_in": 8,
    "diffusion_step_embed_dim_mid": 8,
    "diffusion_step_embed_dim_out": 8,
    "s4_lmax": LENGTH,
    "s4_d_state": 4,
    "label_embed_dim": 8,
}
SECTIONS = {
    "diffusion_config": {"T": T, "beta_0": 1e-3, "beta_T": 0.2},
    "wavenet_config": NETWORK,
    "trainset_config": {"segment_length": LENGTH},
    "ddim_config": {"ddim_timesteps": 5},
}


def tiny(seed=0, network=None, **sections):
    """A small model whose last layer is not zero."""
    config = {**SECTIONS, **sections}
    config["wavenet_config"] = {**config["wavenet_config"], **(network or {})}
    torch.manual_seed(seed)
    model = SSSDECG(Config.model_validate(config), device="cpu")
    torch.nn.init.normal_(model.model.final_conv["2"].conv.weight, std=0.3)
    return model


@pytest.fixture(scope="module")
def model():
    return tiny()


def velocity(terminal_alpha=0.005, **trainset):
    diffusion = {**SECTIONS["diffusion_config"], "terminal_alpha": terminal_alpha, "prediction": "v"}
    return tiny(diffusion_config=diffusion, trainset_config={"segment_length": LENGTH, **trainset})


def test_annotate_is_checked_before_records_are_made(model, monkeypatch):
    """Fails when the error comes after minutes of sampling."""
    monkeypatch.setattr(model, "sample", lambda *_, **__: pytest.fail("records were made"))
    with pytest.raises(ValueError, match="annotate is 'yes': expected True or False"):
        model.generate_ecgs("NORM", annotate="yes")


# --- what a record depends on -----------------------------------------------------------------------------


@pytest.mark.parametrize("use_ddim", [True, False])
def test_a_record_is_the_same_whatever_the_batch_size(model, use_ddim):
    """Fails when noise comes from a generator that goes on from batch to batch, or is keyed by the row in its batch."""
    how = {"use_ddim": use_ddim, "ddim_eta": 1.0, "seed": 3, "precision": "float32"}
    names = ["AFIB", "NORM", "CLBBB+LVH", "PVC", "SBRAD", "NORM", "STACH", "IMI"]
    whole = model.generate(names, batch_size=8, **how)
    for size in (1, 3):
        assert (model.generate(names, batch_size=size, **how) - whole).abs().max() < 2e-5  # mV
    assert (model.generate(names[:3], **how) - whole[:3]).abs().max() < 2e-5
    assert (whole[1] - whole[5]).abs().max() > 0.1  # the same statement at another index


def test_the_seed_decides(model):
    """Fails when the seed reaches only x_T, or only the labels."""
    first = model.generate("AFIB", seed=1)
    assert torch.equal(first, model.generate("AFIB", seed=1))
    assert not torch.equal(first, model.generate("AFIB", seed=2))
    torch.manual_seed(5)
    drawn = model.generate("AFIB")
    assert not torch.equal(drawn, model.generate("AFIB"))
    torch.manual_seed(5)
    assert torch.equal(drawn, model.generate("AFIB"))


def test_ddim_over_every_step_with_eta_one_is_ddpm(model):
    """Fails when per-step noise is keyed by the row of the table of one sampler and by the time step in the other."""
    ddpm = model.generate("AFIB", use_ddim=False, seed=1)
    ddim = model.generate("AFIB", use_ddim=True, ddim_timesteps=T, ddim_eta=1.0, seed=1)
    torch.testing.assert_close(ddim, ddpm, rtol=0, atol=1e-4)


@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_generate_is_the_plain_loop(model, predicts):
    """Textbook DDIM on the plain network. Fails when x_T is scaled, a row is shifted, or v is taken for eps."""
    from sssd.noise import normal

    model = velocity(terminal_alpha=0.3) if predicts == "v" else model
    cond = torch.rand(2, 71)
    x = model.generate(cond, ddim_timesteps=4, seed=9, precision="float32")
    start = normal(9, range(2), T, (8, LENGTH))
    steps, abar = [19, 13, 6, 0, -1], np.append(model.schedule.abar, 1.0)
    with torch.no_grad():
        for t, after in zip(steps[:-1], steps[1:], strict=True):
            eps = model.model((start, cond, torch.full((2, 1), float(t))))
            x0 = (start - np.sqrt(1 - abar[t]) * eps) / np.sqrt(abar[t])
            start = np.sqrt(abar[after]) * x0 + np.sqrt(1 - abar[after]) * eps
    torch.testing.assert_close(x, start, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.array, torch.tensor])
def test_seeds_and_numbers_of_numpy(model, kind):
    """One seed for all and one for each. Fails when only Python's integers are taken, or 2**63 and more overflow."""
    table, vectors = model.step_table(steps=2), np.zeros((2, 71), np.float32)
    for seeds in ([3, 3], [3, 4]):
        expected = model.generate_batch(vectors, seeds, [0, 7], table, precision="float32")
        given = kind(seeds) if kind in (np.array, torch.tensor) else [kind(seed) for seed in seeds]
        index = np.array([0, 7])
        assert torch.equal(model.generate_batch(vectors, given, index, table, precision="float32"), expected)
    assert torch.equal(
        model.generate("AFIB", seed=np.uint64(2**64 - 1)), model.generate("AFIB", seed=2**64 - 1)
    )


def test_wrong_batches(model):
    """Each with one message. Fails when rows are broadcast, or columns of a patient are taken for labels."""
    table = model.step_table(steps=1)
    for vectors, seeds, index, message in (
        (np.zeros((2, 67)), [1, 2], [0, 1], r"shape \(2, 67\): expected \(2, 71\)"),
        (np.zeros((2, 75)), [1, 2], [0, 1], r"shape \(2, 75\): expected \(2, 71\)"),
        (np.zeros((1, 71)), [1, 2], [0, 1], r"shape \(1, 71\): expected \(2, 71\)"),
        (np.zeros((2, 71)), [1, 2], [0], "2 seeds and 1 number for 2 records"),
        (np.zeros((2, 71)), [1, -2], [0, 1], "seed is -2"),
        (np.zeros((2, 71)), [1, 2.5], [0, 1], "seed is 2.5"),
        (np.zeros((2, 71)), [1, 2], [0, 1.5], "index is 1.5: expected a whole number"),
        (np.zeros((2, 71)), [1, 2], [0, -1], "index is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.generate_batch(vectors, seeds, index, table)


@pytest.mark.parametrize("columns", [67, 70, 75])
def test_a_network_of_71_classes_takes_71_columns(model, columns):
    """Fails when it takes 67: those of a model with a patient, which are not given."""
    x, t = torch.zeros(1, 8, LENGTH), torch.zeros(1, 1)
    with pytest.raises(ValueError, match=f"conditions have {columns} columns: the network expects 71$"):
        model.model((x, torch.zeros(1, columns), t))


def test_the_hash_is_that_of_the_weights(monkeypatch):
    """It is computed once, and again when a weight changes. Fails when it is kept too long or not at all."""
    from sssd import pretrained
    from sssd.checkpoints import state_hash

    calls = []
    monkeypatch.setattr(pretrained, "state_hash", lambda state: calls.append(1) or state_hash(state))
    model = tiny()
    hashes = [model.generate_ecgs("AFIB", steps=1)[0].provenance["model"] for _ in range(3)]
    assert len(set(hashes)) == 1 and len(calls) == 1
    assert hashes[0] == state_hash(model.model.state_dict())
    with torch.no_grad():
        model.model.outer_convs[2].bias[0] += 1e-3
    changed = model.generate_ecgs("AFIB", steps=1)[0].provenance["model"]
    assert changed == state_hash(model.model.state_dict()) != hashes[0] and len(calls) == 2
    other = tiny(seed=1)
    model.model.load_state_dict(other.model.state_dict())
    assert model.model_hash == other.model_hash != changed


def by_optimizer(model, name, **how):
    """A step of training as users write it."""
    optimizer = getattr(torch.optim, name)(model.model.parameters(), lr=0.01, **how)
    model(torch.ones(2, 8, LENGTH), torch.eye(2, 71)).backward()
    optimizer.step()


def by_assignment(model):
    state = {name: 1.5 * value for name, value in model.model.state_dict().items()}
    model.model.load_state_dict(state, assign=True)


def by_vector(model):
    vector = 1.5 * torch.nn.utils.parameters_to_vector(model.model.parameters()).detach()
    torch.nn.utils.vector_to_parameters(vector, model.model.parameters())


def by_replacement(model):
    last = model.model.outer_convs[2]
    last.weight = torch.nn.Parameter(1.5 * last.weight.detach())


CHANGES = {
    "SGD": lambda model: by_optimizer(model, "SGD"),
    "Adam": lambda model: by_optimizer(model, "Adam"),
    "AdamW by foreach": lambda model: by_optimizer(model, "AdamW", foreach=True),
    "Adam fused": lambda model: by_optimizer(model, "Adam", fused=True),
    "SGD fused": lambda model: by_optimizer(model, "SGD", fused=True),
    "load_state_dict": lambda model: model.model.load_state_dict(tiny(seed=1).model.state_dict()),
    "load_state_dict with assign": by_assignment,
    "nn.init": lambda model: torch.nn.init.normal_(model.model.outer_convs[2].weight),
    "vector_to_parameters": by_vector,
    "a parameter that is replaced": by_replacement,
    "another network": lambda model: setattr(model, "model", tiny(seed=1).model),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_that_change_are_seen(change):
    """Fails when records are made with the weights of before: fused optimizers do not count their changes."""
    from sssd.checkpoints import state_hash

    model = tiny()
    how = {"labels": "AFIB", "seed": 1, "steps": 1, "exact": True}
    before, old = model.generate(**how), model.model_hash
    change(model)
    after, new = model.generate(**how), model.model_hash
    assert new == state_hash(model.model.state_dict()) != old
    model.model.forget()
    assert torch.equal(after, model.generate(**how)) and not torch.equal(before, after)


# --- the sampler --------------------------------------------------------------------------------------------


def test_the_configuration_says_what_is_not_given(model):
    assert model.step_table().S == 5
    assert model.step_table(use_ddim=False, ddim_timesteps=7, ddim_eta=0.5).name == "ddpm"
    assert model.step_table(use_ddim=True, ddim_timesteps=7).S == 7
    by_ddpm = tiny(ddim_config={"use_ddim": False, "ddim_timesteps": 5})
    assert by_ddpm.step_table().S == T
    assert by_ddpm.step_table(use_ddim=True, ddim_timesteps=3).name == "ddim"


def test_a_velocity_network_in_units_of_its_leads():
    """Fails when the result is not scaled to mV."""
    mv = [0.1 * (i + 1) for i in range(8)]
    ones, scaled = velocity(), velocity(lead_scale_mv=mv)
    how = {"labels": "AFIB", "seed": 1}
    expected = ones.generate(**how) * torch.tensor(mv)[:, None]
    torch.testing.assert_close(scaled.generate(**how), expected)
    cond = torch.rand(1, 71)
    x = ones.generate(cond, use_ddim=False, seed=4, precision="float32")
    net, hyper = ones.model, ones.diffusion_hyperparams
    assert net.velocity and hyper["Alpha_bar"][-1] == pytest.approx(0.005**2)
    eps_route = ones.generate(cond, ddim_timesteps=T, ddim_eta=1.0, seed=4, precision="float32")
    torch.testing.assert_close(x, eps_route, rtol=0, atol=1e-3)


def test_bf16_is_close(model):
    exact = model.generate("AFIB", seed=1, precision="float32")
    rounded = model.generate("AFIB", seed=1, precision="bf16")
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.05


def test_hyperparams_are_the_published_ones(model):
    """Fails when Sigma leaves out the square root, or Alpha_bar multiplies in float64."""
    expected = util.calc_diffusion_hyperparams(T, 1e-3, 0.2)
    ours = model.diffusion_hyperparams
    assert ours["T"] == T
    for key in ("Beta", "Alpha", "Alpha_bar", "Sigma"):
        assert torch.equal(ours[key], expected[key])
    rescaled = velocity().diffusion_hyperparams
    assert rescaled["Sigma"].shape == (T,) and rescaled["Sigma"].dtype == torch.float32
    assert float(torch.prod(rescaled["Alpha"].double())) == pytest.approx(0.005**2, rel=1e-3)


# --- labels -------------------------------------------------------------------------------------------------


def test_labels_in_every_form(model):
    def vectors(labels, **how):
        return model.request(labels, seed=1, exact=True, **how).vectors

    afib, norm = np.eye(71, dtype=np.float32)[[CODES.index("AFIB"), CODES.index("NORM")]]
    assert np.array_equal(vectors("atrial fibrillation"), [afib])
    assert np.array_equal(vectors(["AFIB", "norm"]), [afib, norm])
    assert np.array_equal(vectors(torch.tensor([CODES.index("AFIB")])), [afib])
    assert np.array_equal(vectors([["AFIB", "NORM"]]), [afib + norm])
    assert np.array_equal(vectors(["AFIB", "NORM"], num_samples=2), [afib, afib, norm, norm])
    odd = torch.tensor([[0.25] * 71, [1.0] * 71])
    assert np.array_equal(vectors(odd), odd.numpy())
    assert model.generate(odd, ddim_timesteps=1).shape == (2, 8, LENGTH)


def test_names_are_completed_and_vectors_never(model):
    """Fails when completion does not follow the record's index, or touches vectors."""
    drawn = model.request("AFIB", num_samples=50, seed=1)
    assert drawn.requested == ("AFIB",) * 50
    assert (drawn.vectors[:, CODES.index("AFIB")] == 1).all()
    assert 1.5 < drawn.vectors.sum(axis=1).mean() < 4.5
    assert np.array_equal(model.request("AFIB", num_samples=3, seed=1).vectors, drawn.vectors[:3])
    one = np.eye(71)[:1]
    assert np.array_equal(model.request(one, num_samples=2, seed=1).vectors, one.repeat(2, axis=0))
    without = model.request(None, num_samples=20, seed=2)
    assert (without.vectors.sum(axis=1) >= 1).all() and without.requested == ("",) * 20


def test_other_classes():
    """A fine-tuned model: named classes, classes without names, none at all."""
    named = tiny(
        network={"label_embed_classes": 3},
        trainset_config={"segment_length": LENGTH, "label_names": ["sick", "well", "AFIB"]},
    )
    assert named.request(["well", "atrial fibrillation"]).vectors.tolist() == [[0, 1, 0], [0, 0, 1]]
    unnamed = tiny(network={"label_embed_classes": 3})
    assert unnamed.label_names == ("class_0", "class_1", "class_2")
    assert unnamed.generate([2, 0], ddim_timesteps=1).shape == (2, 8, LENGTH)
    with pytest.raises(ValueError, match="3 classes of this model have no names"):
        unnamed.generate("AFIB")
    with pytest.raises(ValueError, match="labels are missing"):
        unnamed.generate(num_samples=2)
    free = tiny(network={"label_embed_classes": 0})
    assert free.generate(num_samples=2, ddim_timesteps=2).shape == (2, 8, LENGTH)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"labels": "AFIB", "ddim_timesteps": 0}, "ddim_timesteps is 0: expected 1..20"),
        ({"labels": "AFIB", "ddim_timesteps": 21}, "ddim_timesteps is 21: expected 1..20"),
        ({"labels": "AFIB", "ddim_eta": 2}, "eta is 2: expected 0"),
        ({"labels": "AFIB", "spacing": "odd"}, "spacing is 'odd'"),
        ({"labels": "AFIP"}, "unknown statement 'AFIP'; did you mean AFIB"),
        ({"labels": [71]}, "class index 71; expected 0 to 70"),
        ({"labels": torch.zeros(2, 70)}, r"shape \(2, 70\).*\(B, 71\)"),
        ({"labels": torch.full((1, 71), float("nan"))}, "expected finite"),
        ({}, "nothing to generate"),
        ({"num_samples": 2, "exact": True}, "labels are missing"),
        ({"labels": "AFIB", "num_samples": 0}, "num_samples is 0"),
        ({"labels": "AFIB", "batch_size": 0}, "batch_size is 0"),
        ({"labels": "AFIB", "seed": -1}, "seed is -1"),
        ({"labels": "AFIB", "seed": 0.5}, "seed is 0.5"),
        ({"labels": "AFIB", "precision": "half"}, "precision is 'half'"),
    ],
)
def test_wrong_arguments(model, how, message):
    with pytest.raises(ValueError, match=message) as error:
        model.generate(**how)
    assert "\n" not in str(error.value)


def test_wrong_devices():
    with pytest.raises(ValueError, match="device is 'gpu'"):
        tiny_config = Config.model_validate(SECTIONS)
        SSSDECG(tiny_config, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device is 'cuda': this PyTorch has cpu"):
            SSSDECG(tiny_config, device="cuda")


# --- what comes out -----------------------------------------------------------------------------------------


def test_numpy_and_progress(model):
    seen = []
    x = model.generate(
        ["AFIB"] * 3,
        batch_size=2,
        return_numpy=True,
        seed=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert isinstance(x, np.ndarray) and x.dtype == np.float32 and x.shape == (3, 8, LENGTH)
    assert seen == [(i + 1, 10) for i in range(10)]
    again = model.generate(["AFIB"] * 3, seed=1, batch_size=2, progress=True)
    assert torch.equal(again, torch.from_numpy(x))


def test_records(model, tmp_path):
    ecgs = model.generate_ecgs(["AFIB", "CLBBB+LVH"], num_samples=2, seed=7)
    signal = model.generate(["AFIB", "CLBBB+LVH"], num_samples=2, seed=7, return_numpy=True)
    vectors = model.request(["AFIB", "CLBBB+LVH"], num_samples=2, seed=7).vectors
    assert len(ecgs) == 4 and all(isinstance(ecg, Ecg) for ecg in ecgs)
    for i, ecg in enumerate(ecgs):
        np.testing.assert_allclose(ecg.signal, to_twelve(signal[i]), atol=1e-6)
        assert ecg.statements == tuple(np.array(CODES)[vectors[i] > 0.5])
        assert ecg.fs_hz == 100 and ecg.synthetic
    expected = {
        "sampler": "ddim",
        "steps": 5,
        "eta": 0.0,
        "spacing": "uniform",
        "seed": 7,
        "index": 2,
        "requested": "CLBBB+LVH",
        "model": model.model_hash,
        "cauchy": "conjugate_pairs",
        "synthetic": True,
    }
    assert expected.items() <= ecgs[2].provenance.items()
    assert ecgs[0].save(tmp_path / "a").exists()
    order = model.generate_ecgs("AFIB", use_ddim=False, leads="sssd")[0]
    assert order.leads[1:3] == ("II", "V1") and "eta" not in order.provenance


def test_random_weights_are_told_once():
    model = SSSDECG(Config.model_validate(SECTIONS), device="cpu")
    with pytest.warns(UserWarning, match="weights are random"):
        model.generate("NORM", ddim_timesteps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate("NORM", ddim_timesteps=1)


def test_rare_statements_are_told(model, monkeypatch):
    """Of the built-in model only: the counts are its own. Fails when drawn statements are counted as requested."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.request("3AVB")
    monkeypatch.setattr(model, "_source", WEIGHTS)
    with pytest.warns(UserWarning, match="fewer than 20 training records of 3AVB") as warned:
        model.generate_ecgs(["3AVB", "NORM"], num_samples=4, seed=1, ddim_timesteps=1)
    assert len(warned) == 1 and warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.request("NORM", num_samples=50, seed=1)


# --- training loss ------------------------------------------------------------------------------------------


def test_training_loss_is_that_of_the_compatibility_function(model):
    """Fails when the steps are drawn after the noise, or the target is x0."""
    x, y = torch.randn(3, 8, LENGTH), torch.rand(3, 71)
    torch.manual_seed(2)
    loss = model(x, y)
    torch.manual_seed(2)
    expected = util.training_loss_label(model.model, torch.nn.MSELoss(), (x, y), model.diffusion_hyperparams)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    loss.backward()
    unused = "residual_layer.residual_blocks.1.res_conv."  # the last block's residual goes nowhere
    for name, p in model.model.named_parameters():
        assert name.startswith(unused) or (p.grad is not None and p.grad.isfinite().all()), name
    model.model.zero_grad()


def test_training_loss_on_velocity_and_scale():
    """A network that gives zero has the mean square of alpha eps - sigma x0 as its loss; x0 in units of its leads."""
    model = velocity(lead_scale_mv=[2.0] * 8)
    torch.nn.init.zeros_(model.model.final_conv["2"].conv.weight)
    x = 2 * torch.randn(400, 8, LENGTH)
    assert model(x, torch.zeros(400, 71)).item() == pytest.approx(1.0, abs=0.02)  # alpha^2 + sigma^2
    with pytest.raises(ValueError, match=r"x has shape \(2, 12, 64\)"):
        model(torch.zeros(2, 12, 64), torch.zeros(2, 71))
    with pytest.raises(ValueError, match=r"y has shape \(2, 70\)"):
        model(torch.zeros(2, 8, 64), torch.zeros(2, 70))


# --- as published ------------------------------------------------------------------------------------------

PUBLISHED_LINES = """
import torch
from src.sssd.model_wrapper import SSSDECG
from src.sssd.utils.util import sampling_label, sampling_label_ddim, training_loss_label, std_normal, print_size
torch.set_num_threads(1)
model = SSSDECG(config_path="{config}")
model.load_checkpoint("{checkpoint}")
labels = torch.zeros(10, 71)
labels[:, 4] = 1
ecg = model.generate(labels=labels, use_ddim=True, ddim_timesteps=50, ddim_eta=0.0)
assert ecg.shape == (10, 8, 64), ecg.shape
eps = model.model((std_normal((10, 8, 64)), labels, 3 * torch.ones(10, 1)))
assert eps.shape == (10, 8, 64)
ecg = sampling_label_ddim(net=model.model, size=(10, 8, 64), diffusion_hyperparams=model.diffusion_hyperparams,
                          cond=labels, ddim_timesteps=50, eta=0.0)
assert ecg.shape == (10, 8, 64)
assert sampling_label(model.model, (10, 8, 64), model.diffusion_hyperparams, cond=labels).shape == (10, 8, 64)
loss = training_loss_label(model.model, torch.nn.MSELoss(), (ecg, labels), model.diffusion_hyperparams)
loss.backward()
model(ecg, labels).backward()
model.generate_ecgs(labels=labels, ddim_timesteps=2)[0].save("{out}")
print_size(model.model)
"""


def test_the_published_lines_run_from_the_root(tmp_path):
    """In a process of its own, as `src.sssd`: fails on an absolute import inside the package."""
    config = {**SECTIONS, "diffusion_config": {"T": 50, "beta_0": 1e-3, "beta_T": 0.1}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    checkpoint = tiny(diffusion_config=config["diffusion_config"]).save_checkpoint(
        tmp_path / "checkpoint.pkl"
    )
    lines = PUBLISHED_LINES.format(
        config=tmp_path / "config.json", checkpoint=checkpoint, out=tmp_path / "record"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "record.hea").exists()


def test_importing_the_package_does_not_import_torch():
    code = "import sys, sssd; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; print(sssd.__version__)"
    env = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# --- other samplers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "dpmpp-3m", "dpmpp-3m-exact", "deis", "unipc"])
def test_multistep_samplers_follow_the_same_path(model, sampler):
    """Over every step all solve the equation that DDIM solves; of few steps, a record does not depend on the batch.
    Fails when a name gives another sampler's table, or history crosses from one batch to the next."""
    every = model.generate("AFIB", sampler=sampler, steps=T, seed=1, precision="float32")
    ddim = model.generate("AFIB", sampler="ddim", steps=T, seed=1, precision="float32")
    assert (every - ddim).norm() < 0.2 * ddim.norm()
    assert model.step_table(sampler=sampler, steps=4).steps.tolist() == [19, 14, 9, 4]  # trailing
    three = {"sampler": sampler, "steps": 4, "seed": 3, "precision": "float32"}
    together = model.generate("AFIB", num_samples=3, **three)
    apart = model.generate("AFIB", num_samples=3, batch_size=1, **three)
    torch.testing.assert_close(apart, together, rtol=0, atol=1e-4)
    ecg = model.generate_ecgs("AFIB", **three, spacing="log_snr")[0]
    how = ecg.provenance
    assert (how["sampler"], how["steps"], how["spacing"]) == (sampler, 4, "log_snr") and "eta" not in how


def test_older_names_mean_the_same(model):
    """Fails when sampler= and use_ddim= part, or one of steps and ddim_timesteps is not heard."""
    for new, old in (
        ({"sampler": "ddim", "steps": 4}, {"use_ddim": True, "ddim_timesteps": 4}),
        ({"sampler": "ddpm"}, {"use_ddim": False}),
        ({"steps": 3}, {"ddim_timesteps": 3}),
        ({"sampler": "ddim", "use_ddim": True}, {"use_ddim": True}),
    ):
        assert torch.equal(model.generate("AFIB", seed=2, **new), model.generate("AFIB", seed=2, **old))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sampler": "euler"}, "sampler is 'euler': expected one of ddim, ddpm, dpmpp-2m"),
        ({"sampler": "unipc", "use_ddim": True}, "give one of them"),
        ({"sampler": "ddpm", "use_ddim": True}, "give one of them"),
        ({"sampler": "ddpm", "steps": 5}, "ddpm always takes all 20"),
        ({"sampler": "unipc", "ddim_eta": 0.5}, "only ddim has it"),
        ({"steps": 4, "ddim_timesteps": 5}, "give one of them"),
        ({"sampler": "unipc", "steps": 21}, "expected 1..20"),
        ({"sampler": "unipc", "spacing": "odd"}, "spacing is 'odd'"),
    ],
)
def test_contradictions_are_refused(model, how, message):
    with pytest.raises(ValueError, match=message):
        model.generate("AFIB", **how)


# --- schedulers of diffusers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("UniPCMultistepScheduler", "unipc"),
        ("DPMSolverMultistepScheduler", "dpmpp-2m"),
        ("DDIMScheduler", "ddim"),
    ],
)
@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_schedulers_of_diffusers_are_ours_over_the_same_steps(model, name, own, predicts):
    """Trailing steps, eps and v. Fails when the schedule, the prediction type or the start is not handed over."""
    diffusers = pytest.importorskip("diffusers")
    model = velocity(terminal_alpha=0.3) if predicts == "v" else model
    extra = (
        {"set_alpha_to_one": True} if own == "ddim" else {"solver_order": {"unipc": 3, "dpmpp-2m": 2}[own]}
    )
    scheduler = getattr(diffusers, name)(timestep_spacing="trailing", **extra)
    how = {"steps": 5, "seed": 1, "precision": "float32"}
    theirs = model.generate("AFIB", sampler=scheduler, **how)
    ours = model.generate("AFIB", sampler=own, spacing="trailing", **how)
    assert scheduler.config.num_train_timesteps == 1000  # the one given stays as it was
    torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-3 * float(ours.abs().max()))


def test_schedulers_that_draw_noise_or_ask_twice(model):
    """A record's noise is its own; Heun asks 2 S - 1 times. Fails when noise is drawn for the batch as a whole."""
    diffusers = pytest.importorskip("diffusers")
    for scheduler, evaluations in (
        (diffusers.EulerAncestralDiscreteScheduler(timestep_spacing="trailing"), 4),
        (diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"), 4),
        (diffusers.DDPMScheduler(), 4),
        (diffusers.HeunDiscreteScheduler(), 7),
    ):
        how = {"sampler": scheduler, "steps": 4, "seed": 3, "precision": "float32"}
        together = model.generate_ecgs("AFIB", num_samples=3, **how)
        apart = model.generate_ecgs("AFIB", num_samples=3, batch_size=1, **how)
        for a, b in zip(together, apart, strict=True):
            assert np.isfinite(a.signal).all()
            np.testing.assert_allclose(a.signal, b.signal, rtol=0, atol=1e-3 * np.abs(a.signal).max())
        said = together[0].provenance
        assert (said["sampler"], said["steps"]) == (f"diffusers.{type(scheduler).__name__}", evaluations)
        assert "trained_betas" not in said["scheduler"]


def test_schedulers_that_cannot_be_used(model):
    diffusers = pytest.importorskip("diffusers")
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler cannot take this model's schedule"):
        model.generate("AFIB", sampler=diffusers.FlowMatchEulerDiscreteScheduler())
    with pytest.raises(ValueError, match="do not go with a scheduler"):
        model.generate("AFIB", sampler=diffusers.DDIMScheduler(), use_ddim=True)


def test_from_pretrained_with_a_configuration(tmp_path):
    """The two routes to a checkpoint with a configuration agree. Broken by a configuration that is ignored (seen)."""
    model = tiny()
    path = model.save_checkpoint(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(model.config.content()))
    named = SSSDECG.from_pretrained(path, config=tmp_path / "config.json", device="cpu")
    other = SSSDECG(tmp_path / "config.json", device="cpu").load_checkpoint(path)
    assert (named.config, named.model_hash) == (other.config, other.model_hash)

    steps = {"ddim_config": model.config.ddim_config.model_copy(update={"ddim_timesteps": 3})}
    chosen = model.config.model_copy(update=steps)
    assert SSSDECG.from_pretrained(path, config=chosen, device="cpu").step_table().S == 3
    longer = {"diffusion_config": model.config.diffusion_config.model_copy(update={"T": 30})}
    with pytest.raises(ValueError, match="T 20"):
        SSSDECG.from_pretrained(path, config=model.config.model_copy(update=longer), device="cpu")
