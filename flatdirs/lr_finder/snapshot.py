"""Everything a probe may change, remembered and put back to the bit, also when something goes wrong in between.

`Snapshot(objects, sources)` remembers the whole state of modules, optimizers and gradient scalers (every attribute:
weights, gradients, buffers, training flags, state, parameter groups, plain counters); the own attributes of batch
sources, of their samplers and data sets (positions, orders, counters; never the data); the random generators inside
sources and functions, and the global ones of Python, NumPy and torch on every device. `restore` writes values back into
the same tensors and containers, so whoever holds a reference (a scheduler, a compiled model, a closure) sees the old
state again; what has not changed is not written to.

Dropped: deep copies of model and optimizer, which a closure over the user's own objects would miss; and
load_state_dict, which makes new containers and leaves out gradients, flags and everything that is not registered.
Not covered: objects of other classes that a module or a data set holds, and a stream that can be read only once.
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
STATEFUL = (nn.Module, torch.optim.Optimizer, torch.amp.GradScaler)  # whose attributes are state, wherever they are met
CONTAINERS = (dict, list, deque, set)
CHANGING = (*STATEFUL, *CONTAINERS, *GENERATORS, tuple, Tensor, np.ndarray)
PARTS = ("sampler", "batch_sampler", "dataset")  # attributes of a batch source that hold its position


class Snapshot:
    """The state of `objects`, of the batch sources and functions in `sources`, and of every generator, as it is now."""

    def __init__(self, objects: Iterable[Any], sources: Iterable[Any] = ()) -> None:
        sources = list(sources)
        self._seen: dict[int, Any] = {}
        self._restores: list[Restore] = []
        self.add(objects)
        self._restores += [restore for part in _parts(sources) for restore in _own_attributes(part)]
        self._restores += [generator_state(generator) for generator in generators_in(sources)]
        self._restores.append(global_state())

    def add(self, objects: Iterable[Any]) -> None:
        """Remember more objects, as they are now; what is known already is not looked at again."""
        self._restores += _walk(objects, self._seen)

    def restore(self) -> None:
        """Put everything back. May be called any number of times."""
        for put_back in self._restores:
            put_back()


@contextmanager
def put_back(snapshot: Snapshot) -> Iterator[None]:
    """Restore at the end, whatever happens inside; a Ctrl-C during the restoring waits until it is done."""
    try:
        yield
    finally:
        with _uninterrupted():
            snapshot.restore()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back while inside, where this thread is the one that gets it; then let it take its usual way."""
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
    """A restore for each thing that can change in the objects and what they hold; `seen` keeps what it knows alive."""
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
    """Those of some values that may change inside; a million numbers are looked at by type alone."""
    kinds = {kind for kind in set(map(type, values)) if issubclass(kind, CHANGING)}
    return [value for value in values if type(value) in kinds] if kinds else []


def _container(value: Any) -> Restore:
    """How to refill a dict, list, deque or set with the objects it holds; untouched where it still holds them."""
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
    """Whether these are the same objects in the same order."""
    return len(values) == len(items) and all(map(is_, values, items))


def _array(value: Any) -> Restore:
    """How to put an array's values back into it."""
    copied = value.copy()

    def put_back() -> None:
        value[...] = copied

    return put_back


def _tensor(tensor: Tensor) -> Restore:
    """How to put a tensor's values back into it; its gradient is the same object again, with its values."""
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
    """A tensor without the repetitions of an expanded one, which lie in the same place and cannot be written to."""
    if tensor.layout != torch.strided:
        return tensor
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if size > 1 and stride == 0:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def _parts(sources: Iterable[Any]) -> list[Any]:
    """Batch sources, with the samplers and data sets inside them, as far as they have attributes."""
    parts: dict[int, Any] = {}
    todo = list(sources)
    while todo:
        part = todo.pop()
        if hasattr(part, "__dict__") and not isinstance(part, (type, Tensor)) and id(part) not in parts:
            parts[id(part)] = part
            todo += [vars(part)[name] for name in PARTS if name in vars(part)]
    return list(parts.values())


def _own_attributes(part: Any) -> Iterator[Restore]:
    """How to put back an object's attributes and the order in its containers and index arrays; nothing inside these."""
    yield _container(vars(part))
    for value in vars(part).values():
        if isinstance(value, CONTAINERS):
            yield _container(value)
        elif isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu" and value.flags.writeable:
            yield _array(value)
