"""The finder on curves with a known knee: how far its midpoint is off when every loss is noisy.

    quadratic   20 steps of gradient descent on a quadratic with eigenvalues over three decades; diverges beyond its edge
    logistic    a logistic fall of height 1, then a soft rise
    hinge       flat, a straight fall over 1.4 decades, flat, a rise; every corner rounded

Each seed shifts the curve by up to a decade either way and draws one independent error a probe: a normal one, of a given
part of the whole reduction. The loss at rate 0 is exact. Truth is the source's definition (reference/001) on the
noiseless curve, in units of its reduction, at every hundredth of a decade. The finder was made on these three curves
with seeds below 1,000; these are the seeds from there on. The hinge is of the finder's own family (curve.py), the others not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from flatdirs.lr_finder.curve import Curve
from flatdirs.lr_finder.range_search import RangeSearch

NOISES = (0.0, 0.02, 0.05, 0.1)
SEEDS = range(1000, 1200)
CENTER = -1.5
Shape = Callable[[np.ndarray, float], np.ndarray]


def quadratic(x: np.ndarray, center: float) -> np.ndarray:
    """Mean over 31 eigenvalues of (1 − λh)^40; the edge of stability, 2/h, is at the center."""
    steps = np.logspace(-3, 0, 31) * 2 / 10**center
    with np.errstate(over="ignore"):
        return np.mean((1 - np.outer(10**x, steps)) ** 40, axis=1)


def logistic(x: np.ndarray, center: float) -> np.ndarray:
    """Half of the fall is at the center, the rise begins 1.3 decades above."""
    return 2.3 - 1 / (1 + np.exp(-(x - center) / 0.3)) + 0.3 * np.logaddexp(0, (x - center - 1.3) / 0.15)


def hinge(x: np.ndarray, center: float) -> np.ndarray:
    """0.8 a decade down between a decade below the center and 0.4 above; up from 1.2 above."""
    fall = 0.06 * (np.logaddexp(0, (x - center + 1.0) / 0.06) - np.logaddexp(0, (x - center - 0.4) / 0.06))
    return 2.3 - 0.8 * fall + 3 * 0.12 * np.logaddexp(0, (x - center - 1.2) / 0.12)


SHAPES: Mapping[str, Shape] = {"quadratic": quadratic, "logistic": logistic, "hinge": hinge}


@dataclass(frozen=True)
class Truth:
    """What the definitions give on the noiseless curve; x is log10 of the rate."""

    knee: float
    minimum: float
    initial_loss: float
    reduction: float

    @property
    def midpoint(self) -> float:
        """The middle of the window."""
        return (self.knee + self.minimum) / 2


def truth(shape: Shape, center: float) -> Truth:
    """The source's definitions at every hundredth of a decade."""
    x = np.arange(center - 8.0, center + 3.0, 0.01)
    y = np.minimum(shape(x, center), 1e6)
    initial, lowest = float(shape(np.array([center - 12.0]), center)[0]), int(np.argmin(y))
    half = int(np.argmax(y <= (initial + y[lowest]) / 2))
    slope = np.gradient(y / (initial - y[lowest]), x)
    curvature = np.gradient(slope, x) / (1 + slope**2) ** 1.5
    return Truth(float(x[np.argmin(curvature[:half])]), float(x[lowest]), initial, initial - float(y[lowest]))


def search(shape: Shape, noise: float, seed: int) -> dict[str, Any]:
    """One search of the finder's default budget; how far off it was, in decades."""
    random = np.random.default_rng(seed)
    center = CENTER + random.uniform(-1, 1)
    true = truth(shape, center)
    ranges = RangeSearch()
    losses: dict[float, float] = {}
    while (x := ranges.next(Curve(true.initial_loss, losses))) is not None:
        loss = float(shape(np.array([x]), center)[0])
        losses[x] = loss + noise * true.reduction * random.standard_normal() if loss < 1e6 else math.inf
    curve = Curve(true.initial_loss, losses)
    if ranges.problem(curve) is not None:
        return {"midpoint_off": "", "knee_off": "", "minimum_off": ""}
    found = curve.landmarks
    pairs = {"midpoint": true.midpoint, "knee": true.knee, "minimum": true.minimum}
    return {f"{name}_off": f"{getattr(found, name) - value:.4f}" for name, value in pairs.items()}


def measure(path: Path) -> None:
    """Every search, anew: the finder may have changed."""
    found = [
        {"shape": name, "noise": noise, "seed": seed, **search(shape, noise, seed)}
        for name, shape in SHAPES.items()
        for noise in NOISES
        for seed in SEEDS
    ]
    rows.write(path, list(found[0]), found)
