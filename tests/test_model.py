"""The network: parity with SSSD-ECG, S4 kernels against their recurrence, fast routes against plain ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sssd.checkpoints import infer_config
from sssd.engine.bound import bind
from sssd.model_wrapper import SSSDECG
from sssd.models.denoiser import Denoiser
from sssd.models.function import biases, denoise, residual_block
from sssd.models.parameters import DenoiserConfig
from sssd.models.s4 import (
    S4Kernel,
    discrete_transition,
    fft_convolve,
    hippo_legs,
    kernel_basis,
    kernel_taps,
    spectrum_of,
    toeplitz_convolve,
    two_sided_taps,
)
from sssd.models.weights import effective_weights, kernel_bases

GOLDEN = Path(__file__).parent / "golden"  # README.md there says how the files were made
TINY = {
    "num_res_layers": 2,
    "res_channels": 8,
    "skip_channels": 8,
    "diffusion_step_embed_dim_in": 8,
    "diffusion_step_embed_dim_mid": 8,
    "diffusion_step_embed_dim_out": 8,
    "s4_lmax": 32,
    "s4_d_state": 4,
    "label_embed_dim": 8,
    "label_embed_classes": 5,
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(seed=0, velocity=None, **changes):
    torch.manual_seed(seed)
    net = Denoiser(DenoiserConfig(**{**TINY, **changes}), velocity=velocity)
    torch.nn.init.normal_(net.final_conv["2"].conv.weight, std=0.3)
    for block in net.blocks:
        if block.attention is not None:
            torch.nn.init.normal_(block.attention.output.weight, std=0.3)
    return net.eval()


def inputs(length=32, batch=3, classes=5, seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 8, length, generator=g)
    return x, torch.rand(batch, classes, generator=g), torch.tensor([[0.0], [7.0], [19.0]])[:batch]


def relative(x, expected):
    return ((x.double() - expected.double()).norm() / expected.double().norm()).item()


# --- parity -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cauchy", ["conjugate_pairs", "half_spectrum"])
@pytest.mark.parametrize("route", ["plain", "cached", "bound"])
def test_the_outputs_of_sssd_ecg(cauchy, route):
    """Fails when omega is recomputed, a label bias joins before the first S4 layer, or skips are not scaled."""
    net = SSSDECG.from_pretrained(GOLDEN / "sssd_ecg_small.pkl", cauchy=cauchy, device="cpu").model
    with np.load(GOLDEN / "sssd_ecg_small_io.npz") as data:
        io = {k: torch.from_numpy(data[k]) for k in ("x", "y", "t", f"eps_{cauchy}")}
    x, y, t = io["x"], io["y"], io["t"]
    if route == "plain":
        eps = net((x, y, t)).detach()
    elif route == "cached":
        with torch.no_grad():
            eps = net((x, y, t))
    else:
        steps = [int(step) for step in t.flatten()]
        predict = bind(net, y, steps, length=x.shape[-1])
        eps = torch.stack([predict(x, i)[i] for i in range(len(steps))])
    assert relative(eps, io[f"eps_{cauchy}"]) < 1e-5


def test_the_inferred_size_is_that_of_the_reference():
    net = SSSDECG.from_pretrained(GOLDEN / "sssd_ecg_small.pkl", device="cpu").model
    expected = json.loads((GOLDEN / "sssd_ecg_small.json").read_text())["wavenet_config"]
    assert net.config == DenoiserConfig(**expected)


@pytest.mark.parametrize("changes", [{}, {"attention_every": 2, "num_res_layers": 4, "res_channels": 32}])
def test_the_size_is_inferred_from_the_shapes(changes):
    """Fails if a checkpoint without its configuration loses its attention."""
    net = network(**changes)
    assert infer_config(net.state_dict()) == net.config


# --- S4 -----------------------------------------------------------------------------------------------------


def recurrence(kernel, c_true, length):
    """Taps 2 Re(C A^k B) of the bilinear discretisation, state by state in float64: (c, H, length)."""
    w, b, p, q = (
        torch.view_as_complex(v).to(torch.complex128)
        for v in (kernel.w, kernel.B[0], kernel.P[0], kernel.Q[0])
    )
    both = [torch.cat((v, v.conj()), dim=-1) for v in (w, b, p, q, c_true.to(torch.complex128))]
    w, b, p, q, c = both
    taps = []
    for h in range(w.shape[0]):
        dt = torch.exp(kernel.log_dt[h].double())
        a = torch.diag(w[h]) - torch.outer(p[h], q[h])
        eye = torch.eye(len(a), dtype=a.dtype)
        left = torch.linalg.inv(eye - dt / 2 * a)
        state, step = left @ b[h] * dt, left @ (eye + dt / 2 * a)
        row = []
        for _ in range(length):
            row.append((c[:, h] @ state).real)
            state = step @ state
        taps.append(torch.stack(row, dim=-1))
    return torch.stack(taps, dim=1)


def kernel_and_true_c(states=8, lmax=32, seed=0):
    """A kernel and the C that its parameter, C (I - A^lmax), was made from."""
    torch.manual_seed(seed)
    kernel = S4Kernel(2, 3, states, lmax)
    stored = torch.view_as_complex(kernel.C.detach())
    w, p, q = (torch.view_as_complex(v) for v in (kernel.w, kernel.P[0], kernel.Q[0]))
    power = torch.linalg.matrix_power(discrete_transition(kernel.log_dt, w, p, q), lmax)  # on (Re, Im)
    row = torch.cat((stored.real, -stored.imag), dim=-1).double().transpose(0, 1)
    solved = torch.linalg.solve(torch.eye(states, dtype=torch.float64) - power, row, left=False)
    real, imaginary = solved.transpose(0, 1).chunk(2, dim=-1)
    return kernel, torch.complex(real, -imaginary)


@pytest.mark.parametrize("length", [7, 31, 32, 33, 100])
def test_kernel_is_the_recurrence(length):
    """Shorter than lmax, as long, and longer through doubling. Fails when A^n is left out past lmax, for half of each
    conjugate pair, or when C is taken as stored."""
    kernel, c = kernel_and_true_c()
    with torch.no_grad():
        taps = kernel_taps(kernel, torch.view_as_complex(kernel.C), length, "conjugate_pairs")
        half = kernel_taps(kernel, torch.view_as_complex(kernel.C), length, "half_spectrum")
    expected = recurrence(kernel, c, length)
    assert relative(taps, expected) < 2e-5
    assert relative(half, expected) > 0.05


def test_hippo_is_its_diagonal_minus_low_rank():
    """The eigenvalues of LegS are -1 .. -n. Fails when the wrong half of the pairs is kept, or P is not halved."""
    w, p, _ = hippo_legs(6)
    w, p = np.concatenate((w, w.conj())), np.concatenate((p, p.conj()))
    eigenvalues = np.sort(np.linalg.eigvals(np.diag(w) - np.outer(p, p.conj())).real)
    np.testing.assert_allclose(eigenvalues, -np.arange(6, 0, -1), atol=1e-6)


@pytest.mark.parametrize("cauchy", ["conjugate_pairs", "half_spectrum"])
@pytest.mark.parametrize("length", [20, 32, 50])
def test_kernel_is_linear_in_c(cauchy, length):
    """Training's route. Fails when the basis is made of C's complex conjugate."""
    kernel, _ = kernel_and_true_c()
    d = torch.randn(1, 3)
    direct = two_sided_taps(kernel, d, length, cauchy)
    by_basis = two_sided_taps(kernel, d, length, cauchy, kernel_basis(kernel, length, cauchy))
    assert relative(by_basis, direct) < 1e-5


@pytest.mark.parametrize("length", [1, 9, 24])
def test_convolutions_agree_with_the_sum(length):
    """Both fast convolutions against the sum over lags. Fails when the backward kernel starts at lag 0."""
    torch.manual_seed(0)
    u, taps = torch.randn(3, 2, length), torch.randn(3, 2 * length - 1)
    expected = torch.zeros(3, 2, length, dtype=torch.float64)
    for i in range(length):
        for j in range(length):
            expected[..., i] += u[..., j].double() * taps[:, None, i - j + length - 1]
    torch.testing.assert_close(fft_convolve(u, spectrum_of(taps)).double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(toeplitz_convolve(u, taps).double(), expected, rtol=1e-5, atol=1e-5)


def test_backward_kernel_has_its_first_tap_at_lag_minus_one():
    kernel, _ = kernel_and_true_c()
    taps = kernel_taps(kernel, torch.view_as_complex(kernel.C), 10, "conjugate_pairs")
    both = two_sided_taps(kernel, torch.zeros(1, 3), 10, "conjugate_pairs")
    assert torch.equal(both[:, 8], taps[1, :, 0]) and torch.equal(both[:, 9], taps[0, :, 0])


# --- the network in its variants ----------------------------------------------------------------------------

VARIANTS = [
    {},
    {"s4_bidirectional": False},
    {"s4_layernorm": False},
    {"patch": 4},
    {"label_embed_classes": 0},
    {"s4_d_state": 2, "num_res_layers": 1},
    {"attention_every": 1, "res_channels": 32, "patch": 2},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("length", [32, 21, 70])
def test_routes_agree(changes, length):
    """Plain, cached, bound and training's Toeplitz route, at lmax, below at an odd length, and above.

    Fails when padding to whole patches or to multiples of 8 leaks into the signal.
    """
    net = network(**changes)
    x, cond, steps = inputs(length)
    plain = net((x, cond, steps)).detach()
    assert plain.shape == x.shape and plain.std() > 0.01
    with torch.no_grad():
        torch.testing.assert_close(net((x, cond, steps)), plain)
        bases = kernel_bases(net, length)
        weights = effective_weights(net, length, bases=bases, toeplitz=True)
        toeplitz = denoise(weights, x, biases(net, cond, steps), 0.0, residual_block)
    assert relative(toeplitz, plain) < 1e-5
    predict = bind(net, cond, [19, 7, 0], length=length)
    for row, record in ((0, 2), (1, 1), (2, 0)):
        torch.testing.assert_close(predict(x, row)[record], plain[record], rtol=1e-4, atol=1e-5)


def test_unidirectional_does_not_look_ahead():
    """But for the 3-tap convolution of each of the two blocks. Fails when the FFT is too short and wraps around."""
    net = network(s4_bidirectional=False)
    x, cond, steps = inputs()
    later = x.clone()
    later[..., 20:] += 1
    with torch.no_grad():
        change = (net((later, cond, steps)) - net((x, cond, steps))).abs().amax((0, 1))
    assert change[:18].max() < 1e-5 < 1e-2 < change[18:].max()


def test_gradients_flow_and_agree_with_training_route():
    """Every parameter but the last residual projection, which leads nowhere."""
    net = network()
    x, cond, steps = inputs()
    net((x, cond, steps)).square().mean().backward()
    plain = {name: p.grad for name, p in net.named_parameters()}
    assert {name for name, grad in plain.items() if grad is None} == {
        f"residual_layer.residual_blocks.1.res_conv.{part}" for part in ("weight_g", "weight_v", "bias")
    }
    net.zero_grad()
    weights = effective_weights(net, 32, bases=kernel_bases(net, 32), toeplitz=True)
    denoise(weights, x, biases(net, cond, steps)).square().mean().backward()
    for name, p in net.named_parameters():
        if plain[name] is not None:
            assert p.grad.isfinite().all() and relative(p.grad, plain[name]) < 1e-3, name


def test_velocity_becomes_noise():
    """eps = sigma x + alpha v. Fails when alpha and sigma are swapped or read at another step."""
    alpha, sigma = np.linspace(0.99, 0.0, 20), np.sqrt(1 - np.linspace(0.99, 0.0, 20) ** 2)
    net, (x, cond, steps) = network(velocity=(alpha, sigma)), inputs()
    with torch.no_grad():
        v, eps = net.predict(x, cond, steps), net((x, cond, steps))
    at = steps.flatten().long().numpy()
    a, s = (torch.tensor(table[at], dtype=torch.float32)[:, None, None] for table in (alpha, sigma))
    torch.testing.assert_close(eps, s * x + a * v)


def test_frozen_weights_are_kept_until_they_change():
    """Fails when the cache looks at the identity of the parameters only."""
    net, (x, cond, steps) = network(), inputs()
    with torch.no_grad():
        before = net((x, cond, steps))
        assert net.frozen_weights(32) is net.frozen_weights(32)
        kept = net.frozen_weights(32)
        net.blocks[0].S41.kernel.C.mul_(2.0)
        assert net.frozen_weights(32) is not kept
        doubled = net((x, cond, steps))
        net.load_state_dict(network(seed=3).state_dict())
        loaded = net((x, cond, steps))
        net.blocks[1].S42.kernel.log_dt.add_(0.5)
        moved = net((x, cond, steps))
        assert len(net._cache) == 1
        net.cauchy = "half_spectrum"
        half = net((x, cond, steps))
    outputs = [before, doubled, loaded, moved, half]
    assert all(relative(a, b) > 1e-4 for a, b in zip(outputs, outputs[1:], strict=False))
    expected = network(seed=3)
    torch.testing.assert_close(loaded, expected((x, cond, steps)).detach())


def test_bf16_is_close():
    net, (x, cond, steps) = network(), inputs()
    with torch.no_grad():
        expected = net((x, cond, steps))
        weights = net.frozen_weights(32, torch.bfloat16)
        rounded = denoise(weights, x, biases(net, cond, steps))
    assert rounded.dtype == torch.float32 and 0 < relative(rounded, expected) < 0.02


def test_dropout_only_in_training():
    net, given = network(s4_dropout=0.5), inputs()
    net.train()
    assert not torch.equal(net(given), net(given))
    net.eval()
    torch.testing.assert_close(net(given), net(given))


def test_wrong_cauchy():
    with pytest.raises(ValueError, match="cauchy is 'whole': expected one of conjugate_pairs, half_spectrum"):
        Denoiser(DenoiserConfig(**TINY), cauchy="whole")
