"""Choices, such as between optimizers, by a simple rule outside the model of the numbers.

The numbers are searched with one choice of each parameter, at first the start's; runs with other choices do not enter
that model. Every fifth run tries an alternative instead: the one that was tried least, for one parameter at a time, at
the incumbent's numbers. It takes over when the mean of its runs at those numbers is better than that of the incumbent,
which is an alternative from then on and has its turn again. The last runs of a budget have no such turn.

A point is the steps of the numbers followed by one number for each choice, 0 for the start's. Which choices stand is
computed from the runs alone: first the start's, then the best alternative at the incumbent's numbers, until none is
better.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from flatdirs.search import bayes
from flatdirs.search.ending import LAST
from flatdirs.search.explain import describe_move
from flatdirs.search.known import BayesSettings, resolved
from flatdirs.search.types import Run, RunId, Suggestion, usable_value
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid

EVERY = 5  # one run in so many tries an alternative
Chosen = tuple[int, ...]  # the number of each choice


def suggest(
    grid: Grid,
    runs: Collection[Run],
    pending: Collection[RunId] = (),
    settings: BayesSettings | None = None,
    left: int | None = None,
) -> Suggestion:
    """Return the point to run next: numbers with the choices that stand, or an alternative in its turn."""
    settings = resolved(settings, runs)
    chosen = standing(grid, runs, settings)
    held, own = with_choices(grid, chosen), runs_with(grid, runs, chosen)
    busy = [(point[: -len(chosen)], number) for point, number in pending if point[-len(chosen) :] == chosen]
    turn = (len(runs) + len(pending)) % EVERY == EVERY - 1 and (left is None or left > LAST)
    if turn and not bayes.brackets(held, own, busy, settings):
        best = bayes.incumbent(held, own, settings)
        found = None if best is None else _alternative(grid, (*best, *chosen), runs, pending, settings)
        if found is not None:
            return found
    numbers = bayes.suggest(held, own, busy, settings, left)
    if settings.deterministic and numbers.replicate and numbers.incumbent is not None:  # no new numbers are left
        found = _alternative(grid, (*numbers.incumbent, *chosen), runs, pending, settings)
        if found is not None:
            return found
    best = None if numbers.incumbent is None else (*numbers.incumbent, *chosen)
    return replace(numbers, point=(*numbers.point, *chosen), incumbent=best)


def incumbent(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Point | None:
    """The best point by these runs; None: no run."""
    settings = resolved(settings, runs)
    if not runs:
        return None
    chosen = standing(grid, runs, settings)
    best = bayes.incumbent(with_choices(grid, chosen), runs_with(grid, runs, chosen), settings)
    return None if best is None else (*best, *chosen)


def standing(grid: Grid, runs: Collection[Run], settings: BayesSettings) -> Chosen:
    """The choices that stand by these runs."""
    count = len(grid.chart.open_choices)
    tried = dict.fromkeys(_chosen(run.point, count) for run in sorted(runs, key=lambda run: run.point))
    chosen = (0,) * count
    if runs and chosen not in tried:  # somebody else's runs, none with the start's choices
        chosen = max(tried, key=lambda one: max(usable_value(run, settings.diverged) for run in _with(runs, one)))
    seen = [chosen]
    while (best := bayes.incumbent(with_choices(grid, chosen), runs_with(grid, runs, chosen), settings)) is not None:
        means = {one: _mean((*best, *one), runs, settings) for one in (chosen, *_alternatives(grid, chosen))}
        better = max(means, key=lambda one: means[one])
        if better in seen:
            break
        seen.append(chosen := better)
    return chosen


def with_choices(grid: Grid, chosen: Chosen) -> Grid:
    """The grid of the numbers, with these choices held."""
    chart = replace(grid.chart, fixed=grid.chart.fixed | set(grid.chart.open_choices))
    held = {name: told[number] for (name, told), number in zip(grid.choices.items(), chosen, strict=True)}
    return Grid(chart, {**grid.start, **held})


def runs_with(grid: Grid, runs: Collection[Run], chosen: Chosen) -> list[Run]:
    """The runs with these choices, as runs of their numbers."""
    return [replace(run, point=run.point[: len(grid.chart.axes)]) for run in _with(runs, chosen)]


def _with(runs: Collection[Run], chosen: Chosen) -> list[Run]:
    return [run for run in runs if _chosen(run.point, len(chosen)) == chosen]


def _chosen(point: Point, count: int) -> Chosen:
    return tuple(int(number) for number in point[len(point) - count :])


def _alternative(
    grid: Grid, best: Point, runs: Collection[Run], pending: Collection[RunId], settings: BayesSettings
) -> Suggestion | None:
    """The incumbent with the alternative tried least; None where each was run there and would give the same."""
    count = len(grid.chart.open_choices)
    chosen, numbers = _chosen(best, count), best[: len(best) - count]
    points = [*(run.point for run in runs), *(point for point, _ in pending)]
    turns = [one for one in _alternatives(grid, chosen) if not (settings.deterministic and (*numbers, *one) in points)]
    if not turns:
        return None
    tries = {one: sum(_chosen(point, count) == one for point in points) for one in turns}
    point = (*numbers, *min(turns, key=lambda one: tries[one]))
    ids = {*pending, *(run.id for run in runs)}
    free = next(number for number in itertools.count() if (point, number) not in ids)
    move = describe_move(grid, best, point)
    again, times = "replicate, " if free else "", tries[_chosen(point, count)]
    tried = f"{times} run{'' if times == 1 else 's'}"
    told = f"{move}: {again}the alternative that was tried least ({tried}), at the incumbent's numbers"
    mean = _mean(best, runs, settings)
    return Suggestion(point, free, told, move, best, None, mean if math.isfinite(mean) else None)


def _alternatives(grid: Grid, chosen: Chosen) -> Iterator[Chosen]:
    """The other choices, one parameter at a time."""
    for place, told in enumerate(grid.choices.values()):
        for number in range(len(told)):
            if number != chosen[place]:
                yield (*chosen[:place], number, *chosen[place + 1 :])


def _mean(point: Sequence[float], runs: Collection[Run], settings: BayesSettings) -> float:
    """The mean value of the runs of a point; −inf where there is none."""
    values = [usable_value(run, settings.diverged) for run in runs if run.point == point]
    return fmean(values) if values else -math.inf
