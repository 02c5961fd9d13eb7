"""A grid in octaves, as arrays: many points at a time, for the models of the search.

    point (steps along the axes of the chart) ◄──► octaves from the start, one for each free hyperparameter

Octaves are log₂ of a hyperparameter (1 − momentum for momentum, the scale's own for a further one) relative to the
start. Where the chart and its inverse have whole exponents only, whole steps along its axes are whole steps along the
hyperparameters, and the grid is that of the hyperparameters whatever the chart. Otherwise the grid is that of the
chart's axes. Values that are whole or have steps lie where they are rounded to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from flatdirs.space.chart import Point
from flatdirs.space.grid import PLACES, Grid

Array = NDArray[np.float64]
SAME = 1e-5  # octaves below which two places are one: less than rounding to four digits


@dataclass(frozen=True)
class LogGrid:
    """Arrays by free hyperparameter: `base` log₂ of the start, `low` and `high` the bounds in octaves from it."""

    grid: Grid

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The free hyperparameters."""
        return self.grid.chart.free

    @cached_property
    def step(self) -> float:
        """The length of one step in octaves."""
        return math.log2(self.grid.chart.step)

    @cached_property
    def base(self) -> Array:
        """log₂ of the start."""
        chart = self.grid.chart
        return np.array([math.log2(chart.inner(name, self.grid.start[name])) for name in chart.free])

    @cached_property
    def low(self) -> Array:
        """The lowest octaves of each free hyperparameter, −inf where there is no bound; whole ones stay above 1."""
        return np.array([self._ends(name)[0] for name in self.names]) - self.base

    @cached_property
    def high(self) -> Array:
        """The highest octaves of each free hyperparameter, inf where there is no bound."""
        return np.array([self._ends(name)[1] for name in self.names]) - self.base

    def _ends(self, name: str) -> tuple[float, float]:
        """log₂ of the bounds as they enter the products."""
        chart = self.grid.chart
        ends = [None if x is None else chart.inner(name, x) for x in chart.bounds.get(name, (None, None))]
        low, high = reversed(ends) if name in chart.one_minus else ends
        if name in chart.whole and name not in chart.scales:
            low = max(low or 1.0, 1.0)
        first = -math.inf if low is None or low <= 0 else math.log2(low)
        return first, math.inf if high in (None, math.inf) else math.log2(high) if high > 0 else -math.inf

    def octaves(self, points: Array) -> Array:
        """Where points (n, axes) lie: octaves (n, free) from the start, whole values and steps rounded."""
        return self.rounded(points @ self._inverse.T * self.step)

    @cached_property
    def _matrix(self) -> Array:
        return self.grid.chart.matrix.astype(np.float64)

    @cached_property
    def _inverse(self) -> Array:
        return self.grid.chart.inverse.astype(np.float64)

    def rounded(self, octaves: Array) -> Array:
        """Octaves (n, free) once values that are whole or have steps are rounded."""
        found: Array = octaves.copy()
        chart = self.grid.chart
        for place, name in enumerate(self.names):
            if name in chart.scales and (name in chart.whole or name in chart.steps):
                axis = next(n for n, one in enumerate(chart.axes) if set(one.exponents) == {name})
                steps, where = np.unique(np.round(found[:, place] / self.step, PLACES), return_inverse=True)
                found[:, place] = np.array([self.grid.rounded_step(axis, s) for s in steps.tolist()])[where] * self.step
            elif name in chart.whole:
                value = np.exp2(found[:, place] + self.base[place])
                found[:, place] = np.log2(np.maximum(1.0, np.floor(value + 0.5))) - self.base[place]
        return found

    def snapped(self, octaves: Array) -> Array:
        """The nearest places (n, free) on the grid, or on a bound beyond which they lie, each once, in order."""
        if self.grid.chart.unimodular:
            on_grid = np.rint(octaves / self.step) * self.step
        else:
            on_grid = np.rint(octaves @ self._matrix.T / self.step) @ self._inverse.T * self.step
        return each_once(self.rounded(np.clip(on_grid, self.low, self.high)))

    def point(self, octaves: Array) -> Point:
        """The point of a place (free,): whole steps where it lies on the grid or is rounded from there."""
        steps = self._matrix @ octaves / self.step
        whole = np.rint(steps)
        if np.abs(self.octaves(whole[None])[0] - octaves).max() < SAME:
            return tuple(int(step) for step in whole)
        return tuple(round(float(step), PLACES) + 0.0 for step in steps)

    def inside(self, octaves: Array) -> NDArray[np.bool_]:
        """Which of these places (n, free) are within the bounds."""
        found: NDArray[np.bool_] = np.all((octaves >= self.low - SAME) & (octaves <= self.high + SAME), axis=1)
        return found


def each_once(places: Array) -> Array:
    """Places (n, free) without repetition, in order of their first appearance."""
    _, first = np.unique(_keys(places), return_index=True)
    return places[np.sort(first)]


def among(places: Array, others: Array) -> NDArray[np.bool_]:
    """Which of these places (n, free) are one of the others (m, free)."""
    found: NDArray[np.bool_] = np.isin(_keys(places), _keys(others))
    return found


def _keys(places: Array) -> NDArray[np.int64]:
    """A key for each place (n, free): the same for those that are the same but for rounding.

    A sum with random odd factors modulo 2⁶⁴, which two of a million places share once in ten million times.
    """
    whole: NDArray[np.int64] = np.rint(places / SAME).astype(np.int64)
    keys: NDArray[np.int64] = (whole * _factors(places.shape[1])).sum(axis=1)
    return keys


@lru_cache
def _factors(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(-(2**62), 2**62, count) * 2 + 1
