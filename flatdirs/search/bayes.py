"""The default search: `suggest`, a pure function from runs to the next point.

    runs, pending ──► the start is run, and there is a second setting? ──► that one
                 ├──► all runs on the first axis, best not bracketed? ──► bracketing.py: one more stride
                 ├──► fewer than two runs have values that differ?    ──► bracketing.py: a fixed list
                 └──► otherwise ──► gp.py: the candidate with the largest expected gain

    gain(x) = usual(x) · P(x does not diverge) · Σ_h weight·slope · EI_h(x; bar) · (1 − noise/√(noise² + sd²))
    bar: the mean of hypothesis h at the incumbent, warped; slope = u·exp(−min(0, bar)): from there to the value
    usual(x): 1 between start and usual settings, less far outside, which matters less with every run (near_usual)

The factor with the noise is that of Huang et al. (doi:10.1007/s10898-005-2454-3): what one noisy run is worth. A tried
point is a candidate too, with a new seed, MOST_REPLICATES times at most. The incumbent is the tried point with the
highest posterior mean. There is no end: a search with budget left has something to learn. The same runs give the same
suggestion, in whatever order they were made and by whomever, on the grid or off it. Pending runs lower the deviation
around them and leave the mean. Choices are those of the grid's start (choices.py). Ours.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flatdirs.search.bracketing import next_on_first_axis, untried
from flatdirs.search.candidates import candidates
from flatdirs.search.ending import replicates, worth_of_replicates
from flatdirs.search.explain import describe_move, reason
from flatdirs.search.gp import Hypothesis
from flatdirs.search.kernels import one_thread
from flatdirs.search.known import (
    FEWEST,
    BayesSettings,
    Known,
    known_of,
    places_of,
    replicates_agree,
    resolved,
    usable_runs,
    values_by_point,
)
from flatdirs.search.types import Run, RunId, Suggestion
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid
from flatdirs.space.log_grid import Array, LogGrid, among

WIDTH, FADING = 4.5, 10.0  # octaves outside usual settings; runs after which that matters less and less
MOST_REPLICATES = 3  # runs of one point
SCREENED = 128  # candidates whose gain is computed by all kernels


def suggest(
    grid: Grid,
    runs: Collection[Run],
    pending: Collection[RunId] = (),
    settings: BayesSettings | None = None,
    left: int | None = None,
) -> Suggestion:
    """Return the point to run next.

    Args:
        grid: chart and start; the search works on half moves (`search.grid_chart`).
        runs: all runs that have ended, also those that the search did not suggest.
        pending: points and replicates of runs in progress.
        settings: what counts as the value of a run.
        left: runs that are left, this one included; the last ones are replicates. None: not known.
    """
    settings = resolved(settings, runs)
    known = usable_runs(runs, settings)
    taken = [point for point, _ in pending]
    found = _second(grid, known, taken, settings) or _on_first_axis(grid, known, taken, settings)
    if found is None:
        with one_thread():
            found = _by_model(Known(LogGrid(grid), known, settings), taken, left)
    ids = {*pending, *(run.id for run in known)}
    free = next(number for number in itertools.count() if (found.point, number) not in ids)
    values = [run.value for run in known if run.point == found.incumbent and math.isfinite(run.value)]
    return replace(found, replicate=free, incumbent_value=fmean(values) if values else None)


def incumbent(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Point | None:
    """The best point by these runs: the highest posterior mean among those with a value; None: no run."""
    if not runs:
        return None
    with one_thread():
        return known_of(grid, runs, settings).best


def brackets(grid: Grid, runs: Collection[Run], pending: Collection[RunId], settings: BayesSettings) -> bool:
    """Whether the next run brackets the best along the first axis, and the model has not taken over."""
    taken = [point for point, _ in pending]
    return _on_first_axis(grid, usable_runs(runs, settings), taken, settings) is not None


def _second(grid: Grid, runs: Sequence[Run], pending: Sequence[Point], settings: BayesSettings) -> Suggestion | None:
    """The setting to run after the start, unless it was run or lies outside the bounds."""
    point = None if settings.second is None else grid.place(settings.second)
    tried = [*(run.point for run in runs), *pending]
    if point is None or not tried or point in tried or grid.out_of_bounds(point) is not None:
        return None
    best = max(runs, key=lambda run: run.value).point if runs else grid.origin
    why = "what an earlier study handed over"
    return Suggestion(point, 0, why, describe_move(grid, best, point), best)


def _on_first_axis(
    grid: Grid, runs: Sequence[Run], pending: Sequence[Point], settings: BayesSettings
) -> Suggestion | None:
    """The next stride while the best is not bracketed; after an earlier study until a second run is no better than the
    start, from where on the model decides.
    """
    if settings.earlier and len(runs) > 1 and runs[0].value >= max(run.value for run in runs):
        return None
    return next_on_first_axis(grid, runs, pending, settings.plateau_limit)


def _by_model(known: Known, pending: Sequence[Point], left: int | None) -> Suggestion:
    """The candidate with the largest expected gain, by all runs; of the last runs, the replicate that tells most."""
    grid, log_grid, settings = known.log_grid.grid, known.log_grid, known.settings
    best, waiting = known.best, places_of(log_grid, pending)
    lost = known.even and bool(known.diverged.any())  # nothing learnt, or too high a learning rate, all around
    if known.finished < FEWEST or lost:
        valued = bool(known.points) and not lost
        place, why = untried(log_grid, known.places, waiting, places_of(log_grid, [best])[0], valued)
        why = "every run diverged or gave the same value" if known.finished >= FEWEST else why
        point = log_grid.point(place)
        return Suggestion(point, 0, why, describe_move(grid, best, point), best)
    if settings.deterministic is None and pending.count(best) == 0 and values_by_point(known.runs).get(best):
        return Suggestion(best, 0, "replicate: do two runs of the same settings agree?", "replicate", best)
    tried = every = places_of(log_grid, known.points)
    if replicates(known, left) and _may_run(known, tried, pending).any():
        gains = worth_of_replicates(known)
    else:
        every = candidates(log_grid, known.model, tried, known.expected)
        gains = _screened_gain(known, every, waiting)
    allowed = _may_run(known, every, pending)
    gains *= allowed
    number = int(np.argmax(np.where(allowed, np.round(gains / (gains.max() or 1.0), 9), -1.0)))
    again = number < len(tried)
    point = known.points[number] if again else log_grid.point(every[number])
    count = sum(tried == point for tried in (*(run.point for run in known.runs), *pending))
    return Suggestion(point, 0, reason(known, point, count), describe_move(grid, best, point), best)


def _may_run(known: Known, places: Array, pending: Sequence[Point]) -> NDArray[np.bool_]:
    """Which candidates (the known points first) may be run: no replicate too many, nothing that runs already."""
    found, count = np.ones(len(places), dtype=bool), len(known.points)
    made = Counter(itertools.chain((run.point for run in known.runs), pending))
    replicates = not known.settings.deterministic and not replicates_agree(known.runs)
    found[:count] = [replicates and made[point] < MOST_REPLICATES for point in known.points]
    failed = [run.point for run in known.runs if not math.isfinite(run.value)]
    found[count:] &= ~among(places[count:], places_of(known.log_grid, [*pending, *failed]))
    return found


def _screened_gain(known: Known, places: Array, pending: Array) -> Array:
    """The gain (n,), places (n, free) beginning with the tried ones; 0 for what the likeliest kernel thinks little of.

    That kernel alone chooses SCREENED of the new places, which takes half the time and changes 3 % of the suggestions.
    """
    tried, hypotheses = len(known.points), known.model.hypotheses
    if len(places) <= tried + SCREENED:
        return gain(known, places, pending, hypotheses)
    first = gain(known, places, pending, [one for one in hypotheses if one.number == hypotheses[0].number])
    kept = np.concatenate([np.arange(tried), tried + np.argsort(-first[tried:], kind="stable")[:SCREENED]])
    found = np.zeros(len(places))
    found[kept] = gain(known, places[kept], pending, hypotheses)
    return found


def gain(known: Known, places: Array, pending: Array, of: Sequence[Hypothesis]) -> Array:
    """The expected gain (n,) of a run at each place (n, free) by some hypotheses, in units of the objective.

    The first places are the tried ones, among which is the incumbent.
    """
    found, model, best = np.zeros(len(places)), known.model, known.points.index(known.best)
    for one, mean, deviation in model.predict(places, pending=pending, of=of):
        bar = float(mean[best])
        z = (mean - bar) / deviation
        improvement = deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
        if not model.deterministic:
            noise = one.noise * math.sqrt(one.scale)
            improvement *= 1.0 - noise / np.sqrt(noise**2 + deviation**2)
        found += one.weight * one.unit * math.exp(-min(0.0, bar)) * improvement
    return found * known.divergence.finishes(places) * near_usual(known, places)


def near_usual(known: Known, places: Array) -> Array:
    """The weight (n,) of places by how far they lie outside start and usual settings, which runs take away.

    exp(−½ Σⱼ (octavesⱼ/WIDTH)²)^min(1, FADING/runs): a prior on where the best is, in the acquisition (Hvarfner et al.,
    arXiv 2204.11051). A range with two ends is a prior of its own.
    """
    log_grid, usual = known.log_grid, known.model.structure.usual
    outside = np.maximum(0.0, np.maximum(np.minimum(0.0, usual) - places, places - np.maximum(0.0, usual)))
    outside[:, np.isfinite(log_grid.low) & np.isfinite(log_grid.high)] = 0.0
    found: Array = np.exp(-0.5 * min(1.0, FADING / known.finished) * ((outside / WIDTH) ** 2).sum(axis=1))
    return found
