"""The layers that quadratic_form.py swaps in: torch's kernels, with their part of uᵀHu in closed form.

A layer f(x, w) + b that is bilinear in x and w contributes 2⟨g, f(ẋ, ẇ)⟩, with g the gradient at its output and ẋ, ẇ
the tangents: one convolution instead of two. batch_norm.py holds the formula of batch norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from flatdirs.curvature.base_optimizers import scalar_dtype
from flatdirs.errors import CurvatureError

Gradients = tuple[Tensor | None, ...]


class Tape:
    """The sum that becomes uᵀHu."""

    def __init__(self) -> None:
        self.adding = False  # during the pass through the graph of g
        self.total: Tensor | None = None

    def add(self, amount: Tensor) -> None:
        """Add a part of uᵀHu, 0-d."""
        self.total = amount if self.total is None else self.total + amount

    def require_adding(self) -> None:
        if not self.adding:
            raise CurvatureError("the closure differentiates a gradient itself; set quick=False", key="quick")


class Cell:
    """What the autograd nodes of one layer share: the tape, the kernels and the tangent of the output, once known."""

    def __init__(self, tape: Tape, layer: Any = None) -> None:
        self.tape, self.layer = tape, layer
        self.tangent: Tensor | None = None

    def stop(self, cotangent: Tensor) -> None:
        """Add ⟨cotangent, ẏ⟩ instead of propagating the cotangent of the output further back."""
        if self.tangent is not None:
            self.tape.add(inner(cotangent, self.tangent))


def inner(first: Tensor, second: Tensor) -> Tensor:
    """⟨first, second⟩, in float32 or more."""
    return (first * second.to(scalar_dtype(second))).sum()


class Convolution:
    """A convolution of any dimension."""

    def __init__(self, stride: list[int], padding: list[int], dilation: list[int], groups: int) -> None:
        self.how = (stride, padding, dilation, False, [0] * len(stride), groups)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """(n, in, …), (out, in/groups, …), (out,) → (n, out, …)."""
        return torch.ops.aten.convolution(x, weight, bias, *self.how)  # type: ignore[no-any-return]

    def gradients(self, gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Gradients:
        """At x, weight and bias, None if not wanted."""
        sizes = [weight.shape[0]] if wanted[2] else None
        found: Gradients = torch.ops.aten.convolution_backward(gradient, x, weight, sizes, *self.how, wanted)
        return found


class Linear:
    """x·wᵀ + b for x of any number of leading dimensions."""

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """(…, in), (out, in), (out,) → (…, out)."""
        return functional.linear(x, weight, bias)

    def gradients(self, gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Gradients:
        """At x, weight and bias, None if not wanted."""
        rows = gradient.reshape(-1, gradient.shape[-1])
        at_x = gradient @ weight if wanted[0] else None
        at_weight = rows.mT @ x.reshape(-1, x.shape[-1]) if wanted[1] else None
        return at_x, at_weight, rows.sum(0) if wanted[2] else None


class Bilinear(torch.autograd.Function):
    """A layer f(x, w) + b, f linear in x and in w."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.cell = cell
        ctx.set_materialize_grads(False)
        y: Tensor = cell.layer(x, weight, bias)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Gradients:
        if gradient is None:
            return None, None, None, None
        if ctx.cell.tape.adding:
            ctx.cell.stop(gradient)
            return None, None, None, None
        wanted = list(ctx.needs_input_grad[1:])
        return (None, *BilinearBackward.apply(ctx.cell, gradient, *ctx.saved_tensors, wanted))


class BilinearBackward(torch.autograd.Function):
    """The gradients at x, w and b."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Gradients:
        ctx.save_for_backward(gradient, x, weight)
        ctx.cell = cell
        ctx.set_materialize_grads(False)
        found: Gradients = cell.layer.gradients(gradient, x, weight, wanted)
        return found

    @staticmethod
    def backward(ctx: Any, x_tangent: Tensor | None, w_tangent: Tensor | None, b_tangent: Tensor | None) -> Gradients:
        """Propagate ẏ = f(ẋ, w) + f(x, ẇ) + ḃ and add 2⟨gradient, f(ẋ, ẇ)⟩."""
        cell = ctx.cell
        cell.tape.require_adding()
        gradient, x, weight = ctx.saved_tensors
        parts = []
        if x_tangent is not None:
            parts.append(cell.layer(x_tangent, weight))
        if w_tangent is not None:
            parts.append(cell.layer(x, w_tangent, b_tangent))
        elif b_tangent is not None:
            parts.append(b_tangent.view(-1, *[1] * (x.ndim - 2)) if isinstance(cell.layer, Convolution) else b_tangent)
        if x_tangent is not None and w_tangent is not None:
            cell.tape.add(2.0 * inner(gradient, cell.layer(x_tangent, w_tangent)))
        if parts:
            both = parts[0] if len(parts) == 1 else parts[0] + parts[1]
            cell.tangent = both.expand_as(gradient)
        return None, cell.tangent, None, None, None


class Relu(torch.autograd.Function):
    """max(x, 0), whose second derivative sends back nothing; torch's would send back zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inplace: bool) -> Tensor:
        y = torch.relu_(x) if inplace else torch.relu(x)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(y)
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Gradients:
        return None if gradient is None else ReluBackward.apply(gradient, *ctx.saved_tensors), None


class ReluBackward(torch.autograd.Function):
    """The gradient where y is positive; linear in it, so its derivative is the same mask."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return torch.ops.aten.threshold_backward(gradient, y, 0)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        return torch.ops.aten.threshold_backward(gradient, *ctx.saved_tensors, 0), None
