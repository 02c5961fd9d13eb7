"""Where runs diverge, in hyperparameters and in chart coordinates, and the coordinate that separates them best.

For each coordinate: the area under the ROC curve of its logarithm, diverged against finished runs, which
is the chance that a diverged run lies further out. The threshold maximises the sum of both rates of right answers
(Youden's index); it lies half-way, in logarithms, between two runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from flatdirs.analysis.sweep import (
    Coordinates,
    Flags,
    Missing,
    Numbers,
    Sweep,
    chart_coordinates,
    raw_coordinates,
)

Span = tuple[float, float]


@dataclass(frozen=True)
class Threshold:
    """Runs with `coordinate` above (or below) `value` diverge; that is wrong for `wrong` runs."""

    coordinate: str
    auc: float
    above: bool
    value: float
    wrong: int


@dataclass(frozen=True)
class Divergence:
    """`raw`, `chart`: coordinate → lowest and highest among diverged, and among finished runs (None without any).

    `thresholds`: every coordinate, the best first; empty where no run finished.
    """

    raw: Mapping[str, tuple[Span, Span | None]]
    chart: Mapping[str, tuple[Span, Span | None]]
    thresholds: tuple[Threshold, ...]
    diverged: int
    finished: int


def divergence(sweep: Sweep) -> Divergence | Missing:
    """Diverged against finished runs; pruned ones are left out."""
    diverged = [run for run in sweep.runs if run.state == "diverged"]
    if not diverged:
        return Missing("no run diverged" if sweep.runs else "the study has no runs yet")
    runs = [*diverged, *sweep.finished_runs]
    bad = np.arange(len(runs)) < len(diverged)
    raw = raw_coordinates(runs)
    chart = Coordinates((), raw.logs) if sweep.chart is None else chart_coordinates(sweep.chart, runs)
    if not raw.names and not chart.names:
        return Missing("no hyperparameter of the diverged runs was varied on a logarithmic scale")
    columns = _columns(raw) | _columns(chart)
    thresholds = [] if bad.all() else [threshold(name, logs, bad) for name, logs in columns.items()]
    thresholds.sort(key=lambda found: -found.auc)
    return Divergence(_spans(raw, bad), _spans(chart, bad), tuple(thresholds), len(diverged), len(sweep.finished_runs))


def threshold(name: str, logs: Numbers, bad: Flags) -> Threshold:
    """The best threshold on one coordinate and the side that diverges. `logs`: (runs,), log2."""
    diverged, finished = int(bad.sum()), int((~bad).sum())
    auc = float((rankdata(logs)[bad].sum() / diverged - (diverged + 1) / 2) / finished)
    above = auc >= 0.5
    values = np.unique(logs)
    cuts = (values[1:] + values[:-1]) / 2
    called = (logs[None] > cuts[:, None]) == above  # (cuts, runs): predicted to diverge
    right = called[:, bad].mean(axis=1) + (~called)[:, ~bad].mean(axis=1)
    best = int(np.argmax(right))
    return Threshold(name, max(auc, 1 - auc), above, float(2.0 ** cuts[best]), int((called[best] != bad).sum()))


def _columns(place: Coordinates) -> dict[str, Numbers]:
    return {name: place.logs[:, i] for i, name in enumerate(place.names)}


def _spans(place: Coordinates, bad: Flags) -> dict[str, tuple[Span, Span | None]]:
    columns = _columns(place).items()
    return {name: (_span(logs[bad]), _span(logs[~bad]) if (~bad).any() else None) for name, logs in columns}


def _span(logs: Numbers) -> Span:
    return float(2.0 ** logs.min()), float(2.0 ** logs.max())
