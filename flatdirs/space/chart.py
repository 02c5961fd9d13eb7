"""A chart: a change of coordinates between hyperparameters and products of their powers.

A chart is data: a square matrix of integer exponents with determinant ±1, read from conf/chart/*.yaml. Its axes are
products of powers of the hyperparameters, such as lr·wd/(1−momentum). Moving along one axis multiplies that product and
leaves the other axes as they are; learning rate, momentum and weight decay follow by the inverse matrix. Further
hyperparameters (further.py) have an axis each, on a scale of their own; choices have none.

shipped_charts.py reads charts, grid.py anchors one at a start. Source of the coordinates (the inverse is derived):
https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from flatdirs.errors import ChartError
from flatdirs.setting_checks import require_number, wrong
from flatdirs.space.names import canonical, canonical_keys, label
from flatdirs.space.scales import Scale

Point = tuple[float, ...]  # whole steps; real numbers for a run that lies off the grid
Hyperparameters = dict[str, Any]  # numbers, and of choices what was chosen
Direction = Literal["double", "halve"]
SIGN: Mapping[str, int] = {"double": 1, "halve": -1}


@dataclass(frozen=True)
class Axis:
    """One coordinate: the product of the hyperparameters to integer powers, and the direction to try first."""

    name: str
    exponents: Mapping[str, int]
    first: Direction = "double"

    def __post_init__(self) -> None:
        object.__setattr__(self, "exponents", canonical_keys(self.exponents))


@dataclass(frozen=True)
class Chart:
    """An invertible map between hyperparameters and coordinates, linear and unimodular in logarithms.

    `one_minus` names the hyperparameters that enter as 1 − value (momentum), `whole` those that are whole numbers
    (batch size). `follows` (the learning rate) makes up for the rounding of either, so that the first axis it enters
    keeps its value. `bounds`: low and high per hyperparameter, None for none; `fixed` ones stay at the start. `step` is
    the factor of one step of the grid, of which `parts` make one move. `scales`: of the further hyperparameters;
    `steps`: the spacing of those that have one; `choices`: what is no number. Long names become short ones. Raises
    ChartError where the axes do not determine the hyperparameters.
    """

    name: str
    hyperparameters: tuple[str, ...]
    axes: tuple[Axis, ...]
    one_minus: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    follows: str | None = "lr"
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    step: float = 2.0
    parts: int = 1
    fixed: frozenset[str] = frozenset()
    scales: Mapping[str, Scale] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("hyperparameters", "one_minus", "whole", "fixed"):
            object.__setattr__(self, key, type(getattr(self, key))(map(canonical, getattr(self, key))))
        object.__setattr__(self, "follows", self.follows and canonical(self.follows))
        for key in ("bounds", "scales", "steps", "choices"):
            object.__setattr__(self, key, canonical_keys(getattr(self, key)))
        require_number("chart.step", self.step, 1, above=True, error=ChartError)
        known = set(self.hyperparameters)
        for axis in self.axes:
            if axis.first not in SIGN:
                raise wrong("chart.axes", axis.name, f"has first={axis.first}, not double or halve", ChartError)
            if unknown := set(axis.exponents) - known:
                problem = f"uses {', '.join(sorted(unknown))}, which chart.hyperparameters does not list"
                raise wrong("chart.axes", axis.name, problem, ChartError)
        follows = set() if self.follows in (None, "lr") else {str(self.follows)}
        named = {"one_minus": self.one_minus, "whole": self.whole, "bounds": set(self.bounds), "follows": follows}
        named |= {"scales": set(self.scales), "steps": set(self.steps), "fixed": self.fixed - set(self.choices)}
        for key, names in named.items():
            if unknown := set(names) - known:
                named_wrongly = ", ".join(sorted(map(str, unknown)))
                raise wrong(f"chart.{key}", named_wrongly, "is no hyperparameter of the chart", ChartError)
        twice = len(known) != len(self.hyperparameters) or known & set(self.choices)
        if twice or len({axis.name for axis in self.axes}) != len(self.axes):
            told = f"{', '.join(self.hyperparameters)} with axes {', '.join(axis.name for axis in self.axes)}"
            raise wrong("chart.hyperparameters", told, "uses a name twice", ChartError)
        if len(self.axes) != len(self.free) or (self.axes and not _unimodular(self.matrix)):
            raise ChartError(
                f"chart {self.name}: the exponents of {len(self.axes)} axes over {', '.join(self.free)} must form a "
                f"square integer matrix of determinant 1 or -1; change chart.axes",
                key="chart.axes",
            )

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The hyperparameters that moves may change, in the chart's order."""
        return tuple(name for name in self.hyperparameters if name not in self.fixed)

    @cached_property
    def open_choices(self) -> tuple[str, ...]:
        """The choices that the search may change, in the chart's order."""
        return tuple(name for name in self.choices if name not in self.fixed)

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
        """By how many steps each hyperparameter (momentum as 1 − momentum) moves when `axis` is moved up by one."""
        return {name: int(n) for name, n in zip(self.free, self.inverse[:, axis], strict=True) if n}

    def coordinates(self, hyperparameters: Mapping[str, float]) -> dict[str, float]:
        """The value of every axis, by name, at these hyperparameters; a further one on its own axis is itself."""
        result = {}
        for axis in self.axes:
            value = 1.0
            for name, power in axis.exponents.items():
                value *= self._entering(name, hyperparameters[name]) ** power
            result[axis.name] = value
        return result

    def _entering(self, name: str, value: float) -> float:
        return 1.0 - value if name in self.one_minus else float(value)

    def inner(self, name: str, value: float) -> float:
        """The hyperparameter as it enters the products: 1 − value for momentum, by its scale, or the value itself."""
        entering = self._entering(name, value)
        return self.scales[name].inner(entering) if name in self.scales else entering

    def outer(self, name: str, inner: float) -> float:
        """The hyperparameter that enters the products as `inner`, not rounded."""
        entering = self.scales[name].outer(inner) if name in self.scales else inner
        return 1.0 - entering if name in self.one_minus else entering

    def refine(self, parts: int) -> Chart:
        """The chart with moves of so many steps each."""
        return self if self.parts == parts else replace(self, step=self.step ** (self.parts / parts), parts=parts)

    def with_step(self, step: float) -> Chart:
        """The chart with another factor of one step."""
        return self if self.step == step else replace(self, step=step)

    def raw(self) -> Chart:
        """The same hyperparameters with one axis each."""
        halving = {axis.name: axis.first for axis in self.axes}
        axes = tuple(
            Axis(label, {name: 1}, halving.get(label, "double"))
            for name, label in ((name, label(name, name in self.one_minus)) for name in self.free)
        )
        return replace(self, name=f"{self.name}-raw", axes=axes)

    def fix(self, names: Iterable[str]) -> Chart:
        """The chart with some hyperparameters and choices held at the start.

        Keeps the first axes that still determine the free hyperparameters. An axis with one free hyperparameter left,
        as lr·wd/(1−momentum) has where momentum and wd are fixed, takes its name. Raises ChartError for an unknown
        name, or where nothing is left to search.
        """
        names = frozenset(map(canonical, names))
        if unknown := names - set(self.hyperparameters) - set(self.choices):
            known = ", ".join([*self.hyperparameters, *self.choices])
            problem = f"names no hyperparameter of chart {self.name}, which has {known}"
            raise wrong("fixed", sorted(unknown), problem, ChartError)
        free = [name for name in self.hyperparameters if name not in self.fixed | names]
        if not free:
            raise ChartError("fixed leaves no hyperparameter to search; take one out of fixed", key="fixed")
        for axes in itertools.combinations(self.axes, len(free)):
            if _unimodular(np.array([[axis.exponents.get(name, 0) for name in free] for axis in axes])):
                return replace(self, axes=tuple(self._alone(axis, free) for axis in axes), fixed=self.fixed | names)
        raise ChartError(f"no axes of chart {self.name} search {', '.join(free)} alone; change fixed", key="fixed")

    def restrict(self, names: Iterable[str]) -> Chart:
        """The chart of these hyperparameters alone; axes lose the others and are named after those left.

        Raises ChartError as `fix` does.
        """
        names = set(map(canonical, names))
        held = self.fix(name for name in self.hyperparameters if name not in names)
        axes = tuple(self._named_after(axis, names) for axis in held.axes)
        return replace(
            held,
            hyperparameters=held.free,
            axes=axes,
            one_minus=self.one_minus & names,
            whole=self.whole & names,
            bounds={name: pair for name, pair in self.bounds.items() if name in names},
            follows=self.follows if self.follows in names else None,
            fixed=frozenset(),
        )

    def _named_after(self, axis: Axis, names: Collection[str]) -> Axis:
        exponents = {name: power for name, power in axis.exponents.items() if name in names}
        if exponents == axis.exponents:
            return axis
        return replace(axis, name=product(exponents, self.one_minus), exponents=exponents)

    def _alone(self, axis: Axis, free: Sequence[str]) -> Axis:
        """An axis under the name of the only free hyperparameter in it, where it goes up with that one."""
        moved = {name: power for name, power in axis.exponents.items() if name in free}
        if len(moved) > 1 or set(moved.values()) != {1}:
            return axis
        name = next(iter(moved))
        return replace(axis, name=label(name, name in self.one_minus), exponents=moved)

    def within(self, bounds: Mapping[str, tuple[float | None, float | None]]) -> Chart:
        """The chart with these bounds as well; the narrower one counts on each side."""
        merged = dict(self.bounds)
        for name, (low, high) in canonical_keys(bounds).items():
            old_low, old_high = merged.get(name, (None, None))
            lows = [x for x in (low, old_low) if x is not None]
            highs = [x for x in (high, old_high) if x is not None]
            merged[name] = (max(lows, default=None), min(highs, default=None))
        return replace(self, bounds=merged)


def product(exponents: Mapping[str, int], one_minus: Collection[str] = ()) -> str:
    """A product of powers of ±1 in words: lr·wd/((1−momentum)·batch_size)."""
    above = "·".join(label(name, name in one_minus) for name, power in exponents.items() if power > 0) or "1"
    below = [label(name, name in one_minus) for name, power in exponents.items() if power < 0]
    below = [f"({name})" if "−" in name else name for name in below]
    return f"{above}/({'·'.join(below)})" if len(below) > 1 else "/".join([above, *below])


def alike(one: Any, other: Any) -> bool:
    """Whether two choices are the same; 1 is not True."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _unimodular(matrix: np.ndarray[Any, Any]) -> bool:
    """Whether an integer matrix has an integer inverse; checked in integers, floats only propose it."""
    if matrix.shape[0] != matrix.shape[1] or not matrix.size or abs(abs(np.linalg.det(matrix)) - 1) > 0.5:
        return False
    inverse = np.rint(np.linalg.inv(matrix)).astype(np.int64)
    return bool((matrix @ inverse == np.eye(len(matrix), dtype=np.int64)).all())
