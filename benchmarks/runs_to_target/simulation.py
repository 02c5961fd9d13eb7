"""One repetition of a method on a surface. The only module that knows how flatdirs' own searches are driven.

Repetition `seed` of every method has the same stream of noise and one training seed for all its points, as in `flatdirs.tune`; replicates
of a point have others. The probes of an automatic start are part of the budget and of every count of runs. A repetition ends at the
budget, when its method stops, or, unless it is to be complete, at the tightest target.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs_to_target import baselines, conditions, surface
from benchmarks.runs_to_target.baselines import Hyperparameters, Unavailable
from benchmarks.runs_to_target.conditions import AFTER, BUDGET, NONE, TARGETS, Condition, Start
from benchmarks.runs_to_target.surface import Sample, Surface
from flatdirs.search import SEARCHES, Settings, bayes, coordinate_descent, grid_chart
from flatdirs.search.types import Run, Suggestion
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart

REPLICATES = 1000  # noise terms drawn for a repetition: one for its training seed, the others for replicates
# A point, how often it was run before, and what would be returned so far
Asked = tuple[Hyperparameters, int, Hyperparameters | None]
Measure = Callable[[Hyperparameters, int], Sample]


def ask(grid: Grid, settings: Settings, runs: Sequence[Run]) -> Suggestion | None:
    """What one of flatdirs' searches suggests after these runs; None once Myrtle's is over."""
    if isinstance(settings, bayes.BayesSettings):
        return bayes.suggest(grid, runs, (), settings)
    return next(coordinate_descent.suggestions(grid, settings, runs), None)


def own(name: str, ground: Surface, begin: Start) -> Generator[Asked, Sample, Hyperparameters]:
    """One of flatdirs' searches, with its own settings."""
    grid = Grid(grid_chart(name, named_chart(ground.lattice.optimizer)), begin.hyperparameters)
    settings, runs = SEARCHES[name](), list[Run]()
    while asked := ask(grid, settings, runs):
        point, best = grid.hyperparameters(asked.point), asked.incumbent and grid.hyperparameters(asked.incumbent)
        sample = yield point, asked.replicate, best
        runs.append(outcome(ground, asked, point, sample))
    best = coordinate_descent.trace(grid, settings, {run.id: run for run in runs}).incumbent
    return grid.hyperparameters(best)


def outcome(ground: Surface, asked: Suggestion, point: Hyperparameters, sample: Sample) -> Run:
    """What flatdirs' searches are told of a run; at chance is three binomial standard deviations above it, the trainer's rule."""
    ceiling = 10 + 300 * math.sqrt(0.1 * 0.9 / ground.lattice.recipe["validation_images"])
    state, timescales = "diverged" if sample.diverged else "finished", ground.timescales(point)
    guess = sample.diverged or sample.accuracy <= ceiling
    return Run(asked.point, sample.accuracy, state, asked.replicate, sample.loss, guess, timescales)


def drive(
    condition: Condition, ground: Surface, begin: Start | None, seed: int, measure: Measure
) -> Iterator[Hyperparameters]:
    """Run the method of a condition: after every run the point that would be returned. Raises Unavailable."""
    if condition.box == NONE:
        method: Any = own(condition.method, ground, begin)
    else:
        chart, box = named_chart(ground.lattice.optimizer), conditions.box(condition.lattice, condition.box)
        method = baselines.make(condition.base, chart, box, begin and begin.hyperparameters, seed)
    try:
        point, replicate, _ = next(method)
        while True:
            point, replicate, returned = method.send(measure(point, replicate))
            yield returned
    except StopIteration as end:
        yield end.value


def row(condition: Condition, key: str, seed: int, complete: bool, ground: Surface) -> dict[str, Any]:
    """A repetition, as the file has it: runs to every target, noiseless values of what is returned, own time of the method."""
    begin = None if condition.start == NONE else conditions.start(condition.lattice, condition.start, seed)
    cost = begin.cost if begin else 0.0
    noise, other = (np.random.default_rng([seed, number]) for number in (1, 2))
    luck = other.standard_normal(REPLICATES).tolist()
    most, tightest = math.floor(BUDGET - cost + 1e-9), max(map(ground.target, TARGETS))
    values, returned, cut, began, spent = list[float](), list[float](), False, time.perf_counter(), 0.0

    def measure(point: Hyperparameters, replicate: int) -> Sample:
        nonlocal spent
        spent -= time.perf_counter()
        sample = ground.observe(point, noise, luck[replicate % REPLICATES])
        values.append(ground.value(point))
        spent += time.perf_counter()
        return sample

    for best in drive(condition, ground, begin, seed, measure):
        returned.append(ground.value(best))
        cut = not complete and values[-1] >= tightest
        if cut or len(values) == most:
            break
    overhead = 1000 * (time.perf_counter() - began - spent) / len(values)
    stopped = not cut and len(values) < most

    def reached(target: float) -> str:
        first = next((number for number, value in enumerate(values, 1) if value >= target), None)
        return "" if first is None else f"{round(cost + first, 3):g}"

    def after(count: int) -> str:  # a search that stopped earlier returns what it had
        runs = math.floor(count - cost + 1e-9)
        return f"{returned[min(runs, len(returned)) - 1]:.2f}" if runs <= len(returned) or stopped else ""

    return {
        **{"method": condition.method, "box": condition.box, "start": condition.start, "seed": seed, "key": key},
        **{f"runs_{percent:g}": reached(ground.target(percent)) for percent in TARGETS},
        **{f"returned_{count}": after(count) for count in AFTER},
        **{"runs": len(values), "complete": int(not cut), "overhead_ms": f"{overhead:.2g}"},
    }


def rows(condition: Condition, key: str, seeds: Sequence[int], complete: bool, folder: Path) -> list[dict[str, Any]]:
    """The rows of some repetitions of a condition on its lattice's surface; none where its method is not here."""
    ground = surface.named(condition.lattice, folder)
    try:
        return [row(condition, key, seed, complete, ground) for seed in seeds]
    except Unavailable as reason:
        print(f"{condition.method}: {reason}; skipped", flush=True)
        return []
