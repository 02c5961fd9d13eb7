"""Training-mode batch norm for quadratic_form.py: torch's kernels, and its part of uᵀHu in closed form.

Torch differentiates the backward pass of batch norm by about seventy elementwise kernels per layer. Here it is one more
call of the backward kernel, which also gives two of the sums, and three passes over the activations.

With x̂ = (x − μ)s, s = 1/√(var + ε), Σ and ⟨·⟩ over the n values of a channel, g the gradient at the output, and A, B, D
the tangents of x, γ and β, the pass through the backward kernel has the gradient of

    S = γs·Q + B·Σgx̂ + D·Σg                      Q = ΣAg − (ΣA·Σg + ΣAx̂·Σgx̂)/n
    ẏ = ∂S/∂g = γs(A − ⟨A⟩ − x̂⟨Ax̂⟩) + Bx̂ + D     ∂S/∂γ = sQ
    ∂S/∂x = s(R − ⟨R⟩ − x̂⟨Rx̂⟩) − γs²Qx̂/n         R = −γs⟨gx̂⟩·A + (B − γs⟨Ax̂⟩)·g

Its part of uᵀHu is ⟨∂S/∂x, A⟩ + B·sQ, which needs only sums per channel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from flatdirs.curvature.layers import Cell, Gradients


def batch_norm(
    cell: Cell,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Torch's arguments; in evaluation mode, or without weight or bias, torch's function."""
    if not training or weight is None or bias is None or input.numel() <= input.shape[1]:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    y: Tensor = BatchNorm.apply(cell, input, weight, bias, running_mean, running_var, momentum, eps)
    return y


class BatchNorm(torch.autograd.Function):
    """(n, channels, …) → the same shape; updates the running statistics as torch does."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: Cell,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        y, mean, scale = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.cell, ctx.eps = cell, eps
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Gradients:
        nothing = (None,) * 8
        if gradient is None:
            return nothing
        if ctx.cell.tape.adding:
            ctx.cell.stop(gradient)
            return nothing
        return (None, *BatchNormBackward.apply(ctx.cell, gradient, *ctx.saved_tensors, ctx.eps), *nothing[:4])


class BatchNormBackward(torch.autograd.Function):
    """The gradients at x, γ and β, by torch's kernel."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        at_x, at_weight, at_bias = _backward_kernel(gradient, x, weight, mean, scale, eps)
        ctx.save_for_backward(gradient, x, weight, mean, scale, at_weight, at_bias)
        ctx.cell, ctx.eps = cell, eps
        return at_x, at_weight, at_bias

    @staticmethod
    def backward(ctx: Any, a: Tensor, b: Tensor, d: Tensor) -> Gradients:
        """The formulas above; everything but g, x, a and ẏ has one number per channel."""
        ctx.cell.tape.require_adding()
        g, x, weight, mean, s, sum_gx, sum_g = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        projected, sum_ax, sum_a = _backward_kernel(a, x, weight, mean, s, ctx.eps)
        sum_ag, sum_aa = _channel_sum(a, g, s.dtype), _channel_sum(a, a, s.dtype)
        q = torch.sub(sum_ag, torch.addcmul(sum_a * sum_g, sum_ax, sum_gx), alpha=1 / n)
        gain = weight * s
        of_a, of_g = sum_gx * gain * (-1 / n), torch.addcmul(b, sum_ax, gain, value=-1 / n)  # R = of_a·A + of_g·g
        sum_r = torch.addcmul(of_a * sum_a, of_g, sum_g)
        sum_rx = torch.addcmul(of_a * sum_ax, of_g, sum_gx)
        squared = torch.addcmul(sum_r * sum_a, torch.addcmul(sum_rx, gain, q), sum_ax)
        own = torch.addcmul(torch.addcmul(b * q, of_a, sum_aa), of_g, sum_ag) - squared / n
        ctx.cell.tape.add(torch.dot(own, s))
        channel = (1, -1, *[1] * (x.ndim - 2))
        slope = b * s
        tangent = torch.addcmul((d - slope * mean).view(channel), x, slope.view(channel)) + projected
        ctx.cell.tangent = tangent.to(g.dtype)
        return None, ctx.cell.tangent, *(None,) * 5


def _channel_sum(first: Tensor, second: Tensor, dtype: torch.dtype) -> Tensor:
    """Σ first·second per channel, in the precision of the statistics."""
    return (first * second.to(dtype)).sum([0, *range(2, first.ndim)])


def _backward_kernel(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(γs(g − ⟨g⟩ − x̂⟨gx̂⟩), Σgx̂, Σg)."""
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
        gradient, x, weight, None, None, mean, scale, True, eps, [True, True, True]
    )
    return found
