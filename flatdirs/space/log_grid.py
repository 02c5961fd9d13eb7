"""A grid in octaves, as arrays: many points at a time, for the models of the search.

In: a Grid. Out: places in steps, as floats (n, axes), and log₂ of the free hyperparameters, 1 − momentum for momentum.
A run's place is that of its rounded values, so it may lie beside its grid point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LogGrid:
    """log₂ of each free hyperparameter (1 − momentum for momentum) is `base` + `rows` · steps.

    Arrays: `base`, `bounds` (free,), `rows` (free, axes).
    """

    grid: Grid

    @cached_property
    def octaves(self) -> float:
        """The length of one step."""
        return math.log2(self.grid.chart.step)

    @cached_property
    def rows(self) -> Array:
        """The octaves by which each free hyperparameter moves with a step along each axis."""
        rows: Array = np.asarray(self.grid.chart.inverse * self.octaves, dtype=np.float64)
        return rows

    @cached_property
    def base(self) -> Array:
        """The start."""
        chart = self.grid.chart
        return np.array([math.log2(chart.inner(name, self.grid.start[name])) for name in chart.free])

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The lowest and the highest log₂ of each free hyperparameter, infinite where there is no bound."""
        chart = self.grid.chart
        lows, highs = [], []
        for name in chart.free:
            pair = chart.bounds.get(name, (None, None))
            ends = [None if x is None else chart.inner(name, x) for x in pair]  # 0 and infinite: no end on this scale
            low, high = reversed(ends) if name in chart.one_minus else ends
            lows.append(-math.inf if low is None or low <= 0 else math.log2(low))
            highs.append(math.inf if high in (None, math.inf) else math.log2(high) if high > 0 else -math.inf)
        return np.array(lows), np.array(highs)

    @cached_property
    def further(self) -> NDArray[np.bool_]:
        """Which axes are a further hyperparameter."""
        chart = self.grid.chart
        return np.array([set(axis.exponents) <= set(chart.scales) for axis in chart.axes])

    @property
    def unrelated(self) -> bool:
        """Whether all axes are further hyperparameters, of which nothing is known."""
        return bool(self.further.all())

    @cached_property
    def rounded_axes(self) -> list[int]:
        """The axes of further hyperparameters that are whole or have steps: several points have the same values."""
        chart = self.grid.chart
        coarse = {name for name in chart.scales if name in chart.whole or name in chart.steps}
        return [number for number, axis in enumerate(chart.axes) if set(axis.exponents) <= coarse]

    def canonical(self, points: Array) -> Array:
        """Points (n, axes) of whole steps, each as the one that stands for all with its rounded values."""
        return np.rint(self.rounded(points)) if self.rounded_axes else points

    def rounded(self, points: Array) -> Array:
        """Where the values lie, in steps, once those that are whole or have steps are rounded."""
        found: Array = points.copy()
        for axis in self.rounded_axes:
            steps, place = np.unique(points[:, axis], return_inverse=True)
            found[:, axis] = np.array([self.grid.rounded_step(axis, step) for step in steps.tolist()])[place]
        return found

    @cached_property
    def averaging(self) -> list[int]:
        """The places of momentum and beta1 among the free hyperparameters, further ones left out."""
        chart = self.grid.chart
        usual = chart.one_minus - set(chart.scales)
        return [place for place, name in enumerate(chart.free) if name in usual]

    @cached_property
    def decay(self) -> tuple[int, int] | None:
        """The axis that is the weight decay alone, and the power of the weight decay in the first axis."""
        axes = self.grid.chart.axes
        alone = [number for number, axis in enumerate(axes) if number and axis.exponents == {"wd": 1}]
        return (alone[0], axes[0].exponents.get("wd", 0)) if alone else None

    @cached_property
    def timescales(self) -> Array:
        """The octaves by which T·lr·wd/(1−momentum) moves with a step along each axis (T falls as the batch grows)."""
        powers = {"lr": 1, "wd": 1, "momentum": -1, "batch_size": -1}
        return np.array([powers.get(name, 0) for name in self.grid.chart.free]) @ self.rows

    def run_places(self, points: list[Point]) -> Array:
        """Where runs of these points really lie, in steps (n, axes): what was run is rounded, the points are not."""
        return np.array([self._run_place(point) for point in points], dtype=np.float64).reshape(
            len(points), len(self.grid.chart.axes)
        )

    def _run_place(self, point: Point) -> Array:
        chart, values = self.grid.chart, self.grid.hyperparameters(point)
        logs = np.array([math.log2(chart.inner(name, values[name])) for name in chart.free])
        place: Array = chart.matrix @ (logs - self.base) / self.octaves
        return place

    def sheared(self, points: Array, power: float) -> Array:
        """Points (n, axes) in octaves, with the weight decay in the first coordinate to this power."""
        octaves = points * self.octaves
        if self.decay is not None:
            axis, own = self.decay
            octaves[:, 0] += (power - own) * octaves[:, axis]
        return octaves

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Which of these points (n, axes) are within the bounds."""
        logs = self.base + self.rounded(points) @ self.rows.T
        low, high = self.bounds
        found: NDArray[np.bool_] = np.all((logs >= low - 1e-9) & (logs <= high + 1e-9), axis=1)
        return found
