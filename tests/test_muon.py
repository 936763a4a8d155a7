"""Muon: the update is orthogonal, the momentum Nesterov's, and Adam has all other parameters."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sssd.training.muon import MOMENTUM, RATE, Muon, orthogonalised
from sssd.training.optimizer import set_learning_rate

HOW = {"betas": (0.9, 0.99)}


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 64, 16), (2, 16, 64)])
def test_singular_values_become_about_one(shape: tuple[int, int, int]) -> None:
    """Within 0.6 to 1.3, whatever they were, and the singular vectors stay; broken by a side that is mixed up."""
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    x = u @ torch.diag(torch.linspace(0.05, 1.0, u.shape[-1])) @ v
    result = orthogonalised(1e3 * x)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6 and values.max() < 1.3
    inner = u.mT @ result @ v.mT
    assert (inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-3
    torch.testing.assert_close(orthogonalised(x[:1])[0], orthogonalised(x)[0])  # each matrix by itself


def linear(*sizes: tuple[int, int]) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(size)) for size in sizes]


def test_it_is_the_muon_of_pytorch() -> None:
    """torch.optim.Muon with the same rate, but for its bf16; two steps, so that the momentum is seen."""
    ours = linear((16, 16), (64, 16), (16, 16))
    theirs = copy.deepcopy(ours)
    optimizer = Muon(ours, [], lr=1e-3)
    reference = torch.optim.Muon(theirs, lr=RATE * 1e-3, weight_decay=0.0, momentum=MOMENTUM)
    first = copy.deepcopy(ours)
    for _ in range(2):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    for p, q, start in zip(ours, theirs, first, strict=True):
        moved, expected = (p - start).detach(), (q - start).detach()
        assert float((moved - expected).norm() / expected.norm()) < 0.03


def test_the_others_are_adams() -> None:
    """Broken by hidden matrices that Adam moves as well, or others that it does not."""
    (hidden, other) = linear((8, 8), (8, 8))
    same = copy.deepcopy(other)
    optimizer, adam = Muon([hidden], [other], lr=1e-2, **HOW), torch.optim.Adam([same], lr=1e-2, **HOW)
    before = hidden.detach().clone()
    for _ in range(3):
        hidden.grad, other.grad = torch.randn(8, 8), torch.randn(8, 8)
        same.grad = other.grad.clone()
        optimizer.step()
        adam.step()
        assert hidden.grad is None
    assert torch.equal(other, same) and not torch.equal(hidden, before)
    assert "exp_avg" not in optimizer.state[hidden]


def test_the_rate_is_that_of_the_moment() -> None:
    """A rate of 0 moves nothing; broken by a rate that is kept from the start."""
    (hidden, other) = linear((8, 8), (8, 8))
    optimizer = Muon([hidden], [other], lr=1e-2, **HOW)
    before = hidden.detach().clone()
    set_learning_rate(optimizer, 0.0)
    hidden.grad, other.grad = torch.randn(8, 8), torch.randn(8, 8)
    optimizer.step()
    assert torch.equal(hidden, before)


def test_its_state_comes_back() -> None:
    """A run that goes on from a state dict takes the same steps; broken by momenta that are not part of it."""
    whole = linear((8, 8), (8, 8))
    optimizer = Muon(whole[:1], whole[1:], lr=1e-2, **HOW)
    gradients = [torch.randn(2, 8, 8) for _ in range(4)]

    def steps(optimizer: Muon, parameters: list[nn.Parameter], part: list[torch.Tensor]) -> None:
        for g in part:
            for p, one in zip(parameters, g, strict=True):
                p.grad = one.clone()
            optimizer.step()

    steps(optimizer, whole, gradients[:2])
    resumed = copy.deepcopy(whole)
    again = Muon(resumed[:1], resumed[1:], lr=1e-2, **HOW)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, whole, gradients[2:])
    steps(again, resumed, gradients[2:])
    assert all(torch.equal(p, q) for p, q in zip(whole, resumed, strict=True))
