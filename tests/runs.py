"""Runs as searches see them, made by hand."""

from __future__ import annotations

import math

from flatdirs.search.types import Run, State
from flatdirs.space.chart import Point


def result(
    state: State = "finished",
    value: float = -math.inf,
    loss: float | None = None,
    at_chance: bool | None = None,
    timescales: float | None = None,
    point: Point = (),
    replicate: int = 0,
) -> Run:
    """What a run gave; its point is filled in by the search that asked for it."""
    return Run(point, value, state, replicate, loss, at_chance, timescales)
