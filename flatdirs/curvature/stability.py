"""The sharpness an optimizer bears: above it, steps of the present size grow along the top eigenvector.

On a quadratic with eigenvalue λ, and the preconditioner P held fixed, each rule is stable while η·λ of P⁻¹H stays below
a number that depends on momentum alone (derived; tests find them again by bisection with torch's own optimizers):

    gradient descent   2                    Nesterov, torch's  2(1 + ρ)/(1 + 2ρ)
    heavy ball         2(1 + ρ)             with dampening τ   2(1 + ρ)/(1 − τ)
    RMSProp            as heavy ball        Adam, AdamW        2(1 + β₁)/(1 − β₁)

All of them are where a root of the recurrence passes −1: weights and velocity then change sign at every step and keep
their size. Heavy ball and Nesterov are in Cohen et al. 2021 in the papers' convention; the rest is derived from that.

Optimizers of your own: one that only chooses the rate of a known rule says so by an attribute `base`, a name in
`BASES`; any other has a method `stability_rule()` that returns a `Rule`, or is made known by `register_rule`.
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
    """How one kind of optimizer meets curvature.

    `critical(group)` is the largest stable η·λ for a parameter group's settings. `denominator(group, state)` is the
    diagonal of P for a parameter with this state, in its shape; None for P = 1. `decoupled(group)` says whether weight
    decay stands outside the gradient; otherwise it adds α to the Hessian.
    """

    critical: Callable[[Group], float]
    denominator: Denominator | None = None
    decoupled: Callable[[Group], bool] = lambda group: bool(group.get("decoupled_weight_decay", False))


def heavy_ball(group: Group) -> float:
    """2(1 + ρ)/(1 − τ); ρ = 0, which torch runs without dampening, is gradient descent."""
    momentum = float(group.get("momentum", 0.0))
    dampening = float(group.get("dampening", 0.0)) if momentum else 0.0
    return 2 * (1 + momentum) / (1 - dampening) if dampening != 1 else math.inf


def nesterov(group: Group) -> float:
    """2(1 + ρ)/(1 + 2ρ): torch's, w −= η(g + ρv) with v = ρv + g at the same place."""
    momentum = float(group["momentum"])
    return 2 * (1 + momentum) / (1 + 2 * momentum)


def sgd(group: Group) -> float:
    """Torch's SGD, whichever of the three it is."""
    return nesterov(group) if group["nesterov"] else heavy_ball(group)


def adam(group: Group) -> float:
    """2(1 + β₁)/(1 − β₁): the heavy ball at the rate η(1 − β₁)."""
    beta = float(group["betas"][0])
    return 2 * (1 + beta) / (1 - beta)


def rmsprop_denominator(group: Group, state: Mapping[str, Any]) -> Tensor:
    """√ν + ε; centred, √(ν − ḡ²) + ε. Torch corrects no bias here."""
    square: Tensor = state["square_avg"]
    if group.get("centered", False):
        square = square - state["grad_avg"].square()
    return square.sqrt().add(group["eps"])


def adam_denominator(group: Group, state: Mapping[str, Any]) -> Tensor:
    """√ν̂ + ε with ν̂ = ν/(1 − β₂ᵗ); the largest ν so far under amsgrad."""
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
    """Teach `edge_of_stability` and `preconditioner` another class of optimizers, and what is derived from it."""
    RULES[kind] = rule


def rule_of(optimizer: torch.optim.Optimizer) -> Rule:
    """The rule of an optimizer: its own `stability_rule()`, that of its `base`, or that of its class.

    Raises:
        CurvatureError: there is none.
    """
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
    known = ", ".join(kind.__name__ for kind in RULES)
    raise CurvatureError(
        f"the edge of stability of {type(optimizer).__name__} is not known here ({known} are); give it a method "
        f"stability_rule, or call register_rule"
    )


def edge_of_stability(optimizer: torch.optim.Optimizer) -> float:
    """The largest stable sharpness at the present learning rate, of H or, with a preconditioner, of P⁻¹H.

    Infinite at the rate 0. Coupled weight decay counts as curvature: compare with a sharpness that has it.

    Raises:
        CurvatureError: an unknown optimizer, one that ascends (maximize), or parameter groups that differ in it.
    """
    rule, edges = rule_of(optimizer), []
    for group in optimizer.param_groups:
        if group.get("maximize", False):
            raise CurvatureError("maximize=True ascends and has no edge of stability; minimise the negative instead")
        found = getattr(optimizer, "learning_rate", None)  # of optimizers that choose it, whoever writes into "lr"
        rate = float(found if isinstance(found, Tensor) else group["lr"])
        edges.append(rule.critical(group) / rate if rate else math.inf)
    if not all(math.isclose(edge, edges[0], rel_tol=1e-9) for edge in edges):
        shown = ", ".join(f"{edge:.6g}" for edge in edges)
        raise CurvatureError(
            f"the parameter groups have different edges of stability ({shown}); give all the same learning rate and "
            f"momentum, or an optimizer each"
        )
    return edges[0]


def preconditioner(optimizer: torch.optim.Optimizer) -> dict[Tensor, Tensor] | None:
    """Parameter → the diagonal of P in its shape, as the last step used it; None for optimizers without one.

    Raises:
        CurvatureError: an unknown optimizer, or one that has taken no step yet.

    A parameter that never had a gradient has no curvature either; its P is 1.
    """
    denominator = rule_of(optimizer).denominator
    if denominator is None:
        return None
    if not any(optimizer.state.values()):
        kind = type(optimizer).__name__
        raise CurvatureError(f"{kind} has no preconditioner before its first step; take a step first")
    with torch.no_grad():
        return {
            parameter: denominator(group, state)
            if (state := optimizer.state.get(parameter))
            else torch.ones_like(parameter)
            for group in optimizer.param_groups
            for parameter in group["params"]
        }


def coupled_decay(optimizer: torch.optim.Optimizer) -> dict[Tensor, float]:
    """Parameter → the α that weight decay adds to the Hessian: 0 where the decay is decoupled, as AdamW's."""
    rule = rule_of(optimizer)
    return {
        parameter: 0.0 if rule.decoupled(group) else float(group.get("weight_decay", 0.0))
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
