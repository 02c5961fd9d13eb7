"""Ranges that a sweep will regret: uniform over decades for a rate, or too narrow for the best that it found.

A uniform draw from [0.001, 1] lies below 0.01 once in a hundred times; the source regrets one for its learning rate
(reference/000). Pure; range_checks.py looks at whole sweeps afterwards.
"""

from __future__ import annotations

import math
from typing import Literal

RATES = ("learning_rate", "lr", "eta", "weight_decay", "wd", "alpha", "momentum", "beta", "rate", "decay")
EDGE = 0.05  # of a range's logarithm: so near to its end counts as on its edge
WIDER = 10.0  # factor by which a range is continued

Side = Literal["low", "high"]


def uniform_over_decades(name: str, low: float, high: float) -> str | None:
    """A sentence where a rate's uniform range spans more than a factor of ten; None where all is well."""
    words = name.lower().removeprefix("one_minus_")
    rate = any(words == known or words.endswith(f"_{known}") or words.startswith(known) for known in RATES)
    if not rate or high <= 10.0 * low or high <= 0:
        return None
    share = (high - high / 10.0) / (high - max(low, 0.0))
    return (
        f"{name} is drawn uniformly from {low:g} to {high:g}: {100 * min(1.0, share):.0f} % of its draws lie in the "
        f"highest decade; make the range log-uniform"
    )


def on_edge(value: float, low: float, high: float) -> Side | None:
    """Which end of a range (all above 0) a value lies on, within 5 % of the range's logarithm; None between."""
    place = math.log(value / low) / math.log(high / low)
    return "low" if place <= EDGE else "high" if place >= 1.0 - EDGE else None


def wider(low: float, high: float, side: Side, walls: tuple[float, float] = (0.0, math.inf)) -> tuple[float, float]:
    """The range continued by a decade beyond one end, as far as its walls."""
    if side == "low":
        return max(low / WIDER, walls[0]), high
    return low, min(high * WIDER, walls[1])
