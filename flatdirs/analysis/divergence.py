"""The diverged region: where it lies in raw and in flat coordinates, and which single coordinate parts it off best.

For each coordinate the area under the ROC curve (scikit-learn) of its logarithm, diverged runs against survivors: the
chance that a diverged run lies further out than a survivor. The best one's threshold is the value with the highest
sum of both rates of right answers (Youden's); half-way, in logarithms, between the two runs it falls between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flatdirs.analysis.records import (
    Coordinates,
    Flags,
    Missing,
    Numbers,
    Run,
    Sweep,
    flat_coordinates,
    raw_coordinates,
)

Span = tuple[float, float]


@dataclass(frozen=True)
class Threshold:
    """Runs with `coordinate` `above` (or below) `value` diverge: right for all but `wrong` of them."""

    coordinate: str
    flat: bool
    auc: float
    above: bool
    value: float
    wrong: int


@dataclass(frozen=True)
class Divergence:
    """`spans`: coordinate → lowest and highest among the diverged, and among the survivors (None without any).

    `thresholds`: every coordinate, the best first; empty where no run survived.
    """

    raw: Mapping[str, tuple[Span, Span | None]]
    flat: Mapping[str, tuple[Span, Span | None]]
    thresholds: tuple[Threshold, ...]
    diverged: int
    survivors: int


def divergence(sweep: Sweep) -> Divergence | Missing:
    """Diverged runs against survivors; pruned ones, of which nobody knows, are left out."""
    diverged = [run for run in sweep.runs if run.state == "diverged"]
    if not diverged:
        return Missing("no run diverged" if sweep.runs else "there is no run yet")
    runs: list[Run] = [*diverged, *sweep.survivors]
    bad = np.array([True] * len(diverged) + [False] * len(sweep.survivors))
    places = [raw_coordinates(runs)]
    places += [] if sweep.chart is None else [flat_coordinates(sweep.chart, runs)]
    if not any(place.names for place in places):
        return Missing("the diverged runs have no coordinate with a logarithm that was varied")
    thresholds = []
    if not bad.all():
        for i, place in enumerate(places):
            known = places[0].names if i else ()
            thresholds += [
                threshold(name, bool(i), place.logs[:, j], bad)
                for j, name in enumerate(place.names)
                if name not in known
            ]
    thresholds.sort(key=lambda found: -found.auc)
    spans = [_spans(place, bad) for place in places]
    flat = spans[1] if len(spans) > 1 else {}
    return Divergence(spans[0], flat, tuple(thresholds), len(diverged), len(sweep.survivors))


def threshold(name: str, flat: bool, logs: Numbers, bad: Flags) -> Threshold:
    """The best threshold on one coordinate, (runs,) in octaves, and which side diverges."""
    from sklearn.metrics import roc_auc_score

    auc = float(roc_auc_score(bad, logs))
    above = auc >= 0.5
    values = np.unique(logs)
    cuts = (values[1:] + values[:-1]) / 2
    called = (logs[None] > cuts[:, None]) == above  # (cuts, runs): said to diverge
    right = called[:, bad].mean(axis=1) + (~called)[:, ~bad].mean(axis=1)
    best = int(np.argmax(right))
    return Threshold(name, flat, max(auc, 1 - auc), above, float(2.0 ** cuts[best]), int((called[best] != bad).sum()))


def _spans(place: Coordinates, bad: Flags) -> dict[str, tuple[Span, Span | None]]:
    return {name: (_span(column[bad]), _span(column[~bad]) if (~bad).any() else None) for name, column in _named(place)}


def _named(place: Coordinates) -> list[tuple[str, Numbers]]:
    return [(name, place.logs[:, i]) for i, name in enumerate(place.names)]


def _span(logs: Numbers) -> Span:
    return float(2.0 ** logs.min()), float(2.0 ** logs.max())
