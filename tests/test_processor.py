"""The transformer's form for a CPU equals the plain network, and each of its parts the plain part."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from sssd.config.schema import TransformerConfig
from sssd.engine import bound, processor
from sssd.models.transformer import Transformer, rotated, toeplitz


def make(length: int, *, patch: int = 8, heads: int = 2, width: int = 32) -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(width=width, layers=2, heads=heads, patch=patch, embed=16)
    sigma = torch.linspace(0.02, 0.99, 20).tolist()
    net = Transformer(config, classes=5, velocity=([(1 - s * s) ** 0.5 for s in sigma], sigma))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


@pytest.fixture(params=[True, False], ids=["oneDNN", "without"])
def _product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(processor, "onednn", lambda: False)


@pytest.mark.usefixtures("_product")
@pytest.mark.parametrize(
    ("records", "length", "patch"), [(1, 400, 8), (20, 403, 4), (3, 1300, 4), (2, 60, 8)]
)
def test_it_equals_the_plain_network(
    records: int, length: int, patch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in several parts, at lengths that no patch divides, and where a record is longer than the taps reach.

    Breaks with a gate without its half, rows of v in the order of q, or parts of conditions that do not go with the
    parts of x.
    """
    monkeypatch.setattr(processor, "TOKENS", 300)
    net = make(length, patch=patch)
    x, cond = torch.randn(records, 8, length), torch.rand(records, 5)
    predict = bound.bind(net, cond, [19, 7, 0], length=length)
    for i, step in enumerate((19, 7, 0)):
        with torch.no_grad():
            plain = net.predict(x, cond, torch.full((records, 1), float(step)))
        torch.testing.assert_close(predict(x, i), plain, rtol=1e-5, atol=1e-5 * float(plain.abs().max()))
    half = bound.bind(net, cond, [7], length=length, dtype=torch.bfloat16)
    error = (half(x, 0) - predict(x, 1)).norm() / predict(x, 1).norm()
    assert 1e-5 < error < 0.03


def test_a_record_does_not_depend_on_the_others() -> None:
    """Broken by a norm or a transform over the wrong axis."""
    net = make(200)
    x, cond = torch.randn(45, 8, 200), torch.rand(45, 5)
    together = bound.bind(net, cond, [3], length=200)(x, 0)
    alone = bound.bind(net, cond[41:42], [3], length=200)(x[41:42], 0)
    torch.testing.assert_close(together[41:42], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("records", "threads"), [(1, 2), (2, 2), (9, 2), (45, 2), (45, 3), (3, 8)])
def test_threads_that_share_a_batch_change_nothing(records: int, threads: int) -> None:
    """Neither the records, nor PyTorch's number of threads here and in threads to come.

    Broken by parts in another order, a number of threads that is not set back, or gradients in the new threads.
    """
    net = make(200)
    x, cond = torch.randn(records, 8, 200), torch.rand(records, 5)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = bound.bind(net, cond, [3], length=200)(x, 0)
        torch.set_num_threads(threads)
        together = bound.bind(net, cond, [3], length=200)(x, 0)
        parts = [lambda: torch.tensor((torch.is_grad_enabled(), torch.get_num_threads()))] * threads
        assert torch.stack(processor.in_threads(parts)).tolist() == [[0, 1]] * threads
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == threads == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_fork_has_threads_of_its_own() -> None:
    """Broken by a pool that is kept in a fork, where it waits for ever (with a limit of 20 s here)."""
    code = (
        "import os, torch; from sssd.engine.processor import in_threads; torch.set_num_threads(2);"
        "make = lambda: in_threads([lambda: torch.ones(1)] * 2); make(); pid = os.fork(); made = make();"
        "os._exit(len(made) != 2) if pid == 0 else exit(os.waitpid(pid, 0)[1])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=20)


def test_threads_have_equally_many_parts() -> None:
    """Broken by parts of the largest size, which leave threads without work."""
    sizes = [processor.shared(records, 8, 2) for records in (1, 2, 8, 9, 16, 17, 32)]
    assert sizes == [8, 1, 4, 5, 8, 5, 8]
    assert processor.shared(5, 8, 64) == 8


@pytest.mark.parametrize("tokens", [1, 2, 90, 124, 125, 200])
def test_the_convolution_is_that_of_the_toeplitz_matrices(tokens: int) -> None:
    """Broken by taps in the reverse order, or by a ring on which a record's ends meet."""
    taps, z = torch.randn(249, 3), torch.randn(2, tokens, 3)
    expected = torch.einsum("cij,bjc->bic", toeplitz(taps, tokens), z)
    torch.testing.assert_close(
        processor.convolved(z, processor.spectrum(taps, tokens)), expected, rtol=1e-4, atol=1e-4
    )


def test_queries_times_keys_are_those_of_the_plain_layer() -> None:
    """Broken by pairs that are not a plane of the plain rotation, or by a mean that is a sum."""
    width, heads, tokens = 24, 3, 7
    size = width // heads
    weight, x = torch.randn(3 * width, width), torch.randn(2, tokens, width)
    angle = torch.arange(tokens)[:, None] * torch.linspace(1, 0.1, size // 2)
    q, k, v = F.linear(x, weight).view(2, tokens, 3, heads, size).permute(2, 0, 3, 1, 4)
    q, k = (rotated(F.rms_norm(part, (size,)), angle.cos(), angle.sin()) for part in (q, k))
    paired = F.linear(x, weight[processor.paired(width, heads)]).view(2, tokens, 3 * heads, size)
    turned = processor.normalised(
        paired[:, :, : 2 * heads], torch.polar(torch.ones_like(angle), angle)[:, None]
    )
    ours = turned.transpose(1, 2)
    torch.testing.assert_close(ours[:, :heads] @ ours[:, heads:].transpose(-1, -2), q @ k.transpose(-1, -2))
    torch.testing.assert_close(paired[:, :, 2 * heads :].transpose(1, 2), v)


@pytest.mark.usefixtures("_product")
def test_products() -> None:
    """Broken by a bias that is left out, or another GELU."""
    x, weight, bias = torch.randn(3, 5, 16), torch.randn(8, 16), torch.randn(8)
    plain = F.linear(x, weight, bias)
    torch.testing.assert_close(processor.product(x, weight, bias), plain)
    plain = F.gelu(F.linear(x, weight), approximate="tanh")
    torch.testing.assert_close(processor.product(x, weight, gelu=True), plain, rtol=1e-5, atol=1e-5)


def test_an_operator_that_is_gone_or_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by trusting that it is there, or that it multiplies."""
    if processor.onednn():
        for wrong in (lambda x, *rest: x[:, :8], None):
            processor.onednn.cache_clear()
            with monkeypatch.context() as patch:
                if wrong is None:
                    patch.setattr(processor.torch.ops, "mkldnn", object())
                else:
                    patch.setattr(processor.torch.ops.mkldnn, "_linear_pointwise", wrong)
                assert not processor.onednn()
        processor.onednn.cache_clear()
    assert isinstance(processor.onednn(), bool)
