"""Where a sweep's runs lay against the edge of stability, as far as curvature was recorded (curvature.every).

A record's ratio is the sharpness over what the optimizer bears at its rate (flatdirs/curvature/edge.py): 1 is on the
edge. Of a run that is told: the median over its second half, where an early rise is past, and the highest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from flatdirs.analysis.records import Missing, Run, Sweep

EDGE = (0.8, 1.2)  # a median ratio in here is on the edge


@dataclass(frozen=True)
class Stability:
    """One run: medians over the second half of its records, nan where none of them was measured."""

    run: Run
    sharpness: float
    ratio: float
    highest: float
    alignment: float

    @property
    def where(self) -> str:
        """In words."""
        if math.isnan(self.ratio):
            return "not known"
        return "below" if self.ratio < EDGE[0] else "beyond" if self.ratio > EDGE[1] else "on it"


def stabilities(sweep: Sweep) -> tuple[Stability, ...] | Missing:
    """Every run with records: survivors by their value, the best first, then the others as they came."""
    watched = [run for run in sweep.runs if run.curvature]
    if not watched:
        return Missing("no run recorded its curvature (curvature.every=10 would), so nothing is known of the edge")
    sign = -1.0 if sweep.maximize else 1.0
    ranked = sorted(watched, key=lambda run: (not run.finished, sign * (run.value or 0.0) if run.finished else 0.0))
    return tuple(_stability(run) for run in ranked)


def _stability(run: Run) -> Stability:
    late = run.curvature[len(run.curvature) // 2 :]
    return Stability(
        run,
        _median(record.sharpness for record in late),
        _median(record.ratio for record in late),
        max((record.ratio for record in run.curvature if math.isfinite(record.ratio)), default=math.nan),
        _median(abs(record.alignment) for record in late),
    )


def _median(values: Iterable[float]) -> float:
    kept = [value for value in values if math.isfinite(value)]
    return statistics.median(kept) if kept else math.nan
