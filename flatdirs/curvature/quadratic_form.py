"""uᵀHu of the loss of a closure, exactly, for about half the cost of the vector Hu.

    with (form := QuadraticForm()): loss = closure()
    form.along(autograd.grad(loss, parameters, create_graph=True), parameters, u)

Hu = ∂(g·u)/∂w takes a pass through the graph of g, which finds the tangent ẏ of every activation, and one back to the
parameters. uᵀHu needs no second pass: a cotangent c at an activation y would end as ⟨c, ẏ⟩. While the form is open,
convolution, linear layers, training-mode batch norm and ReLU add that and send nothing back (layers.py); all else runs
unchanged, so the result is exact; under autocast, of the rounded network. Not for gradient penalties or activation
checkpointing. Ours; for Hu: Pearlmutter, "Fast exact multiplication by the Hessian" (1994).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from flatdirs.curvature.base_optimizers import flat, scalar_dtype
from flatdirs.curvature.batch_norm import batch_norm
from flatdirs.curvature.layers import Bilinear, Cell, Convolution, Linear, Relu, Tape


class QuadraticForm(TorchFunctionMode):
    """Records a forward pass while open, then gives uᵀHu once."""

    def __init__(self) -> None:
        super().__init__()
        self.tape = Tape()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        replaced = _REPLACED.get(func)
        if replaced is None:
            return func(*args, **(kwargs or {}))
        return replaced(self.tape, func, *args, **(kwargs or {}))

    def along(self, gradients: Sequence[Tensor], parameters: Sequence[Tensor], directions: Sequence[Tensor]) -> Tensor:
        """uᵀHu, 0-d, from gradients made with create_graph=True; frees their graph."""
        tape = self.tape
        pairs = [(g, u) for g, u in zip(gradients, directions, strict=True) if g.requires_grad]
        tape.adding, tape.total = True, None
        if pairs:
            outputs, cotangents = [g for g, _ in pairs], [u for _, u in pairs]
            found = torch.autograd.grad(outputs, list(parameters), grad_outputs=cotangents, allow_unused=True)
            rest = [(h, u) for h, u in zip(found, directions, strict=True) if h is not None]
            if rest:
                tape.add(torch.dot(flat([h for h, _ in rest]), flat([u for _, u in rest])))
        tape.adding = False
        zero = directions[0].new_zeros((), dtype=scalar_dtype(directions[0]))
        return zero if tape.total is None else tape.total


def _convolution(
    tape: Tape,
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Torch's arguments; named paddings and inputs without a batch dimension run unchanged."""
    count = weight.ndim - 2
    if isinstance(padding, str) or input.ndim != weight.ndim:
        return func(input, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]
    layer = Convolution(_each(stride, count), _each(padding, count), _each(dilation, count), groups)
    return _bilinear(tape, layer, input, weight, bias)


def _each(value: Any, count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _linear(tape: Tape, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if weight.ndim != 2:
        return func(input, weight, bias)  # type: ignore[no-any-return]
    return _bilinear(tape, Linear(), input, weight, bias)


def _bilinear(tape: Tape, layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer in the precision of autocast, which does not see inside an autograd.Function."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight = _cast(x, dtype), _cast(weight, dtype)
        bias = None if bias is None else _cast(bias, dtype)
    y: Tensor = Bilinear.apply(Cell(tape, layer), x, weight, bias)
    return y


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)


def _relu(_tape: Tape, func: Any, input: Tensor, inplace: bool = False) -> Tensor:
    inplace = inplace or func in (torch.relu_, Tensor.relu_)
    if inplace and input._is_view():
        return torch.relu_(input)
    y: Tensor = Relu.apply(input, inplace)
    return y


def _batch_norm(tape: Tape, _func: Any, *args: Any, **kwargs: Any) -> Tensor:
    return batch_norm(Cell(tape), *args, **kwargs)


_REPLACED: Mapping[Any, Callable[..., Tensor]] = {
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _convolution),
    **dict.fromkeys((torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu), _relu),
    functional.linear: _linear,
    functional.batch_norm: _batch_norm,
}
