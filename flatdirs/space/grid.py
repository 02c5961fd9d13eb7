"""A chart anchored at a start: points of whole steps on one side, hyperparameters on the other.

A point is a tuple of whole steps along the axes of the chart, counted from the start, and one number for each choice
(0: the start's), so that two runs of one point are recognised exactly. A run that lies off the grid has real steps. The
hyperparameters of a point are rounded to what people can type before anything is run with them: learning rates, weight
decays, 1 − momentum and 1 − beta to `DIGITS` significant digits, batch sizes to whole numbers, others to their steps.

Source of the coordinates: https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/. The rounding is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from flatdirs.errors import ChartError
from flatdirs.setting_checks import require_number, wrong
from flatdirs.space.chart import SIGN, Chart, Direction, Hyperparameters, Point, alike
from flatdirs.space.names import canonical_keys
from flatdirs.space.scales import on_step

DIGITS = 4  # significant digits of what is run
SAME = 6e-4  # relative difference up to which a value is that of a point: what rounding may change
ON_BOUND = 1e-6  # relative difference up to which a place lies on a bound: its steps have PLACES decimals
PLACES = 6  # decimals of the steps of a run that lies off the grid
TWELFTH = 5e-3  # distance, in twelfths of an octave, within which a step is taken for a root of two


@dataclass(frozen=True)
class Grid:
    """Points of whole steps ↔ hyperparameters, by a chart and a start.

    Raises ChartError where the start lacks a hyperparameter, is not finite, or lies out of bounds.
    """

    chart: Chart
    start: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", canonical_keys(self.start))
        if not self.chart.axes:
            raise ChartError("there is no number to search; add one such as lr to start", key="start")
        for name in (*self.chart.hyperparameters, *self.chart.choices):
            if name not in self.start:
                raise ChartError(
                    f"the start has no {name}, which chart {self.chart.name} needs; set start.{name}",
                    key=f"start.{name}",
                )
            _check_start(self.chart, name, self.start[name])

    @property
    def origin(self) -> Point:
        """The point of the start."""
        return (0,) * (len(self.chart.axes) + len(self.chart.open_choices))

    @cached_property
    def choices(self) -> dict[str, tuple[Any, ...]]:
        """What each open choice is between, the start's first."""
        found = {}
        for name in self.chart.open_choices:
            told, first = self.chart.choices[name], self.start[name]
            found[name] = (first, *(choice for choice in told if not alike(choice, first)))
        return found

    def chosen(self, point: Sequence[float]) -> dict[str, Any]:
        """What a point chooses."""
        numbers = point[len(self.chart.axes) :]
        return {name: told[int(number)] for (name, told), number in zip(self.choices.items(), numbers, strict=False)}

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
                result[follows] = self._bounded(follows, inner, self._rounded(follows, inner * factor))
        whole = {name: int(result[name]) for name in chart.whole if math.isfinite(result[name])}
        return {**result, **whole, **self.chosen(point)}

    def rounded(self, hyperparameters: Mapping[str, Any]) -> Hyperparameters:
        """Any hyperparameters, rounded as those of a point are."""
        free = {name: self._rounded(name, self.chart.inner(name, hyperparameters[name])) for name in self.chart.free}
        return {**hyperparameters, **{n: int(v) if n in self.chart.whole else v for n, v in free.items()}}

    def _unrounded(self, point: Sequence[float]) -> Hyperparameters:
        """Each hyperparameter that leaves the start, as it enters the products (momentum as 1 − momentum)."""
        chart, moved = self.chart, {}
        steps = point[: len(chart.axes)]
        for name, row in zip(chart.free, chart.inverse.tolist(), strict=True):
            if count := sum(n * there for n, there in zip(row, steps, strict=True) if n):
                moved[name] = chart.inner(name, self.start[name]) * _power(chart.step, float(count))
        return moved

    def _rounded(self, name: str, wanted: float) -> float:
        """The value to run with for one that should enter the products as `wanted`."""
        if name in self.chart.scales:
            return self._rounded_further(name, wanted)
        if name in self.chart.whole:
            return float(max(1, math.floor(wanted + 0.5))) if math.isfinite(wanted) else wanted
        inner = significant(wanted)
        return self._bounded(name, wanted, complement(inner) if name in self.chart.one_minus else inner)

    def _bounded(self, name: str, wanted: float, value: float) -> float:
        """The bound instead of a rounded value that lies beyond it, where what was `wanted` does not."""
        low, high = self.chart.bounds.get(name, (None, None))
        exact = self.chart.outer(name, wanted)

        def on(bound: float) -> bool:
            return math.isclose(wanted, self.chart.inner(name, bound), rel_tol=ON_BOUND)

        if low is not None and value < low and (exact >= low or on(low)):
            return low
        if high is not None and value > high and (exact <= high or on(high)):
            return high
        return value

    def _rounded_further(self, name: str, wanted: float) -> float:
        """As `_rounded`: to steps or whole numbers; on a linear scale to DIGITS decimals of the range, else digits."""
        chart, value = self.chart, self.chart.outer(name, wanted)
        if not math.isfinite(value):
            return value
        if (step := chart.steps.get(name)) is not None:
            value = on_step(value, self.start[name], step)
            return round(value) if name in chart.whole else round(value, decimals_of(step)) + 0.0
        if name in chart.whole:
            return math.floor(value + 0.5)
        if name in chart.one_minus:
            return self._bounded(name, wanted, complement(significant(wanted)))
        scale = chart.scales[name]
        if scale.kind == "linear":
            return self._bounded(name, wanted, round(value, decimals_of(scale.high - scale.low)) + 0.0)
        upper = scale.kind == "logit" and value > 0.5
        return self._bounded(name, wanted, complement(significant(1.0 - value)) if upper else significant(value))

    def _compensation(self, follows: str, drift: Mapping[str, float]) -> float:
        """The factor by which `follows` makes up for the rounding of the others in the first axis it enters."""
        axis = next((axis for axis in self.chart.axes if axis.exponents.get(follows)), None)
        powers = (
            {}
            if axis is None
            else {n: float(axis.exponents[n] / axis.exponents[follows]) for n in drift if n in axis.exponents}
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
            whole = name in self.chart.whole and name not in self.chart.scales
            if whole and unrounded.get(name, 1.0) < 1.0 - 1e-9:
                return f"{name} would fall below 1"
            if low is not None and value < low and not _close(value, low):
                return f"{name} would fall below {low:g}"
            if high is not None and value > high and not _close(value, high):
                return f"{name} would rise above {high:g}"
            if not (math.isfinite(inner) and inner > 0):
                return f"{name} would exceed the range of floats"
        return None

    def locate(self, hyperparameters: Mapping[str, Any]) -> Point | None:
        """The point with these hyperparameters, up to their rounding; None where they lie between points."""
        steps, chosen = self._steps(hyperparameters), self._choice_numbers(hyperparameters)
        if steps is None or chosen is None:
            return None
        point = (*(int(n) for n in np.rint(steps)), *chosen)
        return point if self._has(point, hyperparameters) else None

    def place(self, hyperparameters: Mapping[str, Any]) -> Point | None:
        """The point of any hyperparameters: whole steps on the grid, else real ones, rounded to PLACES decimals.

        None where the chart cannot hold a value (lr ≤ 0), or one that is fixed is not the start's. Values are rounded
        first as those that are run, so `hyperparameters` of a place gives these back.
        """
        chosen, steps = self._choice_numbers(hyperparameters), self._steps(hyperparameters)
        if chosen is None or steps is None:
            return None
        rounded = self.rounded(hyperparameters)
        if (point := self.locate(rounded)) is not None:
            return point
        if (steps := self._steps(rounded)) is None:
            return None
        place = (*(round(float(n), PLACES) for n in steps), *chosen)
        held = {n: v for n, v in hyperparameters.items() if n not in self.chart.free}
        return place if self._has(place, held) else None

    def rounded_step(self, axis: int, step: float) -> float:
        """Where the rounded value at a step along the axis of a further hyperparameter lies, in steps."""
        name = next(iter(self.chart.axes[axis].exponents))
        value = self._rounded(name, self.chart.inner(name, self.start[name]) * _power(self.chart.step, step))
        found = self._log(name, value)
        return step if found is None else found

    def _steps(self, hyperparameters: Mapping[str, Any]) -> Any:
        """Real steps along each axis, an array; None where the chart cannot hold a value."""
        logs = [self._log(name, hyperparameters[name]) for name in self.chart.free]
        return None if None in logs else self.chart.matrix.astype(np.float64) @ np.array(logs)

    def _log(self, name: str, value: float) -> float | None:
        """A hyperparameter's distance from the start in steps, by its logarithm; None where it has none."""
        here, there = self.chart.inner(name, self.start[name]), self.chart.inner(name, value)
        if not (there > 0 and math.isfinite(there)):
            return None
        return (math.log2(there) - math.log2(here)) * 12.0 / _twelfths(self.chart.step)

    def _choice_numbers(self, hyperparameters: Mapping[str, Any]) -> list[int] | None:
        """The number of each choice; None where one is unknown."""
        numbers = []
        for name, told in self.choices.items():
            value = hyperparameters.get(name, told[0])
            number = next((n for n, choice in enumerate(told) if alike(choice, value)), None)
            if number is None:
                return None
            numbers.append(number)
        return numbers

    def _has(self, point: Point, hyperparameters: Mapping[str, Any]) -> bool:
        """Whether a point has these hyperparameters, up to their rounding."""
        chart, back = self.chart, self.hyperparameters(point)
        known = {name: value for name, value in hyperparameters.items() if name in back}
        return all(
            alike(back[name], value)
            if name in chart.choices
            else math.isclose(chart.inner(name, back[name]), chart.inner(name, value), rel_tol=SAME)
            for name, value in known.items()
        )


def significant(value: float, digits: int = DIGITS) -> float:
    """The value rounded to so many significant digits."""
    return float(f"{value:.{digits}g}")


def decimals_of(spacing: float) -> int:
    """The decimals that hold DIGITS digits of a range or a step."""
    return DIGITS - math.floor(math.log10(spacing))


def complement(inner: float) -> float:
    """1 − inner as the float that prints with no more decimals than it needs."""
    if not 0 < inner < math.inf:
        return 1.0 - inner
    return round(1.0 - inner, max(0, DIGITS - 1 - math.floor(math.log10(inner))))


def _check_start(chart: Chart, name: str, value: Any) -> None:
    """Raise ChartError unless the value of a start fits the chart."""
    key = f"start.{name}"
    if name in chart.choices:
        if not any(alike(value, choice) for choice in chart.choices[name]):
            raise wrong(key, value, f"must be one of {', '.join(map(str, chart.choices[name]))}", ChartError)
        return
    _check_number(chart, name, value)
    if name in chart.whole and value != int(value):
        raise wrong(key, value, "must be a whole number", ChartError)
    low, high = chart.bounds.get(name, (None, None))
    if name in chart.free and ((low is not None and value < low) or (high is not None and value > high)):
        remedy = f"change {key} or chart.bounds.{name}"
        raise wrong(key, value, f"lies out of bounds [{low}, {high}]", ChartError, remedy)


def _check_number(chart: Chart, name: str, value: Any) -> None:
    """Raise ChartError unless the chart can hold a number."""
    key = f"start.{name}"
    if name in chart.scales and name not in chart.one_minus:
        require_number(key, value, -math.inf, error=ChartError)
        if name in chart.free and not 0 < chart.inner(name, value) < math.inf:
            kind = chart.scales[name].kind
            inside = {"log": "above 0", "logit": "between 0 and 1"}.get(kind, "near its range")
            raise wrong(key, value, f"must be {inside} on its {kind} scale", ChartError)
        return
    require_number(key, value, 0, 1 if name in chart.one_minus else math.inf, below=True, error=ChartError)
    if value == 0 and name in chart.free and name not in chart.one_minus:
        raise wrong(key, value, "must be above 0", ChartError, f"change {key}, or hold it at 0 with fixed=[{name}]")


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
