"""PyTorch's settings for the whole process are as before after training, and after errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd.models import s4
from sssd.models.precision import float32_products
from sssd.training.loop import train
from tests.test_training import records, tiny


def state() -> dict[str, Any]:
    """What a library may neither depend on nor change."""
    return {
        "float32 products": torch.get_float32_matmul_precision(),
        "cuda": torch.backends.cuda.matmul.fp32_precision,
        "cpu": torch.backends.mkldnn.matmul.fp32_precision,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": [
            part.tolist() if hasattr(part, "tolist") else part for part in np.random.get_state()
        ],
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "recompile limit": torch._dynamo.config.recompile_limit,
    }


class Stopped(Exception):
    pass


def stop(progress: Any) -> None:
    assert torch.get_float32_matmul_precision() == "high"
    raise Stopped


@pytest.mark.parametrize("legacy", ["highest", "medium"])
def test_training_leaves_no_trace(tmp_path: Path, legacy: str) -> None:
    """Fails if the precision of products, a generator or a limit stays changed, at the end or after an exception."""
    torch.set_float32_matmul_precision(legacy)
    try:
        before = state()
        train(tiny(n_iters=1), records(), tmp_path / "whole", accelerator="cpu")
        assert state() == before
        with pytest.raises(Stopped):
            train(tiny(n_iters=1), records(), tmp_path / "stopped", accelerator="cpu", report=stop)
        assert state() == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_kernels_are_built_in_full_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taps, bases and gradients, where TF32 is allowed. Fails if one product is left to the process's setting."""
    seen: list[str] = []
    einsum, taps = torch.einsum, s4.kernel_taps

    def watched(*arguments: Any) -> Any:
        seen.append(torch.get_float32_matmul_precision())
        return einsum(*arguments)

    def watched_taps(*arguments: Any) -> Any:
        seen.append(torch.get_float32_matmul_precision())
        return taps(*arguments)

    monkeypatch.setattr(torch, "einsum", watched)
    monkeypatch.setattr(s4, "kernel_taps", watched_taps)
    kernel = s4.S4Kernel(2, 3, 4, 16)
    with float32_products("high"):
        basis = s4.kernel_basis(kernel, 16, "conjugate_pairs")
        d = torch.randn(1, 3)
        by_basis = s4.two_sided_taps(kernel, d, 16, "conjugate_pairs", basis)
        (gradient,) = torch.autograd.grad(by_basis.square().sum(), kernel.C)
        plain = s4.two_sided_taps(kernel, d, 16, "conjugate_pairs")
        (expected,) = torch.autograd.grad(plain.square().sum(), kernel.C)
        assert torch.get_float32_matmul_precision() == "high"
    assert len(seen) == 4 and set(seen) == {"highest"}  # basis, taps, gradient, plain taps
    torch.testing.assert_close(by_basis, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


def test_a_process_that_uses_pytorchs_newer_setting() -> None:
    """It cannot be read through the older functions. Fails if it raises, or is not restored."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with float32_products("highest"):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")
        matmul.fp32_precision = before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_kernels_on_a_gpu_do_not_feel_tf32() -> None:
    """Fails if training's kernels have the 10 bits of TF32."""
    kernel = s4.S4Kernel(2, 64, 64, 128).cuda()
    d = torch.zeros(1, 64, device="cuda")
    exact = s4.two_sided_taps(kernel, d, 128, "conjugate_pairs")
    with float32_products("high"):
        basis = s4.kernel_basis(kernel, 128, "conjugate_pairs")
        taps = s4.two_sided_taps(kernel, d, 128, "conjugate_pairs", basis)
    assert float((taps - exact).norm() / exact.norm()) < 2e-5
