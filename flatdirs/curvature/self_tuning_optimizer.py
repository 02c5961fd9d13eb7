"""The base class of optimizers that choose their learning rate at every step.

A step is given a closure that returns the loss and does not call backward:

    loss → g = ∇loss (+ αw with coupled weight decay α) → u and the new state (base_optimizers.py) → η → w += ηu

Subclasses choose η: `CDAT` from the curvature along u, `ArmijoLineSearch` by trials. All groups have the same η; it is
in `learning_rate` and is written to "lr" of every group, which is never read. Loss, slope, curvature and η stay on the
device; reading them waits for it.

A step whose loss, slope or curvature is not finite changes nothing: parameters, state, averages and η keep their
values, the loss is returned, and `last` records it.
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
from flatdirs.setting_checks import require_choice, require_number, wrong

Closure = Callable[[], Tensor]
EXTRA = "curvature"  # the key of a state_dict for what belongs to no single parameter


@dataclass(frozen=True)
class Record:
    """η of a step, its slope n = max(−g·u, 0) and its curvature d, as 0-d tensors on the device.

    n and d are those of this step, before any average; `curvature` is nan if it was not measured.
    """

    learning_rate: Tensor
    slope: Tensor
    curvature: Tensor


@dataclass(frozen=True)
class Part:
    """A step of one parameter group, for those of its parameters that the loss depends on.

    `gradients` are those of the loss, as autograd returned them; `slopes` include coupled weight decay and have no
    graph; `directions` and `state` have one tensor per parameter; `row` is all of u in one row.
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


class LearningRateTuner(torch.optim.Optimizer):
    """A base optimizer whose learning rate a subclass chooses at every step; see CDAT for the arguments.

    `settings` names the attributes that are part of a state_dict, besides those of the groups.

    Raises:
        CurvatureError: unusable settings, parameters or closure.
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
        require_choice("base", base, tuple(BASES), CurvatureError)
        if max_learning_rate is not None:
            require_number("max_learning_rate", max_learning_rate, 0, above=True, error=CurvatureError)
        self.base = BASES[base]
        self.max_learning_rate = max_learning_rate
        self.last: Record | None = None
        if weight_decay is None:
            weight_decay = 0.01 if self.base.decoupled else 0.0
        defaults = {"lr": 0.0, "momentum": momentum, "betas": betas, "alpha": alpha, "eps": eps}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})
        parameters = [p for group in self.param_groups for p in group["params"]]
        if not parameters:
            raise CurvatureError("there are no parameters; pass those of a model as params", key="params")
        self._dtype = torch.float64 if torch.float64 in map(scalar_dtype, parameters) else torch.float32
        self._device: torch.device = parameters[0].device
        self._rate = self._scalar(0.0)
        self._publish()

    @property
    def learning_rate(self) -> Tensor:
        """η of the last step, 0-d, on the device; 0 before the first."""
        return self._rate

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Torch's, with checks. Raises CurvatureError."""
        if own := sorted({"lr", *self.settings} & set(param_group)):
            raise CurvatureError(
                f"{', '.join(own)} of a parameter group has no effect, as all groups have the same learning rate; "
                f"remove it",
                key=own[0],
            )
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check(group)
            devices = {p.device for group in self.param_groups for p in group["params"]}
            if len(devices) > 1:
                raise CurvatureError(
                    f"the parameters are on {', '.join(sorted(map(str, devices)))}; move them to one device",
                    key="params",
                )
        except CurvatureError:
            self.param_groups.pop()
            raise
        if hasattr(self, "_rate"):
            group["lr"] = self._rate.clone()

    def __getstate__(self) -> dict[str, Any]:
        """Torch's and our attributes, so that copied and pickled optimizers continue."""
        own = {key: value for key, value in self.__dict__.items() if not key.startswith("_optimizer_")}
        return {**own, **super().__getstate__()}

    def state_dict(self) -> dict[str, Any]:
        """Torch's, with class, base, settings, averages and η under EXTRA."""
        own = {**self._mark(), "learning_rate": self._rate.clone(), **self._extra_state()}
        return {
            **super().state_dict(),
            EXTRA: {**own, "settings": {name: getattr(self, name) for name in self.settings}},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict` exactly, with its settings.

        Raises:
            CurvatureError: it is that of another optimizer or another base.
        """
        extra, mark = state_dict.get(EXTRA, {}), self._mark()
        if {key: extra.get(key) for key in mark} != mark or set(extra) != {
            *mark,
            "learning_rate",
            "settings",
            *self._extra_state(),
        }:
            maker = "{kind} with base={base}".format(**extra) if {*mark} <= {*extra} else "another optimizer"
            raise CurvatureError(
                f"this state_dict is of {maker}; {mark['kind']} with base={mark['base']} needs its own",
                key="state_dict",
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
        return {"kind": type(self).__name__, "base": self.base.name}

    def _extra_state(self) -> dict[str, Any]:
        """What a subclass keeps between steps: plain values and 0-d tensors."""
        raise NotImplementedError

    def _load_extra_state(self, extra: dict[str, Any]) -> None:
        """Restore what `_extra_state` returned."""
        raise NotImplementedError

    def _scalar(self, value: float) -> Tensor:
        return torch.full((), value, dtype=self._dtype, device=self._device)

    def _publish(self) -> None:
        shown = self._rate.clone()  # a scheduler of the user may write into it
        for group in self.param_groups:
            group["lr"] = shown

    def _parts(self, loss: Tensor, create_graph: bool) -> list[Part]:
        """Gradients, directions and new states of all groups; no state changes yet."""
        groups = [[p for p in group["params"] if p.requires_grad] for group in self.param_groups]
        gradients = iter(_gradients(loss, [p for group in groups for p in group], create_graph))
        parts = []
        for group, members in zip(self.param_groups, groups, strict=True):
            pairs = [(p, g) for p, g in ((p, next(gradients)) for p in members) if g is not None]
            if pairs:
                parts.append(self._part(group, [p for p, _ in pairs], [g for _, g in pairs]))
        return parts

    @torch.no_grad()  # coupled decay would tie the state of every step to the graph of the one before
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
        """g·u, with coupled decay as part of g."""
        total = self._scalar(0.0)
        for part in parts:
            total = total + torch.dot(flat(part.slopes), part.row)
        return total

    def _advance(self, parts: Sequence[Part], rate: Tensor, usable: Tensor) -> None:
        """w += ηu and the new state, or no change if not `usable` (0-d, bool); does not wait for the device."""
        on_cpu = self._device.type == "cpu"  # where reading `usable` is free and masking is not
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


def _gradients(loss: Tensor, parameters: list[Tensor], create_graph: bool) -> Iterable[Tensor | None]:
    """∂loss/∂parameters, None where the loss does not depend on one. Raises CurvatureError for sparse gradients."""
    if not parameters:
        raise CurvatureError("no parameter requires a gradient; set requires_grad of some", key="params")
    if not isinstance(loss, Tensor) or loss.ndim != 0 or not loss.requires_grad:
        raise CurvatureError(
            "the closure must return the loss as a 0-d tensor that depends on the parameters, without calling "
            "backward(); change the closure",
            key="closure",
        )
    try:
        gradients = torch.autograd.grad(loss, parameters, create_graph=create_graph, allow_unused=True)
    except RuntimeError as error:
        if "second time" not in str(error):
            raise
        raise CurvatureError(
            "the closure must not call backward(), as step() does; change the closure", key="closure"
        ) from error
    if any(gradient is not None and gradient.layout is not torch.strided for gradient in gradients):
        raise CurvatureError(
            "a parameter has a sparse gradient, which has no curvature; create its layer with sparse=False",
            key="params",
        )
    return gradients


def _check(group: dict[str, Any]) -> None:
    """Raise CurvatureError for a setting of a group that is out of range."""
    for name, most in (("momentum", 1.0), ("alpha", 1.0), ("eps", math.inf), ("weight_decay", math.inf)):
        require_number(name, group[name], 0.0, most, below=True, error=CurvatureError)
    betas = group["betas"]
    if not (isinstance(betas, (tuple, list)) and len(betas) == 2):
        raise wrong("betas", betas, "must be two numbers", CurvatureError)
    for beta in betas:
        require_number("betas", beta, 0.0, 1.0, below=True, error=CurvatureError)
    if not all(parameter.is_floating_point() for parameter in group["params"]):
        raise CurvatureError("a parameter is not of a real floating-point type; use another optimizer", key="params")
