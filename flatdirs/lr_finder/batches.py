"""The batches of a probe, and the loss of a model on one of them.

Batches are drawn once and kept, so that every probe uses the same ones in the same order and the loader is not read
again; with several seeds each has its own batches. The model gets copies, one batch at a time, as it may write into its
input.
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
    """The first `count` batches of `source`, which is repeated if it has fewer.

    Raises:
        FinderError: there are none, or `source` is an iterator, whose batches the user would lose.
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
            raise FinderError(f"{name} has no batch; pass a loader or a list with at least one", key=name)
    return batches


def draw_validation(source: Any, count: int, example: Any) -> list[Any]:
    """One batch as it is, or at most `count` batches of a loader. `example`: a training batch.

    A last batch of one sample is dropped if there are others, as batch norm has no statistics for it.

    Raises:
        FinderError: as for `draw`.
    """
    if isinstance(source, (Tensor, Mapping)) or _kind(source) == _kind(example):
        return [source]
    _refuse_iterator(source, "validation")
    batches = list(islice(_unshared(source), count))
    if not batches:
        raise FinderError(
            "validation has no batch; pass a loader, a batch, or None for the training loss", key="validation"
        )
    return batches[:-1] if len(batches) > 1 and _samples(batches[-1]) == 1 else batches


def _kind(value: Any) -> Any:
    """The nesting of a batch, by its first entries; a list of batches is one level deeper than a batch."""
    for kind in (Tensor, Mapping):
        if isinstance(value, kind):
            return kind
    if isinstance(value, (tuple, list)):
        return "sequence", _kind(value[0]) if value else None
    return type(value)


def _samples(batch: Any) -> int | None:
    """The number of samples in the first tensor of a batch, None without a tensor."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else None
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return _samples(next(iter(values), None))


def _refuse_iterator(source: Any, name: str) -> None:
    if not isinstance(source, Iterable):
        raise FinderError(
            f"{name}={type(source).__name__} must be a loader or a list of batches; change {name}", key=name
        )
    if isinstance(source, Iterator):
        raise FinderError(f"{name} is an iterator, which can be read only once; pass its loader", key=name)


def _unshared(source: Iterable[Any]) -> Iterable[Any]:
    """A loader without the iterator that persistent workers share, so that the user's iterator is not disturbed."""
    if not isinstance(source, torch.utils.data.DataLoader):
        return source
    twin = copy.copy(source)
    twin._iterator = None
    return twin


def moved(batch: Any, device: torch.device) -> Any:
    """A copy of a batch with its tensors on `device`; objects without tensors stay the same."""
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
    """A function (model, batch) → loss: the user's closure, or `loss` of the output of the model.

    With `dtype` the forward pass and the loss run under autocast. Raises FinderError if neither or both are given.
    """
    if (loss is None) == (closure is None) or not callable(loss if closure is None else closure):
        raise FinderError(
            "pass either loss, a function of output and target, or closure, a function of model and batch", key="loss"
        )
    if isinstance(loss, type):
        raise FinderError(f"loss={loss.__name__} is a class; pass an instance, {loss.__name__}()", key="loss")
    inner: Closure = closure if closure is not None else lambda model, batch: _loss(loss, model, batch)

    def scaled() -> AbstractContextManager[Any]:
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)

    def outer(model: nn.Module, batch: Any) -> Tensor:
        torch.clear_autocast_cache()  # with autocast around the whole call it holds the weights of the step before
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
        f"function of model and batch, instead of loss",
        key="closure",
    )


def _checked(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point():
        shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise FinderError(f"the loss is {shape}, not a real scalar tensor; return a mean or a sum", key="loss")
    return value.reshape(())
