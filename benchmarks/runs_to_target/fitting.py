"""From cells to smooth fields, and how far off the fit is. What is learnt is kept in surfaces.json, a few numbers a field.

Four processes (smoothing.py) a lattice: the accuracy, warped so that points count the more the nearer they are to 100 %
or to guessing; the logarithms of the last validation and training loss; and a sign, +1 where a cell diverges and −1 where
it finishes, whose zero is the cliff. The first three see finished runs only, so the cliff does not bend them.

The error is cross-validated by cell, ten folds, with the metric learnt from all cells (eight numbers from hundreds).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lattice.results import CHANCE
from benchmarks.lattice.running import locked
from benchmarks.runs_to_target import smoothing
from benchmarks.runs_to_target.cells import FIELDS, Array, Cells
from benchmarks.runs_to_target.smoothing import Metric, Process

HERE = Path(__file__).resolve().parent
FILE = "surfaces.json"
VERSION = 1  # of this way to fit; another one learns anew
LOWEST, LEFT, RIGHT = 8.0, 7.0, 101.0  # the warp's ends, percent: log((a − 7) / (101 − a)) of at least 8 %
NEAR = 5.0  # points below the level that count as near the top
FOLDS = 10
SIGN_VARIANCE = 0.05  # noise of the sign where all runs of a cell agree


@dataclass(frozen=True)
class Fields:
    """The four processes of a lattice."""

    accuracy: Process
    loss: Process
    train_loss: Process
    sign: Process

    def predict(self, places: Array) -> Array:
        """Warped accuracy, both log losses and the sign at (m, 3) places: (m, 4)."""
        return np.stack([getattr(self, name).predict(places) for name in (*FIELDS, "sign")], axis=1)


def warp(accuracy: Array) -> Array:
    """Percent to the scale of the fit."""
    return np.log((np.maximum(accuracy, LOWEST) - LEFT) / (RIGHT - accuracy))


def unwarp(warped: Array) -> Array:
    """Back to percent, between guessing and 100."""
    odds = np.exp(warped)
    return np.clip((RIGHT * odds + LEFT) / (1 + odds), CHANCE, 100.0)


def fields(cells: Cells, known: Mapping[str, Any] | None = None) -> Fields:
    """The fit of a lattice; with the metrics of surfaces.json, without learning them."""
    deviations = cells.deviations
    accuracy = cells.means[:, 0]
    slope = 1 / (np.maximum(accuracy, LOWEST) - LEFT) + 1 / (RIGHT - accuracy)
    floor = 0.02  # of a standard deviation on any of the three scales, so that a lucky level is no certainty
    noise = [np.maximum(scale * deviations[:, i], floor) ** 2 for i, scale in enumerate((slope, 1.0, 1.0))]
    values = [warp(accuracy), cells.means[:, 1], cells.means[:, 2]]
    found = {
        name: smoothing.fit(cells.places, values[i], noise[i] / cells.counts, _metric(known, name))
        for i, name in enumerate(FIELDS)
    }
    mixed = SIGN_VARIANCE + 4 * cells.diverged * (1 - cells.diverged)
    sign = smoothing.fit(cells.every, np.where(cells.diverged >= 0.5, 1.0, -1.0), mixed, _metric(known, "sign"))
    return Fields(**found, sign=sign)


def errors(cells: Cells, fit: Fields) -> dict[str, float]:
    """Root mean squares, in points of accuracy, over cells held out, beside what the seeds' noise alone would give."""
    fold = np.random.default_rng(0).permutation(len(cells.places)) % FOLDS
    predicted = unwarp(held_out(fit.accuracy, fold))
    off = predicted - cells.means[:, 0]
    noise = cells.deviations[:, 0] / np.sqrt(cells.counts)
    near = cells.means[:, 0] > cells.level - NEAR
    signs = held_out(fit.sign, np.random.default_rng(1).permutation(len(cells.every)) % FOLDS)
    return {
        "near": _rms(off[near]),
        "near_noise": _rms(noise[near]),
        "near_bias": float(off[near].mean()),
        "near_cells": int(near.sum()),
        "overall": _rms(off),
        "overall_noise": _rms(noise),
        "cells": len(off),
        "tried": len(cells.every),
        "diverged": int((cells.diverged >= 0.5).sum()),
        "mixed": int(((cells.diverged > 0) & (cells.diverged < 1)).sum()),
        "cliff_wrong": int(((signs > 0) != (cells.diverged >= 0.5)).sum()),
    }


def learn(cells: Cells) -> dict[str, Any]:
    """A lattice's entry of surfaces.json."""
    fit = fields(cells)
    metrics = {name: _plain(getattr(fit, name).metric) for name in (*FIELDS, "sign")}
    rounded = {name: round(value, 4) for name, value in errors(cells, fit).items()}
    return {"checksum": cells.checksum, "version": VERSION, "metrics": metrics, "errors": rounded}


def known(name: str, folder: Path = HERE) -> dict[str, Any] | None:
    """What surfaces.json has of a lattice."""
    path = folder / FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found.get(name)


def keep(name: str, entry: Mapping[str, Any], folder: Path = HERE) -> None:
    """Write a lattice's entry."""
    path = folder / FILE
    with locked(path):
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        draft = path.with_name(f"{path.name}.part")
        draft.write_text(json.dumps({**found, name: entry}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)


def _metric(known: Mapping[str, Any] | None, name: str) -> Metric | None:
    if known is None:
        return None
    entry = known["metrics"][name]
    return Metric(np.array(entry["factor"]), entry["height"], entry["noise"])


def _plain(metric: Metric) -> dict[str, Any]:
    return {
        "factor": metric.factor.round(9).tolist(),
        "height": round(metric.height, 9),
        "noise": round(metric.noise, 9),
    }


def held_out(process: Process, fold: Array) -> Array:
    """What a fit says of every place from the others' folds alone; `fold` numbers each place's."""
    predicted = np.zeros(len(fold))
    for number in range(FOLDS):
        out = fold == number
        kept = Process(process.places[~out], process.values[~out], process.variances[~out], process.metric)
        predicted[out] = kept.predict(process.places[out])
    return predicted


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
