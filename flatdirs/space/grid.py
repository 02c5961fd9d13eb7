"""A grid: a chart anchored at a start; integer points on one side, hyperparameters on the other.

Points are tuples of integers, counted in steps from the start, so that equality is exact and no drift can creep in.

Source: reference/004; the rounding rule is derived. Tried and dropped: keeping lr exact and letting lr·wd/(1−momentum) take the
rounding of a batch size, which breaks what the axis promises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flatdirs.errors import ChartError
from flatdirs.space.coordinates import SIGN, Chart, Direction, Hyperparameters, Point

ULPS = 1e-12  # 1 − momentum within this of one is one: momentum is zero, not the last bit below it
SNAP = 5e-3  # how near, in twelfths of an octave, a step must be to a root of two to be taken for it


@dataclass(frozen=True)
class Grid:
    """A chart anchored at a start: integer points ↔ hyperparameters.

    Raises ChartError where the start is missing a hyperparameter, is not finite, or lies outside the walls.
    """

    chart: Chart
    start: Mapping[str, float]

    def __post_init__(self) -> None:
        for name in self.chart.hyperparameters:
            if name not in self.start:
                raise ChartError(f"the start has no {name}, which chart {self.chart.name} needs; add start.{name}")
            _check_start(self.chart, name, self.start[name])

    @property
    def origin(self) -> Point:
        """The start's own point."""
        return (0,) * len(self.chart.axes)

    def move(self, point: Point, axis: int, direction: Direction) -> Point:
        """The neighbour one step along one axis; the other coordinates keep their values."""
        return (*point[:axis], point[axis] + SIGN[direction], *point[axis + 1 :])

    def hyperparameters(self, point: Sequence[float]) -> Hyperparameters:
        """Hyperparameters at a point (whole steps, or any real numbers between them).

        A step of two is exact in floats. What rounding leaves (1 − momentum stored as momentum, whole batch sizes) is taken up by
        the learning rate, once, from the unrounded value: moving there and back is the identity.
        """
        chart = self.chart
        result, drift = dict(self.start), {}
        for name, wanted in self._unrounded(point).items():
            value = 1.0 - wanted if name in chart.one_minus else wanted
            value = 0.0 if name in chart.one_minus and abs(value) < ULPS else value
            if name in chart.whole:
                value = float(max(1, math.floor(value + 0.5))) if math.isfinite(value) else value
            result[name] = value
            if name in chart.one_minus or name in chart.whole:
                actual = chart.inner(name, value)
                if actual > 0 and math.isfinite(actual):
                    drift[name] = actual / wanted
        self._follow(result, drift)
        return {name: int(v) if name in chart.whole and math.isfinite(v) else v for name, v in result.items()}

    def _unrounded(self, point: Sequence[float]) -> Hyperparameters:
        """What each hyperparameter that leaves the start would be, as it enters the products."""
        chart, moved = self.chart, {}
        for name, row in zip(chart.free, chart.inverse.tolist(), strict=True):
            if count := sum(n * steps for n, steps in zip(row, point, strict=True) if n):
                moved[name] = chart.inner(name, self.start[name]) * _power(chart.step, count)
        return moved

    def _follow(self, result: Hyperparameters, drift: Mapping[str, float]) -> None:
        """Let the learning rate take up what rounding did to the others, in the first axis it enters."""
        follows = self.chart.follows
        if follows is None or follows not in self.chart.free:
            return
        axis = next((axis for axis in self.chart.axes if axis.exponents.get(follows)), None)
        for name, ratio in drift.items():
            if axis is not None and name in axis.exponents and ratio != 1.0:
                result[follows] *= ratio ** (-axis.exponents[name] / axis.exponents[follows])

    def coordinates(self, point: Sequence[float]) -> dict[str, float]:
        """The value of every axis, by name, at a point."""
        return self.chart.coordinates(self.hyperparameters(point))

    def wall(self, point: Sequence[float]) -> str | None:
        """The bound that keeps a point out, in words, or None inside."""
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
                return f"{name} would leave what floats can hold"
        return None

    def locate(self, hyperparameters: Mapping[str, float]) -> Point | None:
        """The point with these hyperparameters, to a relative 1e-9, or None off the grid."""
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
        near = all(_close(chart.inner(n, back[n]), chart.inner(n, hyperparameters.get(n, back[n]))) for n in back)
        return point if near else None


def _check_start(chart: Chart, name: str, value: float) -> None:
    """Raise ChartError unless a start's value can stand on the chart."""
    key = f"start {name}={value}"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ChartError(f"{key} must be a finite number; change start.{name}")
    if name in chart.one_minus:
        if not 0 <= value < 1:
            raise ChartError(f"{key} must lie in [0, 1); change start.{name}")
    elif value < 0 or (value == 0 and name in chart.free):
        hint = "" if value < 0 else f" (a logarithm cannot leave zero), or hold it with fixed=[{name}]"
        raise ChartError(f"{key} must be greater than 0; change start.{name}{hint}")
    if name in chart.whole and value != int(value):
        raise ChartError(f"{key} must be a whole number; change start.{name}")
    low, high = chart.bounds.get(name, (None, None))
    if name in chart.free and ((low is not None and value < low) or (high is not None and value > high)):
        raise ChartError(f"{key} lies outside its bounds [{low}, {high}]; change start.{name} or chart.bounds.{name}")


@lru_cache
def _twelfths(step: float) -> float:
    """The step in twelfths of an octave, a whole number where it is meant as one (2, √2, 1.4142)."""
    twelfths = math.log2(step) * 12
    return float(round(twelfths)) if abs(twelfths - round(twelfths)) < SNAP and round(twelfths) else twelfths


def _power(step: float, count: float) -> float:
    """step ** count, exact for every whole number of doublings; infinity or zero where floats end."""
    octaves, rest = divmod(_twelfths(step) * count, 12.0)
    try:
        return math.ldexp(2.0 ** (rest / 12.0), int(octaves))
    except OverflowError:
        return math.inf


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=0.0)
