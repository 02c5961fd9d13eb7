"""Backtracking line search after Armijo, with the same bases and the same closure as CDAT.

    guess η = 1.5 × the last rate, at most max_learning_rate; η ← 0.8η until f(w + ηu) ≤ f(w) + c·η·g·u; then w += ηu

f is the loss on this batch, with ½α|w|² where the decay is coupled; decoupled decay is in neither and is applied,
scaled by η, once the rate is found. At the trial points dropout draws what it drew at first and no buffer moves
(replaying.py). Every decision waits for the device: this is the one optimizer here that does.

Where no rate is found, or none exists:
- u does not descend (g·u ≥ 0, which momentum can bring about): a step of rate 0. The state moves on, so u turns; the
  next guess is what it would have been.
- `max_backtracks` trials fail: rate 0 as well, and the next search goes on from the smallest rate tried.
- the loss or the slope is not finite: nothing changes at all, as ever (tuned.py). A trial that is not finite fails.

Constants: c = 10⁻⁴, 0.8, 1.5 and the cap of 1 are optax's, which the source compares with (found); the rest is ours.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from flatdirs.curvature.base_optimizers import flat
from flatdirs.curvature.closure_replay import Replay
from flatdirs.curvature.lr_tuner import Closure, Part, Record, TunedOptimizer, is_number
from flatdirs.errors import CurvatureError


class ArmijoLineSearch(TunedOptimizer):
    """A base optimizer whose every step decreases the batch's loss enough for the rate it took.

        optimizer = ArmijoLineSearch(model.parameters(), base="momentum")
        loss = optimizer.step(lambda: cross_entropy(model(x), y))

    The closure is CDAT's, but is called several times a step: it must give the same loss for the same parameters,
    dropout and batch norm apart, which are seen to.

    Args:
        params, base, momentum, betas, alpha, eps, weight_decay: CDAT's, with the same defaults.
        decrease: c, the part of the promised decrease that is asked for.
        shrink: what the rate is multiplied by after a failed trial.
        grow: what the last rate is multiplied by for the first guess.
        max_backtracks: trials before a step gives up.
        max_learning_rate: no guess is above it, and the first one is it; None for no cap, then the first guess is 1.

    Raises:
        CurvatureError: a setting that no step could use, or a sparse gradient.
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
        for name, value, low, high in (("decrease", decrease, 0, 1), ("shrink", shrink, 0, 1)):
            if not (is_number(value) and low < value < high):
                raise CurvatureError(f"{name}={value} must lie between 0 and 1; change {name}")
        if not (is_number(grow) and 1 <= grow < math.inf):
            raise CurvatureError(f"grow={grow} must be finite and at least 1; change grow")
        if isinstance(max_backtracks, bool) or not isinstance(max_backtracks, int) or max_backtracks < 1:
            raise CurvatureError(
                f"max_backtracks={max_backtracks} must be a whole number of 1 or more; change max_backtracks"
            )
        super().__init__(params, base, max_learning_rate, momentum, betas, alpha, eps, weight_decay)
        self.decrease, self.shrink, self.grow, self.max_backtracks = decrease, shrink, grow, max_backtracks
        self._guess = self._capped(1.0 if max_learning_rate is None else max_learning_rate)

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; the loss before it, detached, on the device. Raises CurvatureError."""
        replay = Replay(self._device)
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

    def _search(self, closure: Closure, replay: Replay, parts: list[Part], loss: Tensor, slope: Tensor) -> float:
        """The first rate that decreases enough, or 0; the parameters are where they were afterwards, to the bit."""
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
        """½α|w|² where the decay is coupled: what its part of the gradient is the gradient of."""
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
