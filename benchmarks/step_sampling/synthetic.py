"""The finder on curves with a known knee: how far its midpoint is off when every loss is noisy.

Each seed shifts a curve by up to a decade and draws a normal error a probe, of a given part of the whole reduction. Truth
is the definition of https://openreview.net/forum?id=Q1XWSM8ftl on the noiseless curve, in units of its reduction. The
finder was made on these curves with seeds below 1,000; the hinge is of its own family.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from flatdirs.lr_finder.curve import Curve
from flatdirs.lr_finder.range_search import RangeSearch

NOISES, SEEDS, CENTER = (0.0, 0.02, 0.05, 0.1), range(1000, 1200), -1.5
Shape = Callable[[np.ndarray, float], np.ndarray]


def quadratic(x: np.ndarray, center: float) -> np.ndarray:
    """Mean over 31 eigenvalues h of (1 − h·lr)^40; the edge of stability, 2/h, is at the center."""
    with np.errstate(over="ignore"):
        return np.mean((1 - np.outer(10**x, np.logspace(-3, 0, 31) * 2 / 10**center)) ** 40, axis=1)


def logistic(x: np.ndarray, center: float) -> np.ndarray:
    """Half of the fall is at the center, the rise begins 1.3 decades above."""
    return 2.3 - 1 / (1 + np.exp(-(x - center) / 0.3)) + 0.3 * np.logaddexp(0, (x - center - 1.3) / 0.15)


def hinge(x: np.ndarray, center: float) -> np.ndarray:
    """0.8 a decade down between a decade below the center and 0.4 above; up from 1.2 above."""
    fall = 0.06 * (np.logaddexp(0, (x - center + 1.0) / 0.06) - np.logaddexp(0, (x - center - 0.4) / 0.06))
    return 2.3 - 0.8 * fall + 3 * 0.12 * np.logaddexp(0, (x - center - 1.2) / 0.12)


SHAPES: dict[str, Shape] = {"quadratic": quadratic, "logistic": logistic, "hinge": hinge}


def truth(shape: Shape, center: float) -> dict[str, float]:
    """Knee, minimum and midpoint (log10 rates) at every hundredth of a decade; loss at rate 0 and reduction."""
    x = np.arange(center - 8.0, center + 3.0, 0.01)
    y = np.minimum(shape(x, center), 1e6)
    initial, lowest = float(shape(np.array([center - 12.0]), center)[0]), int(np.argmin(y))
    half = int(np.argmax(y <= (initial + y[lowest]) / 2))
    slope = np.gradient(y / (initial - y[lowest]), x)
    knee, minimum = x[np.argmin((np.gradient(slope, x) / (1 + slope**2) ** 1.5)[:half])], x[lowest]
    found = {"knee": knee, "minimum": minimum, "midpoint": (knee + minimum) / 2}
    return {**found, "initial": initial, "reduction": initial - float(y[lowest])}


def search(shape: Shape, noise: float, seed: int) -> dict[str, Any]:
    """One search of the finder's default budget: how far off it is, in decades; empty where it has no answer."""
    random = np.random.default_rng(seed)
    center = CENTER + random.uniform(-1, 1)
    true, finder, losses = truth(shape, center), RangeSearch(), dict[float, float]()
    while (x := finder.next(Curve(true["initial"], losses))) is not None:
        loss = float(shape(np.array([x]), center)[0])
        losses[x] = loss + noise * true["reduction"] * random.standard_normal() if loss < 1e6 else math.inf
    curve = Curve(true["initial"], losses)
    marks, names = None if finder.problem(curve) else curve.landmarks, ("midpoint", "knee", "minimum")
    return {f"{name}_off": f"{getattr(marks, name) - true[name]:.4f}" if marks else "" for name in names}


def measure(path: Path) -> None:
    """Every search, anew: the finder may have changed."""
    keys = product(SHAPES, NOISES, SEEDS)
    found = [{"shape": s, "noise": noise, "seed": seed, **search(SHAPES[s], noise, seed)} for s, noise, seed in keys]
    rows.write(path, list(found[0]), found)
