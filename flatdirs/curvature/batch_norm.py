"""Batch norm whose second derivative is cheap, for the closure of a step that needs one.

Torch differentiates batch norm's backward pass through some seventy elementwise kernels a layer; on a small ResNet that
alone doubles the price of a Hessian-vector product. `quick_batch_norm()` swaps, while it is open, training-mode batch
norm for one with the same forward and backward kernels and the second derivative in closed form: one more call of the
backward kernel, one product and two affine combinations. Exact, and as fast the first time.

With x̂ = (x − μ)s, s = 1/√(var + ε), ⟨·⟩ the mean over a channel's n values, g the gradient at the output, and A, B, D
the cotangents of the gradients at x, γ and β, the pass through the backward kernel is the gradient of (derived)

    S = γs·Q + B·Σgx̂ + D·Σg        Q = ΣAg − n⟨A⟩⟨g⟩ − n⟨Ax̂⟩⟨gx̂⟩
    ∂S/∂g = γs(A − ⟨A⟩ − x̂⟨Ax̂⟩) + Bx̂ + D        ∂S/∂γ = sQ
    ∂S/∂x = s(R − ⟨R⟩ − x̂⟨Rx̂⟩) − γs²Qx̂/n        R = −γs(A⟨gx̂⟩ + g⟨Ax̂⟩) + Bg

Only calls of torch.nn.functional.batch_norm with a weight and a bias are swapped, which is how torch's own modules make
them; all else passes through. Not for activation checkpointing, whose second forward pass would not see the swap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class quick_batch_norm(TorchFunctionMode):
    """While open, training-mode batch norm is `BatchNorm`."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Swap batch norm, pass on everything else."""
        kwargs = kwargs or {}
        if func is functional.batch_norm:
            return _batch_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Torch's arguments; whatever is not plain training goes to torch."""
    plain = training and weight is not None and bias is not None and input.numel() > input.shape[1]
    if not plain:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    result: Tensor = BatchNorm.apply(input, weight, bias, running_mean, running_var, momentum, eps)
    return result


class BatchNorm(torch.autograd.Function):
    """(n, channels, …) → the same shape, by torch's own kernel; the running statistics move as ever."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """Standardise over everything but the channels."""
        y, mean, scale = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The first derivative, itself differentiable."""
        x, weight, mean, scale = ctx.saved_tensors
        found = BatchNormBackward.apply(gradient, x, weight, mean, scale, ctx.eps)
        return (*found, None, None, None, None)


class BatchNormBackward(torch.autograd.Function):
    """The gradients at x, γ and β by torch's own kernel."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What batch norm's backward pass gives."""
        at_x, at_weight, at_bias = _backward_kernel(gradient, x, weight, mean, scale, eps)
        ctx.save_for_backward(gradient, x, weight, mean, scale, at_weight, at_bias)
        ctx.eps = eps
        return at_x, at_weight, at_bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, a: Tensor, b: Tensor, d: Tensor) -> tuple[Tensor | None, ...]:
        """The formulas above, letter by letter: a, b, d are A, B, D; s is 1/√(var + ε)."""
        g, x, weight, mean, s, sum_gx, sum_g = ctx.saved_tensors
        channel = (1, -1, *[1] * (x.ndim - 2))
        n = x.numel() // x.shape[1]
        projected, sum_ax, sum_a = _backward_kernel(a, x, weight, mean, s, ctx.eps)
        sum_ag = (a * g).sum([0, *range(2, x.ndim)], dtype=s.dtype)
        q = torch.sub(sum_ag, torch.addcmul(sum_a * sum_g, sum_ax, sum_gx), alpha=1 / n)
        gain = weight * s
        slope_a, slope_g = sum_gx * gain * (-1 / n), torch.addcmul(b, sum_ax, gain, value=-1 / n)  # R = slope_a·A + …
        sum_r = torch.addcmul(slope_a * sum_a, slope_g, sum_g)
        sum_rx = torch.addcmul(slope_a * sum_ax, slope_g, sum_gx)

        def combined(first: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
            """first + Σ tensor·(a number per channel), summed in the statistics' precision."""
            for tensor, factor in terms:
                first = torch.addcmul(first, tensor, factor.view(channel))
            return first.to(x.dtype)

        def centred(factor: Tensor, constant: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            """factor·x̂ + constant as a term in x and what is left."""
            return (x, factor * s), (constant - factor * s * mean).view(channel)

        term, rest = centred(b, d)
        at_gradient = combined(projected + rest, term)
        down = s * (-1 / n)
        term, rest = centred(down * torch.addcmul(sum_rx, gain, q), down * sum_r)
        at_x = combined(rest, (a, s * slope_a), (g, s * slope_g), term)
        return at_gradient, at_x, s * q, None, None, None


def _backward_kernel(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(γs(g − ⟨g⟩ − x̂⟨gx̂⟩), Σgx̂, Σg)."""
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
        gradient, x, weight, None, None, mean, scale, True, eps, [True, True, True]
    )
    return found
