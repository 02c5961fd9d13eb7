"""The points that the Bayesian search compares: whole steps of half a move (√2) around the best points.

A coarse grid first, then every step around the most promising of it. Without further hyperparameters these are all
combinations of shifts along the axes. With these there would be too many: all combinations of the others, and every
shift along one or two axes, twice in a row, so that a candidate may differ along four. Points that are rounded to the
same values are one candidate. Arrays of points are (n, axes), in steps. Ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flatdirs.search.gp import Model
from flatdirs.space.chart import Point
from flatdirs.space.log_grid import Array, LogGrid

REACH = {"first": 8, "averaging": 4, "other": 6}  # steps around the best points that are candidates
COARSE = {"first": 2, "averaging": 4, "other": 2}  # spacing of the coarse grid
PROMISING, FEWER = 5, 3  # candidates of the coarse grid that are refined; with further hyperparameters
MOST_SHIFTS = 1500  # combinations of shifts around one point; beyond that they are along two axes at most
WIDE = 16  # steps around the best point for new points once all nearer ones were run


class Candidates:
    """What may be run next, by a model and the points that were `tried` (finished or pending). `held`: flat axes."""

    def __init__(self, model: Model, tried: Array, held: Sequence[int]) -> None:
        self._model, self._tried, self._held = model, tried, held
        log_grid = model.log_grid
        self._kinds = _kinds(log_grid)
        self._further = bool(log_grid.further.any())

    def best(self, centres: Sequence[Point]) -> Array:
        """The candidates around the most promising places near these points, tried ones included."""
        around = self._usable(_moved(_whole_steps(centres), self._coarse()))
        promising = self._promising(around)
        if self._further:
            sides = self._sides(REACH, COARSE)
            again = self._usable(_moved(_whole_steps(promising), _pairs(sides)))
            promising = self._promising(np.concatenate([around, again]))
        sides = [range(-(COARSE[kind] // 2), COARSE[kind] // 2 + 1) for kind in self._kinds]
        shifts = _limited(self._unheld(sides))
        return self._usable(_moved(_whole_steps(promising), shifts))

    def wide(self, best: Point) -> Array:
        """Points along one or two axes, far around a point."""
        sides = [range(-WIDE, WIDE + 1)] * len(self._kinds)
        return self._usable(_moved(_whole_steps([best]), _pairs(sides)))

    def new(self, points: Array) -> Array:
        """Those of these points that were not tried."""
        tried = (points[:, None] == self._tried[None]).all(axis=2).any(axis=1)
        found: Array = points[~tried]
        return found

    def _promising(self, points: Array) -> Array:
        found: Array = points[ranked(self._model.acquisition(points))[: FEWER if self._further else PROMISING]]
        return found

    def _coarse(self) -> Array:
        """Shifts on the coarse grid: all combinations, those of further hyperparameters two axes at a time."""
        sides = self._sides(REACH, COARSE)
        if not self._further:
            return _product(sides)
        further = self._model.log_grid.further
        others = [range(1) if one else side for one, side in zip(further, sides, strict=True)]
        return np.concatenate([_limited(others), _pairs(sides)])

    def _sides(self, reach: dict[str, int], spacing: dict[str, int]) -> list[range]:
        return self._unheld([range(-reach[kind], reach[kind] + 1, spacing[kind]) for kind in self._kinds])

    def _unheld(self, sides: Sequence[range]) -> list[range]:
        return [range(1) if axis in self._held else side for axis, side in enumerate(sides)]

    def _usable(self, points: Array) -> Array:
        """Those within the bounds whose weight decay has an effect, and the tried ones, each once, in order."""
        log_grid, best = self._model.log_grid, self._model.best
        points = _each_once(log_grid.canonical(points)) if log_grid.rounded_axes else points
        usable = log_grid.inside(points) & ~self._model.without_effect(points, best)
        return _each_once(np.concatenate([points[usable], self._tried]))


def ranked(acquisition: Array) -> NDArray[np.intp]:
    """Places by falling acquisition; differences in the last digits, as between machines, do not count."""
    return np.argsort(-np.round(acquisition / (acquisition.max() or 1.0), 9), kind="stable")


def _kinds(log_grid: LogGrid) -> list[str]:
    """What sort of axis each is: the steep first one, an average over steps (1−momentum, 1−beta1), or another."""
    chart = log_grid.grid.chart
    averages = chart.one_minus - set(chart.scales)
    kinds = ["averaging" if set(axis.exponents) <= averages else "other" for axis in chart.axes]
    return ["first", *kinds[1:]]


def _whole_steps(points: Sequence[Point] | Array) -> Array:
    """Points (n, axes), those off the grid at the nearest whole steps."""
    found: Array = np.rint(np.array(points, dtype=float))
    return found


def _moved(points: Array, shifts: Array) -> Array:
    """Every point (n, axes) moved by every shift (m, axes): (n·m, axes)."""
    found: Array = (points[:, None] + shifts[None]).reshape(-1, points.shape[1])
    return found


def _product(sides: Sequence[range]) -> Array:
    """Every combination of shifts."""
    return np.array(list(itertools.product(*sides)), dtype=float)


def _limited(sides: Sequence[range]) -> Array:
    """Every combination of shifts, or those along two axes at most where these would be too many."""
    return _product(sides) if np.prod([len(side) for side in sides]) <= MOST_SHIFTS else _pairs(sides)


def _pairs(sides: Sequence[range]) -> Array:
    """No shift, and every shift along one axis or two."""
    found = [np.zeros((1, len(sides)))]
    moving = [np.array([step for step in side if step], dtype=float) for side in sides]
    for axis, steps in enumerate(moving):
        alone = np.zeros((len(steps), len(sides)))
        alone[:, axis] = steps
        found.append(alone)
        for other in range(axis):
            both = np.repeat(alone, len(moving[other]), axis=0)
            both[:, other] = np.tile(moving[other], len(steps))
            found.append(both)
    return np.concatenate(found)


def _each_once(points: Array) -> Array:
    """Points (n, axes), each once, in order: as numpy.unique along an axis, but faster where all steps are whole."""
    low = points.min(axis=0)
    spans = points.max(axis=0) - low + 1.0
    if np.prod(spans) > 2.0**52 or (points != np.rint(points)).any():
        return np.unique(points, axis=0)
    numbers = (points - low) @ np.append(np.cumprod(spans[:0:-1])[::-1], 1.0)
    found: Array = points[np.unique(numbers, return_index=True)[1]]
    return found
