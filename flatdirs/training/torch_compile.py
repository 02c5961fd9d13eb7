"""torch.compile for the network in training, forward and backward, once per process.

A run with `compile: true` calls `forward()` instead of the network. Weights, statistics and images are arguments of the
compiled code, and the hyperparameters are in the optimizer outside it, so runs with other seeds and hyperparameters use
the same code. `prepare` compiles with one step of a network that is thrown away, so compilation does not count as
training time. A second batch size compiles once more, then for all sizes. Evaluation is not compiled: it is a small
part of a run, and its last, smaller batch would need its own compilation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import lru_cache

import torch
from torch import Tensor, nn

from flatdirs.setting_checks import wrong

_ready: set[Hashable] = set()


def call(model: nn.Module, images: Tensor) -> Tensor:
    """The function that is compiled: the network is an argument, so that a new network needs no new code."""
    logits: Tensor = model(images)
    return logits


@lru_cache(maxsize=1)
def forward() -> Callable[[nn.Module, Tensor], Tensor]:
    """`call`, compiled at its first use; made on demand, as torch's compiler takes a second to import."""
    return torch.compile(call)


def prepare(key: Hashable, step: Callable[[], object]) -> float:
    """Compile by taking `step`, unless done under this key; return the seconds it took, 0.0 if it was done.

    `key` holds everything that the compiled code depends on: shapes, precision, device, threads.

    Raises:
        ConfigError: torch cannot compile on this machine.
    """
    if key in _ready:
        return 0.0
    begin = time.perf_counter()
    try:
        step()
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = " ".join(str(error).split("\n", 1)[0].split())[:120]
        remedy = "install a C++ compiler such as g++, or set compile=false"
        raise wrong("compile", "true", f"does not work on this machine ({reason})", remedy=remedy) from error
    _ready.add(key)
    return time.perf_counter() - begin
