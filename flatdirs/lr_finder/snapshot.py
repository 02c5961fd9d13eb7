"""Snapshots: everything that a probe may change, restored exactly, also after an exception.

`Snapshot(objects, sources)` records the whole state of modules, optimizers and gradient scalers (every attribute:
weights, gradients, buffers, training flags, optimizer state, parameter groups, counters); the attributes of batch
sources, their samplers and data sets (positions, orders, counters, not the data); and the random generators inside
sources and functions and those of Python, NumPy and torch on every device. `restore` writes values back into the same
tensors and containers, so that references to them (in a scheduler, a compiled model, a closure) stay valid; what has
not changed is not written.

Not covered: objects of other classes inside a module or a data set, and streams that can be read only once.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flatdirs.random_state import GENERATORS, generator_state, generators_in, global_state

Restore = Callable[[], None]
STATEFUL = (nn.Module, torch.optim.Optimizer, torch.amp.GradScaler)  # all their attributes are state
CONTAINERS = (dict, list, deque, set)
CHANGING = (*STATEFUL, *CONTAINERS, *GENERATORS, tuple, Tensor, np.ndarray)
PARTS = ("sampler", "batch_sampler", "dataset")  # attributes of a batch source that hold its position


class Snapshot:
    """The current state of `objects`, of the batch sources and functions in `sources`, and of all generators."""

    def __init__(self, objects: Iterable[Any], sources: Iterable[Any] = ()) -> None:
        sources = list(sources)
        self._seen: dict[int, Any] = {}
        self._restores: list[Restore] = []
        self.add(objects)
        self._restores += [restore for part in _parts(sources) for restore in _own_attributes(part)]
        self._restores += [generator_state(generator) for generator in generators_in(sources)]
        self._restores.append(global_state())

    def add(self, objects: Iterable[Any]) -> None:
        """Record more objects; those recorded already are skipped."""
        self._restores += _walk(objects, self._seen)

    def restore(self) -> None:
        """Restore everything; may be called repeatedly."""
        for put_back in self._restores:
            put_back()


@contextmanager
def put_back(snapshot: Snapshot) -> Iterator[None]:
    """Restore at the end, also after an exception; Ctrl-C during the restoring waits until it is done."""
    try:
        yield
    finally:
        with _uninterrupted():
            snapshot.restore()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the end, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _walk(objects: Iterable[Any], seen: dict[int, Any]) -> Iterator[Restore]:
    """A restore for each mutable part of the objects; `seen` keeps them alive, so that their ids stay unique."""
    todo = list(objects)
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Tensor):
            yield _tensor(value)
        elif isinstance(value, np.ndarray):
            if value.flags.writeable:
                yield _array(value)
        elif isinstance(value, GENERATORS):
            yield generator_state(value)
        elif isinstance(value, tuple):
            todo += _changing(value)
        else:
            container = value if isinstance(value, CONTAINERS) else vars(value)
            yield _container(container)
            todo += _changing(container.values() if isinstance(container, dict) else container)


def _changing(values: Iterable[Any]) -> list[Any]:
    """The mutable ones of some values; long lists of numbers are only checked by type."""
    kinds = {kind for kind in set(map(type, values)) if issubclass(kind, CHANGING)}
    return [value for value in values if type(value) in kinds] if kinds else []


def _container(value: Any) -> Restore:
    """Refills a dict, list, deque or set with the objects it holds now, if they have changed."""
    if isinstance(value, dict):
        keys, values = list(value), list(value.values())

        def put_back() -> None:
            if not (_same(value, keys) and _same(value.values(), values)):
                value.clear()
                value.update(zip(keys, values, strict=True))
    else:
        items = list(value)

        def put_back() -> None:
            if not _same(value, items):
                value.clear()
                (value.update if isinstance(value, set) else value.extend)(items)

    return put_back


def _same(values: Any, items: list[Any]) -> bool:
    return len(values) == len(items) and all(map(is_, values, items))


def _array(value: Any) -> Restore:
    copied = value.copy()

    def put_back() -> None:
        value[...] = copied

    return put_back


def _tensor(tensor: Tensor) -> Restore:
    """Restores the values of a tensor, its flags, and its gradient as the same object."""
    written = _written(tensor.detach())
    copied = written.clone(memory_format=torch.preserve_format)
    leaf, needs, inference = tensor.is_leaf, tensor.requires_grad, tensor.is_inference()
    gradient = tensor.grad if leaf else None
    held = None if gradient is None else gradient.detach().clone()

    def put_back() -> None:
        with torch.inference_mode(inference), torch.no_grad():
            _written(tensor.detach()).copy_(copied)
        if leaf:
            tensor.requires_grad_(needs)
            tensor.grad = gradient
            if gradient is not None and held is not None:
                gradient.detach().copy_(held)

    return put_back


def _written(tensor: Tensor) -> Tensor:
    """A tensor without the repetitions of an expanded one, which share memory and cannot be written to."""
    if tensor.layout != torch.strided:
        return tensor
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if size > 1 and stride == 0:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def _parts(sources: Iterable[Any]) -> list[Any]:
    """Batch sources and the samplers and data sets inside them."""
    parts: dict[int, Any] = {}
    todo = list(sources)
    while todo:
        part = todo.pop()
        if hasattr(part, "__dict__") and not isinstance(part, (type, Tensor)) and id(part) not in parts:
            parts[id(part)] = part
            todo += [vars(part)[name] for name in PARTS if name in vars(part)]
    return list(parts.values())


def _own_attributes(part: Any) -> Iterator[Restore]:
    """Restores the attributes of an object and the order in its containers and index arrays, not their contents."""
    yield _container(vars(part))
    for value in vars(part).values():
        if isinstance(value, CONTAINERS):
            yield _container(value)
        elif isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu" and value.flags.writeable:
            yield _array(value)
