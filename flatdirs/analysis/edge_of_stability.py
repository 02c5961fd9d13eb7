"""How near the edge of stability the runs trained, for runs that recorded curvature (curvature.every).

The ratio of a record is the sharpness over the largest one that the optimizer tolerates at its learning rate
(flatdirs/curvature/stability.py); it is 1 at the edge. Each run is described by medians over the second half of its
records, after the early rise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flatdirs.analysis.sweep import Missing, Run, Sweep, median

AT_EDGE = (0.8, 1.2)  # median ratios that count as at the edge


@dataclass(frozen=True)
class Stability:
    """One run: medians over the second half of its records, and the highest ratio; nan where not measured."""

    run: Run
    sharpness: float
    ratio: float
    highest: float
    alignment: float

    @property
    def where(self) -> str:
        if math.isnan(self.ratio):
            return "not known"
        return "below" if self.ratio < AT_EDGE[0] else "beyond" if self.ratio > AT_EDGE[1] else "at the edge"


def stabilities(sweep: Sweep) -> tuple[Stability, ...] | Missing:
    """Every run with records: finished ones by their value, the best first, then the others in their order."""
    recorded = [run for run in sweep.runs if run.curvature]
    if not recorded:
        return Missing("no run recorded its curvature; set curvature.every=10 to record it")
    sign = -1.0 if sweep.maximize else 1.0
    ranked = sorted(recorded, key=lambda run: (not run.finished, sign * (run.value or 0.0) if run.finished else 0.0))
    return tuple(_stability(run) for run in ranked)


def _stability(run: Run) -> Stability:
    late = run.curvature[len(run.curvature) // 2 :]
    return Stability(
        run,
        median(record.sharpness for record in late),
        median(record.ratio for record in late),
        max((record.ratio for record in run.curvature if math.isfinite(record.ratio)), default=math.nan),
        median(abs(record.alignment) for record in late),
    )
