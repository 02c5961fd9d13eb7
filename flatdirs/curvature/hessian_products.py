"""v ↦ Hv: products with the Hessian of the loss of a model on one batch, exact to rounding.

The gradient is built once as a graph, and each product is one backward pass through it, at the cost of about two
gradients; so all products have the same dropout mask and the same batch statistics. The graph holds the activations of
the batch. With `piece_size` the batch is processed in pieces whose graphs are rebuilt for every product from the same
random numbers, and memory is that of one piece.

The mode of the model does not change; batch-norm statistics, other buffers, random generators and `.grad` are restored.
Attention uses its plain kernel, as the fused ones have no second derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from flatdirs.errors import CurvatureError
from flatdirs.random_state import global_state
from flatdirs.setting_checks import require_integer

NO_SECOND_DERIVATIVE = ("is not implemented", "double backward", "differentiate twice")  # in torch's messages
Closure = Callable[[nn.Module, Any], Tensor]
Diagonal = float | Mapping[Tensor, float]


class HessianProducts:
    """Maps flat vectors v of shape (size,), in the order of `parameters`, to Hv; made by `hessian_products`.

    `parameters` are the trainable ones of the model, `size` the number of their values, `loss` the loss (a scalar
    tensor on the device), `count` the number of products so far.
    """

    def __init__(self, model: nn.Module, closure: Closure, pieces: Sequence[tuple[float, Any]]) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self.parameters:
            raise CurvatureError("the model has no trainable parameter; set requires_grad", key="model")
        self._closure, self._model, self._pieces = closure, model, pieces
        self.size = sum(parameter.numel() for parameter in self.parameters)
        self.count = 0
        self._rewind = global_state()
        self._graph = self._gradient(pieces[0][1]) if len(pieces) == 1 else None
        self.loss = self._mean_loss() if self._graph is None else self._graph[0].detach()

    @property
    def example(self) -> Tensor:
        """A parameter, with the device and dtype of the vectors."""
        return self.parameters[0]

    def __call__(self, vector: Tensor) -> Tensor:
        """Hv of v, both (size,)."""
        self.count += 1
        parts = self.split(vector)
        if self._graph is not None:
            return self._product(self._graph[1], parts)
        self._rewind()
        total = torch.zeros_like(vector)
        for weight, piece in self._pieces:
            total += weight * self._product(self._gradient(piece)[1], parts)
        return total

    def split(self, vector: Tensor) -> list[Tensor]:
        """A flat vector as tensors shaped like the parameters."""
        pieces = torch.split(vector, [parameter.numel() for parameter in self.parameters])
        return [piece.view(one.shape) for piece, one in zip(pieces, self.parameters, strict=True)]

    def _gradient(self, batch: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss of a batch and its gradient, with graphs."""
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), twice_differentiable():
            loss = self._closure(self._model, batch)
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                raise CurvatureError("the loss is not a scalar tensor; return the mean over the batch", key="loss")
            gradient = torch.autograd.grad(
                loss.reshape(()), self.parameters, create_graph=True, allow_unused=True, materialize_grads=True
            )
            refuse_dead_ends(gradient)
        return loss.reshape(()), gradient

    def _product(self, gradient: tuple[Tensor, ...], parts: list[Tensor]) -> Tensor:
        """The derivative of gradient · v; zeros if the gradient does not depend on the parameters."""
        pairs = [(g, v) for g, v in zip(gradient, parts, strict=True) if g.requires_grad]
        if not pairs:
            return torch.zeros(self.size, device=self.example.device, dtype=self.example.dtype)
        curved, along = zip(*pairs, strict=True)
        with twice_differentiable():
            rows = torch.autograd.grad(
                curved, self.parameters, along, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        return flat(rows)

    def _mean_loss(self) -> Tensor:
        with torch.no_grad():
            return torch.stack([weight * self._closure(self._model, piece) for weight, piece in self._pieces]).sum()


@contextmanager
def hessian_products(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor] | None,
    batch: Any,
    *,
    closure: Closure | None = None,
    piece_size: int | None = None,
) -> Iterator[HessianProducts]:
    """Products with the Hessian of `loss(model(inputs), targets)` over the parameters that require gradients.

    Args:
        model: on any device, in any mode.
        loss: (output, targets) → scalar, for a batch (inputs, targets); (output, batch) → scalar for a mapping, which
            the model gets as keywords. With `piece_size` a mean over the batch.
        batch: moved to the device of the model.
        closure: (model, batch) → scalar, instead of `loss`, for any other batch.
        piece_size: samples at a time, None for all. In training mode batch norm has the statistics of each piece.

    Raises:
        CurvatureError: no trainable parameter, no scalar loss, neither or both of loss and closure.
    """
    if (loss is None) == (closure is None):
        raise CurvatureError(
            "pass either loss, a function of output and targets, or closure, of model and batch", key="loss"
        )
    used = closure if closure is not None else _closure_of(loss)
    model = getattr(model, "_orig_mod", model)  # compiled code cannot be differentiated twice
    device = next(iter(model.parameters()), torch.zeros(())).device
    pieces = _pieces(_moved(batch, device), piece_size)
    with _untouched(model):
        yield HessianProducts(model, used, pieces)


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Turn torch's error for a missing second derivative into a CurvatureError."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not any(words in text for words in NO_SECOND_DERIVATIVE):
            raise
        raise CurvatureError(
            f"the model has an operation without a second derivative ({' '.join(text.split())[:150]}); replace it, or "
            f"use the model before torch.compile",
            key="model",
        ) from error


def refuse_dead_ends(gradient: Sequence[Tensor]) -> None:
    """Raise if the graph of the gradient ends in an operation without a derivative, which torch would take for zero."""
    todo = [part.grad_fn for part in gradient]
    seen = set(todo)
    while todo:
        node = todo.pop()
        if node is None:
            continue
        if node.name().endswith("Error"):
            raise RuntimeError("once_differentiable is not implemented for a second derivative")
        fresh = {following for following, _ in node.next_functions} - seen
        seen |= fresh
        todo += fresh


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one after the other as one vector, detached."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Restore buffers and random generators at the end, not earlier, as graphs may hold a buffer."""
    put_back = global_state()
    homes = [(module, dict(module._buffers)) for module in model.modules()]
    kept = {id(b): (b, b.detach().clone()) for _, buffers in homes for b in buffers.values() if b is not None}
    try:
        yield
    finally:
        put_back()
        for module, buffers in homes:
            module._buffers.update(buffers)
        with torch.no_grad():
            for buffer, values in kept.values():
                buffer.copy_(values)


def _closure_of(loss: Any) -> Closure:

    def closure(model: nn.Module, batch: Any) -> Tensor:
        value: Tensor = loss(model(**batch), batch) if isinstance(batch, Mapping) else loss(model(batch[0]), batch[1])
        return value

    return closure


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(_moved(value, device) for value in batch)
    return batch


def _pieces(batch: Any, size: int | None) -> list[tuple[float, Any]]:
    """(fraction of the samples, piece) of a batch that is a tuple of tensors; the whole batch without a size."""
    if size is None:
        return [(1.0, batch)]
    require_integer("piece_size", size, 1, error=CurvatureError)
    if not (isinstance(batch, tuple) and all(isinstance(part, Tensor) for part in batch)):
        raise CurvatureError(
            "piece_size needs a batch (inputs, targets) of tensors; remove piece_size", key="piece_size"
        )
    columns = [torch.split(part, size) for part in batch]
    return [(len(piece[0]) / len(batch[0]), piece) for piece in zip(*columns, strict=True)]
