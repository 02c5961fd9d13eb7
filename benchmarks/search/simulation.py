"""One repetition of a method on a surface: a row. And the rows of a slice of seeds, as a worker process makes them.

`regret_n`: what the point handed over after n runs lies below the surface's best, without noise. `reached`: the first run whose value
without noise is among the best 1 % of the expert box, empty where none of 60 is. After the last n a search goes on only until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from benchmarks.search import methods, split, surfaces
from benchmarks.search.simulated import Absent, Surface, value
from benchmarks.search.split import AFTER, BUDGET, Condition

threshold = lru_cache(surfaces.threshold)


def row(condition: Condition, key: str, version: str, seed: int) -> dict[str, Any]:
    """A repetition, as the file has it. Raises Absent."""
    surface, begin = surfaces.named(condition.surface), split.start(condition.surface, condition.start, seed)
    method, run, goal = methods.make(condition, begin, seed), surface.begin(seed), threshold(surface)
    regrets, reached, count = {}, "", 0
    while count < AFTER[-1] or (count < BUDGET and not reached):
        told = run(*method.ask())
        method.tell(told)
        count += 1
        if not reached and told.true >= goal:
            reached = str(count)
        if count in AFTER:
            regrets[f"regret_{count}"] = f"{max(0.0, surface.best - handed(surface, method)):.5g}"
    place = {"method": condition.method, "box": condition.box, "start": condition.start, "seed": seed}
    return {**place, "key": key, "source": version, **regrets, "reached": reached}


def handed(surface: Surface, method: methods.Method) -> float:
    """The value without noise of what a method would hand over."""
    return value(surface, method.handed_over())


def rows(condition: Condition, key: str, version: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of some repetitions; none where the surface or the method is not here, which is said."""
    try:
        return [row(condition, key, version, seed) for seed in seeds]
    except Absent as reason:
        print(f"{condition.surface}, {condition.method}: {reason}", flush=True)
        return []
