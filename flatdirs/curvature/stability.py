"""The edge of stability of an optimizer: the sharpness above which its steps grow along the top eigenvector.

On a quadratic with eigenvalue λ of P⁻¹H (P: a fixed preconditioner), an update rule is stable as long as η·λ is below

    gradient descent   2                    Nesterov (torch's)  2(1 + ρ)/(1 + 2ρ)
    heavy ball         2(1 + ρ)             with dampening τ    2(1 + ρ)/(1 − τ)
    RMSprop            as heavy ball        Adam, AdamW         2(1 + β₁)/(1 − β₁)

where a root of the recurrence is −1. Heavy ball and Nesterov: Cohen et al., arXiv 2103.00065; the rest likewise. Other
optimizers have an attribute `base` (a name in `BASES`), a method `stability_rule()`, or are given to `register_rule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flatdirs.errors import CurvatureError

Group = Mapping[str, Any]
Denominator = Callable[[Group, Mapping[str, Any]], Tensor]


@dataclass(frozen=True)
class Rule:
    """The stability of one class of optimizers.

    `critical(group)` is the largest stable η·λ for the settings of a parameter group. `denominator(group, state)` is
    the diagonal of P for a parameter, in its shape; None for P = 1. `decoupled(group)`: weight decay is not part of the
    gradient; otherwise it adds its strength to the Hessian.
    """

    critical: Callable[[Group], float]
    denominator: Denominator | None = None
    decoupled: Callable[[Group], bool] = lambda group: bool(group.get("decoupled_weight_decay", False))


def heavy_ball(group: Group) -> float:
    """2(1 + ρ)/(1 − τ); torch ignores dampening at ρ = 0."""
    momentum = float(group.get("momentum", 0.0))
    dampening = float(group.get("dampening", 0.0)) if momentum else 0.0
    return 2 * (1 + momentum) / (1 - dampening) if dampening != 1 else math.inf


def nesterov(group: Group) -> float:
    momentum = float(group["momentum"])
    return 2 * (1 + momentum) / (1 + 2 * momentum)


def sgd(group: Group) -> float:
    return nesterov(group) if group["nesterov"] else heavy_ball(group)


def adam(group: Group) -> float:
    """That of heavy ball at the rate η(1 − β₁)."""
    beta = float(group["betas"][0])
    return 2 * (1 + beta) / (1 - beta)


def rmsprop_denominator(group: Group, state: Mapping[str, Any]) -> Tensor:
    """√ν + ε; centred, √(ν − ḡ²) + ε. Torch does not correct the bias here."""
    square: Tensor = state["square_avg"]
    if group.get("centered", False):
        square = square - state["grad_avg"].square()
    return square.sqrt().add(group["eps"])


def adam_denominator(group: Group, state: Mapping[str, Any]) -> Tensor:
    """√ν̂ + ε with ν̂ = ν/(1 − β₂ᵗ); with amsgrad the largest ν so far."""
    square: Tensor = state["max_exp_avg_sq" if group.get("amsgrad", False) else "exp_avg_sq"]
    correction = 1 - float(group["betas"][1]) ** float(state["step"])
    return square.div(correction).sqrt().add(group["eps"]) if correction else torch.full_like(square, math.nan)


RULES: dict[type[torch.optim.Optimizer], Rule] = {
    torch.optim.SGD: Rule(sgd),
    torch.optim.RMSprop: Rule(heavy_ball, rmsprop_denominator),
    torch.optim.Adam: Rule(adam, adam_denominator),
    torch.optim.AdamW: Rule(adam, adam_denominator, decoupled=lambda _: True),
}

BASES: Mapping[str, Rule] = {
    "gd": Rule(lambda _: 2.0),
    "momentum": Rule(heavy_ball),
    "nesterov": Rule(nesterov),
    "rmsprop": Rule(lambda _: 2.0, rmsprop_denominator),  # without torch's momentum
    "adam": RULES[torch.optim.Adam],
    "adamw": RULES[torch.optim.AdamW],
}


def register_rule(kind: type[torch.optim.Optimizer], rule: Rule) -> None:
    """Make the rule of a class of optimizers, and of its subclasses, known."""
    RULES[kind] = rule


def rule_of(optimizer: torch.optim.Optimizer) -> Rule:
    """The rule by `stability_rule()`, by `base` or by the class of an optimizer. Raises CurvatureError if unknown."""
    own = getattr(optimizer, "stability_rule", None)
    if own is not None:
        rule: Rule = own()
        return rule
    base = getattr(optimizer, "base", None)
    base = getattr(base, "name", base)
    if isinstance(base, str) and base in BASES:
        return BASES[base]
    for kind in type(optimizer).__mro__:
        if kind in RULES:
            return RULES[kind]
    raise CurvatureError(
        f"the edge of stability of {type(optimizer).__name__} is not known, only that of "
        f"{', '.join(kind.__name__ for kind in RULES)}; give it a method stability_rule, or call register_rule",
        key="optimizer",
    )


def edge_of_stability(optimizer: torch.optim.Optimizer) -> float:
    """The largest stable sharpness at the current learning rate, of H or, with a preconditioner, of P⁻¹H.

    Infinite at rate 0. Coupled weight decay counts as curvature: compare with a sharpness that includes it.

    Raises:
        CurvatureError: an unknown optimizer, maximize=True, or parameter groups with different edges.
    """
    rule, edges = rule_of(optimizer), []
    for group in optimizer.param_groups:
        if group.get("maximize", False):
            raise CurvatureError(
                "an optimizer with maximize=True has no edge of stability; minimize the negative loss", key="maximize"
            )
        chosen = getattr(optimizer, "learning_rate", None)  # by a LearningRateTuner, whose "lr" others may overwrite
        rate = float(chosen if isinstance(chosen, Tensor) else group["lr"])
        edges.append(rule.critical(group) / rate if rate else math.inf)
    if not all(math.isclose(edge, edges[0], rel_tol=1e-9) for edge in edges):
        raise CurvatureError(
            f"the parameter groups have different edges of stability ({', '.join(f'{edge:.6g}' for edge in edges)}); "
            f"give all the same lr and momentum, or use an optimizer for each",
            key="optimizer",
        )
    return edges[0]


def preconditioner(optimizer: torch.optim.Optimizer) -> dict[Tensor, Tensor] | None:
    """Parameter → the diagonal of P in its shape, as the last step used it; None for optimizers without one.

    P is 1 for a parameter that never had a gradient.

    Raises:
        CurvatureError: an unknown optimizer, or one that has not taken a step.
    """
    denominator = rule_of(optimizer).denominator
    if denominator is None:
        return None
    if not any(optimizer.state.values()):
        kind = type(optimizer).__name__
        raise CurvatureError(f"{kind} has no preconditioner before its first step; take a step first", key="optimizer")
    with torch.no_grad():
        return {
            parameter: denominator(group, state)
            if (state := optimizer.state.get(parameter))
            else torch.ones_like(parameter)
            for group in optimizer.param_groups
            for parameter in group["params"]
        }


def coupled_decay(optimizer: torch.optim.Optimizer) -> dict[Tensor, float]:
    """Parameter → what weight decay adds to the Hessian: 0 if the decay is decoupled, as AdamW's."""
    rule = rule_of(optimizer)
    return {
        parameter: 0.0 if rule.decoupled(group) else float(group.get("weight_decay", 0.0))
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
