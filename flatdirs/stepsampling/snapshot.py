"""Everything a probe may change, remembered and put back to the bit, also when something goes wrong in between.

`Snapshot(objects, sources)` remembers the whole state of modules, optimizers and gradient scalers (every attribute:
weights, gradients, buffers, training flags, state, parameter groups, plain counters), the random generators that are
found inside the batch sources, and the global ones of Python, NumPy and torch on every device. `restore` writes values
back into the same tensors and containers, so whoever holds a reference (a scheduler, a compiled model, a closure) sees
the old state again.

Dropped: deep copies of model and optimizer, which a closure over the user's own objects would miss; and
load_state_dict, which makes new containers and leaves out gradients, flags and everything that is not registered.
Not covered: state that lives outside these objects, such as a data set that counts its own calls.
"""

from __future__ import annotations

import random
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Restore = Callable[[], Any]
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
DEPTH = 6  # how deep generators are looked for inside a batch source


class Snapshot:
    """The state of `objects` and of the random generators in `sources` and everywhere, as it is now."""

    def __init__(self, objects: Iterable[Any], sources: Iterable[Any] = ()) -> None:
        memo: dict[int, Restore] = {}
        self._restores = [_attributes(item, memo) for item in _spread(objects)]
        generators = [generator for source in sources for generator in _generators(source, DEPTH, set())]
        self._generators = [_generator(generator) for generator in generators]
        self._global = _global_generators()

    def restore(self) -> None:
        """Put everything back. May be called any number of times."""
        for put_back in (*self._restores, *self._generators, self._global):
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
    """Hold Ctrl-C back while inside, where this thread is the one that gets it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _spread(objects: Iterable[Any]) -> list[Any]:
    """The objects, and for a module all modules inside it."""
    return [part for item in objects for part in (item.modules() if isinstance(item, nn.Module) else [item])]


def _attributes(item: Any, memo: dict[int, Restore]) -> Restore:
    """How to put back every attribute of an object, values inside containers included."""
    inside = {name: _value(value, memo) for name, value in vars(item).items()}

    def put_back() -> None:
        attributes = vars(item)
        attributes.clear()
        attributes.update({name: restore() for name, restore in inside.items()})

    return put_back


def _value(value: Any, memo: dict[int, Restore]) -> Restore:
    """How to get a value back: the same object, with what it held. One restore an object, however often it is met."""
    known = memo.get(id(value))
    if known is None:
        memo[id(value)] = lambda: value  # a container that holds itself
        known = memo[id(value)] = _remember(value, memo)
    return known


def _remember(value: Any, memo: dict[int, Restore]) -> Restore:
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, GENERATORS):
        return _generator(value)
    if isinstance(value, (dict, list, deque)):
        return _container(value, memo)
    return lambda: value


def _container(value: Any, memo: dict[int, Restore]) -> Restore:
    """How to refill a dict, list or deque."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    inside = [(key, _value(item, memo)) for key, item in pairs]

    def put_back() -> Any:
        items = [(key, restore()) for key, restore in inside]
        value.clear()
        if isinstance(value, dict):
            value.update(items)
        else:
            value.extend(item for _, item in items)
        return value

    return put_back


def _tensor(tensor: Tensor) -> Restore:
    """How to put a tensor's values back into it; a parameter's gradient is the same object again, untouched."""
    copied = tensor.detach().clone(memory_format=torch.preserve_format)
    leaf = tensor.is_leaf
    gradient = tensor.grad if leaf else None
    held = None if gradient is None else gradient.detach().clone()
    needs = tensor.requires_grad

    def put_back() -> Tensor:
        with torch.no_grad():
            tensor.copy_(copied)
        if leaf:
            tensor.requires_grad_(needs)
            tensor.grad = gradient
            if gradient is not None and held is not None:
                gradient.detach().copy_(held)
        return tensor

    return put_back


def _generator(generator: Any) -> Restore:
    """How to set a random generator back."""
    if isinstance(generator, np.random.Generator):
        state: Any = generator.bit_generator.state
    else:
        state = generator.getstate() if isinstance(generator, random.Random) else generator.get_state()

    def put_back() -> Any:
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state
        elif isinstance(generator, random.Random):
            generator.setstate(state)
        else:
            generator.set_state(state)
        return generator

    return put_back


def _global_generators() -> Restore:
    """How to set back the generators of Python, NumPy, and torch on every device that is in use."""
    python, array, host = random.getstate(), np.random.get_state(), torch.get_rng_state()
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if in_use else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(host)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)

    return put_back


def _generators(value: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    """The random generators inside a batch source: its own, its sampler's, its data set's, its transforms'."""
    if isinstance(value, GENERATORS):
        yield value
        return
    if depth == 0 or id(value) in seen or isinstance(value, (str, bytes, int, float, Tensor, np.ndarray, type)):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inside: Iterable[Any] = value.values()
    elif isinstance(value, (list, tuple)):
        inside = value[:64]  # transforms come in short lists; a long one is data
    else:
        inside = vars(value).values() if hasattr(value, "__dict__") else ()
    for item in list(inside):
        yield from _generators(item, depth - 1, seen)
