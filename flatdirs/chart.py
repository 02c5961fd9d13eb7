"""The chart: hyperparameters on one side, coordinates on the other, an invertible integer map in logarithms between.

A chart is data: a square matrix of integer exponents with determinant ±1, read from conf/chart/*.yaml. Its axes are
products of powers of the hyperparameters, so moving one axis by one step multiplies that coordinate by the step
factor and leaves the others where they are; learning rate, momentum and weight decay follow by the inverse matrix.
A `Lattice` is a chart anchored at a start; its points are tuples of integers, counted in steps from the start, so
that equality is exact and no drift can creep in.

Source: reference/004 for the coordinates (found); the inverse and the rounding rule are derived. Tried and dropped:
keeping λ exact and letting λα/(1−ρ) take the rounding of a batch size, which breaks what the axis promises.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flatdirs.errors import ChartError

Point = tuple[int, ...]
Hyperparameters = dict[str, float]
Direction = Literal["double", "halve"]
SIGN: Mapping[str, int] = {"double": 1, "halve": -1}
ULPS = 1e-12  # 1 − ρ within this of one is one: ρ is zero, not the last bit below it
SNAP = 5e-3  # how near, in twelfths of an octave, a step must be to a root of two to be taken for it


@dataclass(frozen=True)
class Axis:
    """One coordinate: the product of the hyperparameters to integer powers, and the direction to try first."""

    name: str
    exponents: Mapping[str, int]
    first: Direction = "double"


@dataclass(frozen=True)
class Chart:
    """An invertible map between hyperparameters and coordinates, linear and unimodular in logarithms.

    `one_minus` names the hyperparameters that enter as 1 − value (momentum), `whole` those that are whole numbers
    (batch size). What rounding does to either is taken up by `follows` (the learning rate), so that the first
    coordinate it enters keeps its value. `bounds` are walls per hyperparameter, None where there is none; `fixed`
    ones stay at the start. `step` is the factor of one step of the lattice, of which `parts` make one move.
    Raises ChartError where the axes do not determine the hyperparameters.
    """

    name: str
    hyperparameters: tuple[str, ...]
    axes: tuple[Axis, ...]
    one_minus: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    follows: str | None = "learning_rate"
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    step: float = 2.0
    parts: int = 1
    fixed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step) and self.step > 1):
            raise ChartError(f"step={self.step} must be a number above 1, such as 2 or 1.4142; change chart.step")
        known = set(self.hyperparameters)
        for axis in self.axes:
            if axis.first not in SIGN:
                raise ChartError(f"axis {axis.name}: first={axis.first} must be double or halve; change chart.axes")
            if unknown := set(axis.exponents) - known:
                raise ChartError(
                    f"axis {axis.name} uses {', '.join(sorted(unknown))}, which chart.hyperparameters does not list"
                )
        follows = set() if self.follows in (None, "learning_rate") else {str(self.follows)}
        named = {"one_minus": self.one_minus, "whole": self.whole, "bounds": set(self.bounds), "follows": follows}
        for key, names in {**named, "fixed": self.fixed}.items():
            if unknown := set(names) - known:
                raise ChartError(
                    f"{', '.join(sorted(map(str, unknown)))} is no hyperparameter of the chart; change chart.{key}"
                )
        if len(known) != len(self.hyperparameters) or len({axis.name for axis in self.axes}) != len(self.axes):
            raise ChartError(
                f"chart {self.name} uses a name twice; change chart.hyperparameters or the names in chart.axes"
            )
        if len(self.axes) != len(self.free) or not _unimodular(self.matrix):
            raise ChartError(
                f"chart {self.name}: the exponents of {len(self.axes)} axes over {', '.join(self.free)} must form a "
                f"square integer matrix of determinant 1 or -1; change chart.axes"
            )

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The hyperparameters that moves may change, in the chart's order."""
        return tuple(name for name in self.hyperparameters if name not in self.fixed)

    @cached_property
    def matrix(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Exponents, (axes, free hyperparameters): log coordinates = matrix · log hyperparameters."""
        rows = [[axis.exponents.get(name, 0) for name in self.free] for axis in self.axes]
        return np.array(rows, dtype=np.int64).reshape(len(self.axes), len(self.free))

    @cached_property
    def inverse(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The exact integer inverse, (free hyperparameters, axes): column i is what a step along axis i does."""
        return np.rint(np.linalg.inv(self.matrix)).astype(np.int64)

    def response(self, axis: int) -> dict[str, int]:
        """By how many steps each hyperparameter (momentum as 1 − ρ) moves when `axis` is moved up by one."""
        return {name: int(n) for name, n in zip(self.free, self.inverse[:, axis], strict=True) if n}

    def coordinates(self, hyperparameters: Mapping[str, float]) -> dict[str, float]:
        """The value of every axis, by name, at these hyperparameters."""
        result = {}
        for axis in self.axes:
            value = 1.0
            for name, power in axis.exponents.items():
                value *= self.inner(name, hyperparameters[name]) ** power
            result[axis.name] = value
        return result

    def inner(self, name: str, value: float) -> float:
        """The hyperparameter as it enters the products: 1 − value for momentum, the value itself otherwise."""
        return 1.0 - value if name in self.one_minus else float(value)

    def refine(self, parts: int) -> Chart:
        """The chart with moves of so many steps each; one that has them already stays as it is."""
        return self if self.parts == parts else replace(self, step=self.step ** (self.parts / parts), parts=parts)

    def raw(self) -> Chart:
        """The same hyperparameters with one axis each: the coordinates the source warns about."""
        halving = {axis.name: axis.first for axis in self.axes}
        axes = tuple(
            Axis(label, {name: 1}, halving.get(label, "double"))
            for name, label in ((name, symbol(name, name in self.one_minus)) for name in self.free)
        )
        return replace(self, name=f"{self.name}-raw", axes=axes)

    def fix(self, names: Iterable[str]) -> Chart:
        """The chart with some hyperparameters held at the start.

        Keeps the first axes that still determine the free hyperparameters, so λα/(1−ρ) comes before 1−ρ and α.
        Raises ChartError for an unknown name, or where nothing is left to search.
        """
        names = frozenset(names)
        if unknown := names - set(self.hyperparameters):
            raise ChartError(
                f"fixed={sorted(unknown)} names no hyperparameter of chart {self.name}; "
                f"change fixed to some of {', '.join(self.hyperparameters)}"
            )
        free = [name for name in self.hyperparameters if name not in self.fixed | names]
        if not free:
            raise ChartError("fixed leaves no hyperparameter to search; take one out of fixed")
        for axes in itertools.combinations(self.axes, len(free)):
            if _unimodular(np.array([[axis.exponents.get(name, 0) for name in free] for axis in axes])):
                return replace(self, axes=axes, fixed=self.fixed | names)
        raise ChartError(f"no axes of chart {self.name} search {', '.join(free)} alone; change fixed")

    def within(self, bounds: Mapping[str, tuple[float | None, float | None]]) -> Chart:
        """The chart with these walls as well; the narrower one counts on each side."""
        merged = dict(self.bounds)
        for name, (low, high) in bounds.items():
            old_low, old_high = merged.get(name, (None, None))
            lows = [x for x in (low, old_low) if x is not None]
            highs = [x for x in (high, old_high) if x is not None]
            merged[name] = (max(lows, default=None), min(highs, default=None))
        return replace(self, bounds=merged)


@dataclass(frozen=True)
class Lattice:
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

        A step of two is exact in floats. What rounding leaves (1 − ρ stored as ρ, whole batch sizes) is taken up by
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
        """The point with these hyperparameters, to a relative 1e-9, or None off the lattice."""
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


def read_chart(settings: Mapping[str, Any]) -> Chart:
    """A chart from the plain mapping of a conf/chart/*.yaml file. Raises ChartError naming the key."""
    try:
        axes = tuple(
            Axis(
                str(axis["name"]),
                {str(k): _whole_number(v) for k, v in axis["exponents"].items()},
                axis.get("first", "double"),
            )
            for axis in settings["axes"]
        )
        bounds = {name: _bound(name, pair) for name, pair in (settings.get("bounds") or {}).items()}
        step = float(settings.get("step", 2.0))
        names = tuple(str(name) for name in settings["hyperparameters"])
        one_minus, whole = frozenset(settings.get("one_minus") or ()), frozenset(settings.get("whole") or ())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ChartError(f"the chart cannot be read ({error!r}); compare its keys with conf/chart/sgd.yaml") from error
    follows, fixed = settings.get("follows", "learning_rate"), frozenset(settings.get("fixed") or ())
    parts = int(settings.get("parts", 1))
    return Chart(str(settings.get("name", "own")), names, axes, one_minus, whole, follows, bounds, step, parts, fixed)


def describe_chart(chart: Chart) -> dict[str, Any]:
    """The plain mapping that `read_chart` reads back, for a study to keep."""
    return {
        "name": chart.name,
        "fixed": sorted(chart.fixed),
        "step": chart.step,
        **({"parts": chart.parts} if chart.parts != 1 else {}),
        "bounds": {name: list(pair) for name, pair in chart.bounds.items()},
        "hyperparameters": list(chart.hyperparameters),
        "one_minus": sorted(chart.one_minus),
        "whole": sorted(chart.whole),
        "follows": chart.follows,
        "axes": [{"name": a.name, "exponents": dict(a.exponents), "first": a.first} for a in chart.axes],
    }


def named_chart(name: str) -> Chart:
    """One of the charts that come with flatdirs, such as "sgd" or "adamw". Raises ChartError for other names."""
    import yaml

    from flatdirs.paths import conf_folder

    folder = conf_folder() / "chart"
    path = folder / f"{Path(name).name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise ChartError(f"chart={name} is unknown; choose one of {known}")
    return read_chart(yaml.safe_load(path.read_text(encoding="utf-8")))


SYMBOLS = {
    "learning_rate": "λ",
    "sigma": "σ",
    "momentum": "ρ",
    "weight_decay": "α",
    "batch_size": "N",
    "beta1": "β₁",
}


def symbol(name: str, one_minus: bool = False) -> str:
    """The letter used for a hyperparameter in tables and axis names, such as λ, or 1−ρ with `one_minus`."""
    letter = SYMBOLS.get(name, name)
    return f"1−{letter}" if one_minus else letter


def _whole_number(value: Any) -> int:
    if int(value) != value:
        raise ValueError(f"the exponent {value} in axes must be a whole number")
    return int(value)


def _bound(name: str, pair: Any) -> tuple[float | None, float | None]:
    """One wall from YAML: a pair of numbers or nulls, null for none at all."""
    if pair is None:
        return None, None
    try:
        low, high = (None if x is None else float(x) for x in pair)
    except (TypeError, ValueError) as error:
        raise ChartError(
            f"bounds.{name}={pair} must be two numbers, null for none; change chart.bounds.{name}"
        ) from error
    if low is not None and high is not None and not low < high:
        raise ChartError(f"bounds.{name}={pair}: the lower must lie below the upper; change chart.bounds.{name}")
    return low, high


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


def _unimodular(matrix: np.ndarray[Any, Any]) -> bool:
    """Whether an integer matrix has an integer inverse; checked in integers, floats only propose it."""
    if matrix.shape[0] != matrix.shape[1] or not matrix.size or abs(abs(np.linalg.det(matrix)) - 1) > 0.5:
        return False
    inverse = np.rint(np.linalg.inv(matrix)).astype(np.int64)
    return bool((matrix @ inverse == np.eye(len(matrix), dtype=np.int64)).all())


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
