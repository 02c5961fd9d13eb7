"""Random generators: those of the process, and those that are found inside loaders, data sets and functions.

A data set or a transform may own a generator anywhere, and no library lists them. So they are looked for: breadth first
through attributes, short containers, partial functions, closures and the globals that a function names, up to LOOKED_AT
objects. Dropped: a depth limit alone, which nested lists of annotations make endless.
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
CLOSED = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    Tensor,
    np.ndarray,
    type,
    ModuleType,
)  # nothing to be found inside
LOOKED_AT = 10_000  # objects; near ones come first
SHORT = 64  # transforms come in short containers; the rest of a long one is data
METHODS = ("__getitem__", "__iter__", "__call__")  # of a class, that may name a global generator


def generator_state(generator: Any) -> Callable[[], None]:
    """How to set a random generator back."""
    if isinstance(generator, np.random.Generator):
        array = generator.bit_generator.state

        def put_back() -> None:
            generator.bit_generator.state = array

        return put_back
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    return partial(generator.set_state, generator.get_state())


def global_state() -> Callable[[], None]:
    """How to set back the generators of Python, NumPy, and torch on every device that is in use."""
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
    """Other random numbers from torch, on every device in use; one that is not must not learn of it."""
    seed = (torch.initial_seed() + offset) % 2**63
    torch.default_generator.manual_seed(seed)
    if cuda_in_use():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def cuda_in_use() -> bool:
    """Whether CUDA is there and has been started."""
    return torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def generators_in(sources: Iterable[Any]) -> list[Any]:
    """The generators inside batch sources and functions: their own, their samplers', data sets' and transforms'."""
    todo, seen, found = deque(sources), dict[int, Any](), []
    while todo and len(seen) < LOOKED_AT:
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
    """What an object holds and uses, as far as it can be seen."""
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
        with suppress(ValueError):  # not filled yet
            used.append(cell.cell_contents)
    return used + [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
