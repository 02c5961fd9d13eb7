"""What a probe trains on and is judged on: batches in whatever shape the user's loop has them, and the loss of one.

Batches are drawn once and kept, so that every probe sees the same ones in the same order and the user's loader is
not touched again; with several seeds, each has the next stretch of batches. A model gets copies, one batch at a time:
it may write into its input.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
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


def draw_validation(source: Any, count: int, example: Any) -> list[Any]:
    """A fixed batch as it is, or at most `count` batches of a loader. `example`: a training batch.

    A last batch of one sample is left out where there are others: batch norm has no statistics of it.

    Raises:
        FinderError: as `draw` does.
    """
    if isinstance(source, (Tensor, Mapping)) or _kind(source) == _kind(example):
        return [source]
    _refuse_iterator(source, "validation")
    batches = list(islice(_unshared(source), count))
    if not batches:
        raise FinderError("validation gave no batch; pass a loader, a batch, or None for the training loss")
    return batches[:-1] if len(batches) > 1 and _samples(batches[-1]) == 1 else batches


def _kind(value: Any) -> Any:
    """What a batch is made of, as far as its first entries tell; a list of batches is one level deeper than a batch."""
    for kind in (Tensor, Mapping):
        if isinstance(value, kind):
            return kind
    if isinstance(value, (tuple, list)):
        return "sequence", _kind(value[0]) if value else None
    return type(value)


def _samples(batch: Any) -> int | None:
    """How many samples a batch has by its first tensor, None where none is seen."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else None
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return _samples(next(iter(values), None))


def _refuse_iterator(source: Any, name: str) -> None:
    if not isinstance(source, Iterable):
        raise FinderError(f"{name}={type(source).__name__} must be a loader or a list of batches; change {name}")
    if isinstance(source, Iterator):
        raise FinderError(f"{name} is an iterator, whose batches would be used up; pass the loader it was made from")


def _unshared(source: Iterable[Any]) -> Iterable[Any]:
    """A loader without the iterator that persistent workers share, so that one in use by the user goes on as it was."""
    if not isinstance(source, torch.utils.data.DataLoader):
        return source
    twin = copy.copy(source)
    twin._iterator = None
    return twin


def moved(batch: Any, device: torch.device) -> Any:
    """A copy of a batch with its tensors on `device`; what holds none and cannot be moved stays itself."""
    if isinstance(batch, Tensor):
        return batch.detach().to(device, copy=True).requires_grad_(batch.requires_grad)
    if callable(getattr(batch, "to", None)):
        return copy.copy(batch).to(device)
    if isinstance(batch, Mapping):
        twin = copy.copy(batch) if isinstance(batch, MutableMapping) else dict(batch)
        twin.update({key: moved(value, device) for key, value in batch.items()})
        return twin
    if isinstance(batch, (tuple, list)):
        values = [moved(value, device) for value in batch]
        return type(batch)(*values) if hasattr(batch, "_fields") else type(batch)(values)
    return batch


def closure_of(loss: Any, closure: Closure | None, dtype: torch.dtype | None, device: torch.device) -> Closure:
    """The loss of a model on a batch: the user's closure, or `loss` on what the model makes of the batch.

    With `dtype` the forward pass and the loss run under autocast. Raises FinderError where neither or both are given.
    """
    if (loss is None) == (closure is None) or not callable(loss if closure is None else closure):
        raise FinderError(
            "pass either loss, a function of output and target, or closure, a function of model and batch"
        )
    if isinstance(loss, type):
        raise FinderError(f"loss={loss.__name__} is a class; pass one of its objects, such as {loss.__name__}()")
    inner: Closure = closure if closure is not None else lambda model, batch: _loss(loss, model, batch)

    def scaled() -> AbstractContextManager[Any]:
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)

    def outer(model: nn.Module, batch: Any) -> Tensor:
        torch.clear_autocast_cache()  # autocast around the whole call would keep the weights of the step before
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
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point():
        shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise FinderError(f"the loss is {shape}, not a real scalar tensor; let loss return a mean or a sum")
    return value.reshape(())
