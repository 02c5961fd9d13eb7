"""What the ranges of a sweep were, looked at afterwards: uniform ones that should be logarithmic, and bests at an edge.

What counts as one is said in ranges.py. Momentum and beta1 are looked at as one minus themselves, whichever of the two
a study suggests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flatdirs.analysis.ranges import on_edge, uniform_over_decades, walls_of, wider
from flatdirs.analysis.records import Range, Sweep
from flatdirs.space.names import ONE_MINUS, enters_as_one_minus, hyperparameter

Walls = Callable[[str], tuple[float, float]]  # a parameter as the study calls it → the lowest and highest it can be


@dataclass(frozen=True)
class Edge:
    """The best run lies at an end of a range: `value` in the range's own units, `wider` is the range to go on with."""

    range: Range
    value: float
    at_top: bool
    wider: Range


def uniform_rates(sweep: Sweep) -> tuple[str, ...]:
    """A sentence for each rate that was drawn uniformly over more than a decade."""
    told = (uniform_over_decades(one.name, one.low, one.high) for one in sweep.ranges if not one.log)
    return tuple(sentence for sentence in told if sentence is not None)


def edges(sweep: Sweep) -> tuple[Edge, ...]:
    """The ends of ranges that a study's best run lies at; only ends that can be moved."""
    return () if sweep.best is None else edges_among(sweep.ranges, sweep.best.hyperparameters, _walls(sweep))


def edges_among(ranges: Iterable[Range], best: Mapping[str, float], walls: Walls) -> tuple[Edge, ...]:
    """The ends of these ranges that the best's hyperparameters (momentum as momentum) lie at."""
    found = []
    for searched in ranges:
        name = hyperparameter(searched.name)
        if name not in best:
            continue
        if searched.name == name and enters_as_one_minus(
            name
        ):  # momentum as momentum: its logarithm is that of one minus
            turned = Range(ONE_MINUS + name, 1.0 - searched.high, 1.0 - searched.low, True)
            edge = _edge(turned, 1.0 - best[name], walls)
            found.append(None if edge is None else _turned_back(edge, searched))
        elif searched.name.startswith(ONE_MINUS) and enters_as_one_minus(name):
            found.append(_edge(searched, 1.0 - best[name], walls))
        else:
            found.append(_edge(searched, best[name], walls))
    return tuple(edge for edge in found if edge is not None)


def _edge(searched: Range, value: float, walls: Walls) -> Edge | None:
    side = on_edge(value, searched.low, searched.high)
    if side is None:
        return None
    low, high = wider(searched.low, searched.high, side, walls(searched.name))
    if (low, high) == (searched.low, searched.high):
        return None
    return Edge(searched, value, side == "high", replace(searched, low=low, high=high))


def _turned_back(edge: Edge, searched: Range) -> Edge:
    """An edge found in one minus momentum, in momentum."""
    further = replace(searched, low=1.0 - edge.wider.high, high=1.0 - edge.wider.low)
    return Edge(searched, 1.0 - edge.value, not edge.at_top, further)


def _walls(sweep: Sweep) -> Walls:
    """Those of our own studies' charts and tasks; for others what any would have."""
    images = (sweep.identity.get("task") or {}).get("train_images", math.inf)
    bounds: Mapping[str, Any] = sweep.chart.bounds if sweep.identity and sweep.chart is not None else {}

    def walls(name: str) -> tuple[float, float]:
        if name == "batch_size" and not sweep.identity:
            return 1.0, math.inf
        return walls_of(name, bounds, images)

    return walls
