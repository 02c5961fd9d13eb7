"""The scale of a hyperparameter: how it enters the logarithms in which a chart works.

`inner` is above 0 and log₂(inner) is the coordinate, in octaves: a step along an axis multiplies it. On a linear scale
the whole range is `OCTAVES` octaves long; on a logit scale the odds v/(1 − v) are what doubles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from flatdirs.errors import ChartError
from flatdirs.setting_checks import require_choice, require_number, wrong

Kind = Literal["log", "linear", "logit"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OCTAVES = 8.0  # length of a linear range
WIDE = 10.0  # ratio of the ends, or of their odds, from which a range is log or logit


@dataclass(frozen=True)
class Scale:
    """log (the value itself), logit (its odds), or linear between `low` and `high`. Raises ChartError."""

    kind: Kind = "log"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        require_choice("chart.scales", self.kind, KINDS, ChartError)
        for value in (self.low, self.high):
            require_number("chart.scales", value, -math.inf, error=ChartError)
        if not self.low < self.high:
            raise wrong("chart.scales", [self.low, self.high], "must have the lower below the upper", ChartError)

    def inner(self, value: float) -> float:
        """The value as it enters the products; 0, below 0, or infinite where the scale does not hold it."""
        if self.kind == "log":
            return float(value)
        if self.kind == "logit":
            return value / (1.0 - value) if value < 1 else math.inf
        octaves = OCTAVES * (value - self.low) / (self.high - self.low)
        return math.inf if octaves >= 1024 else 0.0 if octaves < -1000 else float(2.0**octaves)

    def outer(self, inner: float) -> float:
        """The value that enters as `inner`, above 0."""
        if self.kind == "log":
            return float(inner)
        if self.kind == "logit":
            return inner / (1.0 + inner) if inner < math.inf else 1.0
        octaves = math.log2(inner) if 0 < inner < math.inf else math.copysign(math.inf, inner - 1.0)
        return self.low + (self.high - self.low) * octaves / OCTAVES


def usual_kind(start: float, low: float | None, high: float | None) -> Kind:
    """The scale of a range: log over a factor of ten, logit where the odds go so far, else linear.

    Without both ends: log above 0, linear otherwise.
    """
    if low is None or high is None:
        return "log" if start > 0 else "linear"
    if low > 0 and high / low >= WIDE:
        return "log"
    if low > 0 and high < 1 and high / (1 - high) >= WIDE * low / (1 - low):
        return "logit"
    return "linear"


def on_step(value: float, first: float, step: float) -> float:
    """The value nearest to `value` on the steps that are counted from `first`."""
    return first + math.floor((value - first) / step + 0.5) * step


def read_scale(told: Sequence[Any]) -> Scale:
    """A scale from what `describe_scale` wrote."""
    kind, *ends = told
    return Scale(kind, *map(float, ends))


def describe_scale(scale: Scale) -> list[Any]:
    """A scale as a plain list: its kind, and the ends of a linear one."""
    return [scale.kind, scale.low, scale.high] if scale.kind == "linear" else [scale.kind]
