"""A chart anchored at a start: integer points on one side, hyperparameters on the other.

A point is a tuple of whole steps along the axes of the chart, counted from the start, so that two runs of one point are
recognised exactly. The hyperparameters of a point are rounded to what people can type before anything is run with them:
learning rates, weight decays, 1 − momentum and 1 − beta to `DIGITS` significant digits, batch sizes to whole numbers.

Source of the coordinates: https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/. The rounding is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flatdirs.errors import ChartError
from flatdirs.setting_checks import require_number, wrong
from flatdirs.space.chart import SIGN, Chart, Direction, Hyperparameters, Point
from flatdirs.space.names import canonical_keys

DIGITS = 4  # significant digits of what is run
SAME = 6e-4  # relative difference up to which a value is that of a point: what rounding may change
TWELFTH = 5e-3  # distance, in twelfths of an octave, within which a step is taken for a root of two


@dataclass(frozen=True)
class Grid:
    """Integer points ↔ hyperparameters, by a chart and a start.

    Raises ChartError where the start lacks a hyperparameter, is not finite, or lies out of bounds.
    """

    chart: Chart
    start: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", canonical_keys(self.start))
        for name in self.chart.hyperparameters:
            if name not in self.start:
                raise ChartError(
                    f"the start has no {name}, which chart {self.chart.name} needs; set start.{name}",
                    key=f"start.{name}",
                )
            _check_start(self.chart, name, self.start[name])

    @property
    def origin(self) -> Point:
        """The point of the start."""
        return (0,) * len(self.chart.axes)

    def move(self, point: Point, axis: int, direction: Direction) -> Point:
        """The neighbour one step along one axis."""
        return (*point[:axis], point[axis] + SIGN[direction], *point[axis + 1 :])

    def hyperparameters(self, point: Sequence[float]) -> Hyperparameters:
        """The rounded hyperparameters of a point (whole steps, or any real numbers between them).

        What does not leave the start keeps the start's own value. `chart.follows` (the learning rate) makes up for the
        rounding of the others, so that the first axis it enters keeps its value; it is rounded last.
        """
        chart = self.chart
        result, drift = dict(self.start), {}
        moved = self._unrounded(point)
        for name, wanted in moved.items():
            result[name] = self._rounded(name, wanted)
            if name != chart.follows and (name in chart.one_minus or name in chart.whole):
                actual = chart.inner(name, result[name])
                if actual > 0 and math.isfinite(actual):
                    drift[name] = actual / wanted
        if (follows := chart.follows) in chart.free and follows is not None and drift:
            inner = moved.get(follows, chart.inner(follows, self.start[follows]))
            if (factor := self._compensation(follows, drift)) != 1.0:
                result[follows] = self._rounded(follows, inner * factor)
        return {name: int(v) if name in chart.whole and math.isfinite(v) else v for name, v in result.items()}

    def rounded(self, hyperparameters: Mapping[str, float]) -> Hyperparameters:
        """Any hyperparameters, rounded as those of a point are."""
        free = {name: self._rounded(name, self.chart.inner(name, hyperparameters[name])) for name in self.chart.free}
        return {**hyperparameters, **{n: int(v) if n in self.chart.whole else v for n, v in free.items()}}

    def _unrounded(self, point: Sequence[float]) -> Hyperparameters:
        """Each hyperparameter that leaves the start, as it enters the products (momentum as 1 − momentum)."""
        chart, moved = self.chart, {}
        for name, row in zip(chart.free, chart.inverse.tolist(), strict=True):
            if count := sum(n * steps for n, steps in zip(row, point, strict=True) if n):
                moved[name] = chart.inner(name, self.start[name]) * _power(chart.step, count)
        return moved

    def _rounded(self, name: str, wanted: float) -> float:
        """The value to run with for one that should enter the products as `wanted`."""
        if name in self.chart.whole:
            return float(max(1, math.floor(wanted + 0.5))) if math.isfinite(wanted) else wanted
        inner = significant(wanted)
        return complement(inner) if name in self.chart.one_minus else inner

    def _compensation(self, follows: str, drift: Mapping[str, float]) -> float:
        """The factor by which `follows` makes up for the rounding of the others in the first axis it enters."""
        axis = next((axis for axis in self.chart.axes if axis.exponents.get(follows)), None)
        powers = (
            {}
            if axis is None
            else {n: axis.exponents[n] / axis.exponents[follows] for n in drift if n in axis.exponents}
        )
        return float(np.prod([drift[name] ** -power for name, power in powers.items()]))

    def coordinates(self, point: Sequence[float]) -> dict[str, float]:
        """The value of every axis, by name, at a point."""
        return self.chart.coordinates(self.hyperparameters(point))

    def out_of_bounds(self, point: Sequence[float]) -> str | None:
        """The bound that a point violates, as a clause, or None."""
        values = self.hyperparameters(point)
        unrounded = self._unrounded(point) if self.chart.whole else {}
        for name in self.chart.free:
            low, high = self.chart.bounds.get(name, (None, None))
            value, inner = values[name], self.chart.inner(name, values[name])
            if name in self.chart.whole and unrounded.get(name, 1.0) < 1.0 - 1e-9:
                return f"{name} would fall below 1"
            if low is not None and value < low and not _close(value, low):
                return f"{name} would fall below {low:g}"
            if high is not None and value > high and not _close(value, high):
                return f"{name} would rise above {high:g}"
            if not (math.isfinite(inner) and inner > 0):
                return f"{name} would exceed the range of floats"
        return None

    def locate(self, hyperparameters: Mapping[str, float]) -> Point | None:
        """The point with these hyperparameters, up to their rounding; None where they lie between points."""
        chart = self.chart
        logs = []
        for name in chart.free:
            here, there = chart.inner(name, self.start[name]), chart.inner(name, hyperparameters[name])
            if not (there > 0 and math.isfinite(there)):
                return None
            logs.append((math.log2(there) - math.log2(here)) * 12.0 / _twelfths(chart.step))
        steps = chart.matrix @ np.array(logs)
        point = tuple(int(n) for n in np.rint(steps))
        back = self.hyperparameters(point)
        pairs = ((chart.inner(n, back[n]), chart.inner(n, hyperparameters.get(n, back[n]))) for n in back)
        return point if all(math.isclose(a, b, rel_tol=SAME) for a, b in pairs) else None


def significant(value: float, digits: int = DIGITS) -> float:
    """The value rounded to so many significant digits."""
    return float(f"{value:.{digits}g}")


def complement(inner: float) -> float:
    """1 − inner as the float that prints with no more decimals than it needs."""
    if not 0 < inner < math.inf:
        return 1.0 - inner
    return round(1.0 - inner, max(0, DIGITS - 1 - math.floor(math.log10(inner))))


def _check_start(chart: Chart, name: str, value: float) -> None:
    """Raise ChartError unless the value of a start fits the chart."""
    key = f"start.{name}"
    require_number(key, value, 0, 1 if name in chart.one_minus else math.inf, below=True, error=ChartError)
    if value == 0 and name in chart.free and name not in chart.one_minus:
        raise wrong(key, value, "must be above 0", ChartError, f"change {key}, or hold it at 0 with fixed=[{name}]")
    if name in chart.whole and value != int(value):
        raise wrong(key, value, "must be a whole number", ChartError)
    low, high = chart.bounds.get(name, (None, None))
    if name in chart.free and ((low is not None and value < low) or (high is not None and value > high)):
        remedy = f"change {key} or chart.bounds.{name}"
        raise wrong(key, value, f"lies out of bounds [{low}, {high}]", ChartError, remedy)


@lru_cache
def _twelfths(step: float) -> float:
    """The step in twelfths of an octave, a whole number where it is meant as one (2, √2, 1.4142)."""
    twelfths = math.log2(step) * 12
    return float(round(twelfths)) if abs(twelfths - round(twelfths)) < TWELFTH and round(twelfths) else twelfths


def _power(step: float, count: float) -> float:
    """step ** count, exact for every whole number of doublings; infinity or zero beyond the range of floats."""
    octaves, rest = divmod(_twelfths(step) * count, 12.0)
    try:
        return math.ldexp(2.0 ** (rest / 12.0), int(octaves))
    except OverflowError:
        return math.inf


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=0.0)
