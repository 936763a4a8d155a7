"""The fast engine: each kernel equals its plain twin, and the network built from them the plain network.

Without a GPU the kernels run in Triton's interpreter, on tiny sizes and in float32 (it has no bf16 products).
"""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton")

from sssd.checks import Notice  # noqa: E402
from sssd.engine import bound, fused, recent  # noqa: E402
from sssd.engine.kernels import long_convolution as long  # noqa: E402
from sssd.engine.kernels import norm, short_convolution, trainable  # noqa: E402
from sssd.models.denoiser import Denoiser  # noqa: E402
from sssd.models.function import biases, denoise  # noqa: E402
from sssd.models.parameters import DenoiserConfig  # noqa: E402
from sssd.models.s4 import toeplitz_convolve  # noqa: E402

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
NAN = float("nan")
SMALL = DenoiserConfig(
    num_res_layers=3,
    res_channels=16,
    skip_channels=16,
    diffusion_step_embed_dim_in=16,
    diffusion_step_embed_dim_mid=16,
    diffusion_step_embed_dim_out=16,
    s4_lmax=48,
    s4_d_state=8,
    label_embed_dim=8,
    label_embed_classes=5,
)


@pytest.fixture(autouse=True)
def _exact() -> None:
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device=DEVICE)


def relative(result: torch.Tensor, expected: torch.Tensor) -> float:
    return float((result - expected).norm() / expected.norm())


def small(**changes: object) -> Denoiser:
    net = Denoiser(DenoiserConfig(**{**vars(SMALL), **changes})).eval().to(DEVICE)  # type: ignore[arg-type]
    torch.nn.init.normal_(net.outer_convs[2].weight)  # zero before training, and so is the next
    for block in net.blocks:
        if block.attention is not None:
            torch.nn.init.normal_(block.attention.output.weight)
    return net


@pytest.mark.skipif(CUDA, reason="on a GPU float32 products are rounded to tf32")
@pytest.mark.parametrize("records, length", [(1, 40), (3, 136), (17, 264), (66, 264)])
def test_long_convolution_is_the_toeplitz_product(records: int, length: int) -> None:
    """Each size takes another tile. Breaks if a shift of the taps, the sign of a lag or a source is off by one."""
    u, taps = rand(records, 2, length), rand(2, 2 * length - 1) / length**0.5
    copies, reach = long.shifted_taps(taps, length, torch.float32), long.reach_of(taps)
    result = long.long_convolution(u, copies, reach, torch.full_like(u, NAN), gelu=False)
    expected = toeplitz_convolve(u.transpose(0, 1), taps).transpose(0, 1)
    assert relative(result, expected) < 2e-3 if (reach < length - 1).any() else 1e-6
    assert relative(result, long.plain(u, copies, gelu=False)) < 1e-5


@pytest.mark.skipif(CUDA, reason="on a GPU float32 products are rounded to tf32")
@pytest.mark.parametrize(
    "blocks, block, k", [(2, 128, 64), (4, 64, 64), (7, 32, 128), (4, 64, 16), (13, 16, 16)]
)
def test_every_folding_of_a_record_gives_the_same(blocks: int, block: int, k: int) -> None:
    """Breaks if a tile of several blocks or a part of one takes the lag of its neighbour."""
    length, records = 200, 3
    u, taps = rand(records, 2, length), rand(2, 2 * length - 1)
    taps[1] *= torch.exp(
        -torch.arange(1 - length, length, device=DEVICE).abs() / 6
    )  # so that it reaches less far
    copies, y = long.shifted_taps(taps, length, torch.float32), torch.full_like(u, NAN)
    long._long_convolution[(-(-records * blocks // 32), 2)](
        u, copies, long.reach_of(taps), y, records, SB=u.stride(0), SH=u.stride(1), L=length, W=256, A=blocks,
        P=block, R=long.SHIFTS, GELU=False, BM=32, BN=block, BK=k,
    )  # fmt: skip
    expected = long.plain(u, copies, gelu=False)
    assert relative(y[:, 0], expected[:, 0]) < 1e-5 and relative(y[:, 1], expected[:, 1]) < 2e-3


def test_reach_drops_only_what_rounding_would() -> None:
    """Breaks if forward and backward change places, or the tail is counted from the wrong end."""
    lag = torch.arange(-99, 100, device=DEVICE)
    decay = torch.where(lag >= 0, torch.exp(-lag / 8), torch.exp(lag / 4))
    one_sided = torch.where(lag >= 0, decay, 0.0)
    reach = long.reach_of(torch.stack((decay, one_sided, torch.ones_like(decay))))
    assert reach[1, 1] == 0 and reach[2].tolist() == [99, 99]
    assert 0 < reach[0, 1] < reach[0, 0] < 99
    kept = (lag <= reach[0, 0]) & (lag >= -reach[0, 1])
    assert ((decay * ~kept).norm() / decay.norm()) < 2**-9


@pytest.mark.skipif(CUDA, reason="on a GPU float32 products are rounded to tf32")
def test_gelu_of_the_kernel() -> None:
    """Taps that are 1 at lag 0 leave the gelu alone. Breaks with any coefficient of its polynomial."""
    u = torch.linspace(-9, 9, 2 * 48).reshape(2, 1, 48)
    delta = F.one_hot(torch.tensor([47]), 95).float()
    y = long.long_convolution(
        u, long.shifted_taps(delta, 48, torch.float32), long.reach_of(delta), torch.zeros_like(u)
    )
    assert ((y - F.gelu(u)).abs() <= 5e-5 * u.abs().clamp(min=1)).all()


@pytest.mark.skipif(CUDA, reason="on a GPU float32 products are rounded to tf32")
@pytest.mark.parametrize("valid", [24, 21])
def test_short_convolution(valid: int) -> None:
    """Breaks if an end of a record takes its neighbour's sample, or padding does not become zero."""
    x, w, offset = rand(3, 24, 16), rand(48, 32), rand(3, 32)
    result = short_convolution.short_convolution(x, w, offset, torch.full((3, 32, 24), NAN), valid)
    expected = short_convolution.plain(x, w, offset, valid)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    assert not result[..., valid:].any()


@pytest.mark.skipif(CUDA, reason="on a GPU float32 products are rounded to tf32")
@pytest.mark.parametrize("features, records, length", [(2, 3, 40), (2, 2, 136), (1, 3, 264)])
def test_gradients_of_the_convolution(features: int, records: int, length: int) -> None:
    """Against the plain network's convolution. Breaks if taps are not turned round, or a diagonal is off by one."""
    u, taps = rand(features, records, length), rand(features, 2 * length - 1)
    g, found = rand(features, records, length), []
    for convolve in (trainable.convolve, toeplitz_convolve):
        leaves = [t.clone().requires_grad_() for t in (u, taps)]
        y = convolve(*leaves)
        y.backward(g)
        found.append([y.detach(), *(t.grad for t in leaves)])
    for result, expected in zip(*found, strict=True):
        assert relative(result, expected) < 1e-6


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("valid", [24, 21])
def test_norm(labelled: bool, normed: bool, valid: int) -> None:
    """Breaks if a vector is taken for another, or the label of another record."""
    z, vectors, label = rand(3, 32, 24), rand(3, 32)[: 3 if normed else 1], rand(3, 32) if labelled else None
    expected = norm.plain_norm(z, vectors, label, valid)
    torch.testing.assert_close(norm.norm(z.clone(), vectors, label, valid), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("normed", [True, False])
def test_norm_gate(normed: bool) -> None:
    """Breaks if the halves change places, or rows of the output are not a stride apart."""
    z, vectors = 3 * rand(3, 32, 24), rand(3, 32)[: 3 if normed else 1]
    wide = torch.full((3 * 24, 40), NAN, device=DEVICE)
    norm.norm_gate(z, vectors, wide[:, 8:24])
    torch.testing.assert_close(wide[:, 8:24], norm.plain_norm_gate(z, vectors), atol=1e-5, rtol=1e-5)
    assert wide[:, :8].isnan().all() and wide[:, 24:].isnan().all()


@pytest.mark.skipif(CUDA, reason="on a GPU float32 products are rounded to tf32")
@pytest.mark.parametrize(
    "changes, length, records",
    [
        ({}, 48, 3),
        ({"patch": 4}, 37, 2),
        ({"s4_bidirectional": False, "s4_layernorm": False}, 33, 1),
        ({"label_embed_classes": 0}, 72, 3),
        ({"attention_every": 1, "res_channels": 32, "patch": 2}, 70, 2),
    ],
)
def test_network_on_kernels_is_the_plain_network(
    changes: dict[str, object], length: int, records: int
) -> None:
    """Odd lengths and every configuration. Breaks if the biases that x lacks are not carried to the next block."""
    net = small(**changes)
    x, classes = rand(records, 8, length), net.config.label_embed_classes
    cond = (torch.rand(records, classes) > 0.5).float()
    _, label = biases(net, cond, torch.zeros(1, 1))
    label = None if label is None else label.transpose(1, 2).contiguous()
    evaluate = fused.evaluator(net, fused.pack(net, length, torch.float32), records, length)
    with torch.no_grad():
        step = biases(net, torch.zeros(1, classes), torch.tensor([[9.0], [7.0], [3.0]])).step
        result = evaluate(x, fused.offsets(net, step)[1], label)
        expected = net.predict(x, cond, torch.full((records, 1), 7.0))
    assert relative(result, expected) < 1e-4


def test_bf16_error_of_the_plain_network_is_within_bounds() -> None:
    """The fallback in bf16 is 2e-2 from float32 at most. Breaks if a norm or the last product runs in bf16 sums."""
    net = small()
    x, cond, t = (
        rand(4, 8, 48),
        (torch.rand(4, 5, device=DEVICE) > 0.5).float(),
        torch.full((1, 1), 7.0, device=DEVICE),
    )
    with torch.no_grad():
        half = denoise(net.frozen_weights(48, torch.bfloat16), x, biases(net, cond, t))
        assert relative(half, net.predict(x, cond, t.expand(4, 1))) < 2e-2


def test_what_the_kernels_do_not_fit() -> None:
    """Breaks if a width that is no power of two, or a tensor of 2^31 numbers, reaches the kernels."""
    device = torch.device("cuda")
    assert not bound.kernels_fit(DenoiserConfig(res_channels=48), 1, 1000, device)
    assert not bound.kernels_fit(DenoiserConfig(), 4195, 1000, device)


def test_falls_back_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a machine without Triton fails, or is told at every call."""
    monkeypatch.setattr(bound.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    bound.kernels_run.cache_clear()
    device = torch.device("cuda")
    try:
        with pytest.warns(Notice, match="Triton is not installed") as warned:
            assert not bound.kernels_fit(DenoiserConfig(), 1, 1000, device)
        assert warned[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not bound.kernels_fit(DenoiserConfig(), 1, 1000, device)
    finally:
        bound.kernels_run.cache_clear()


def test_what_is_kept_goes_with_the_weights() -> None:
    """Breaks if a changed parameter leaves an old recording in use, or two keys are kept at once."""
    net, made = small(), []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    assert [net.kept("thing", (1,), make), net.kept("thing", (1,), make), net.kept("thing", (2,), make)] == [
        0,
        0,
        1,
    ]
    with torch.no_grad():
        net.outer_convs[2].weight.add_(1)
    assert net.kept("thing", (2,), make) == 2


def test_recent_keeps_the_last_few() -> None:
    """Broken by dropping the last one used in place of the oldest, or by a bound that is off by one (seen: both)."""
    made: list[str] = []

    def get(kept: recent.Recent[str], key: str, size: float = 0.0) -> None:
        def make() -> str:
            made.append(key)
            return key

        assert kept.get(key, make, size) == key

    few: recent.Recent[str] = recent.Recent(2)
    for key in "abacab":  # c takes the place of b, which is made again
        get(few, key)
    assert ("".join(made), len(few)) == ("abcb", 2)
    made.clear()
    small: recent.Recent[str] = recent.Recent(9, size=10)
    for key, size in (("a", 4.0), ("b", 6.0), ("a", 4.0), ("c", 5.0), ("a", 4.0), ("d", 99.0), ("d", 99.0)):
        get(small, key, size)
    assert ("".join(made), len(small)) == ("abcd", 1)


def test_what_is_too_old_goes_before_the_new_is_made() -> None:
    """Two large things never take their memory at the same time. Broken by making first (seen)."""
    kept: recent.Recent[int] = recent.Recent(1)
    kept.get("a", lambda: 1)
    assert kept.get("b", lambda: len(kept)) == 0


class Stand:
    """In place of a CUDA graph: it evaluates in memory of its own, and notes for what it was recorded."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def record(self, function, *inputs):  # type: ignore[no-untyped-def]
        self.shapes.append(tuple(inputs[0].shape))
        held = [None if one is None else torch.zeros_like(one) for one in inputs]

        def replay(*given):  # type: ignore[no-untyped-def]
            for one, new in zip(held, given, strict=True):
                if one is not None:
                    one.copy_(new)
            with torch.no_grad():
                return function(*held)

        return replay


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand()
    monkeypatch.setattr(bound.graph, "record", stand.record)
    monkeypatch.setattr(bound, "memory", lambda device: 16e9)
    monkeypatch.setattr(bound, "records_graphs", lambda device: True)
    return stand


def _predictions(net: Denoiser, records: int, steps: list[int], length: int = 48) -> None:
    """Through a recorded graph as through the plain network, at every step."""
    x, cond = rand(records, 8, length), (torch.rand(records, 5, device=DEVICE) > 0.5).float()
    predict = bound.bind(net, cond, steps, length=length, dtype=torch.float32)
    for i, t in enumerate(steps):
        with torch.no_grad():
            expected = net.predict(x, cond, torch.full((records, 1), float(t), device=DEVICE))
        torch.testing.assert_close(predict(x, i), expected, rtol=1e-4, atol=1e-5)


def test_batches_that_alternate_record_once_each(stand: Stand) -> None:
    """Other steps and labels use the same graph. Broken by keeping one graph only, or by a graph of one step (seen)."""
    net = small()
    for steps in ([9, 7, 3], [8, 6, 2], [9]):
        for records in (1, 2, 1, 2):
            _predictions(net, records, steps)
    assert stand.shapes == [(1, 8, 48), (2, 8, 48)]
    _predictions(net, 1, [9], length=40)
    _predictions(net, 1, [9])
    assert stand.shapes[2:] == [(1, 8, 40)]
    with torch.no_grad():
        net.outer_convs[2].weight.add_(1)
    _predictions(net, 1, [9])
    assert stand.shapes[3:] == [(1, 8, 48)]  # of the new weights


def test_graphs_are_bounded(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """In number and in memory. Broken by either bound left out (seen: both)."""
    net = small()
    for records in (*range(1, bound.GRAPHS + 2), 1):
        _predictions(net, records, [9])
    assert stand.shapes[-1] == (1, 8, 48) and len(stand.shapes) == bound.GRAPHS + 2
    stand.shapes.clear()
    fits = bound.activation_bytes(net.config, 5, 48) / bound.SHARE
    monkeypatch.setattr(bound, "memory", lambda device: fits)
    net = small()
    for records in (2, 3, 2, 3, 9, 9, 2):  # 2 and 3 fit together; 9 alone is too large, and is kept alone
        _predictions(net, records, [9])
    assert [shape[0] for shape in stand.shapes] == [2, 3, 9, 2]


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="needs CUDA")
@pytest.mark.parametrize("records", [1, 5, 20, 70])
def test_bound_on_the_gpu(records: int) -> None:
    """Both engines against the plain network. Breaks if a recording works in memory that was freed."""
    net = small(s4_d_state=16, res_channels=32, s4_lmax=200)
    x, cond = rand(records, 8, 200), (torch.rand(records, 5, device=DEVICE) > 0.5).float()
    expected = net.predict(x, cond, torch.full((records, 1), 7.0, device=DEVICE)).detach()
    for dtype, bound_ in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        predict = bound.bind(net, cond, [9, 7, 3], length=200, dtype=dtype)
        filler = [torch.full((1 << 20,), NAN, device=DEVICE) for _ in range(50)]
        first = predict(x, 1)
        assert relative(first, expected) < bound_
        predict(rand(records, 8, 200), 2)
        assert torch.equal(predict(x, 1), first)
        del filler


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="needs CUDA")
def test_graphs_that_are_kept_do_not_disturb_each_other() -> None:
    """Broken by graphs that work in the same memory, or by inputs of one that another reads."""
    net = small()
    for steps in ([9, 7, 3], [8, 6, 2]):
        for records in (1, 3, 2, 1, 3, 2):
            _predictions(net, records, steps)
