"""The points of a curve and the learning rates picked from it, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flatdirs.lr_finder.curve import Curve
from flatdirs.lr_finder.range_search import neighbours


@dataclass(frozen=True)
class Point:
    """A probed learning rate: the mean loss over the seeds, and the loss of each; infinity if a probe diverged."""

    learning_rate: float
    loss: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Pick:
    """A learning rate and its interval: between the neighbouring probes with one seed, the range of several seeds."""

    learning_rate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.learning_rate:.3g} [{self.low:.2g}, {self.high:.2g}]"


@dataclass(frozen=True)
class Picks:
    """The two ends of the window and three picks inside it (https://openreview.net/forum?id=Q1XWSM8ftl).

    `min_lr` is the knee, `max_lr` the minimum; `log_midpoint` is half-way between them on the log axis, `half_loss`
    where half of the reduction is reached, `steepest` where the loss falls fastest per decade.
    """

    min_lr: Pick
    max_lr: Pick
    log_midpoint: Pick
    half_loss: Pick
    steepest: Pick


def mean_curve(initial: Sequence[float], points: Sequence[Point]) -> Curve:
    """The curve of the mean over the seeds; `initial` has the loss at rate 0 for each."""
    return Curve(sum(initial) / len(initial), {math.log10(point.learning_rate): point.loss for point in points})


def picks_of(curve: Curve, initial: Sequence[float], points: Sequence[Point]) -> Picks:
    """Window and picks of the mean `curve`; intervals from the curve of each seed or, with one, from the neighbours."""
    marks = curve.landmarks
    single = len(initial) == 1
    places = [math.log10(point.learning_rate) for point in points]
    seeds = [
        Curve(start, dict(zip(places, (point.losses[seed] for point in points), strict=True)))
        for seed, start in enumerate(initial)
    ]
    others = [] if single else [one.landmarks for one in seeds if one.reduction > 0]

    def pick(name: str) -> Pick:
        x = getattr(marks, name)
        span = [x, *(getattr(one, name) for one in others)]
        low, high = neighbours(curve, x) if single else (min(span), max(span))
        return Pick(10**x, 10**low, 10**high)

    ends, middle = (pick("knee"), pick("minimum")), pick("midpoint")
    if single:
        low, high = (math.sqrt(getattr(ends[0], side) * getattr(ends[1], side)) for side in ("low", "high"))
        middle = Pick(middle.learning_rate, low, high)
    return Picks(*ends, middle, pick("half"), pick("steepest"))
