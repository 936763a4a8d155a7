"""Eight leads to twelve and back, for NumPy arrays and torch tensors."""

import numpy as np
import pytest
import torch

from sssd.leads import CLINICAL, EIGHT, SSSD, lead_names, reorder, to_eight, to_twelve


def _eight(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((3, 8, 50))


def test_einthoven_and_goldberger() -> None:
    """Broken by any wrong factor or sign in the limb leads (seen: aVL with -3/4 I)."""
    lead = dict(zip(CLINICAL, np.moveaxis(to_twelve(_eight()), 1, 0), strict=True))
    np.testing.assert_allclose(lead["I"] + lead["III"], lead["II"], atol=1e-14)
    np.testing.assert_allclose(lead["aVR"] + lead["aVL"] + lead["aVF"], 0, atol=1e-14)
    # what the augmented leads are, from the three limb electrodes
    np.testing.assert_allclose(lead["aVR"], -(lead["I"] + lead["II"]) / 2, atol=1e-14)
    np.testing.assert_allclose(lead["aVL"], (lead["I"] - lead["III"]) / 2, atol=1e-14)
    np.testing.assert_allclose(lead["aVF"], (lead["II"] + lead["III"]) / 2, atol=1e-14)


@pytest.mark.parametrize("order", ["clinical", "sssd", tuple(reversed(CLINICAL))])
def test_there_and_back_is_exact(order: str | tuple[str, ...]) -> None:
    """Broken by taking a chest lead from the wrong row (seen: EIGHT with aVF first)."""
    x = _eight()
    twelve = to_twelve(x, order)
    assert twelve.shape == (3, 12, 50)
    np.testing.assert_array_equal(to_eight(twelve, order), x)
    np.testing.assert_array_equal(twelve[:, lead_names(order).index("V3")], x[:, 3])


def test_orders_hold_the_same_leads() -> None:
    """Broken by `reorder` with source and target exchanged (seen)."""
    x = _eight()
    np.testing.assert_array_equal(reorder(to_twelve(x, "sssd"), "sssd", "clinical"), to_twelve(x, "clinical"))
    assert SSSD == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF")
    assert EIGHT == ("I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_equals_numpy(dtype: str) -> None:
    """Broken where one of the two computes in another way (seen: a factor pulled out in one)."""
    x = _eight().astype(dtype)
    ours = to_twelve(torch.from_numpy(x))
    assert isinstance(ours, torch.Tensor)
    assert ours.dtype == getattr(torch, dtype)
    assert to_twelve(x).dtype == x.dtype
    np.testing.assert_array_equal(ours.numpy(), to_twelve(x))
    np.testing.assert_array_equal(to_eight(ours, "clinical").numpy(), x)


def test_input_stays_and_gradients_flow() -> None:
    """Broken by writing into the input (seen: one row of it set to zero)."""
    x = torch.from_numpy(_eight()).requires_grad_()
    before = x.detach().clone()
    to_twelve(x).sum().backward()
    assert torch.equal(x.detach(), before)
    assert x.grad is not None
    # I gives itself, 1/2 II, -1/2 III, -3/4 aVR, 3/4 aVL; aVF gives 1 + 1 + 1 - 1/2 - 1/2
    assert torch.allclose(x.grad[0, :, 0], torch.tensor([1, 1, 1, 1, 1, 1, 1, 2], dtype=torch.float64))


def test_errors_name_what_was_given() -> None:
    with pytest.raises(ValueError, match=r"shape \(12, 5\); expected \(\.\.\., 8, L\)"):
        to_twelve(np.zeros((12, 5)))
    with pytest.raises(ValueError, match=r"shape \(8, 5\); expected \(\.\.\., 12, L\)"):
        to_eight(np.zeros((8, 5)))
    with pytest.raises(ValueError, match="floating point; got int16"):
        to_twelve(np.zeros((8, 5), dtype=np.int16))
    with pytest.raises(ValueError, match="unknown lead order 'cabrera'"):
        to_twelve(np.zeros((8, 5)), "cabrera")
    with pytest.raises(ValueError, match="each once"):
        lead_names(["I"] * 12)
    assert lead_names([name.upper() for name in SSSD]) == SSSD
