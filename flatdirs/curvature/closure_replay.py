"""Call a closure again with the same random numbers and without moving the buffers of the model.

A line search evaluates one batch at several points: dropout must drop the same units at all of them, and the running
statistics of batch norm must move once per step. `ClosureReplay()` is made before the first evaluation and keeps the
state of the random generators; inside `with replay:` they start from there again, and every buffer of every module that
runs is restored at the end. Modules are found by a hook on all forward passes.

Covered: torch's global generators (CPU and the given device), buffers of modules. Not covered: generators of the user,
modules inside torch.compile.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook


class ClosureReplay:
    """The random state at its creation, which each `with` block starts from."""

    def __init__(self, device: torch.device) -> None:
        self._devices = [device] if device.type == "cuda" else []
        self._states = self._random_states()
        self._after: list[Tensor] = []
        self._places: dict[tuple[int, str], tuple[nn.Module, str, Tensor]] = {}
        self._values: dict[int, Tensor] = {}  # by id of the buffer
        self._hook: Any = None

    def _random_states(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self._devices)]

    def _set_random_states(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        for device, state in zip(self._devices, states[1:], strict=True):
            torch.cuda.set_rng_state(state, device)

    def _keep(self, module: nn.Module, _inputs: Any) -> None:
        for name, buffer in module._buffers.items():
            if buffer is not None and (id(module), name) not in self._places:
                self._places[id(module), name] = (module, name, buffer)
                self._values.setdefault(id(buffer), buffer.clone())

    def __enter__(self) -> None:
        self._after = self._random_states()
        self._set_random_states(self._states)
        self._hook = register_module_forward_pre_hook(self._keep)

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
        self._set_random_states(self._after)
        with torch.no_grad():
            for module, name, buffer in self._places.values():
                buffer.copy_(self._values[id(buffer)])  # always: autograd does not see the kernel of batch norm write
                module._buffers[name] = buffer
        self._places.clear()
        self._values.clear()
