"""The update directions of the base optimizers: gradients and state in, directions u and new state out.

    gd        u = −g
    momentum  v = ρv + g                         u = −v
    nesterov  v = ρv + g                         u = −(g + ρv)
    rmsprop   ν = aν + (1−a)g²                   u = −g/(√ν + ε)        without bias correction
    adam      m = β₁m + (1−β₁)g, ν likewise      u = −m̂/(√ν̂ + ε)       both bias-corrected; adamw is the same

w + ηu is torch.optim's update at the learning rate η; coupled weight decay is part of g, AdamW's decay is not in u
(`Base.decoupled`) and multiplies every weight by 1 − η·wd. Nothing is written in place, so that a step can be rejected.
Names of state and settings are torch's. Definitions: arXiv 2407.06183, and torch's where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Tensors = Sequence[Tensor]  # one per parameter
State = dict[str, list[Tensor]]  # by name
Before = Mapping[str, Tensors]  # the state before the step
Settings = Mapping[str, Any]  # a parameter group
Step = tuple[list[Tensor], State]  # directions and new state


@dataclass(frozen=True)
class Base:
    """One base optimizer.

    `direction(gradients, state, settings)` returns directions and new state, one tensor per parameter and in its shape;
    `settings` is a parameter group. `buffers` names the state that starts as zeros, `counts` adds a step count (0-d),
    `decoupled`: weight decay is not part of the gradient.
    """

    name: str
    direction: Callable[[Tensors, Before, Settings], Step]
    buffers: tuple[str, ...] = ()
    counts: bool = False
    decoupled: bool = False

    def begin(self, parameter: Tensor) -> dict[str, Tensor]:
        """The initial state of a parameter."""
        state = {name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in self.buffers}
        if self.counts:
            state["step"] = torch.zeros((), dtype=scalar_dtype(parameter), device=parameter.device)
        return state


def scalar_dtype(tensor: Tensor) -> torch.dtype:
    """The precision of sums over `tensor`: its own, float32 or more."""
    return torch.promote_types(tensor.dtype, torch.float32)


def flat(tensors: Tensors) -> Tensor:
    """All numbers of `tensors` in one row, in float32 or more: a few large kernels instead of many small ones."""
    row: Tensor = torch._C._nn.flatten_dense_tensors(list(tensors))
    return row.to(scalar_dtype(row))


def gradient_descent(gradients: Tensors, _state: Before, _settings: Settings) -> Step:
    return list(torch._foreach_neg(list(gradients))), {}


def heavy_ball(gradients: Tensors, state: Before, settings: Settings) -> Step:
    velocity = _velocity(gradients, state, settings)
    return list(torch._foreach_neg(velocity)), {"momentum_buffer": velocity}


def nesterov(gradients: Tensors, state: Before, settings: Settings) -> Step:
    velocity = _velocity(gradients, state, settings)
    ahead = torch._foreach_add(list(gradients), velocity, alpha=settings["momentum"])
    torch._foreach_neg_(ahead)
    return list(ahead), {"momentum_buffer": velocity}


def rmsprop(gradients: Tensors, state: Before, settings: Settings) -> Step:
    """a is `alpha`."""
    square = _averaged_square(gradients, state["square_avg"], settings["alpha"])
    denominator = torch._foreach_sqrt(square)
    torch._foreach_add_(denominator, settings["eps"])
    directions = torch._foreach_div(list(gradients), denominator)
    torch._foreach_neg_(directions)
    return list(directions), {"square_avg": square}


def adam(gradients: Tensors, state: Before, settings: Settings) -> Step:
    """The step count is a tensor, so that bias correction does not wait for the device."""
    beta1, beta2 = settings["betas"]
    mean = list(torch._foreach_mul(list(state["exp_avg"]), beta1))
    torch._foreach_add_(mean, list(gradients), alpha=1 - beta1)
    square = _averaged_square(gradients, state["exp_avg_sq"], beta2)
    steps = list(torch._foreach_add(list(state["step"]), 1.0))
    denominator = torch._foreach_div(square, _bias_correction(beta2, steps))
    torch._foreach_sqrt_(denominator)
    torch._foreach_add_(denominator, settings["eps"])
    directions = torch._foreach_div(mean, _bias_correction(beta1, steps))
    torch._foreach_div_(directions, denominator)
    torch._foreach_neg_(directions)
    return list(directions), {"exp_avg": mean, "exp_avg_sq": square, "step": steps}


def _velocity(gradients: Tensors, state: Before, settings: Settings) -> list[Tensor]:
    velocity = torch._foreach_mul(list(state["momentum_buffer"]), settings["momentum"])
    torch._foreach_add_(velocity, list(gradients))
    return list(velocity)


def _averaged_square(gradients: Tensors, square: Tensors, memory: float) -> list[Tensor]:
    averaged = torch._foreach_mul(list(square), memory)
    torch._foreach_addcmul_(averaged, list(gradients), list(gradients), value=1 - memory)
    return list(averaged)


def _bias_correction(memory: float, steps: list[Tensor]) -> list[Tensor]:
    """1 − memoryᵗ, the total weight of an average that started at zero; 0-d, in the precision of the steps."""
    weights = torch._foreach_pow(memory, steps)
    torch._foreach_neg_(weights)
    torch._foreach_add_(weights, 1.0)
    return list(weights)


BASES: Mapping[str, Base] = {
    base.name: base
    for base in (
        Base("gd", gradient_descent),
        Base("momentum", heavy_ball, ("momentum_buffer",)),
        Base("nesterov", nesterov, ("momentum_buffer",)),
        Base("rmsprop", rmsprop, ("square_avg",)),
        Base("adam", adam, ("exp_avg", "exp_avg_sq"), counts=True),
        Base("adamw", adam, ("exp_avg", "exp_avg_sq"), counts=True, decoupled=True),
    )
}
