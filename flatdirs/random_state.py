"""Random generators: those of the process, and those inside loaders, data sets and functions.

A data set or a transform may own a generator anywhere, so they are searched breadth first through attributes, short
containers, partial functions, closures and the globals that a function names.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
CLOSED = (str, bytes, int, float, complex, type(None), Tensor, np.ndarray, type, ModuleType)  # hold no generator
MOST = 10_000  # objects to look at; near ones come first
SHORT = 64  # elements of a container to look at: transforms are in short ones, long ones hold data
METHODS = ("__getitem__", "__iter__", "__call__")  # methods that may use a global generator


def generator_state(generator: Any) -> Callable[[], None]:
    """A function that restores the current state of a generator."""
    if isinstance(generator, np.random.Generator):
        array = generator.bit_generator.state

        def put_back() -> None:
            generator.bit_generator.state = array

        return put_back
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    return partial(generator.set_state, generator.get_state())


def global_state() -> Callable[[], None]:
    """A function that restores the generators of Python, NumPy, and torch on every device in use."""
    python, array, host = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if cuda_in_use() else None
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


def reseed(offset: int) -> None:
    """Reseed torch on every device in use; an unused device is not initialised."""
    seed = (torch.initial_seed() + offset) % 2**63
    torch.default_generator.manual_seed(seed)
    if cuda_in_use():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def cuda_in_use() -> bool:
    """Whether CUDA is available and initialised."""
    return torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def generators_in(sources: Iterable[Any]) -> list[Any]:
    """The generators inside batch sources and functions, their samplers, data sets and transforms."""
    todo, seen, found = deque(sources), dict[int, Any](), []
    while todo and len(seen) < MOST:
        value = todo.popleft()
        if id(value) in seen or isinstance(value, CLOSED):
            continue
        seen[id(value)] = value
        if isinstance(value, GENERATORS):
            found.append(value)
        else:
            todo.extend(_inside(value))
    return found


def _inside(value: Any) -> Iterable[Any]:
    """What an object holds and uses."""
    if isinstance(value, dict):
        return list(islice(value.values(), SHORT))
    if isinstance(value, (list, tuple)):
        return value[:SHORT]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, FunctionType):
        return _used_by(value)
    methods = [getattr(type(value), name, None) for name in METHODS]
    return [*getattr(value, "__dict__", {}).values(), *(one for one in methods if isinstance(one, FunctionType))]


def _used_by(function: FunctionType) -> list[Any]:
    """The defaults, captured variables and globals of a function."""
    used = [function.__defaults__, function.__kwdefaults__]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            used.append(cell.cell_contents)
    return used + [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
