"""The update directions of the base optimizers: gradient and state in, direction u and new state out. Pure.

    gd        u = −g
    momentum  v = ρv + g                         u = −v
    nesterov  v = ρv + g                         u = −(g + ρv)
    rmsprop   ν = aν + (1−a)g²                   u = −g/(√ν + ε)        no bias correction
    adam      m = β₁m + (1−β₁)g, ν likewise      u = −m̂/(√ν̂ + ε)       both debiased; adamw is the same

`w + ηu` is what torch.optim does at the learning rate η, coupled weight decay being a part of g; AdamW's decay is not
in u (`Base.decoupled`): it takes the part ηα off every weight. Nothing here is written in place, so a step that turns
out to be unusable can be dropped. Names of state and settings are torch's, for tools that read them.

Source: THEORY of reference/003 (found), torch's definitions where they differ from the papers'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

State = dict[str, list[Tensor]]  # by name, one tensor per parameter
Rule = Callable[[Sequence[Tensor], Mapping[str, Sequence[Tensor]], Mapping[str, Any]], tuple[list[Tensor], State]]


@dataclass(frozen=True)
class Base:
    """One base optimizer.

    `direction(gradients, state, settings)` gives the directions and the new state, one tensor per parameter and in its
    shape; `settings` is a parameter group. `buffers` names the state that begins as zeros, `counts` says whether a step
    count (0-d) goes with it, `decoupled` whether weight decay stands outside the gradient.
    """

    name: str
    direction: Rule
    buffers: tuple[str, ...] = ()
    counts: bool = False
    decoupled: bool = False

    def begin(self, parameter: Tensor) -> dict[str, Tensor]:
        """The state of a parameter that has not been updated yet."""
        state = {name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in self.buffers}
        if self.counts:
            state["step"] = torch.zeros((), dtype=scalar_dtype(parameter), device=parameter.device)
        return state


def scalar_dtype(tensor: Tensor) -> torch.dtype:
    """What a sum over `tensor` is kept in: its own precision, float32 at least."""
    return torch.promote_types(tensor.dtype, torch.float32)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers of `tensors` in one row, in float32 at least: a few large kernels instead of many small ones."""
    row: Tensor = torch._C._nn.flatten_dense_tensors(list(tensors))
    return row.to(scalar_dtype(row))


def gradient_descent(
    gradients: Sequence[Tensor], _state: Mapping[str, Sequence[Tensor]], _settings: Mapping[str, Any]
) -> tuple[list[Tensor], State]:
    """u = −g."""
    return list(torch._foreach_neg(list(gradients))), {}


def heavy_ball(
    gradients: Sequence[Tensor], state: Mapping[str, Sequence[Tensor]], settings: Mapping[str, Any]
) -> tuple[list[Tensor], State]:
    """u = −v with v = ρv + g."""
    velocity = _velocity(gradients, state, settings)
    return list(torch._foreach_neg(velocity)), {"momentum_buffer": velocity}


def nesterov(
    gradients: Sequence[Tensor], state: Mapping[str, Sequence[Tensor]], settings: Mapping[str, Any]
) -> tuple[list[Tensor], State]:
    """u = −(g + ρv) with v = ρv + g: torch's Nesterov momentum."""
    velocity = _velocity(gradients, state, settings)
    ahead = torch._foreach_add(list(gradients), velocity, alpha=settings["momentum"])
    torch._foreach_neg_(ahead)
    return list(ahead), {"momentum_buffer": velocity}


def rmsprop(
    gradients: Sequence[Tensor], state: Mapping[str, Sequence[Tensor]], settings: Mapping[str, Any]
) -> tuple[list[Tensor], State]:
    """u = −g/(√ν + ε) with ν = aν + (1−a)g²; a is `alpha`."""
    square = _averaged_square(gradients, state["square_avg"], settings["alpha"])
    denominator = torch._foreach_sqrt(square)
    torch._foreach_add_(denominator, settings["eps"])
    directions = torch._foreach_div(list(gradients), denominator)
    torch._foreach_neg_(directions)
    return list(directions), {"square_avg": square}


def adam(
    gradients: Sequence[Tensor], state: Mapping[str, Sequence[Tensor]], settings: Mapping[str, Any]
) -> tuple[list[Tensor], State]:
    """u = −m̂/(√ν̂ + ε); the step count is a tensor, so that debiasing waits for no device."""
    beta1, beta2 = settings["betas"]
    mean = list(torch._foreach_mul(list(state["exp_avg"]), beta1))
    torch._foreach_add_(mean, list(gradients), alpha=1 - beta1)
    square = _averaged_square(gradients, state["exp_avg_sq"], beta2)
    steps = list(torch._foreach_add(list(state["step"]), 1.0))
    denominator = torch._foreach_div(square, _weight_so_far(beta2, steps))
    torch._foreach_sqrt_(denominator)
    torch._foreach_add_(denominator, settings["eps"])
    directions = torch._foreach_div(mean, _weight_so_far(beta1, steps))
    torch._foreach_div_(directions, denominator)
    torch._foreach_neg_(directions)
    return list(directions), {"exp_avg": mean, "exp_avg_sq": square, "step": steps}


def _velocity(
    gradients: Sequence[Tensor], state: Mapping[str, Sequence[Tensor]], settings: Mapping[str, Any]
) -> list[Tensor]:
    velocity = torch._foreach_mul(list(state["momentum_buffer"]), settings["momentum"])
    torch._foreach_add_(velocity, list(gradients))
    return list(velocity)


def _averaged_square(gradients: Sequence[Tensor], square: Sequence[Tensor], memory: float) -> list[Tensor]:
    averaged = torch._foreach_mul(list(square), memory)
    torch._foreach_addcmul_(averaged, list(gradients), list(gradients), value=1 - memory)
    return list(averaged)


def _weight_so_far(memory: float, steps: list[Tensor]) -> list[Tensor]:
    """1 − memoryᵗ: how much weight an average that began at zero has taken up; 0-d, in the steps' precision."""
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
