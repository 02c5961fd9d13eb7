"""uᵀHu of a closure's loss, exactly, for about half the price of the whole vector Hu.

    tape = QuadraticForm()
    with tape: loss = closure()
    g = autograd.grad(loss, parameters, create_graph=True)
    uᵀHu = tape.along(g, parameters, u)

Hu = ∂(g·u)/∂w takes two passes: one through the graph of g, in the order of the forward pass, which finds every
activation's tangent ẏ (how it moves with w + tu) and how g·u depends on what the backward pass had saved; and one back
to the parameters. Only uᵀHu is wanted, so the second is not needed: what arrives at an activation y as the cotangent c
would end as ⟨c, ẏ⟩ in uᵀHu, and ẏ is known by then (derived). While the tape is open, convolution, linear layers,
training-mode batch norm and ReLU are therefore swapped for ones with torch's own kernels that add ⟨c, ẏ⟩ up and send
nothing back. For a layer bilinear in x and w their own part is 2⟨gradient at y, f(ẋ, ẇ)⟩, one convolution instead of
two. Everything else works as ever, and sends its part back only as far as the next swapped layer: the result is exact
for any network, the price falls with how much of it was swapped. batch_norm.py has the one long formula.

Under autocast this is the curvature of the rounded network. With the same values and all derivatives in float32 it
comes out the same to a percent (tests/test_cdat.py), so nothing would be gained by taking them outside autocast.

Not for closures that differentiate by themselves (gradient penalties), nor for activation checkpointing, whose second
forward pass would not see the tape. Source: ours; Pearlmutter 1994 for Hu.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from flatdirs.curvature.base_optimizers import flat, scalar_dtype
from flatdirs.errors import CurvatureError

Gradients = tuple[Tensor | None, ...]


class QuadraticForm(TorchFunctionMode):
    """Records a forward pass while open, then gives uᵀHu once."""

    def __init__(self) -> None:
        super().__init__()
        self.adding = False  # whether this is the pass through the graph of g
        self.total: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Swap the layers that are known, pass on everything else."""
        swapped = _SWAPS.get(func)
        return func(*args, **(kwargs or {})) if swapped is None else swapped(self, func, *args, **(kwargs or {}))

    def add(self, amount: Tensor) -> None:
        """A part of uᵀHu, 0-d."""
        self.total = amount if self.total is None else self.total + amount

    def stop(self, cell: Cell, cotangent: Tensor) -> None:
        """What goes back no further than to an activation whose tangent is known."""
        if cell.tangent is not None:
            self.add(inner(cotangent, cell.tangent))

    def require_adding(self) -> None:
        """Raise CurvatureError where somebody else differentiates a gradient."""
        if not self.adding:
            raise CurvatureError("the closure differentiates a gradient by itself; give the optimizer quick=False")

    def along(self, gradients: Sequence[Tensor], parameters: Sequence[Tensor], directions: Sequence[Tensor]) -> Tensor:
        """uᵀHu, 0-d, from gradients made with create_graph=True; frees their graph."""
        pairs = [(g, u) for g, u in zip(gradients, directions, strict=True) if g.requires_grad]
        self.adding, self.total = True, None
        if pairs:
            outputs, cotangents = [g for g, _ in pairs], [u for _, u in pairs]
            found = torch.autograd.grad(outputs, list(parameters), grad_outputs=cotangents, allow_unused=True)
            rest = [(h, u) for h, u in zip(found, directions, strict=True) if h is not None]
            if rest:
                self.add(torch.dot(flat([h for h, _ in rest]), flat([u for _, u in rest])))
        self.adding = False
        zero = directions[0].new_zeros((), dtype=scalar_dtype(directions[0]))
        return zero if self.total is None else self.total


def inner(first: Tensor, second: Tensor) -> Tensor:
    """⟨first, second⟩, in float32 at least."""
    return (first * second.to(scalar_dtype(second))).sum()


class Cell:
    """What the nodes of one swapped layer share: its tape, its kernels and, once it is known, its output's tangent."""

    def __init__(self, tape: QuadraticForm, layer: Any = None) -> None:
        self.tape, self.layer = tape, layer
        self.tangent: Tensor | None = None


class Convolution:
    """f(x, w) + b for a convolution of any dimension: torch's kernels."""

    def __init__(self, stride: list[int], padding: list[int], dilation: list[int], groups: int) -> None:
        self.how = (stride, padding, dilation, False, [0] * len(stride), groups)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """(n, in, …), (out, in/groups, …), (out,) → (n, out, …)."""
        return torch.ops.aten.convolution(x, weight, bias, *self.how)  # type: ignore[no-any-return]

    def gradients(self, gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Gradients:
        """At x, weight and bias, None where not wanted."""
        sizes = [weight.shape[0]] if wanted[2] else None
        found: Gradients = torch.ops.aten.convolution_backward(gradient, x, weight, sizes, *self.how, wanted)
        return found


class Linear:
    """f(x, w) + b = x·wᵀ + b for x of any number of leading dimensions."""

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """(…, in), (out, in), (out,) → (…, out)."""
        return functional.linear(x, weight, bias)

    def gradients(self, gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Gradients:
        """At x, weight and bias, None where not wanted."""
        rows = gradient.reshape(-1, gradient.shape[-1])
        at_x = gradient @ weight if wanted[0] else None
        at_weight = rows.mT @ x.reshape(-1, x.shape[-1]) if wanted[1] else None
        return at_x, at_weight, rows.sum(0) if wanted[2] else None


class Bilinear(torch.autograd.Function):
    """A layer f(x, w) + b, f linear in x and in w."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer itself."""
        ctx.save_for_backward(x, weight)
        ctx.cell = cell
        ctx.set_materialize_grads(False)
        y: Tensor = cell.layer(x, weight, bias)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Gradients:
        """The gradients; in the pass through the graph of g, ⟨c, ẏ⟩ and nothing."""
        if gradient is None:
            return None, None, None, None
        if ctx.cell.tape.adding:
            ctx.cell.tape.stop(ctx.cell, gradient)
            return None, None, None, None
        wanted = list(ctx.needs_input_grad[1:])
        return (None, *BilinearBackward.apply(ctx.cell, gradient, *ctx.saved_tensors, wanted))


class BilinearBackward(torch.autograd.Function):
    """The gradients at x, w and b."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Gradients:
        """What the layer's backward pass gives."""
        ctx.save_for_backward(gradient, x, weight)
        ctx.cell = cell
        ctx.set_materialize_grads(False)
        found: Gradients = cell.layer.gradients(gradient, x, weight, wanted)
        return found

    @staticmethod
    def backward(ctx: Any, x_tangent: Tensor | None, w_tangent: Tensor | None, b_tangent: Tensor | None) -> Gradients:
        """ẏ = f(ẋ, w) + f(x, ẇ) + ḃ goes on; 2⟨gradient, f(ẋ, ẇ)⟩ is added."""
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
    """max(x, 0), whose second derivative is nothing: torch's would send back zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inplace: bool) -> Tensor:
        """Cut at zero."""
        y = torch.relu_(x) if inplace else torch.relu(x)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(y)
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Gradients:
        """The gradient where x was positive."""
        return None if gradient is None else ReluBackward.apply(gradient, *ctx.saved_tensors), None


class ReluBackward(torch.autograd.Function):
    """The gradient where y is positive; linear in it, so its derivative is itself."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, y: Tensor) -> Tensor:
        """Torch's kernel."""
        ctx.save_for_backward(y)
        return torch.ops.aten.threshold_backward(gradient, y, 0)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        """The same mask."""
        return torch.ops.aten.threshold_backward(gradient, *ctx.saved_tensors, 0), None


def _convolution(
    tape: QuadraticForm,
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Torch's arguments; a padding in words and an input without batch go to torch."""
    count = weight.ndim - 2
    if isinstance(padding, str) or input.ndim != weight.ndim:
        return func(input, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]
    layer = Convolution(_each(stride, count), _each(padding, count), _each(dilation, count), groups)
    return _bilinear(tape, layer, input, weight, bias)


def _each(value: Any, count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _linear(tape: QuadraticForm, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if weight.ndim != 2:
        return func(input, weight, bias)  # type: ignore[no-any-return]
    return _bilinear(tape, Linear(), input, weight, bias)


def _bilinear(tape: QuadraticForm, layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer in autocast's precision, where that is on: torch would cast behind our back."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight = _cast(x, dtype), _cast(weight, dtype)
        bias = None if bias is None else _cast(bias, dtype)
    y: Tensor = Bilinear.apply(Cell(tape, layer), x, weight, bias)
    return y


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)


def _relu(_tape: QuadraticForm, func: Any, input: Tensor, inplace: bool = False) -> Tensor:
    inplace = inplace or func in (torch.relu_, Tensor.relu_)
    if inplace and input._is_view():
        return torch.relu_(input)
    y: Tensor = Relu.apply(input, inplace)
    return y


def _batch_norm(tape: QuadraticForm, _func: Any, *args: Any, **kwargs: Any) -> Tensor:
    from flatdirs.curvature.batch_norm import swapped

    return swapped(Cell(tape), *args, **kwargs)


_SWAPS: Mapping[Any, Callable[..., Tensor]] = {
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _convolution),
    **dict.fromkeys((torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu), _relu),
    functional.linear: _linear,
    functional.batch_norm: _batch_norm,
}
