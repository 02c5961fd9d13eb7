"""Faults in the ranges of a search: a rate sampled uniformly over decades, and a best run at an end of a range.

Of values uniform in [0.001, 1] only 1 % lie below 0.01; the author of
https://juliusm.com/observable/projects/llm-fundamentals/optimizer-sweep regrets such a range. Momentum and beta1 are
checked as 1 − value, whichever of the two a study samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flatdirs.analysis.sweep import Range, Sweep
from flatdirs.space.names import ONE_MINUS, canonical, enters_as_one_minus, hyperparameter

RATES = ("lr", "learning_rate", "eta", "wd", "weight_decay")  # also with something before, such as head_lr
NEAR_END = 0.05  # of a range's logarithm: so near to an end is at the end
WIDER = 10.0  # the factor by which a range is continued
WIDEST = 1e20  # a range that spans more is as good as none, and has no ends

Limits = Callable[[str], tuple[float, float]]  # the study's name of a hyperparameter → its lowest and highest value


@dataclass(frozen=True)
class Edge:
    """A run at an end of a range: `value` in the range's own units, `wider` is the range to continue with."""

    range: Range
    value: float
    at_top: bool
    wider: Range


def uniform_rates(sweep: Sweep) -> tuple[str, ...]:
    """A sentence for each rate that was sampled uniformly over more than a decade."""
    sentences = (uniform_over_decades(one.name, one.low, one.high) for one in sweep.ranges if not one.log)
    return tuple(sentence for sentence in sentences if sentence is not None)


def uniform_over_decades(name: str, low: float, high: float) -> str | None:
    """A sentence if a rate is sampled uniformly from a range that spans more than a factor of ten, else None."""
    plain = name.lower().removeprefix("box.")
    is_rate = plain.startswith(ONE_MINUS) or any(plain == rate or plain.endswith(f"_{rate}") for rate in RATES)
    if not is_rate or high <= 10.0 * low or high <= 0:
        return None
    share = min(1.0, (high - high / 10.0) / (high - max(low, 0.0)))
    return (
        f"{name} is sampled uniformly from {low:g} to {high:g}, so {100 * share:.0f} % of its values lie in the "
        f"highest decade; make the range log-uniform"
    )


def edges(sweep: Sweep) -> tuple[Edge, ...]:
    """The ends of ranges at which the best run lies; only ends that can be moved."""
    return () if sweep.best is None else edges_among(sweep.ranges, sweep.best.hyperparameters, _limits(sweep))


def edges_among(ranges: Iterable[Range], best: Mapping[str, float], limits: Limits) -> tuple[Edge, ...]:
    """The ends of these ranges at which a run with these hyperparameters (momentum as momentum) lies."""
    found = []
    for searched in ranges:
        name = canonical(searched.name)
        plain = hyperparameter(name)
        if plain not in best:
            continue
        if name == plain and enters_as_one_minus(plain):
            turned = Range(ONE_MINUS + name, 1.0 - searched.high, 1.0 - searched.low, True)
            edge = _edge(turned, 1.0 - best[plain], limits)
            found.append(None if edge is None else _as_momentum(edge, searched))
        else:
            found.append(_edge(searched, best[plain] if name == plain else 1.0 - best[plain], limits))
    return tuple(edge for edge in found if edge is not None)


def _edge(searched: Range, value: float, limits: Limits) -> Edge | None:
    """The end within 5 % of the range's logarithm, if it can be moved. A range from 0 has an upper end only."""
    low, high = searched.low, searched.high
    if not 0 <= low < high or not low <= value <= high or (low > 0 and high / low > WIDEST):
        return None
    place = math.log(value / low) / math.log(high / low) if low > 0 else value / high
    lowest, highest = limits(searched.name)
    if place >= 1.0 - NEAR_END:
        wider = replace(searched, high=max(high, min(high * WIDER, highest)))
    elif low > 0 and place <= NEAR_END:
        wider = replace(searched, low=min(low, max(low / WIDER, lowest)))
    else:
        return None
    return None if wider == searched else Edge(searched, value, place > 0.5, wider)


def _as_momentum(edge: Edge, searched: Range) -> Edge:
    """An edge of 1 − momentum as one of momentum."""
    further = replace(searched, low=1.0 - edge.wider.high, high=1.0 - edge.wider.low)
    return Edge(searched, 1.0 - edge.value, not edge.at_top, further)


def _limits(sweep: Sweep) -> Limits:
    """Those of the chart and the task for studies of flatdirs, else what any training run has."""
    images = (sweep.identity.get("task") or {}).get("train_images", math.inf)
    bounds: Mapping[str, Any] = sweep.chart.bounds if sweep.identity and sweep.chart is not None else {}
    least = 2.0 if sweep.identity else 1.0
    return lambda name: limits_of(canonical(name), bounds, images, least)


def limits_of(
    name: str, bounds: Mapping[str, tuple[float | None, float | None]], images: float, least_batch: float = 2.0
) -> tuple[float, float]:
    """What a hyperparameter cannot leave: its chart's bounds; 0 and 1 for 1 − value; `images` for a batch."""
    if name.startswith(ONE_MINUS):
        return 0.0, 1.0
    low, high = bounds.get(name, (None, None))
    widest = (least_batch, images) if name == "batch_size" else (0.0, math.inf)
    return max(widest[0], low or 0.0), min(widest[1], math.inf if high is None else high)
