"""Armijo backtracking with the base optimizers and the closure of CDAT.

    first guess η = 1.5 × the last rate, at most max_learning_rate
    η ← 0.8η until f(w + ηu) ≤ f(w) + c·η·g·u; then w += ηu

f is the loss of the batch, plus ½α|w|² with coupled weight decay α; decoupled decay is applied once the rate is found,
scaled by η. Trials use the random numbers of the first evaluation and leave buffers unchanged (closure_replay.py); one
that is not finite fails, and every decision waits for the device. If u does not descend (g·u ≥ 0, possible with
momentum), the rate is 0 and the state is updated, so u turns; if `max_backtracks` trials fail, it is 0 and the next
search continues from the smallest rate tried. c = 10⁻⁴, 0.8, 1.5 and the cap of 1 are optax's, as in arXiv 2407.06183.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from flatdirs.curvature.base_optimizers import flat
from flatdirs.curvature.closure_replay import ClosureReplay
from flatdirs.curvature.self_tuning_optimizer import Closure, LearningRateTuner, Part, Record
from flatdirs.errors import CurvatureError
from flatdirs.setting_checks import require_integer, require_number


class ArmijoLineSearch(LearningRateTuner):
    """A base optimizer that decreases the loss of the batch sufficiently at every step.

        optimizer = ArmijoLineSearch(model.parameters(), base="momentum")
        loss = optimizer.step(lambda: cross_entropy(model(x), y))

    The closure is CDAT's, but is called several times per step: apart from dropout and batch norm, which are handled,
    it must return the same loss for the same parameters.

    Args:
        params, base, momentum, betas, alpha, eps, weight_decay: as for CDAT.
        decrease: c, the required fraction of the decrease that the slope promises.
        shrink: factor of the rate after a failed trial.
        grow: factor of the last rate for the first guess.
        max_backtracks: most trials per step.
        max_learning_rate: cap of all guesses, and the very first guess; None for no cap, then the first guess is 1.

    Raises:
        CurvatureError: a setting out of range, or a sparse gradient.
    """

    settings: ClassVar[tuple[str, ...]] = ("decrease", "shrink", "grow", "max_backtracks", "max_learning_rate")

    def __init__(
        self,
        params: Any,
        base: str = "gd",
        decrease: float = 1e-4,
        shrink: float = 0.8,
        grow: float = 1.5,
        max_backtracks: int = 50,
        max_learning_rate: float | None = 1.0,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999),
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float | None = None,
    ) -> None:
        for name, value in (("decrease", decrease), ("shrink", shrink)):
            require_number(name, value, 0, 1, above=True, below=True, error=CurvatureError)
        require_number("grow", grow, 1, error=CurvatureError)
        require_integer("max_backtracks", max_backtracks, 1, error=CurvatureError)
        super().__init__(params, base, max_learning_rate, momentum, betas, alpha, eps, weight_decay)
        self.decrease, self.shrink, self.grow, self.max_backtracks = decrease, shrink, grow, max_backtracks
        self._guess = self._capped(1.0 if max_learning_rate is None else max_learning_rate)

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """Take one step; the loss before it, detached, on the device. Raises CurvatureError."""
        replay = ClosureReplay(self._device)
        with torch.enable_grad():
            loss = closure()
            parts = self._parts(loss, create_graph=False)
        loss = loss.detach()
        slope = self._slope(parts)
        usable = torch.isfinite(loss) & torch.isfinite(slope)
        rate = 0.0
        if bool(usable):
            if bool(slope < 0):
                rate = self._search(closure, replay, parts, loss, slope)
            self._rate = self._scalar(rate)
        self._advance(parts, self._scalar(rate), usable)
        self.last = Record(self._rate, (-slope).clamp_min(0.0), self._scalar(float("nan")))
        self._publish()
        return loss

    def _search(self, closure: Closure, replay: ClosureReplay, parts: list[Part], loss: Tensor, slope: Tensor) -> float:
        """The first rate with a sufficient decrease, or 0; the parameters are restored exactly."""
        begins = [[parameter.clone() for parameter in part.parameters] for part in parts]
        start = loss.to(self._dtype) + self._penalty(parts)
        rate, accepted = self._guess, False
        for _ in range(self.max_backtracks):
            for part, begin in zip(parts, begins, strict=True):
                torch._foreach_copy_(part.parameters, torch._foreach_add(begin, part.directions, alpha=rate))
            with replay:
                trial = closure().detach().to(self._dtype) + self._penalty(parts)
            if accepted := bool(trial <= start + self.decrease * rate * slope):
                break
            rate *= self.shrink
        for part, begin in zip(parts, begins, strict=True):
            torch._foreach_copy_(part.parameters, begin)
        self._guess = self._capped(self.grow * rate) if accepted else rate
        return rate if accepted else 0.0

    def _penalty(self, parts: list[Part]) -> Tensor:
        """½α|w|² of coupled weight decay."""
        total = self._scalar(0.0)
        for part in parts:
            if part.coupled:
                weights = flat(part.parameters)
                total = total + 0.5 * part.coupled * torch.dot(weights, weights)
        return total

    def _capped(self, rate: float) -> float:
        return rate if self.max_learning_rate is None else min(rate, self.max_learning_rate)

    def _extra_state(self) -> dict[str, Any]:
        return {"guess": self._guess}

    def _load_extra_state(self, extra: dict[str, Any]) -> None:
        self._guess = extra["guess"]
