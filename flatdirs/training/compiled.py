"""torch.compile for the network in training, forward and backward: once per process, its time told apart.

A run with `compile: true` calls `forward()` instead of the network itself. Weights, statistics and images are arguments
of the compiled code; learning rate, momentum and weight decay live in the optimizer outside it. So a second run, of
another seed and other hyperparameters, finds the code ready. `prepare` makes it ready by a step of a network that is
thrown away: compiling never counts as training. A second batch size compiles once more, then for all sizes at once.

Evaluation is not compiled: it is a small part of a run, and its last, smaller batch would be compiled for itself. CUDA
graphs are not used, for nobody could measure them. On the CPU compiling gained nothing (benchmarks/throughput); hence
the default, false.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import lru_cache

import torch
from torch import Tensor, nn

from flatdirs.errors import ConfigError

_ready: set[Hashable] = set()


def call(model: nn.Module, images: Tensor) -> Tensor:
    """What is compiled: one function for all networks, so that a new network is a new argument and not new code."""
    logits: Tensor = model(images)
    return logits


@lru_cache(maxsize=1)
def forward() -> Callable[[nn.Module, Tensor], Tensor]:
    """`call`, compiled at its first use; made when asked for, as torch's compiler takes a second to import."""
    return torch.compile(call)


def prepare(key: Hashable, step: Callable[[], object]) -> float:
    """Compile by taking `step`, unless that was done under this key; the seconds it took, 0.0 where it was.

    `key` holds all that the compiled code depends on: shapes, precision, device, threads.

    Raises:
        ConfigError: torch cannot compile here.
    """
    if key in _ready:
        return 0.0
    begin = time.perf_counter()
    try:
        step()
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = " ".join(str(error).split("\n", 1)[0].split())[:120]
        raise ConfigError(
            f"compile=true does not work here ({reason}); install a C++ compiler such as g++, or set compile=false"
        ) from error
    _ready.add(key)
    return time.perf_counter() - begin
