"""The next point of any of flatdirs' own searches, by its settings."""

from __future__ import annotations

from collections.abc import Sequence

from flatdirs.search import Settings, bayes, choices, coordinate_descent
from flatdirs.search.known import BayesSettings, resolved
from flatdirs.search.types import Run, RunId, Suggestion
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid


def suggest(
    grid: Grid,
    settings: Settings,
    runs: Sequence[Run],
    pending: Sequence[RunId] = (),
    left: int | None = None,
) -> Suggestion | None:
    """The point to run next; None once the search is over. `runs`: oldest first.

    Myrtle's search has an end, the Bayesian one only where nothing is left to run: a deterministic objective whose
    points within the bounds were all run. `left`: runs that are left, this one included, of which it makes the last
    ones replicates; None: not known. Raises ConfigError where Myrtle's search is given choices.
    """
    if isinstance(settings, BayesSettings):
        settings = resolved(settings, runs)
        own = choices.suggest if grid.chart.open_choices else bayes.suggest
        found = own(grid, runs, pending, settings, left)
        return None if settings.deterministic and found.replicate else found
    coordinate_descent.refuse_choices(grid.chart)
    return next(coordinate_descent.suggestions(grid, settings, runs, pending), None)


def incumbent(grid: Grid, settings: Settings, runs: Sequence[Run]) -> Point | None:
    """The best point by these runs, as the search sees it; None before any result."""
    if isinstance(settings, BayesSettings):
        return (choices.incumbent if grid.chart.open_choices else bayes.incumbent)(grid, runs, settings)
    return coordinate_descent.trace(grid, settings, {run.id: run for run in reversed(runs)}).incumbent
