"""What a probe trains on and is judged on: batches in whatever shape the user's loop has them, and the loss of one.

Batches are drawn once and kept, so that every probe sees the same ones in the same order and the user's loader is
not touched again; with several seeds, each has the next stretch of batches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from flatdirs.errors import FinderError

Closure = Callable[[nn.Module, Any], Tensor]


def draw(source: Iterable[Any], count: int, name: str) -> list[Any]:
    """The first `count` batches, from the beginning again where there are fewer.

    Raises:
        FinderError: there are none, or `source` is an iterator, whose batches would be gone for the user.
    """
    _refuse_iterator(source, name)
    batches: list[Any] = []
    while len(batches) < count:
        before = len(batches)
        for batch in _unshared(source):
            batches.append(batch)
            if len(batches) == count:
                break
        if len(batches) == before:
            raise FinderError(f"{name} gave no batch; pass a loader or a list that holds at least one")
    return batches


def draw_validation(source: Any, count: int) -> list[Any]:
    """A fixed batch as it is, or at most `count` batches of a loader. Raises FinderError as `draw` does."""
    if is_batch(source):
        return [source]
    _refuse_iterator(source, "validation")
    batches = [batch for batch, _ in zip(_unshared(source), range(count), strict=False)]
    if not batches:
        raise FinderError("validation gave no batch; pass a loader, a batch, or None for the training loss")
    return batches


def is_batch(value: Any) -> bool:
    """Whether something is one batch, not a collection of them: a tensor, a mapping, or a row that begins with one."""
    if isinstance(value, (Tensor, Mapping)):
        return True
    return isinstance(value, (tuple, list)) and bool(value) and isinstance(value[0], Tensor)


def _refuse_iterator(source: Any, name: str) -> None:
    if not isinstance(source, Iterable):
        raise FinderError(f"{name}={type(source).__name__} must be a loader or a list of batches; change {name}")
    if isinstance(source, Iterator):
        raise FinderError(f"{name} is an iterator, whose batches would be used up; pass the loader it was made from")
    if isinstance(source, Sized) and len(source) == 0:
        raise FinderError(f"{name} gave no batch; pass a loader or a list that holds at least one")


def _unshared(source: Iterable[Any]) -> Iterable[Any]:
    """A loader without the iterator that persistent workers share, so that one in use by the user goes on as it was."""
    if not isinstance(source, torch.utils.data.DataLoader):
        return source
    twin = copy.copy(source)
    twin._iterator = None
    return twin


def moved(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on `device`; what holds no tensors stays what it is."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(value, device) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(moved(value, device) for value in batch)
    return batch


def closure_of(loss: Any, closure: Closure | None, dtype: torch.dtype | None, device: torch.device) -> Closure:
    """The loss of a model on a batch: the user's closure, or `loss` on what the model makes of the batch.

    With `dtype` the forward pass and the loss run under autocast. Raises FinderError where neither or both are given.
    """
    if (loss is None) == (closure is None):
        raise FinderError(
            "pass either loss, a function of output and target, or closure, a function of model and batch"
        )
    inner: Closure = closure if closure is not None else lambda model, batch: _loss(loss, model, batch)

    def scaled() -> AbstractContextManager[Any]:
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)

    def outer(model: nn.Module, batch: Any) -> Tensor:
        with scaled():
            return _checked(inner(model, batch))

    return outer


def _loss(loss: Callable[[Any, Any], Tensor], model: nn.Module, batch: Any) -> Tensor:
    """(inputs, target) → loss(model(inputs), target); a mapping → loss(model(**batch), batch)."""
    if isinstance(batch, Mapping):
        return loss(model(**batch), batch)
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return loss(model(batch[0]), batch[1])
    raise FinderError(
        f"a batch is a {type(batch).__name__}, neither a pair (inputs, target) nor a mapping; pass closure, a "
        f"function of model and batch, instead of loss"
    )


def _checked(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise FinderError(f"the loss is {shape}, not a scalar tensor; let loss return a mean or a sum")
    return value.reshape(())
