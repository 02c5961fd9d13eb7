"""What the ranges of a sweep were, looked at afterwards: uniform ones that should be logarithmic, and bests at an edge.

A uniform range over more than a decade spends nine tenths of its runs in the last decade, the source's own regret
(reference/000). A best within EDGE of the end of a range says that the range ends too early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from flatdirs.sweep.ranges import EDGE, WIDER
from flatdirs.sweep.records import ONE_MINUS, Range, Sweep, canonical, is_one_minus

WIDEST = 1e20  # a range that spans more is as good as none, and has no edge
RATES = ("learning_rate", "weight_decay")


@dataclass(frozen=True)
class Edge:
    """The best run lies at an end of a range: `value` in the range's own units, `wider` is the range to go on with."""

    range: Range
    value: float
    at_top: bool
    wider: Range


def is_rate(name: str) -> bool:
    """Whether a parameter lives on a logarithmic scale: rates, and anything as one minus."""
    return name.startswith(ONE_MINUS) or canonical(name) in RATES


def uniform_rates(sweep: Sweep) -> tuple[Range, ...]:
    """Rates that were searched uniformly over more than a decade."""
    wide = (r for r in sweep.ranges if r.high > 0 and (r.low <= 0 or r.high / r.low > WIDER))
    return tuple(r for r in wide if not r.log and is_rate(r.name))


def edges(sweep: Sweep) -> tuple[Edge, ...]:
    """The ends of ranges that the best run lies at; only ends that can be moved."""
    found: list[Edge] = []
    for searched in sweep.ranges:
        name = canonical(searched.name)
        value = None if sweep.best is None else sweep.best.hyperparameters.get(name)
        if value is None:
            continue
        if searched.name == name and is_one_minus(name):  # momentum as momentum: its logarithm is that of one minus
            turned = replace(searched, low=1.0 - searched.high, high=1.0 - searched.low)
            found += [_turned_back(edge, searched) for edge in _ends(turned, 1.0 - value, highest=1.0)]
        elif searched.name.startswith(ONE_MINUS):
            found += _ends(searched, 1.0 - value if is_one_minus(name) else value, highest=1.0)
        else:
            found += _ends(searched, value, lowest=1.0 if name == "batch_size" else 0.0)
    return tuple(found)


def _turned_back(edge: Edge, searched: Range) -> Edge:
    """An edge found in one minus momentum, in momentum."""
    wider = replace(searched, low=1.0 - edge.wider.high, high=1.0 - edge.wider.low)
    return Edge(searched, 1.0 - edge.value, not edge.at_top, wider)


def _ends(searched: Range, value: float, lowest: float = 0.0, highest: float = math.inf) -> list[Edge]:
    """The edges of one range, in whose units `value` is; a range that begins at 0 has only a top."""
    low, high = searched.low, searched.high
    if not 0 <= low < high or not low <= value <= high or (low > 0 and high / low > WIDEST):
        return []
    place = math.log(value / low) / math.log(high / low) if low > 0 else value / high
    bottom, top = max(lowest, low / WIDER), min(highest, high * WIDER)
    found = []
    if place <= EDGE and bottom < low:
        found.append(Edge(searched, value, False, replace(searched, low=bottom)))
    if place >= 1 - EDGE and top > high:
        found.append(Edge(searched, value, True, replace(searched, high=top)))
    return found
