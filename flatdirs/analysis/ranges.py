"""Ranges that a sweep will regret: uniform over decades for a rate, or too narrow for the best that it found.

A uniform draw from [0.001, 1] lies below 0.01 once in a hundred times; the source regrets one for its learning rate
(reference/000). Pure, and the one place for both: tune asks of its box, range_checks.py of any study's ranges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

RATES = ("lr", "lr", "eta", "wd", "wd")
EDGE = 0.05  # of a range's logarithm: so near to its end counts as on its edge
WIDER = 10.0  # factor by which a range is continued
WIDEST = 1e20  # a range that spans more is as good as none, and has no edge

Side = Literal["low", "high"]


def is_rate(name: str) -> bool:
    """Whether a parameter lives on a logarithmic scale: rates by their usual names, and anything as one minus."""
    plain = name.lower().removeprefix("box.")
    return plain.startswith("one_minus_") or any(plain == known or plain.endswith(f"_{known}") for known in RATES)


def uniform_over_decades(name: str, low: float, high: float) -> str | None:
    """A sentence where a rate's uniform range spans more than a factor of ten; None where all is well."""
    if not is_rate(name) or high <= 10.0 * low or high <= 0:
        return None
    share = (high - high / 10.0) / (high - max(low, 0.0))
    return (
        f"{name} is drawn uniformly from {low:g} to {high:g}: {100 * min(1.0, share):.0f} % of its draws lie in the "
        f"highest decade; make the range log-uniform"
    )


def on_edge(value: float, low: float, high: float) -> Side | None:
    """Which end of a range a value in it lies on, within 5 % of its logarithm; None between.

    A range that begins at 0 has only a top, within 5 % of it; one that spans more than WIDEST has no end.
    """
    if not 0 <= low < high or not low <= value <= high or (low > 0 and high / low > WIDEST):
        return None
    place = math.log(value / low) / math.log(high / low) if low > 0 else value / high
    return "high" if place >= 1.0 - EDGE else "low" if low > 0 and place <= EDGE else None


def wider(low: float, high: float, side: Side, walls: tuple[float, float] = (0.0, math.inf)) -> tuple[float, float]:
    """The range continued by a decade beyond one end, as far as its walls, and never narrower."""
    if side == "low":
        return min(low, max(low / WIDER, walls[0])), high
    return low, max(high, min(high * WIDER, walls[1]))


def walls_of(name: str, bounds: Mapping[str, tuple[float | None, float | None]], images: float) -> tuple[float, float]:
    """What a parameter cannot leave: its chart's bounds, 0 and 1 for one minus something, 2 to `images` for a batch."""
    if name.startswith("one_minus_"):
        return 0.0, 1.0
    low, high = bounds.get(name, (None, None))
    walls = (2.0, images) if name == "batch_size" else (0.0, math.inf)
    return max(walls[0], low or 0.0), min(walls[1], math.inf if high is None else high)
