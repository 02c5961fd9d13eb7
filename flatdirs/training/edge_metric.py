"""The edge-of-stability metric: a rising loss is good while the learning rate rises, a low loss is good afterwards.

With evaluations t = 1 … T, a window w and L̄_t the mean of the losses t−w+1 … t, the terms are, for t > w,

    sign         m_t = −L̄_t              while the learning rate rises (is higher than at t−1), else L̄_t
    difference   m_t = −(L̄_t − L̄_{t−1})  while the learning rate rises, else L̄_t

The metric, to be minimised, is their mean with weights κ^t: M_T = Σ κ^t·m_t / Σ κ^t. A loss that is not finite makes M
infinite from there on, so that an explosion during the warm-up is not a reward. The idea is that of a published sweep
whose exact formula is not known; both variants are ours.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from flatdirs.setting_checks import require_choice, require_integer, require_number

VARIANTS = ("sign", "difference")


@dataclass(frozen=True)
class EdgeOfStability:
    """Settings of the metric: the `variant`, the growth `kappa` (κ) of the weight per evaluation, the `window` w.

    Raises:
        ConfigError: a value out of range.
    """

    name: ClassVar[str] = "edge_of_stability"
    unit: ClassVar[str] = " edge of stability"
    variant: str = "sign"
    kappa: float = 1.02
    window: int = 5

    def __post_init__(self) -> None:
        require_choice("metric.variant", self.variant, VARIANTS)
        require_number("metric.kappa", self.kappa, 0, above=True)
        require_integer("metric.window", self.window, 1)

    @property
    def first(self) -> int:
        """The number of the first evaluation that has a value, counted from 1."""
        return self.window + 1


@dataclass
class Running:
    """The metric of a run in progress: `add` the loss and learning rate of each evaluation, get M so far.

    With W_t = 1 + W_{t−1}/κ, M_t = M_{t−1}·(1 − 1/W_t) + m_t/W_t; no power of κ is formed that could overflow.
    """

    settings: EdgeOfStability
    value: float | None = None
    _losses: deque[float] = field(default_factory=deque)
    _mean: float | None = None
    _rate: float = math.nan
    _weight: float = 0.0

    def add(self, loss: float, lr: float) -> float | None:
        """M after one more evaluation; None as long as there is none, infinity once a loss was not finite."""
        before, rises = self._mean, lr > self._rate
        self._rate = lr
        if self.value == math.inf or not math.isfinite(loss):
            self.value = math.inf
            return self.value
        self._losses.append(loss)
        if len(self._losses) > self.settings.window:
            self._losses.popleft()
        if len(self._losses) == self.settings.window:
            self._mean = math.fsum(value / self.settings.window for value in self._losses)
        if before is not None and self._mean is not None:
            reward = -self._mean if self.settings.variant == "sign" else before - self._mean
            self._weigh(reward if rises else self._mean)
        return self.value

    def _weigh(self, term: float) -> None:
        self._weight = 1.0 + self._weight / self.settings.kappa
        share = 1.0 / self._weight
        self.value = term if self.value is None else self.value * (1.0 - share) + term * share
