"""What the optimizers that choose their own rate share: directions, state, one step for all groups, the record of it.

A step is given a closure that returns the loss and does not call backward:

    loss → g = ∇loss (+ αw where the decay is coupled) → u and the new state (bases.py) → η → w += ηu

How η is found is the subclasses' own: `CDAT` asks the curvature along u, `ArmijoLineSearch` tries. There is one η for
all groups; it stands in `learning_rate` and, for whoever logs it, in every group's "lr": an output here, which is
never read. Loss, slope, curvature and η stay on the device; reading them is what waits for it.

A step whose loss, slope or curvature is not a finite number changes nothing: parameters, state, averages and the rate
stay, the loss is returned as it is, and `last` shows it. So a batch that overflows is left out, not remembered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from flatdirs.curvature.base_optimizers import BASES, State, flat, scalar_dtype
from flatdirs.errors import CurvatureError

Closure = Callable[[], Tensor]
EXTRA = "curvature"  # the key of a state_dict under which what belongs to no single parameter is kept


@dataclass(frozen=True)
class Record:
    """One step: η, the slope n = max(−g·u, 0) and the curvature d it was chosen by, 0-d tensors on the device.

    As measured in that step, before any average; `curvature` is nan where no curvature was asked for.
    """

    learning_rate: Tensor
    slope: Tensor
    curvature: Tensor


@dataclass(frozen=True)
class Part:
    """What a step needs of one parameter group: those of its parameters that the loss depends on.

    `gradients` are the loss's own, as autograd gave them; `slopes` hold the coupled decay as well, and no graph;
    `directions` and `state` one tensor per parameter. `row` is all of u in one row.
    """

    group: dict[str, Any]
    parameters: list[Tensor]
    gradients: list[Tensor]
    slopes: list[Tensor]
    directions: list[Tensor]
    row: Tensor
    state: State
    coupled: float
    decoupled: float


class TunedOptimizer(torch.optim.Optimizer):
    """A base optimizer whose learning rate a subclass chooses at every step; CDAT says what the arguments mean.

    `settings` names the attributes that travel with a state_dict beside those of the groups, as torch's do.

    Raises:
        CurvatureError: settings, parameters or a closure that cannot be used; the sentence says what to change.
    """

    settings: ClassVar[tuple[str, ...]] = ("max_learning_rate",)

    def __init__(
        self,
        params: Any,
        base: str,
        max_learning_rate: float | None,
        momentum: float,
        betas: tuple[float, float],
        alpha: float,
        eps: float,
        weight_decay: float | None,
    ) -> None:
        if not isinstance(base, str) or base not in BASES:
            raise CurvatureError(f"base={base!r} must be one of {', '.join(BASES)}; change base")
        if max_learning_rate is not None and not (is_number(max_learning_rate) and 0 < max_learning_rate < math.inf):
            raise CurvatureError(
                f"max_learning_rate={max_learning_rate} must be finite and above 0, or None for no cap; "
                f"change max_learning_rate"
            )
        self.base = BASES[base]
        self.max_learning_rate = max_learning_rate
        self.last: Record | None = None
        if weight_decay is None:
            weight_decay = 0.01 if self.base.decoupled else 0.0
        defaults = {"lr": 0.0, "momentum": momentum, "betas": betas, "alpha": alpha, "eps": eps}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})
        every = [p for group in self.param_groups for p in group["params"]]
        if not every:
            raise CurvatureError("there is no parameter to move; pass those of a model")
        self._dtype = torch.float64 if torch.float64 in map(scalar_dtype, every) else torch.float32
        self._device: torch.device = every[0].device
        self._rate = self._scalar(0.0)
        self._publish()

    @property
    def learning_rate(self) -> Tensor:
        """η of the last step that was taken, 0-d, on the device; 0 before the first."""
        return self._rate

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Torch's, with its settings checked. Raises CurvatureError naming the one to change."""
        if own := sorted({"lr", *self.settings} & set(param_group)):
            raise CurvatureError(
                f"{', '.join(own)} of a parameter group would go unheeded, for all groups have one learning rate, "
                f"found step by step; take {', '.join(own)} out of the group"
            )
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check(group)
            devices = {p.device for group in self.param_groups for p in group["params"]}
            if len(devices) > 1:
                raise CurvatureError(
                    f"parameters lie on {', '.join(sorted(map(str, devices)))}; one learning rate needs one device"
                )
        except CurvatureError:
            self.param_groups.pop()
            raise
        if hasattr(self, "_rate"):
            group["lr"] = self._rate.clone()

    def __getstate__(self) -> dict[str, Any]:
        """Torch's, with what it knows nothing of, so that a copied or pickled optimizer goes on."""
        own = {key: value for key, value in self.__dict__.items() if not key.startswith("_optimizer_")}
        return {**own, **super().__getstate__()}

    def state_dict(self) -> dict[str, Any]:
        """Torch's, with what belongs to no single parameter beside it: whose it is, its settings, averages and rate."""
        own = {**self._mark(), "learning_rate": self._rate.clone(), **self._extra_state()}
        return {
            **super().state_dict(),
            EXTRA: {**own, "settings": {name: getattr(self, name) for name in self.settings}},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`, bit by bit, with its settings: those of the groups and σ, ema, every, the cap.

        Raises:
            CurvatureError: it is another optimizer's, or the same one's on another base.
        """
        extra = state_dict.get(EXTRA, {})
        told, mark = {key: extra.get(key) for key in self._mark()}, self._mark()
        if told != mark or set(extra) != {*mark, "learning_rate", "settings", *self._extra_state()}:
            made = "one of another optimizer" if None in told.values() else "{kind}'s with base={base}".format(**told)
            raise CurvatureError(
                f"this state_dict is {made} and this is a {mark['kind']} with base={mark['base']}; load one that such "
                f"an optimizer made"
            )
        super().load_state_dict(state_dict)
        for name, value in extra["settings"].items():
            setattr(self, name, value)
        moved = {
            key: value.to(device=self._device, dtype=self._dtype, copy=True) if isinstance(value, Tensor) else value
            for key, value in extra.items()
            if key not in {*mark, "settings"}
        }
        self._rate = moved.pop("learning_rate")
        for state in self.state.values():
            if "step" in state:
                state["step"] = state["step"].to(self._device)
        self._load_extra_state(moved)
        self._publish()

    def _mark(self) -> dict[str, str]:
        """Which optimizer a state is of."""
        return {"kind": type(self).__name__, "base": self.base.name}

    def _extra_state(self) -> dict[str, Any]:
        """What a subclass remembers between steps: plain values and 0-d tensors."""
        raise NotImplementedError

    def _load_extra_state(self, extra: dict[str, Any]) -> None:
        """Take back what `_extra_state` gave."""
        raise NotImplementedError

    def _scalar(self, value: float) -> Tensor:
        return torch.full((), value, dtype=self._dtype, device=self._device)

    def _publish(self) -> None:
        shown = self._rate.clone()  # a scheduler that somebody has attached writes into it
        for group in self.param_groups:
            group["lr"] = shown

    def _parts(self, loss: Tensor, create_graph: bool) -> list[Part]:
        """Gradients, directions and new states of every group; no state changes yet."""
        groups = [[p for p in group["params"] if p.requires_grad] for group in self.param_groups]
        gradients = iter(_gradients(loss, [p for group in groups for p in group], create_graph))
        parts = []
        for group, members in zip(self.param_groups, groups, strict=True):
            pairs = [(p, g) for p, g in ((p, next(gradients)) for p in members) if g is not None]
            if pairs:
                parts.append(self._part(group, [p for p, _ in pairs], [g for _, g in pairs]))
        return parts

    @torch.no_grad()  # or coupled decay would tie the state of every step to the graph of the one before
    def _part(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> Part:
        plain = [gradient.detach() for gradient in gradients]
        for parameter, gradient in zip(parameters, plain, strict=True):
            parameter.grad = gradient
        decay = float(group["weight_decay"])
        coupled, decoupled = (0.0, decay) if self.base.decoupled else (decay, 0.0)
        if coupled:
            plain = list(torch._foreach_add(plain, parameters, alpha=coupled))
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = self.base.begin(parameter)
        names = self.state[parameters[0]]
        before = {name: [self.state[parameter][name] for parameter in parameters] for name in names}
        directions, state = self.base.direction(plain, before, group)
        return Part(group, parameters, gradients, plain, directions, flat(directions), state, coupled, decoupled)

    def _slope(self, parts: Sequence[Part]) -> Tensor:
        """g·u, the decay's part of g with it where it is coupled."""
        total = self._scalar(0.0)
        for part in parts:
            total = total + torch.dot(flat(part.slopes), part.row)
        return total

    def _advance(self, parts: Sequence[Part], rate: Tensor, usable: Tensor) -> None:
        """w += ηu and the new state, or nothing at all where not `usable` (0-d, bool); waits for no device."""
        on_cpu = self._device.type == "cpu"  # where looking costs nothing, and masking does
        if on_cpu and not bool(usable):
            return
        rate = torch.where(usable, rate, 0.0)
        for part in parts:
            zero = part.directions[0].new_zeros(())
            moves = torch._foreach_mul(part.directions, rate.to(zero.dtype))
            if part.decoupled:
                torch._foreach_mul_(part.parameters, (1.0 - rate * part.decoupled).to(zero.dtype))
            torch._foreach_add_(part.parameters, moves if on_cpu else [torch.where(usable, m, zero) for m in moves])
            for name, values in part.state.items():
                for parameter, value in zip(part.parameters, values, strict=True):
                    state = self.state[parameter]
                    state[name] = value if on_cpu else torch.where(usable, value, state[name])


def is_number(value: object) -> bool:
    """Whether a setting is a number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _gradients(loss: Tensor, parameters: list[Tensor], create_graph: bool) -> Iterable[Tensor | None]:
    """∂loss/∂parameters, None for those it does not depend on; refuses what has no dense gradient."""
    if not parameters:
        raise CurvatureError("no parameter requires a gradient, so there is nothing to move; leave one unfrozen")
    if not isinstance(loss, Tensor) or loss.ndim != 0 or not loss.requires_grad:
        raise CurvatureError(
            "the closure must return the loss as a 0-d tensor that depends on the parameters, without calling "
            "backward(); change the closure"
        )
    try:
        gradients = torch.autograd.grad(loss, parameters, create_graph=create_graph, allow_unused=True)
    except RuntimeError as error:
        if "second time" not in str(error):
            raise
        raise CurvatureError(
            "the closure must not call backward(); return the loss and leave that to step()"
        ) from error
    if any(gradient is not None and gradient.layout is not torch.strided for gradient in gradients):
        raise CurvatureError(
            "a parameter has a sparse gradient, along which there is no curvature to ask for; build its layer with "
            "sparse=False"
        )
    return gradients


def _check(group: dict[str, Any]) -> None:
    """Raise CurvatureError naming the setting of a group that no step could use."""
    for name, least, below in (
        ("momentum", 0.0, 1.0),
        ("alpha", 0.0, 1.0),
        ("eps", 0.0, math.inf),
        ("weight_decay", 0.0, math.inf),
    ):
        value = group[name]
        if not (is_number(value) and least <= value < below):
            limits = f"lie in [{least:g}, {below:g})" if math.isfinite(below) else "be finite and at least 0"
            raise CurvatureError(f"{name}={value} must {limits}; change {name}")
    betas = group["betas"]
    pair = isinstance(betas, (tuple, list)) and len(betas) == 2
    if not (pair and all(is_number(beta) and 0 <= beta < 1 for beta in betas)):
        raise CurvatureError(f"betas={betas} must be two numbers in [0, 1); change betas")
    if not all(parameter.is_floating_point() for parameter in group["params"]):
        raise CurvatureError("a parameter is not of a real floating-point type; give those to another optimizer")
