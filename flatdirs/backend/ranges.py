"""What a study lets a hyperparameter be: a distribution of Optuna's, of which the chart cannot use every value.

A chart works in logarithms: a learning rate or weight decay of 0 or a momentum of 1 has no place on it. `Range` finds
the values that both can hold, so that a start, or a suggestion, moves to the nearest of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from optuna.distributions import FloatDistribution, IntDistribution

from flatdirs.space.chart import Chart
from flatdirs.space.grid import significant

Kind = Literal["positive", "average", "fraction", "any"]
LIMITS: dict[Kind, tuple[float, float]] = {
    "positive": (0.0, math.inf),
    "average": (0.0, 1.0),
    "fraction": (0.0, 1.0),
    "any": (-math.inf, math.inf),
}
SCALES: dict[str, Kind] = {"log": "positive", "logit": "fraction", "linear": "any"}  # scale → kind
Numeric = FloatDistribution | IntDistribution
NUMERIC = (FloatDistribution, IntDistribution)


@dataclass(frozen=True)
class Range:
    """A hyperparameter's distribution in a study. `one_minus`: the study holds 1 − value. `kind`: what a chart can use,
    values above 0, those in [0, 1) of an average such as momentum, those in (0, 1) of a logit scale, or any.
    """

    space: Numeric
    one_minus: bool
    kind: Kind

    @classmethod
    def of(cls, chart: Chart, name: str, space: Numeric, one_minus: bool) -> Range:
        """The range of one of a chart's hyperparameters."""
        if name in chart.one_minus:
            return cls(space, one_minus, "average")
        scale = chart.scales[name].kind if name in chart.scales else "log"
        return cls(space, one_minus, SCALES[scale])

    @cached_property
    def ends(self) -> tuple[float, float] | None:
        """The lowest and the highest value of the study's parameter that the chart can use; None if there is none.

        Without steps an end may itself be unusable (0 of a learning rate), while all values beside it are usable.
        """
        start, least, most = float(self.space.low), *LIMITS[self.kind]
        low, high = max(start, least), min(float(self.space.high), most)
        if self._stepped:
            step = float(self.space.step or 1)
            first, last = math.ceil((low - start) / step), math.floor((high - start) / step + 1e-9)
            first += not self._usable(start + first * step)
            last -= not self._usable(start + last * step)
            return (start + first * step, start + last * step) if first <= last else None
        return (low, high) if low <= high and self._usable((low + high) / 2) else None

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value of the hyperparameter."""
        low, high = self.ends or (float(self.space.low), float(self.space.high))
        return (1.0 - high, 1.0 - low) if self.one_minus else (low, high)

    @property
    def constant(self) -> float | None:
        """The only value of the hyperparameter, if it has only one."""
        return self._own(float(self.space.low)) if self.space.low == self.space.high else None

    def fit(self, value: float) -> float | int:
        """The study's parameter for the hyperparameter's value nearest to this one that study and chart can hold."""
        ends = self.ends if self._usable(self._own(value)) else None  # a weight decay held at 0 stays there
        low, high = ends or (float(self.space.low), float(self.space.high))
        return nearest(self._own(value), self.space, low, high)

    def inside(self, value: float) -> float:
        """The hyperparameter's value nearest to this one; itself where the study can hold it."""
        held = self.fit(value)
        return value if held == self._own(value) else self._own(float(held))

    def spans(self, value: float) -> bool:
        """Whether a value lies between the ends, up to rounding errors."""
        low, high = self.bounds
        clipped = min(max(value, low), high)
        return math.isclose(clipped, value, rel_tol=1e-9, abs_tol=1e-12)

    def holds(self, value: float) -> bool:
        """Whether the study's ends and steps alone, without the chart, would leave the value on the chart."""
        return self._usable(float(nearest(self._own(value), self.space, self.space.low, self.space.high)))

    def __str__(self) -> str:
        step = self.space.step if self._stepped else None
        by = "" if step is None or (isinstance(self.space, IntDistribution) and step == 1) else f" in steps of {step:g}"
        return f"{self.space.low:g} to {self.space.high:g}{by}"

    @property
    def _stepped(self) -> bool:
        return self.space.step is not None and not self.space.log

    def _own(self, value: float) -> float:
        return significant(1.0 - value, 12) if self.one_minus else value  # 0.1 for 1 − 0.9

    def _usable(self, parameter: float) -> bool:
        value = self._own(parameter)
        least, most = LIMITS[self.kind]
        return least < value < most or (value == least and self.kind == "average")


def nearest(value: float, space: Numeric, low: float, high: float) -> float | int:
    """The value of a distribution nearest to `value`, in [low, high]."""
    value = min(max(float(value), float(low)), float(high))
    if space.step is not None and not space.log:
        value = space.low + round((value - space.low) / space.step) * space.step
        value = min(max(value, float(low)), float(high))
    return round(value) if isinstance(space, IntDistribution) else value
