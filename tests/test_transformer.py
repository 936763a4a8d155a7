"""The transformer: preconditioning, conditions, the engine, its training, and the way from data to records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from sssd import SSSDECG
from sssd.checkpoints import read_state
from sssd.checkpoints.inspection import fit_cauchy
from sssd.circumstances import BANDWIDTH, draw, measure, normalised, rows_like, with_circumstances
from sssd.cli import main
from sssd.config.schema import DEFAULT, PUBLISHED, Config, TransformerConfig, read_config
from sssd.data.recordings import Recordings, read, write
from sssd.engine.bound import bind
from sssd.factory import build_network, build_schedule
from sssd.labels import CODES
from sssd.loss import noise_levels
from sssd.models.transformer import (
    DATA_STD,
    HIGH_STD,
    REACH,
    Transformer,
    high_passed,
    layer,
    preconditioning,
    rotated,
    toeplitz,
)
from sssd.noise import origin
from sssd.samplers import MULTISTEP
from sssd.schedule import karras
from sssd.training.augment import EXTRA, augmented, augmented_under_noise, with_exchanged_wander
from sssd.training.balance import Balance
from sssd.training.batches import (
    drawn_steps,
    generator,
    transformer_batch,
    with_asked_heart_rates,
    with_dropout,
    with_wander_of,
)
from sssd.training.checkpoint import RunState, save_model, save_run, start_from
from sssd.training.data import TrainingData, transformer_data, with_sources
from sssd.training.ema import WeightAverage
from sssd.training.guidance import guided, strength_of_steps
from sssd.training.loop import train
from sssd.training.network import training_net
from sssd.training.optimizer import optimizer_for

CPU = torch.device("cpu")
LENGTH = 96
SMALL = {"width": 16, "layers": 2, "heads": 2, "patch": 8, "embed": 16, "circumstances": 8}


def tiny(length: int = LENGTH, **train_options: object) -> Config:
    content = read_config(DEFAULT).model_dump()
    content["transformer_config"] = SMALL
    content["trainset_config"] |= {"segment_length": length, "heart_rate": False, "variability": False}
    content["wavenet_config"]["label_embed_classes"] = 75
    content["train_config"] |= {"n_iters": 4, "batch_size": 4, "iters_per_ckpt": 2, "iters_per_logging": 1}
    content["train_config"] |= {"precision": "float32", "warmup_iters": 0, "ema_decay": 0.5, **train_options}
    return Config.model_validate(content)


def random_net(config: Config | None = None) -> Transformer:
    torch.manual_seed(0)
    net = build_network(config or tiny())
    assert isinstance(net, Transformer)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    if net.circumstances is not None:
        net.circumstances.normal_()
    return net.eval()


def data(n: int = 12, length: int = LENGTH) -> TrainingData:
    random = np.random.default_rng(0)
    phase = random.uniform(0, 2 * np.pi, (n, 8, 1))
    x = 0.4 * np.sin(2 * np.pi * 1.2 * np.arange(length) / 100 + phase)
    x = (x + 0.01 * random.standard_normal(x.shape)).astype(np.float32)
    y = np.zeros((n, 75), np.float32)
    y[np.arange(n), np.arange(n) % 71] = 1
    y[:, 71:] = 1, 0.5, 1, 0
    return TrainingData(x, y, x[:3], y[:3], np.zeros(n, int), np.zeros(n, bool))


NO_COARSE = torch.zeros(9, dtype=torch.bool)


# --- preconditioning ----------------------------------------------------------------------------------------


def test_the_shipped_configuration_describes_the_network_of_the_decision() -> None:
    """Broken by another width or schedule."""
    config = read_config(DEFAULT)
    net = build_network(config, empty=True)
    assert isinstance(net, Transformer) and net.velocity
    assert sum(p.numel() for p in net.hidden) == 9 * 12 * 192**2
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(5.84e6, rel=0.002)
    schedule = build_schedule(config)
    assert schedule.T == 200
    np.testing.assert_allclose(schedule.abar, karras().abar)


@pytest.mark.parametrize("step", [0, 70, 199])
def test_inputs_and_target_have_unit_variance(step: int) -> None:
    """Broken by a scale that forgets alpha, or by the gain of the high-pass filter on white noise."""
    schedule = karras()
    at = preconditioning(schedule.alpha.tolist(), schedule.sigma.tolist())
    alpha, sigma = schedule.alpha[step], schedule.sigma[step]
    random = torch.Generator().manual_seed(0)
    x0, z = (torch.randn(64, 8, 1000, generator=random, dtype=torch.float64) for _ in range(2))
    x0 = DATA_STD * x0
    x = alpha * x0 + sigma * z
    assert float((at["whole"][step] * x).std()) == pytest.approx(1.0, rel=0.01)
    target = (at["skip"][step] * x - (alpha * z - sigma * x0)) / at["out"][step]
    assert float(target.std()) == pytest.approx(1.0, rel=0.01)
    fine = HIGH_STD * torch.randn(x0.shape, generator=random, dtype=torch.float64)  # what is left of a record
    left = alpha * fine + sigma * high_passed(z)
    assert float((at["high"][step] * left).std()) == pytest.approx(1.0, rel=0.01)


def test_high_passing_removes_slow_waves() -> None:
    """Broken by a smoothing that is shifted, or whose weights do not add up to 1."""
    t = torch.arange(1000) / 100
    slow, fast = (torch.sin(2 * torch.pi * f * t).expand(1, 8, -1) for f in (1.0, 40.0))
    assert high_passed(slow)[..., 10:-10].abs().max() < 0.01
    torch.testing.assert_close(high_passed(fast)[..., 10:-10], fast[..., 10:-10], atol=0.01, rtol=0)
    assert high_passed(torch.ones(1, 8, 50)).abs().max() < 1e-6


def test_without_noise_the_clean_record_is_the_input() -> None:
    """Broken by c_skip without its square, or a velocity with another sign."""
    net, schedule = random_net(), karras()
    x = DATA_STD * torch.randn(2, 8, LENGTH)
    with torch.no_grad():
        v = net.predict(float(schedule.alpha[0]) * x, torch.zeros(2, 75), torch.zeros(2, 1))
    d = float(schedule.alpha[0]) ** 2 * x - float(schedule.sigma[0]) * v
    assert 0 < (d - x).abs().max() < 10 * schedule.sigma[0]


def test_the_velocity_is_that_of_edm() -> None:
    """The closed form equals (alpha x - D) / sigma with D = c_skip x_ve + c_out F, computed in float64."""
    schedule = karras()
    alpha, sigma = schedule.alpha, schedule.sigma
    at = preconditioning(alpha.tolist(), sigma.tolist())
    s, d, x, f = sigma / alpha, DATA_STD, 0.7, -0.3
    clean = d**2 / (s**2 + d**2) * x / alpha + s * d / np.sqrt(s**2 + d**2) * f
    np.testing.assert_allclose(at["skip"] * x - at["out"] * f, (alpha * x - clean) / sigma, rtol=1e-8)


def test_a_schedule_without_signal_is_refused() -> None:
    with pytest.raises(ValueError, match="ends without signal"):
        preconditioning([0.9, 0.0], [0.1, 1.0])


# --- conditions ---------------------------------------------------------------------------------------------


def evaluated(net: Transformer, cond: torch.Tensor, step: int = 120) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        return net.predict(torch.randn(1, 8, LENGTH), cond, torch.full((1, 1), float(step)))


def test_every_kind_of_condition_changes_the_output() -> None:
    """Broken by a column that is cut off, or by embeddings that do not reach the layers."""
    net = random_net()
    nothing = torch.zeros(1, net.columns)
    before = evaluated(net, nothing)
    for column in (0, 70, 72, 75, 76, 77, net.columns - 1):  # statements, age, unconditional, circumstances
        cond = nothing.clone()
        cond[0, column] = 1.0
        assert (evaluated(net, cond) - before).abs().max() > 1e-3, column
    assert (evaluated(net, nothing, step=60) - before).abs().max() > 1e-3


def test_columns_that_are_left_out_are_unknown() -> None:
    """Broken by padding on the wrong side, or by taking any number of columns."""
    net = random_net()
    full = torch.zeros(1, net.columns)
    full[0, 3] = 1
    for given in (71, 75):
        assert torch.equal(evaluated(net, full[:, :given]), evaluated(net, full))
    with pytest.raises(ValueError, match="72 columns: the network expects 71 or 75 or 93"):
        evaluated(net, full[:, :72])


def test_unconditional_is_not_the_same_as_no_statements() -> None:
    """Broken when the column of the null label is not set, or circumstances are taken away too."""
    net = random_net()
    cond = torch.rand(1, net.columns)
    unconditional = net.unconditional(cond)
    assert unconditional[0, :75].abs().max() == 0 and unconditional[0, 75] == 1
    assert torch.equal(unconditional[0, 76:], cond[0, 76:])
    without_circumstances = net.unconditional(cond[:, :71])
    assert (evaluated(net, without_circumstances) - evaluated(net, torch.zeros(1, 71))).abs().max() > 1e-3


@pytest.mark.parametrize("tokens", [5, REACH + 1, REACH + 9])
def test_the_convolution_over_tokens_is_one(tokens: int) -> None:
    """By another route, torch's convolution; broken by taps in the other order or a reach that is off by one."""
    random = torch.Generator().manual_seed(0)
    taps = torch.randn(2 * REACH + 1, 3, generator=random)
    z = torch.randn(2, tokens, 3, generator=random)
    found = torch.einsum("cij,bjc->bic", toeplitz(taps, tokens), z)
    expected = torch.nn.functional.conv1d(z.mT, taps.T[:, None], padding=REACH, groups=3).mT
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_attention_depends_on_intervals() -> None:
    """Products of queries and keys depend on how far apart they are; broken by a layer that does not rotate them."""
    torch.manual_seed(0)
    angle = torch.arange(30)[:, None] * torch.tensor([1.0, 0.3, 0.01])
    rotation = angle.cos(), angle.sin()
    q, k = (rotated(torch.randn(6).expand(30, 6), *rotation) for _ in range(2))
    products = q @ k.T
    torch.testing.assert_close(products[:-4, :-4], products[4:, 4:], atol=1e-4, rtol=1e-4)
    assert products[0].std() > 0.1
    weights = random_net().layers[0].weights(torch.float32, 30)
    weights = weights._replace(mixing=torch.zeros(16, 30, 30))
    x, e, order = torch.randn(1, 30, 16), torch.randn(1, 16), torch.randperm(30)
    angle = torch.arange(30)[:, None] * torch.linspace(1, 0.01, 4)
    plain = layer(x, e, weights, (angle.cos(), angle.sin()), 2)
    permuted = layer(x[:, order], e, weights, (angle.cos(), angle.sin()), 2)
    assert (permuted - plain[:, order]).abs().max() > 1e-3


def test_attention_reaches_the_whole_record() -> None:
    """Broken by attention within a patch only."""
    net = random_net()
    x = torch.zeros(1, 8, LENGTH, requires_grad=True)
    net.predict(x, torch.zeros(1, 71), torch.full((1, 1), 100.0))[0, 0, 0].backward()
    assert x.grad is not None and (x.grad[0, 0].reshape(-1, 8).abs().amax(1) > 0).all()


def test_lengths_that_no_patch_divides() -> None:
    """Broken by tokens that are cut off, or a result of another length."""
    net = random_net()
    with torch.no_grad():
        out = net.predict(torch.randn(2, 8, 93), torch.zeros(2, 71), torch.zeros(2, 1))
    assert out.shape == (2, 8, 93) and torch.isfinite(out).all()


def test_called_as_sssd_ecg_it_returns_the_noise() -> None:
    """eps = sigma x + alpha v, so that the functions of SSSD-ECG can sample from it."""
    net, schedule, step = random_net(), karras(), 40
    x, cond, steps = torch.randn(2, 8, LENGTH), torch.zeros(2, 71), torch.full((2, 1), float(step))
    with torch.no_grad():
        eps = net((x, cond, steps))
        v = net.predict(x, cond, steps)
    torch.testing.assert_close(eps, float(schedule.sigma[step]) * x + float(schedule.alpha[step]) * v)


def test_the_weights_of_a_fused_optimizer_are_seen() -> None:
    """Broken when they are kept over a step that PyTorch does not count as a change."""
    net = random_net()
    x, cond = torch.randn(2, 8, LENGTH), torch.rand(2, 71)

    def half() -> torch.Tensor:  # in float32, the weights are the parameters themselves
        return bind(net, cond, [40], length=LENGTH, dtype=torch.bfloat16)(x, 0)

    before = half()
    optimizer = torch.optim.Adam(net.hidden, lr=0.01, fused=True)
    net.predict(x, cond, torch.full((2, 1), 40.0)).square().mean().backward()
    optimizer.step()
    after = half()
    net.forget()
    assert torch.equal(after, half()) and not torch.equal(before, after)


# --- the engine ---------------------------------------------------------------------------------------------


GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_bound_equals_plain(device: str) -> None:
    """Broken by steps or conditions that are mixed up, or weights of another precision that are kept."""
    net = random_net().to(device)
    x, cond = torch.randn(3, 8, LENGTH, device=device), torch.rand(3, 71, device=device)
    steps = [150, 7]
    predict = bind(net, cond, steps, length=LENGTH)
    for i, step in enumerate(steps):
        with torch.no_grad():
            plain = net.predict(x, cond, torch.full((3, 1), float(step), device=device))
        torch.testing.assert_close(predict(x, i), plain, atol=1e-5, rtol=1e-5)
    half = bind(net, cond, steps, length=LENGTH, dtype=torch.bfloat16)
    error = (half(x, 1) - predict(x, 1)).norm() / predict(x, 1).norm()
    assert 0 < error < 0.03
    before = predict(x, 0)
    with torch.no_grad():
        net.hidden[0].mul_(-1.0)
        changed = net.predict(x, cond, torch.full((3, 1), 150.0, device=device))
    again = bind(net, cond, steps, length=LENGTH)(x, 0)
    torch.testing.assert_close(again, changed, atol=1e-5, rtol=1e-5)
    assert (again - before).abs().max() > 1e-4


# --- training -----------------------------------------------------------------------------------------------


def test_under_little_noise_records_are_only_shifted() -> None:
    """Whole samples of the recording, with its mean, and a mask where the recording ends."""
    torch.manual_seed(0)
    length, end = 1000, 990
    x = torch.randn(64, 8, end + EXTRA)
    hidden = torch.zeros(64, dtype=torch.bool)
    moved, mask, rate = augmented_under_noise(x, length, hidden, generator(0, 0, 0, CPU))
    assert (rate == 1).all() and rate.shape == (64,)
    shifts = []
    for k in range(64):
        apart = [(moved[k] - x[k, :, s : s + length]).std(-1).max() for s in range(101)]
        shift = next(s for s in range(101) if apart[s] < 1e-5)
        shifts.append(shift)
        assert mask[k, 0].sum() == end - shift and mask[k, 0, : end - shift].all()
    assert 20 <= sum(s == 0 for s in shifts) <= 44 and max(shifts) > 80
    torch.testing.assert_close(moved[..., :end].mean(-1), x[..., :end].mean(-1), atol=1e-6, rtol=0)


def test_under_much_noise_records_are_augmented_as_before() -> None:
    """All but the mean, which is that of the recording. Broken by a gain or speed that little noise alone may have."""
    x = torch.randn(6, 8, 990 + EXTRA)
    hidden = torch.ones(6, dtype=torch.bool)
    moved, mask, rate = augmented_under_noise(x, 1000, hidden, generator(0, 0, 0, CPU))
    expected, fast = augmented(x, 1000, generator(0, 0, 0, CPU))
    centred = [part - part[..., :990].mean(-1, keepdim=True) for part in (moved, expected)]
    torch.testing.assert_close(*centred)
    gain = moved.std(-1) / augmented(x / x.std(), 1000, generator(0, 0, 0, CPU))[0].std(-1)
    assert torch.equal(rate, fast) and (gain - x.std()).abs().max() < 1e-4
    assert (moved[..., :990].mean(-1) - x[..., :990].mean(-1)).abs().max() < 0.2 * x[..., :990].mean(
        -1
    ).abs().max()
    assert mask.shape == (6, 1, 1000) and mask.all()


def test_noise_levels_are_drawn_where_they_matter() -> None:
    """The shares 0.65, 0.15 and 0.2; broken by levels that are looked up in steps, or not in logarithms."""
    schedule = karras()
    level = torch.tensor(schedule.sigma / schedule.alpha, dtype=torch.float32)
    t = drawn_steps(200_000, level, generator(0, 0, 0, CPU))
    assert int(t.min()) == 0 and int(t.max()) == 199
    drawn = level[t].log()

    def share(low: float, high: float) -> float:
        return float(((drawn >= np.log(low)) & (drawn < np.log(high))).float().mean())

    def uniform(low: float, high: float) -> float:
        return float(((level >= low) & (level < high)).float().mean())

    def lognormal(low: float, high: float) -> float:
        cdf = torch.distributions.Normal(np.log(2.0), 1.4).cdf
        return float(cdf(torch.tensor(np.log(high))) - cdf(torch.tensor(np.log(low))))

    fine = np.log(0.05 / 0.005) / np.log(0.05 / 0.0015)
    for low, high, third in ((0.005, 0.05, fine), (0.3, 3.0, 0.0), (10.0, 50.0, 0.0)):
        expected = 0.65 * lognormal(low, high) + 0.15 * third + 0.2 * uniform(low, high)
        assert share(low, high) == pytest.approx(expected, abs=0.012), (low, high)


def test_labels_patients_and_circumstances_are_left_out_separately() -> None:
    """Broken when the null label goes with circumstances, or is set where statements are kept."""
    config = tiny(label_dropout=0.2)
    y = with_dropout(torch.ones(4000, 93), config, generator(0, 0, 0, CPU))
    given, age, null, circumstances = y[:, 0], y[:, 71], y[:, 75], y[:, 76]
    assert torch.equal(null, 1 - given) and (y[:, :71] == given[:, None]).all()
    assert ((y[:, 77:] != 0) == (circumstances[:, None] > 0)).all()
    for part, expected in ((given, 0.8), (age, 0.5), (circumstances, 0.9)):
        assert float(part.mean()) == pytest.approx(expected, abs=0.03)
    assert abs(float(torch.corrcoef(torch.stack((given, circumstances)))[0, 1])) < 0.06


def test_guidance_is_learnt_for_heart_rates_that_somebody_may_ask_for() -> None:
    """Half of the records under much noise get one, of 40 to 160. Broken under little noise, or in other columns."""
    content = tiny().model_dump()
    content["trainset_config"] |= {"heart_rate": True, "variability": True}
    content["wavenet_config"]["label_embed_classes"] += 4
    content["transformer_config"]["heart_rates"] = True
    config = Config.model_validate(content)
    n, first = 4000, config.wavenet_config.label_embed_classes - 4
    y, level = torch.full((n, 97), 7.0), torch.linspace(0, 4, n)
    given = with_asked_heart_rates(y, level, config, torch.Generator().manual_seed(0))
    asked = (given != y).any(1)
    assert not asked[level < 2].any() and float(asked[level >= 2].float().mean()) == pytest.approx(
        0.5, abs=0.04
    )
    columns = given[asked]
    assert (columns[:, :first] == 7).all() and (columns[:, first + 4 :] == 7).all()
    assert (columns[:, first] == 1).all() and (columns[:, first + 2 : first + 4] == 0).all()
    rate = 75 + 25 * columns[:, first + 1]
    assert 40 <= rate.min() < 45 and 155 < rate.max() <= 160


def test_circumstances_are_trained_on_with_the_noise_of_generation() -> None:
    """Exact ones would tell the training records apart."""
    y = with_dropout(torch.ones(4000, 93), tiny(), generator(0, 0, 0, CPU))[:, 76:]
    values = y[y[:, 0] > 0, 1:]
    assert float(values.mean()) == pytest.approx(1, abs=0.005)
    assert float(values.std()) == pytest.approx(BANDWIDTH, rel=0.03)


def test_unknown_circumstances_stay_unknown() -> None:
    given = torch.ones(400, 93)
    given[:200, 76:] = 0
    y = with_dropout(given, tiny(), generator(0, 0, 0, CPU))
    assert (y[:200, 76:] == 0).all() and (y[200:, 76] == 1).float().mean() > 0.8


def test_coarse_records_are_trained_on_under_noise_only() -> None:
    config = tiny(batch_size=64)
    levels = noise_levels(build_schedule(config), velocity=True, data_std=DATA_STD)
    level = levels.sigma / levels.alpha
    signals, y = torch.randn(9, 8, LENGTH), torch.ones(9, 93)
    for coarse, low, high in ((~NO_COARSE, 1.0, 10.0), (NO_COARSE, 0.0, 200.0)):
        t = transformer_batch(signals, y, coarse, LENGTH, config, levels, 0)[2]
        assert (level[t] >= low).all() and (level[t] < high).all()
        assert coarse.any() or (level[t] < 1).any()


def test_wander_is_exchanged() -> None:
    """What is above 0.6 Hz stays. Broken by a filter of another band."""
    random = torch.Generator().manual_seed(0)
    time = torch.arange(1000) / 100
    phase = 6.28 * torch.rand(16, 8, 1, generator=random)
    slow, fast = torch.sin(6.28 * 0.2 * time + phase), torch.sin(6.28 * 1.3 * time + phase)
    allowed = torch.arange(16) < 12
    x = with_exchanged_wander(slow + fast, allowed, random)
    middle = slice(200, 800)  # a sine that does not fit a cosine series leaks at the ends
    apart = (x - fast)[:, None, :, middle] - slow[None, :, :, middle]  # from the wander of each record
    giver = apart.abs().amax((2, 3)).argmin(1)
    moved = giver != torch.arange(16)
    assert moved[:12].any() and not moved[12:].any() and (giver[:12] < 12).all()
    torch.testing.assert_close(x[..., middle], (slow[giver] + fast)[..., middle], atol=0.08, rtol=0)
    torch.testing.assert_close(x[~moved], (slow + fast)[~moved])


def test_conditions_have_the_wander_of_what_is_read() -> None:
    """By `measure`, on records in mV. Broken by another scale of the leads, or where circumstances are unknown."""
    random = torch.Generator().manual_seed(0)
    config = tiny(length=1000)
    lead_mv = np.array(config.trainset_config.lead_scale_mv)[:, None]
    x, y = torch.randn(6, 8, 1000, generator=random).cumsum(-1) / 30, torch.randn(6, 93, generator=random)
    y[:, 76] = torch.tensor([1.0, 1, 0, 1, 0, 1])
    scale = 1 + torch.rand(2, 16, generator=random)
    given = with_wander_of(y, x, scale, config)
    measured = normalised(measure(lead_mv * x.numpy(), 100), scale.double().numpy())[:, :8]
    expected = torch.from_numpy(measured).float() * y[:, 76:77]
    torch.testing.assert_close(given[:, 77:85], expected, atol=2e-4, rtol=0)
    assert torch.equal(given[:, :77], y[:, :77]) and torch.equal(given[:, 85:], y[:, 85:])
    wide, scale = (
        torch.cat((y, torch.randn(6, 16, generator=random)), 1),
        1 + torch.rand(2, 32, generator=random),
    )
    given = with_wander_of(wide, x, scale, config)
    measured = normalised(measure(lead_mv * x.numpy(), 100), scale.double().numpy())
    expected = torch.from_numpy(measured).float() * y[:, 76:77]
    for changed in (slice(77, 85), slice(101, 109)):
        torch.testing.assert_close(
            given[:, changed], expected[:, changed.start - 77 : changed.stop - 77], atol=2e-4, rtol=0
        )
    assert torch.equal(given[:, :77], wide[:, :77]) and torch.equal(given[:, 85:101], wide[:, 85:101])


def balanced(mask_end: int, spoiled: torch.Tensor | None = None) -> tuple[float, float]:
    levels = noise_levels(karras(), velocity=True, data_std=DATA_STD)
    balance = Balance(levels)
    random = torch.Generator().manual_seed(0)
    x, z = (torch.randn(4, 8, 50, generator=random) for _ in range(2))
    if spoiled is not None:
        x = torch.where(spoiled, 100.0, x)
    mask = (torch.arange(50) < mask_end).float().expand(4, 1, 50)
    batch = (x, torch.zeros(4, 71), torch.tensor([3, 50, 110, 190]), z, mask)
    loss, shown = balance.loss(lambda x_t, y, t: torch.zeros_like(x_t), batch, levels, None)
    return float(loss), float(shown)


def test_the_mask_excludes_what_is_not_the_recording() -> None:
    """Broken by a mask that is not applied, or a mean that counts the excluded samples."""
    outside = torch.arange(50) >= 40
    assert balanced(40, outside) == pytest.approx(balanced(40))
    assert balanced(50, outside)[1] > 2 * balanced(50)[1]
    assert balanced(40)[1] == pytest.approx(balanced(50)[1], rel=0.3)


def test_noise_levels_are_balanced() -> None:
    """Once the means have settled, every level has a loss of 1, however large its error is."""
    levels = noise_levels(karras(), velocity=True, data_std=DATA_STD)
    balance = Balance(levels)
    random = torch.Generator().manual_seed(0)
    t = torch.tensor([5, 195]).repeat(32)
    target_size = torch.where(t < 100, 0.3, 1.0)[:, None, None]

    def predict(x_t: torch.Tensor, y: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        alpha, sigma = levels.alpha[t][:, None, None], levels.sigma[t][:, None, None]
        error = torch.randn(x.shape, generator=random) * target_size
        return alpha * z - sigma * x + error / levels.weight[t].sqrt()[:, None, None]

    mask = torch.ones(64, 1, 50)
    for _ in range(400):
        x, z = (torch.randn(64, 8, 50, generator=random) for _ in range(2))
        loss, shown = balance.loss(predict, (x, torch.zeros(64, 71), t, z, mask), levels, None)
    assert float(loss) == pytest.approx(1.0, abs=0.05)
    assert float(shown) == pytest.approx((0.09 + 1) / 2, abs=0.05)


def test_a_batch_is_a_function_of_the_iteration() -> None:
    config = tiny()
    levels = noise_levels(build_schedule(config), velocity=True, data_std=DATA_STD)
    signals, y = torch.randn(9, 8, LENGTH), torch.rand(9, 93)
    first, again, other = (
        transformer_batch(signals, y, NO_COARSE, LENGTH, config, levels, i) for i in (3, 3, 4)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[3], other[3])
    assert first[4].shape == (4, 1, LENGTH)
    config = tiny(label_dropout=0.5, batch_size=64)
    given = transformer_batch(signals, torch.ones(9, 93), NO_COARSE, LENGTH, config, levels, 0)[1]
    assert 0.2 < float(given[:, 75].mean()) < 0.8 and torch.equal(given[:, 0], 1 - given[:, 75])


def test_a_killed_run_resumes_to_the_same_losses_and_weights(tmp_path: Path) -> None:
    """Fails if Muon's momenta, the balance or the draws of a batch are lost with the run."""
    config = tiny(n_iters=5, iters_per_ckpt=2)

    class Killed(Exception):
        pass

    def kill_at_3(progress: Any) -> None:
        if progress.iteration == 3:
            raise Killed

    whole = train(config, data(), tmp_path / "whole", accelerator="cpu")
    with pytest.raises(Killed):
        train(config, data(), tmp_path / "killed", accelerator="cpu", report=kill_at_3)
    resumed = train(config, data(), tmp_path / "killed", accelerator="cpu")
    logs = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("whole", "killed")]
    assert [row.rsplit(",", 1)[0] for row in logs[0]] == [row.rsplit(",", 1)[0] for row in logs[1]]
    left, right = read_state(whole.path)[0], read_state(resumed.path)[0]
    assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_what_a_run_resumes_from_is_small(tmp_path: Path) -> None:
    """64 MB at most, for the network that the configuration describes. Broken by moments in float32."""
    config = read_config(DEFAULT)
    net = build_network(config)
    assert isinstance(net, Transformer)
    optimizer = optimizer_for(net, CPU, graph=False)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    run = RunState(1, 0.0, torch.empty(0))
    save_run(tmp_path / "last.pt", run, config, net, optimizer, WeightAverage(net), data="")
    assert (tmp_path / "last.pt").stat().st_size < 64e6


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    """Fails if gradients do not reach the weights, or Muon goes uphill."""
    config = tiny(n_iters=100, iters_per_ckpt=10, iters_per_logging=10, batch_size=12, learning_rate=1e-2)
    train(config, data(), tmp_path, accelerator="cpu")
    rows = [row.split(",") for row in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert float(rows[-1][2]) < 0.95 * float(rows[0][2])


def test_a_transformer_learns_from_its_own_guidance(tmp_path: Path) -> None:
    """The target is the unconditional prediction and 1.5 or 3 times the way to the conditional one, by the level."""
    net = random_net()
    levels = noise_levels(karras(), velocity=True)
    at = int((levels.sigma / levels.alpha < 2.0).sum())  # the first step at 2 or more
    strength = strength_of_steps([(2.0, 3.0), (0.1, 1.5)], levels)
    assert strength[[0, at - 1, at, 199]].tolist() == [1.0, 1.5, 3.0, 3.0]
    assert set(strength_of_steps(1.5, levels).tolist()) == {1.5}
    predict = guided(net, LENGTH, strength, None, "float32", CPU)
    x, y, t = torch.randn(2, 8, LENGTH), torch.rand(2, net.columns), torch.tensor([[at - 1.0], [float(at)]])
    with torch.no_grad():
        conditional, unconditional = net.predict(x, y, t), net.predict(x, net.unconditional(y), t)
    expected = unconditional + torch.tensor([1.5, 3.0])[:, None, None] * (conditional - unconditional)
    torch.testing.assert_close(predict(x, y, t), expected)
    assert (conditional - unconditional).abs().max() > 1e-3
    first = train(tiny(), data(), tmp_path / "first", accelerator="cpu")
    second = train(
        tiny(guidance=[[0, 1.5], [3, 2.5]]), data(), tmp_path / "guided", init=first.path, accelerator="cpu"
    )
    assert second.iterations == 4


def test_the_heart_rate_has_a_guidance_of_its_own() -> None:
    """Fails where statements are guided without the heart rate, or a strength is that of another step."""
    content = tiny().model_dump()
    content["trainset_config"]["heart_rate"] = True
    content["wavenet_config"]["label_embed_classes"] = 77
    net = random_net(Config.model_validate(content))
    levels = noise_levels(karras(), velocity=True)
    strength, of_rate = (strength_of_steps(s, levels) for s in (1.5, [(0.0, 1.0), (2.0, 2.5)]))
    x, y, t = torch.randn(2, 8, LENGTH), torch.rand(2, net.columns), torch.tensor([[20.0], [190.0]])
    rate_alone = net.unconditional(y)
    rate_alone[:, 75:77] = y[:, 75:77]
    with torch.no_grad():
        told, by_rate, nothing = (net.predict(x, one, t) for one in (y, rate_alone, net.unconditional(y)))
    of_rates = torch.tensor([1.0, 2.5])[:, None, None]
    expected = nothing + of_rates * (by_rate - nothing) + 1.5 * (told - by_rate)
    found = guided(net, LENGTH, strength, of_rate, "float32", CPU)(x, y, t)
    torch.testing.assert_close(found, expected)
    assert (found - guided(net, LENGTH, strength, None, "float32", CPU)(x, y, t)).abs().max() > 1e-3


@pytest.mark.parametrize("rates", [False, True])
def test_circumstances_have_a_guidance_of_their_own(rates: bool) -> None:
    """Fails where it depends on the other strengths, or is one more than it should be."""
    content = tiny().model_dump()
    content["trainset_config"]["heart_rate"] = rates
    content["wavenet_config"]["label_embed_classes"] = 75 + 2 * rates
    net = random_net(Config.model_validate(content))
    levels = noise_levels(karras(), velocity=True)
    strength, of_rate, of_circumstances = (
        strength_of_steps(s, levels) for s in (1.5, 2.5, [(0.0, 1.4), (2.0, 1.0)])
    )
    x, y, t = torch.randn(2, 8, LENGTH), torch.rand(2, net.columns), torch.tensor([[20.0], [190.0]])
    without = y.clone()
    without[:, -17:] = 0
    with torch.no_grad():
        added = torch.tensor([0.4, 0.0])[:, None, None] * (net.predict(x, y, t) - net.predict(x, without, t))
    settings = (net, LENGTH, strength, of_rate if rates else None, "float32", CPU)
    expected = guided(*settings)(x, y, t) + added
    found = guided(*settings, of_circumstances=of_circumstances)(x, y, t)
    torch.testing.assert_close(found, expected)
    assert added[0].abs().max() > 1e-3


def test_a_heart_rate_is_guided_only_where_there_is_one(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.safetensors", random_net(), tiny())
    config = tiny(guidance=2.0, heart_rate_guidance=2.0)
    with pytest.raises(ValueError, match="heart_rate_guidance needs a transformer that .*leave the key out"):
        train(config, data(), tmp_path / "run", init=path, accelerator="cpu")


def test_fine_tuning_on_other_labels_keeps_what_is_known(tmp_path: Path) -> None:
    """A known label in another place means what it meant, as do age and circumstances; a new one is new.

    Broken by columns that are taken by their place, or by circumstances that move with the labels.
    """
    before = with_sources(tiny(), ["ptbxl", "others"])
    net = random_net(before)
    path = save_model(tmp_path / "model.safetensors", net, before)
    content = before.model_dump()
    content["trainset_config"]["label_names"] = ["MINE", "NORM", "AFIB"]
    content["wavenet_config"]["label_embed_classes"] = 7
    other = Config.model_validate(content)
    tuned = build_network(other).eval()
    start_from(tuned, other, path)
    rest = torch.randn(2, net.columns - 71)
    old, new = (torch.cat((torch.zeros(2, n), rest), 1) for n in (71, 3))
    old[0, CODES.index("AFIB")] = new[0, 2] = 1
    old[1, CODES.index("NORM")] = new[1, 1] = 1
    x, at = torch.randn(2, 8, LENGTH), torch.tensor([[50.0], [120.0]])
    with torch.no_grad():
        expected = net.predict(x, old, at)
        torch.testing.assert_close(tuned.predict(x, new, at), expected, atol=2e-2, rtol=2e-2)  # of float16
        new[:, 0] = 1
        assert (tuned.predict(x, new, at) - expected).abs().max() > 1e-3


def test_fine_tuning_on_other_labels_draws_heart_rates_of_the_new_data(tmp_path: Path) -> None:
    """Fails where the tables of the old labels are asked to fit, or a rate is drawn that the new data do not have."""
    content = tiny(n_iters=1).model_dump()
    content["transformer_config"] |= {"heart_rates": True}
    content["trainset_config"] |= {"heart_rate": True}
    content["wavenet_config"]["label_embed_classes"] = 77
    before = Config.model_validate(content)
    path = save_model(tmp_path / "model.safetensors", random_net(before), before)
    content["trainset_config"]["label_names"] = ["MINE", "NORM"]
    content["wavenet_config"]["label_embed_classes"] = 8
    labels = np.zeros((12, 8), np.float32)
    labels[:, 1] = labels[:6, 6] = 1
    labels[:6, 7] = 0.6  # 90 per minute
    recorded = replace(data(), labels=labels, val_labels=labels[:3])
    config = Config.model_validate(content)
    tuned = train(config, recorded, tmp_path / "tuned", init=path, accelerator="cpu").path
    found = SSSDECG.from_pretrained(tuned, device="cpu").model
    assert found.get_buffer("heart_rates").unique().tolist() == [0, 90]
    assert found.get_buffer("statements").unique().tolist() == [64]  # the bits of NORM alone
    assert found.get_buffer("statement_weights").tolist() == [1, 1]


def test_training_sees_weights_that_were_not_counted() -> None:
    """Without gradients too, where generation keeps weights; broken by a wrapper that keeps them."""
    net = random_net()
    wrapped = training_net(net, LENGTH, "bf16", CPU)
    x, cond, steps = torch.randn(2, 8, LENGTH), torch.rand(2, 75), torch.full((2, 1), 40.0)
    with torch.no_grad():
        before = wrapped(x, cond, steps)
        for p in net.hidden:
            p.data.mul_(-1.0)
        after = wrapped(x, cond, steps)
        net.forget()
        assert torch.equal(after, wrapped(x, cond, steps)) and not torch.equal(before, after)


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transformer_config": {"width": 24, "heads": 8}}, "width is 24: expected a multiple of 16"),
        ({"transformer_config": {}}, 'prediction is "eps": expected "v"'),
        (
            {"transformer_config": {"heart_rates": True}, "diffusion_config": {"prediction": "v"}},
            "heart_rates is true: expected transformer_config.circumstances above 0 and trainset_config.heart_rate",
        ),
        ({"diffusion_config": {"rho": 7.0}}, "lacks sigma_min and sigma_max"),
        (
            {"diffusion_config": {"rho": 7, "sigma_min": 0.1, "sigma_max": 1, "terminal_alpha": 0.01}},
            "terminal_alpha and sigma_max",
        ),
        ({"transformer_config": {"circumstances": 8, "slow": True}}, "slow is true and edge false"),
        (
            {"diffusion_config": {"rho": 7, "sigma_min": 1, "sigma_max": 0.1}},
            "sigma_min is 1.0 and sigma_max is 0.1",
        ),
    ],
)
def test_contradictions_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config.model_validate(change)


def test_the_network_is_sssd_ecgs_without_the_section() -> None:
    """Every configuration of before has a Denoiser; earlier versions read files of networks that draw no rates."""
    assert "heart_rates" not in tiny().content()["transformer_config"]
    assert read_config(PUBLISHED).transformer_config is None
    assert TransformerConfig().circumstances == 0


# --- from data to records -----------------------------------------------------------------------------------


def recordings(folder: Path, n: int = 20) -> Path:
    random = np.random.default_rng(0)
    labels = np.zeros((n, 71), np.uint8)
    labels[np.arange(n), np.arange(n) % 71] = 1
    signal = random.normal(0, 300, (n, 12, 1000)).astype(np.int16)
    path = folder / "signals.npz"
    write(
        path,
        Recordings(
            signal_uv=signal,
            labels=labels,
            label_names=CODES,
            strat_fold=np.arange(n) % 10 + 1,
            age=np.linspace(20, 90, n),
            sex=np.arange(n) % 2.0,
        ),
    )
    return path


def test_train_and_generate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`train --config default`, smaller, writes a checkpoint that `generate` and `inspect` can read."""
    content = tiny(1000, n_iters=2, batch_size=4).model_dump()
    content["trainset_config"]["heart_rate"] = True
    content["wavenet_config"]["label_embed_classes"] = 77
    file = tmp_path / "small.json"
    file.write_text(json.dumps({**content, "ddim_config": {"ddim_timesteps": 3}}))
    trained = tmp_path / "run"
    arguments = ["train", "--config", file, "--data", recordings(tmp_path), "--out", trained]
    assert main([str(a) for a in [*arguments, "--accelerator", "cpu"]]) == 0
    assert "71 labels, age, sex and heart rate, 2 iterations" in capsys.readouterr().out
    model = trained / "model.safetensors"
    out = tmp_path / "ecgs"
    arguments = ["generate", "--checkpoint", model, "--label", "AFIB", "-n", 2, "--seed", 1, "--out", out]
    assert main([str(a) for a in [*arguments, "-q"]]) == 0
    with np.load(out / "ecgs.npz") as made:
        assert made["signal_uv"].shape == (2, 12, 1000)
        assert np.abs(made["signal_uv"]).max() > 0
    capsys.readouterr()
    assert main(["inspect", str(model)]) == 0
    text = capsys.readouterr().out
    assert "transformer, 2 layers x 16 channels" in text and "sigma / alpha 0.0015 to 100, rho 7" in text


def test_the_packaged_name_is_known(tmp_path: Path) -> None:
    """`--config default` is read, and its length and rate are checked against the recordings."""
    from sssd.cli.train import _settings

    settings, kept = _settings("default", None)
    assert settings == read_config(DEFAULT) and not kept


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    """Broken by a table or weights that safetensors does not hold, or a configuration without the section."""
    config = tiny()
    model = SSSDECG(config, device="cpu")
    model.model.load_state_dict(random_net(config).state_dict())
    path = model.save_checkpoint(tmp_path / "transformer.safetensors")
    again = SSSDECG.from_pretrained(path, device="cpu")
    assert again.config.transformer_config == config.transformer_config
    assert again.model_hash == model.model_hash
    how: dict[str, Any] = {"sampler": "ddim", "steps": 3, "seed": 5, "exact": True, "progress": False}
    first = model.generate("AFIB", num_samples=3, **how)
    assert torch.equal(first, again.generate("AFIB", num_samples=3, **how))
    batches = torch.cat(
        [again.generate("AFIB", num_samples=3, batch_size=1, **how)]
    )  # a record depends on its own number only
    torch.testing.assert_close(first, batches, atol=1e-3 * float(first.abs().max()), rtol=1e-3)
    other = tiny().model_dump()
    other["transformer_config"]["layers"] = 1
    smaller = SSSDECG(Config.model_validate(other), device="cpu")
    with pytest.raises(ValueError, match="another transformer_config"):
        smaller.load_checkpoint(path)
    again.load_checkpoint(smaller.save_checkpoint(tmp_path / "smaller.safetensors"))
    assert again.model_hash == smaller.model_hash
    np.testing.assert_allclose(again.diffusion_hyperparams["Alpha_bar"], karras().abar, rtol=1e-6)


def test_training_fills_the_table_of_circumstances() -> None:
    """Each column has mean 0 and standard deviation 1 over the training records, in the network and in the data."""
    net, given = random_net(), data()
    slow = np.float32(30) * np.sin(2 * np.pi * 0.2 * np.arange(LENGTH) / 100)  # all have a baseline
    given = transformer_data(replace(given, signal_mv=given.signal_mv + slow), net, 100.0)
    assert given.labels.shape == (12, 93) and given.val_labels.shape == (3, 93)
    assert (given.labels[:, 75] == 0).all() and (given.labels[:, 76] == 1).all()
    np.testing.assert_allclose(given.labels[:, 77:].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(given.labels[:, 77:].std(0), 1, rtol=1e-9)
    assert net.circumstances is not None and net.circumstances.shape == (8, 16)
    np.testing.assert_allclose(
        net.circumstances[1].float().numpy(), given.labels[1 * 12 // 8, 77:], rtol=1e-3, atol=1e-3
    )


def test_wander_is_drawn_from_recordings_with_a_baseline() -> None:
    """So is what is slow, the fourth number of a lead. Broken where a recording without a baseline keeps its own."""
    content = tiny().model_dump()
    content["transformer_config"] |= {"edge": True, "slow": True}
    net = random_net(Config.model_validate(content))
    given = data()
    t, signal = np.arange(given.signal_mv.shape[-1]) / 100, given.signal_mv.copy()
    signal[4:] -= gaussian_filter1d(signal[4:], 10, axis=-1)  # takes the baseline out
    signal[:4] += np.float32(30) * np.sin(2 * np.pi * 0.2 * t)
    given = transformer_data(replace(given, signal_mv=signal), net, 100.0)
    assert given.labels.shape == (12, 109)
    assert net.circumstances is not None and net.circumstances_scale is not None
    assert net.circumstances.shape == (8, 32) and net.circumstances_scale.shape == (2, 32)
    expected = given.labels[:, 77:].copy()
    expected[4:, :8], expected[4:, 24:] = expected[0, :8], expected[0, 24:]
    expected = expected[np.arange(8) * 12 // 8]
    np.testing.assert_allclose(net.circumstances.float().numpy(), expected, rtol=1e-3, atol=1e-3)


def test_sources_are_told_and_the_first_one_is_generated() -> None:
    """The table of circumstances is that of the first set; coarse records have none."""
    config = with_sources(tiny(), ["ptbxl", "chapman", "others"])
    net = random_net(config)
    given = data()
    source, coarse = np.repeat((0, 1, 2), (6, 4, 2)), np.arange(12) >= 10
    signal = given.signal_mv.copy()
    signal[6:] *= 3
    given = transformer_data(replace(given, signal_mv=signal, source=source, coarse=coarse), net, 100.0)
    assert given.labels.shape == (12, 96) and given.val_labels.shape == (3, 96)
    assert (given.labels[:, 76:79] == np.eye(3)[source]).all() and (given.val_labels[:, 76] == 1).all()
    assert (given.labels[10:, 79:] == 0).all() and (given.labels[:10, 79] == 1).all()
    np.testing.assert_allclose(given.labels[:6, 80:].mean(0), 0, atol=1e-9)
    assert net.circumstances is not None and float(net.circumstances.float().mean().abs()) < 0.2
    full = net.full(torch.ones(2, 71))
    assert full[:, 71:76].eq(0).all() and full[:, 76:79].tolist() == [[1, 0, 0]] * 2
    cond = with_circumstances(net, torch.ones(2, 71), origin([1, 1], [0, 1]))
    assert cond[:, 76:79].tolist() == [[1, 0, 0]] * 2 and (cond[:, 79] == 1).all()
    assert torch.equal(net.unconditional(cond)[:, 76:], cond[:, 76:])
    assert with_sources(config, ["mine"]) == config  # in the place of the first
    with pytest.raises(
        ValueError, match="was trained on the sets ptbxl, chapman, others; given are ptbxl, mine"
    ):
        with_sources(config, ["ptbxl", "mine"])
    with pytest.raises(ValueError, match="further sets .* go with a transformer"):
        with_sources(Config(), ["ptbxl", "more"])
    with pytest.raises(ValueError, match="two sets have the same name"):
        with_sources(tiny(), ["ptbxl", "ptbxl"])


def test_records_get_circumstances_of_their_own() -> None:
    """Each is given that of a row drawn for its seed and number; broken by a generator that leaves them unknown."""
    net = random_net()
    assert net.circumstances is not None
    cond = with_circumstances(net, torch.ones(3, 71), origin([4, 4, 5], [0, 1, 1]))
    assert cond.shape == (3, 93)
    assert (cond[:, :71] == 1).all() and (cond[:, 71:76] == 0).all() and (cond[:, 76] == 1).all()
    state = origin([4, 4, 5], [0, 1, 1])
    assert torch.equal(cond[:, 77:], draw(net.circumstances, rows_like(net, cond[:, :76], state), state))
    model = SSSDECG(tiny(), device="cpu")
    model.model.load_state_dict(net.state_dict())
    how: dict[str, Any] = {"sampler": "ddim", "steps": 2, "seed": 5, "exact": True, "progress": False}
    before = model.generate("AFIB", **how)
    model.model.get_buffer("circumstances").add_(3.0)
    assert (model.generate("AFIB", **how) - before).abs().max() > 1e-3
    plain = tiny().model_dump()
    plain["transformer_config"]["circumstances"] = 0
    without = random_net(Config.model_validate(plain))
    assert torch.equal(with_circumstances(without, cond[:, :71], origin([0], [0])), cond[:, :71])


def test_what_only_sssd_ecgs_network_can_do_is_refused(tmp_path: Path) -> None:
    """The choice of a Cauchy convention, with a message."""
    path = SSSDECG(tiny(), device="cpu").save_checkpoint(tmp_path / "transformer.safetensors")
    with pytest.raises(ValueError, match="no S4 kernels"):
        fit_cauchy(path, read(recordings(tmp_path)))


def test_nothing_is_said_of_kernels_that_a_transformer_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by a record nor by `inspect`, which counts statements apart from age and sex."""
    model = SSSDECG(tiny(), device="cpu")
    model.model.load_state_dict(random_net().state_dict())
    (ecg,) = model.generate_ecgs("NORM", sampler="ddim", steps=1, seed=1, progress=False)
    assert "cauchy" not in ecg.provenance
    assert main(["inspect", str(model.save_checkpoint(tmp_path / "transformer.safetensors"))]) == 0
    said = capsys.readouterr().out
    assert "cauchy" not in said and "71 statements, age and sex, turned" in said


def test_every_sampler_gives_finite_records() -> None:
    """Every sampler takes the schedule, from 100 times the unit to 0.0015, and gives finite records."""
    model = SSSDECG(tiny(), device="cpu")
    model.model.load_state_dict(random_net().state_dict())
    for sampler in ("ddim", *MULTISTEP, "sde-dpmpp-2m", "sde-ode-dpmpp-2m"):
        made = model.generate("NORM", sampler=sampler, steps=6, seed=0, exact=True, progress=False)
        assert torch.isfinite(made).all(), sampler
