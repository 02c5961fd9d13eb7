"""A chart: a change of coordinates between hyperparameters and products of their powers.

A chart is data: an invertible square matrix of exponents, whole numbers or fractions, read from conf/chart/*.yaml. Its
axes are products of powers of the hyperparameters, such as lr·wd/(1−momentum) or lr·batch_size^−0.5. Moving along one
axis multiplies that product and leaves the other axes as they are; learning rate, momentum and weight decay follow by
the inverse matrix, which is exact (exact_matrix.py). Further hyperparameters (further.py) have an axis each, on a scale
of their own; choices have none.

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
from flatdirs.space.exact_matrix import Exact, Rows, condition, exact, inverted, is_whole
from flatdirs.space.names import canonical, canonical_keys, label
from flatdirs.space.scales import Scale

Point = tuple[float, ...]  # whole steps; real numbers for a run that lies off the grid
Hyperparameters = dict[str, Any]  # numbers, and of choices what was chosen
Matrix = np.ndarray[Any, np.dtype[np.object_]]  # of exact numbers
Direction = Literal["double", "halve"]
SIGN: Mapping[str, int] = {"double": 1, "halve": -1}
LARGEST_CONDITION = 1000.0  # of the matrix; beyond it, rounding values to four digits may move an axis by a whole step


@dataclass(frozen=True)
class Axis:
    """One coordinate: the product of the hyperparameters to powers, and the direction to try first.

    `exponents`: whole numbers or fractions; decimals (-0.5) and text ("1/2") are read exactly, as they are written.
    Raises ChartError for anything else.
    """

    name: str
    exponents: Mapping[str, Exact]
    first: Direction = "double"

    def __post_init__(self) -> None:
        try:
            powers = {name: exact(power) for name, power in canonical_keys(self.exponents).items()}
        except ValueError as error:
            raise wrong("chart.axes", self.name, f"has an exponent that is no number: {error}", ChartError) from error
        object.__setattr__(self, "exponents", powers)


@dataclass(frozen=True)
class Chart:
    """An invertible map between hyperparameters and coordinates, linear in logarithms.

    `one_minus` names the hyperparameters that enter as 1 − value (momentum), `whole` those that are whole numbers
    (batch size). `follows` (the learning rate) makes up for the rounding of either, so that the first axis it enters
    keeps its value. `bounds`: low and high per hyperparameter, None for none; `fixed` ones stay at the start. `step` is
    the factor of one step of the grid, of which `parts` make one move. `scales`: of the further hyperparameters;
    `steps`: the spacing of those that have one; `choices`: what is no number. Long names become short ones. Raises
    ChartError where the axes do not determine the hyperparameters, or hardly (LARGEST_CONDITION).
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
        self._check_axes()

    def _check_axes(self) -> None:
        """Raise ChartError unless the axes determine the free hyperparameters, and well."""
        over = f"the exponents of {len(self.axes)} axes over {', '.join(self.free)}"
        rows = _rows(self.axes, self.free)
        if len(self.axes) != len(self.free) or inverted(rows) is None:
            problem = f"chart {self.name}: {over} must form a square matrix that can be inverted; change chart.axes"
            raise ChartError(problem, key="chart.axes")
        if (found := condition(rows)) > LARGEST_CONDITION:
            raise ChartError(
                f"chart {self.name}: {over} form a matrix of condition number {found:.3g}, above "
                f"{LARGEST_CONDITION:g}, so some axes hardly differ; change chart.axes",
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
    def matrix(self) -> Matrix:
        """Exponents, (axes, free hyperparameters), exact: log coordinates = matrix · log hyperparameters."""
        return _array(_rows(self.axes, self.free))

    @cached_property
    def inverse(self) -> Matrix:
        """The exact inverse, (free hyperparameters, axes): column i is what a step along axis i does."""
        return _array(inverted(_rows(self.axes, self.free)) or ())

    @cached_property
    def unimodular(self) -> bool:
        """Whether whole steps along the axes are whole steps of the hyperparameters, and the other way round."""
        return _is_unimodular(_rows(self.axes, self.free))

    def response(self, axis: int) -> dict[str, Exact]:
        """By how many steps each hyperparameter (momentum as 1 − momentum) moves when `axis` is moved up by one."""
        return {name: n for name, n in zip(self.free, self.inverse[:, axis].tolist(), strict=True) if n}

    def coordinates(self, hyperparameters: Mapping[str, float]) -> dict[str, float]:
        """The value of every axis, by name, at these hyperparameters; a further one on its own axis is itself."""
        result = {}
        for axis in self.axes:
            value = 1.0
            for name, power in axis.exponents.items():
                value *= self._entering(name, hyperparameters[name]) ** float(power)
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

        Keeps the first axes that still determine the free hyperparameters, those first of which whole steps are whole
        steps of the hyperparameters. An axis with one free hyperparameter left, as lr·wd/(1−momentum) has where
        momentum and wd are fixed, takes its name. Raises ChartError for an unknown name, or where nothing is left to
        search.
        """
        names = frozenset(map(canonical, names))
        if unknown := names - set(self.hyperparameters) - set(self.choices):
            known = ", ".join([*self.hyperparameters, *self.choices])
            problem = f"names no hyperparameter of chart {self.name}, which has {known}"
            raise wrong("fixed", sorted(unknown), problem, ChartError)
        free = [name for name in self.hyperparameters if name not in self.fixed | names]
        if not free:
            raise ChartError("fixed leaves no hyperparameter to search; take one out of fixed", key="fixed")
        every = itertools.combinations(self.axes, len(free))
        usable = [axes for axes in every if inverted(_rows(axes, free)) is not None]  # never empty
        axes = next((axes for axes in usable if _is_unimodular(_rows(axes, free))), usable[0])
        return replace(self, axes=tuple(self._alone(axis, free) for axis in axes), fixed=self.fixed | names)

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
        if len(moved) > 1 or min(moved.values()) < 0:
            return axis
        name = next(iter(moved))
        return replace(axis, name=label(name, name in self.one_minus), exponents={name: 1})

    def within(self, bounds: Mapping[str, tuple[float | None, float | None]]) -> Chart:
        """The chart with these bounds as well; the narrower one counts on each side."""
        merged = dict(self.bounds)
        for name, (low, high) in canonical_keys(bounds).items():
            old_low, old_high = merged.get(name, (None, None))
            lows = [x for x in (low, old_low) if x is not None]
            highs = [x for x in (high, old_high) if x is not None]
            merged[name] = (max(lows, default=None), min(highs, default=None))
        return replace(self, bounds=merged)


def product(exponents: Mapping[str, Exact | float], one_minus: Collection[str] = ()) -> str:
    """A product of powers in words: lr·wd/((1−momentum)·batch_size), lr·batch_size^−0.5."""
    above, below = list[str](), list[str]()
    powers = {name: power for name, power in exponents.items() if power}
    for name, power in powers.items():
        shown = label(name, name in one_minus)
        shown = f"({shown})" if "−" in shown and powers != {name: 1} else shown
        if power == -1:
            below.append(shown)
        else:
            above.append(shown if power == 1 else f"{shown}^{float(power):.4g}".replace("-", "−"))
    over = "·".join(above) or "1"
    return "/".join([over, f"({'·'.join(below)})" if len(below) > 1 else below[0]]) if below else over


def alike(one: Any, other: Any) -> bool:
    """Whether two choices are the same; 1 is not True."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _rows(axes: Sequence[Axis], names: Sequence[str]) -> Rows:
    return tuple(tuple(axis.exponents.get(name, 0) for name in names) for axis in axes)


def _array(rows: Rows) -> Matrix:
    return np.array(rows, dtype=object).reshape(len(rows), len(rows))


def _is_unimodular(rows: Rows) -> bool:
    inverse = inverted(rows)
    return inverse is not None and is_whole(rows) and is_whole(inverse)
