"""scripts/refine.py: the correction of the velocity, the discriminator that gives it, and how a network learns it."""

from __future__ import annotations

import copy
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sssd.checkpoints import read_state
from sssd.circumstances import BANDWIDTH
from sssd.config.schema import Config
from sssd.data.recordings import write
from sssd.evaluation.auc import weighted_auc
from sssd.factory import build_schedule
from sssd.loss import NoiseLevels, noise_levels
from sssd.model_wrapper import SSSDECG
from sssd.scale import Scale
from sssd.schedule import karras
from sssd.training.augment import lengthened
from sssd.training.checkpoint import save_model
from tests.test_calibrate import KEYS, config_of, recordings
from tests.test_transformer import LENGTH, random_net, tiny

ROOT = Path(__file__).parents[1]
REFINE = runpy.run_path(str(ROOT / "scripts" / "refine.py"))
LEVELS = noise_levels(build_schedule(tiny()), velocity=True)
SCALES = REFINE["Scales"](LENGTH, Scale(), LEVELS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def records(amplitude: float, seed: int, *, recorded: bool, n: int = 200) -> Any:
    """Waves of an amplitude. Recordings have known patients and exact circumstances; those of records are drawn."""
    random = seeded(seed)
    phase = 6 * torch.rand(n, 8, 1, generator=random)
    x = amplitude * torch.sin(phase + torch.arange(LENGTH) * torch.pi / 8)
    cond = torch.zeros(n, random_net().columns)
    cond[:, -16 - 1] = 1
    if recorded:
        cond[:, 71:75] = torch.tensor([1.0, 0.5, 1.0, 0.0])
    else:
        cond[:, -16:] = BANDWIDTH * torch.randn(n, 16, generator=random)
    return REFINE["Records"](lengthened(x), cond)


# --- the correction -----------------------------------------------------------------------------------------


def test_the_corrected_velocity_of_one_gaussian_is_that_of_another() -> None:
    """By the posterior mean of x_0 at each noise level. Fails with another sign or factor of the correction."""
    schedule = karras()
    alpha, sigma = (torch.tensor(one, dtype=torch.float64) for one in (schedule.alpha, schedule.sigma))
    levels = NoiseLevels(alpha, sigma, torch.ones_like(alpha), velocity=True)
    t = torch.tensor([0, 40, 80, 120, 160, 199])
    a, s = alpha[t][:, None, None], sigma[t][:, None, None]
    made, recorded = (0.3, 0.5), (-0.2, 0.8)  # mean, standard deviation

    def velocity(x: Tensor, mean: float, std: float) -> Tensor:
        x0 = mean + a * std**2 / (a**2 * std**2 + s**2) * (x - a * mean)
        return a * (x - a * x0) / s - s * x0

    def log_density(x: Tensor, mean: float, std: float) -> Tensor:
        variance = a**2 * std**2 + s**2
        return (-0.5 * (x - a * mean) ** 2 / variance - 0.5 * variance.log()).sum((1, 2))

    def logit(x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        return log_density(x, *recorded) - log_density(x, *made)

    x = torch.randn(len(t), 8, 5, dtype=torch.float64, generator=seeded())
    slope = REFINE["slope"](logit, x, torch.zeros(len(t), 0), t[:, None])
    lacking = REFINE["correction"](slope, t, torch.ones(len(t)), levels)
    torch.testing.assert_close(velocity(x, *made) + lacking, velocity(x, *recorded), rtol=1e-9, atol=1e-9)
    twice = REFINE["correction"](slope, t, torch.full((len(t),), 2.0), levels)
    torch.testing.assert_close(twice, 2 * lacking)


def test_the_strength_falls_with_noise() -> None:
    """Fails when a limit is another one, or the order of the limits is not heeded."""
    strength = REFINE["strength_of_steps"](torch.tensor([0.001, 0.99, 1.0, 4.9, 5.0, 80.0]))
    assert strength.tolist() == [1.5, 1.5, 1.0, 1.0, 0.0, 0.0]


# --- the discriminator --------------------------------------------------------------------------------------


def auc(amplitude: float) -> float:
    """The area under the curve of a discriminator of waves of amplitude 0.3 and of another, on waves it has not seen.

    They are told as they are in training, so what gives records away there counts here.
    """
    torch.manual_seed(0)
    net, sets = random_net(), [(0.3, 1, True), (amplitude, 2, False)]
    train, unseen = (
        [records(size, seed + more, recorded=real) for size, seed, real in sets] for more in (0, 10)
    )
    found = REFINE["train_discriminator"](net, tiny(), SCALES, *train, steps=60, size=16, random=seeded())
    with torch.no_grad():
        logit = found(*REFINE["batch_of_both"](net, tiny(), SCALES, *unseen, 400, seeded(1))).numpy()
    return float(weighted_auc(np.arange(800) < 400, logit, np.ones((1, 800)))[0])


def test_the_discriminator_tells_other_records_from_recordings() -> None:
    """Fails when its answers are swapped, or it does not train."""
    assert auc(100.0) > 0.9


def test_the_discriminator_cannot_tell_records_that_are_like_recordings() -> None:
    """Fails when recordings give themselves away by patients, which are unknown for the records made here."""
    assert auc(0.3) == pytest.approx(0.5, abs=0.06)


def test_recordings_and_records_are_told_from_each_other_under_the_same_conditions() -> None:
    """Fails when patients are known, circumstances exact, or a step has more noise than the discriminator learns."""
    real, made = records(0.3, 1, recorded=True), records(0.3, 2, recorded=False)
    _, cond, steps = REFINE["batch_of_both"](random_net(), tiny(), SCALES, real, made, 300, seeded())
    assert not cond[:, 71:75].any() and real.cond[:, 71:75].any()
    for half in cond.chunk(2):
        assert float(half[:, -16:].std()) == pytest.approx(BANDWIDTH, rel=0.05)
    assert 9 < SCALES.level[steps].max() < 10


def with_heart_rate() -> Config:
    content = tiny().model_dump()
    content["transformer_config"] |= {"heart_rates": True}
    content["trainset_config"]["heart_rate"] = True
    content["wavenet_config"]["label_embed_classes"] = 77
    return Config.model_validate(content)


def test_the_discriminator_knows_the_heart_rates_of_most() -> None:
    """Fails when they are hidden always or never, or do not follow the speed at which a record is read."""
    net = random_net(with_heart_rate())
    cond = torch.zeros(600, net.columns)
    cond[:, 71:77] = torch.tensor([1.0, 0.5, 1.0, 0.0, 1.0, 0.2])
    cond[:, -16 - 1] = 1
    both = [REFINE["Records"](records(0.3, k, recorded=True, n=600).x, cond) for k in (1, 2)]
    _, seen, steps = REFINE["batch_of_both"](net, with_heart_rate(), SCALES, *both, 600, seeded())
    recorded, made = seen.chunk(2)
    assert not recorded[:, 71:75].any()
    known = recorded[:, 75] == 1
    assert float(known.float().mean()) == pytest.approx(0.75, abs=0.05) and made[:, 75].all()
    assert not recorded[~known, 76].any()
    still = SCALES.level[steps[:600, 0]] < REFINE["HIDING"]  # read as fast as they were recorded
    torch.testing.assert_close(recorded[known & still, 76], torch.full_like(recorded[known & still, 76], 0.2))
    assert (recorded[known & ~still, 76] - 0.2).abs().median() > 0.01


def test_records_without_heart_rates_are_made_too() -> None:
    """Fails when a rate is drawn for them, or none is drawn afterwards."""
    config = with_heart_rate()
    model = SSSDECG(config, device="cpu")
    model.model.load_state_dict(random_net(config).state_dict())
    model.model.get_buffer("heart_rates").fill_(100.0)
    labels = np.eye(3, 71, dtype=np.float32)
    before, without, after = (
        REFINE[name](model, labels, "draft", 4) for name in ("made_by", "made_without_rates", "made_by")
    )
    assert torch.equal(before.cond, after.cond) and torch.equal(before.x, after.x)
    assert before.cond[:, 75:77].eq(1).all() and not without.cond[:, 75:77].any()
    assert (before.x - without.x).abs().max() > 1e-3


# --- the network --------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """A discriminator by which the velocity lacks -0.3 times the strength in every sample at every noise level."""

    def forward(self, x: Tensor, cond: Tensor, steps: Tensor) -> Tensor:
        return 0.3 * x.sum((1, 2)) / SCALES.level[steps.reshape(-1).long()]


def test_the_network_learns_its_velocity_with_the_correction() -> None:
    """Fails when it learns the velocity alone, or with another correction, or has no averaged weights in the end."""
    net = random_net()
    before = copy.deepcopy(net)
    both = records(0.3, 1, recorded=True), records(0.3, 2, recorded=False)
    how = {"steps": 100, "size": 32, "rate": 1e-2, "random": seeded()}
    REFINE["train_network"](net, Constant(), tiny(), SCALES, *both, **how)
    for level, lacking in ((0.3, -0.45), (2.0, -0.3)):
        t = torch.full((64,), int((SCALES.level < level).sum()))
        x, at = SCALES.noisy(both[0].x[:64], t, seeded(6))[0], t[:, None].float()
        with torch.no_grad():
            gained = net.predict(x, both[0].cond[:64], at) - before.predict(x, both[0].cond[:64], at)
        assert float((gained - lacking).square().mean()) < 0.2 * lacking**2


def test_the_power_of_the_correction_is_a_running_mean_by_noise_level() -> None:
    """Fails when the first batch does not set it, a bin without records changes, or nothing is divided by above."""
    count, first = torch.tensor([2.0, 1.0, 0.0, 1.0]), torch.tensor([4.0, 3.0, 0.0, 0.0])
    power = REFINE["with_batch"](torch.zeros(4), count, first)
    assert power.tolist() == [2, 3, 0, 0]
    power = REFINE["with_batch"](
        power, torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.tensor([3.0, 0.0, 0.0, 0.0])
    )
    torch.testing.assert_close(power, torch.tensor([2.02, 3.0, 0.0, 0.0]))
    torch.testing.assert_close(REFINE["divisor"](power, 1), torch.tensor([2.02, 3.0, 3.0, 3.0]))


# --- the script ---------------------------------------------------------------------------------------------


def run(source: Path, data: Path, out: Path, *options: str) -> Path:
    few = ("--discriminator-steps", "3", "--steps", "3", "--batch-size", "16", "--device", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["refine.py", str(source), str(data), str(out), *few, *options])
        runpy.run_path(str(ROOT / "scripts" / "refine.py"), run_name="__main__")
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A calibrated network, recordings, and the network refined on them."""
    folder = tmp_path_factory.mktemp("refined")
    content = tiny().content()
    content["ddim_config"]["gains"] = {KEYS[0]: [2.0] * 8}
    content["trainset_config"]["mean"] = 0.5
    plain = save_model(folder / "plain.safetensors", random_net(), Config.model_validate(content))
    write(folder / "signals.npz", recordings())
    return SimpleNamespace(folder=folder, plain=plain, out=run(plain, folder, folder / "out.safetensors"))


def test_the_checkpoint_is_whole(made: SimpleNamespace) -> None:
    """Fails when the calibration of other weights stays, another setting changes, or weights do not."""
    assert config_of(made.out) == tiny() != config_of(made.plain)
    (before, told), (after, again) = read_state(made.plain), read_state(made.out)
    assert before.keys() == after.keys() and told.keys() == again.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"first.weight", "layers.0.qkv.weight", "last.weight"} <= moved
    assert not {"circumstances", "circumstances_scale"} & moved
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in after.values())
    x = SSSDECG.from_pretrained(made.out, device="cpu").generate("AFIB", quality="best", seed=1)
    assert x.shape == (1, 8, LENGTH) and x.isfinite().all()


def test_the_seed_decides_everything(made: SimpleNamespace) -> None:
    """Fails when something is drawn from the global generator, or the seed has no effect."""
    torch.rand(3)
    again, other = (
        run(made.plain, made.folder, made.folder / f"{seed}.safetensors", "--seed", seed)
        for seed in ("21", "22")
    )
    assert again.read_bytes() == made.out.read_bytes() != other.read_bytes()


@pytest.mark.slow
def test_processes_share_a_refinement(made: SimpleNamespace) -> None:
    """Each draws its own part of a batch. Fails when they wait for each other forever, or all of them speak."""
    out = made.folder / "shared.safetensors"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    few = ["--discriminator-steps", "3", "--steps", "3", "--batch-size", "16", "--device", "cpu"]
    script = str(ROOT / "scripts" / "refine.py")
    command = [*launch, script, str(made.plain), str(made.folder), str(out), *few]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert said.count("averaged weights") == 1  # one process speaks
    assert config_of(out) == tiny() and out.read_bytes() != made.out.read_bytes()
