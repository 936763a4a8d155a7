"""What the engine makes of a network: a form, in which all that depends on the weights alone is computed once.

A form splits an evaluation in three: what the steps add, what the conditions add, and a function of x and these two.
Steps and conditions are thus inputs of the function, so that it can be recorded once and serve every sampler.

The forms here are the plain networks. `fused` has the S4 network on kernels for a GPU, `processor` the transformer for
a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from ..models.denoiser import Denoiser
from ..models.function import Biases, biases, denoise
from ..models.transformer import Transformer

# (x (B, 8, L), what the step adds, what the conditions add) -> (B, 8, L), all float32
Evaluate = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Form(Protocol):
    """A network for records of one length and one precision of products. It is valid until the weights change.

    A form does not keep the network, which is given to each of its functions.
    """

    def of_steps(self, net: Any, steps: Tensor) -> Tensor:
        """Return what time steps (S, 1) add, one row for each: (S, ...)."""

    def of_conditions(self, net: Any, cond: Tensor) -> Tensor | None:
        """Return what conditions (B, K) add, None if the network has none."""

    def evaluator(self, net: Any, records: int) -> Evaluate:
        """Return the evaluation for this number of records. Its step is a row of `of_steps`, (1, ...)."""


class PlainDenoiser:
    """The S4 network as `models.function` has it."""

    def __init__(self, net: Denoiser, length: int, dtype: torch.dtype) -> None:
        self.weights = net.frozen_weights(length, dtype)

    def of_steps(self, net: Denoiser, steps: Tensor) -> Tensor:
        """Return (S, layers, C); see `Biases`."""
        return of_time(net, steps).permute(2, 0, 1).contiguous()

    def of_conditions(self, net: Denoiser, cond: Tensor) -> Tensor | None:
        """Return (layers, B, 2 C)."""
        return of_labels(net, cond)

    def evaluator(self, net: Denoiser, records: int) -> Evaluate:
        weights = self.weights

        def evaluate(x: Tensor, step: Tensor, label: Tensor | None) -> Tensor:
            label = None if label is None else label.transpose(1, 2)
            return denoise(weights, x, Biases(step[0, ..., None], label))

        return evaluate


def of_time(net: Denoiser, steps: Tensor) -> Tensor:
    """Return what time steps (S, 1) add in all blocks of an S4 network: (layers, C, S)."""
    return biases(net, steps.new_zeros(1, net.columns), steps).step


def of_labels(net: Denoiser, cond: Tensor) -> Tensor | None:
    """Return what labels (B, K) add in all blocks of an S4 network: (layers, B, 2 C)."""
    label = biases(net, cond, cond.new_zeros(1, 1)).label
    return None if label is None else label.transpose(1, 2).contiguous()


class OfTransformer:
    """What all forms of the transformer share: steps and conditions are its own inputs."""

    def of_steps(self, net: Transformer, steps: Tensor) -> Tensor:
        """Return the steps (S, 1) themselves."""
        return steps

    def of_conditions(self, net: Transformer, cond: Tensor) -> Tensor | None:
        """Return conditions (B, K) with all columns."""
        return net.full(cond)


class PlainTransformer(OfTransformer):
    """The transformer as `models.transformer` has it."""

    def __init__(self, net: Transformer, length: int, dtype: torch.dtype) -> None:
        self.weights = net.weights(dtype, length)

    def evaluator(self, net: Transformer, records: int) -> Evaluate:
        weights = self.weights

        def evaluate(x: Tensor, step: Tensor, cond: Tensor | None) -> Tensor:
            assert cond is not None
            return net.evaluate(x, cond, step, weights)

        return evaluate
