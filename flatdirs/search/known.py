"""What the runs of a search say, as arrays and as a model: places, values, where runs diverge, the incumbent.

    runs ──► usable_runs (settings: which values count) ──► Known: places, model (gp.py), divergence, ranking

Each is computed when it is first used. Higher values are better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatdirs.search.divergence import DivergenceModel
from flatdirs.search.gp import Model
from flatdirs.search.kernel_family import Kernels
from flatdirs.search.score_warping import ROUNDING
from flatdirs.search.structure import structure_of
from flatdirs.search.types import EarlierRun, Run, check_settings, usable_value
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid
from flatdirs.space.log_grid import Array, LogGrid

DIGITS = 4  # that two values of one point must share before the objective counts as deterministic
FEWEST = 2  # runs with a value before the model decides
AGREEING = 2  # replicates without a difference, after which points are not replicated any more


@dataclass(frozen=True)
class BayesSettings:
    """`diverged`: "worst" ranks such a run below every finished one, "value" takes the number it left.
    `plateau_limit`: runs along the first axis after which the model decides in any case. `deterministic`: a run of one
    point always gives the same value, so none is made twice and the best observed is the best; None: the runs show
    whether it does, and the incumbent is run once more to see. `kernels`: those of kernel_family.py, for comparisons.
    `earlier`: runs of an earlier study, whose means are one prior mean of the model among others, so that runs here
    may overrule it. `second`: a setting to run after the start, such as the one which that study handed over.
    """

    diverged: str = "worst"
    plateau_limit: int = 12
    deterministic: bool | None = False
    kernels: Kernels = "all"
    earlier: Sequence[EarlierRun] = ()
    second: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_settings(self.diverged, self.plateau_limit)
        told = [EarlierRun(**one) if isinstance(one, Mapping) else one for one in self.earlier]  # as a study keeps them
        object.__setattr__(self, "earlier", tuple(told))


@dataclass(frozen=True)
class Known:
    """What the runs say, as arrays. `runs`: with usable values, nearest to the start first."""

    log_grid: LogGrid
    runs: Sequence[Run]
    settings: BayesSettings

    @cached_property
    def places(self) -> Array:
        """Where the runs lie (n, free), in octaves from the start."""
        return places_of(self.log_grid, [run.point for run in self.runs])

    @cached_property
    def diverged(self) -> NDArray[np.bool_]:
        """Which runs diverged without a value that counts (n,)."""
        return np.array([run.state == "diverged" and run.value == -math.inf for run in self.runs], dtype=bool)

    @cached_property
    def divergence(self) -> DivergenceModel:
        """Where runs diverge."""
        return DivergenceModel(self.log_grid.names, self.places, self.diverged)

    @cached_property
    def model(self) -> Model:
        """The model of the values of all runs that did not diverge."""
        values = np.array([run.value for run in self.runs])
        ended, deterministic = ~self.diverged, self.settings.deterministic is True
        structure = structure_of(self.log_grid)
        kernels, earlier = self.settings.kernels, self.earlier
        return Model(structure, self.places[ended], values[ended], deterministic, kernels, earlier)

    @cached_property
    def earlier(self) -> Callable[[Array], Array] | None:
        """What the earlier study says of places (n, free): warped values (units, n), 0 at the best of its runs.

        None where fewer than FEWEST of its runs have a place here.
        """
        grid = self.log_grid.grid
        pairs = [(grid.place(run.hyperparameters), run.value) for run in self.settings.earlier]
        placed = {point: value for point, value in pairs if point is not None and math.isfinite(value)}
        if len(placed) < FEWEST:
            return None
        places = places_of(self.log_grid, list(placed))
        model = Model(structure_of(self.log_grid), places, np.array(list(placed.values())))
        top = float(model.expected(places).max())

        def warped(places: Array) -> Array:
            gaps = np.maximum(0.0, top - model.expected(places))
            found: Array = -np.log1p(gaps / model.warped.units[:, None])
            return found

        return warped

    @cached_property
    def finished(self) -> int:
        """How many runs have a value."""
        return sum(math.isfinite(run.value) for run in self.runs)

    @cached_property
    def points(self) -> list[Point]:
        """The points with a value, each once."""
        return list(dict.fromkeys(run.point for run in self.runs if math.isfinite(run.value)))

    @cached_property
    def expected(self) -> Array:
        """The posterior mean of the value at each of the points, without the last bits, which differ by machine."""
        found = self.model.expected(places_of(self.log_grid, self.points))
        return np.round(found, _decimals_kept(self.model))

    @cached_property
    def even(self) -> bool:
        """Whether all runs that have a value have the same, but for rounding."""
        values = [run.value for run in self.runs if math.isfinite(run.value)]
        return bool(values) and math.isclose(min(values), max(values), rel_tol=ROUNDING)

    @cached_property
    def ranking(self) -> list[Point]:
        """The points with a value, best first: by posterior mean; by value where there is no noise, or too few runs."""
        if self.settings.deterministic or self.finished <= FEWEST:
            means = [fmean(run.value for run in self.runs if run.point == point) for point in self.points]
        else:
            means = self.expected.tolist()
        order = sorted(range(len(means)), key=lambda number: -means[number])
        return [self.points[number] for number in (range(len(means)) if self.even else order)]

    @property
    def best(self) -> Point:
        """The incumbent; the run nearest to the start where none has a value."""
        return self.ranking[0] if self.points else self.runs[0].point


def _decimals_kept(model: Model) -> int:
    """Decimals of an expected value, so that differences in the last bits, as between machines, do not count."""
    return 9 - math.floor(math.log10(max(float(model.warped.units[0]), 1e-290)))


def places_of(log_grid: LogGrid, points: Sequence[Point]) -> Array:
    """Places (n, free) in octaves of points."""
    return log_grid.octaves(np.array(points, dtype=float).reshape(len(points), len(log_grid.grid.chart.axes)))


def known_of(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Known:
    """What these runs say (at least one)."""
    settings = resolved(settings, runs)
    return Known(LogGrid(grid), usable_runs(runs, settings), settings)


def resolved(settings: BayesSettings | None, runs: Collection[Run]) -> BayesSettings:
    """The settings as these runs show them: whether the objective is deterministic, where nobody told.

    It is where points were run more than once and gave the same value each time, in at least four of the digits in
    which the objective is known.
    """
    settings = settings or BayesSettings()
    if settings.deterministic is not None:
        return settings
    found = values_by_point(runs)
    again = [values for values in found.values() if len(values) > 1]
    if not again:
        return settings
    decimals = max(_decimals(values[0]) for values in found.values())
    digits = max(math.floor(math.log10(abs(values[0]) or 1.0)) + 1 + decimals for values in again)
    return replace(settings, deterministic=digits >= DIGITS and all(len(set(values)) == 1 for values in again))


def values_by_point(runs: Collection[Run]) -> dict[Point, list[float]]:
    """The values of the runs that have one, by point."""
    values: dict[Point, list[float]] = {}
    for run in runs:
        if math.isfinite(run.value) and run.state == "finished":
            values.setdefault(run.point, []).append(run.value)
    return values


def _decimals(value: float) -> int:
    """The decimals in which a value is written: 2 for 94.25."""
    places = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -int(places))


def usable_runs(runs: Collection[Run], settings: BayesSettings) -> list[Run]:
    """The runs with the values that count, nearest to the start first; values that differ by rounding become equal."""
    valued = [_with_value(run, usable_value(run, settings.diverged)) for run in runs]
    levels: dict[float, float] = {}
    for value in sorted({run.value for run in valued}):
        before = next(reversed(levels.values()), None)
        same = before is not None and math.isclose(before, value, rel_tol=ROUNDING)
        levels[value] = before if same and before is not None else value
    ordered = sorted(valued, key=lambda run: (sum(map(abs, run.point)), run.point, run.replicate, run.value, run.state))
    return [_with_value(run, levels[run.value]) for run in ordered]


def _with_value(run: Run, value: float) -> Run:
    return run if value == run.value else replace(run, value=value)


def replicates_agree(runs: Sequence[Run]) -> bool:
    """Whether finished points were replicated, AGREEING times or more in all, and always gave the same value."""
    values = values_by_point(runs)
    again = sum(len(found) - 1 for found in values.values())
    return again >= AGREEING and all(len(set(found)) == 1 for found in values.values())
