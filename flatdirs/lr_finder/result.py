"""What a finder answers: points, window, three picks with intervals, what it cost, or why there is no answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flatdirs.errors import FinderError
from flatdirs.lr_finder.curve import Curve
from flatdirs.lr_finder.range_search import Placement, neighbours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flatdirs.lr_finder.probe import Cost

FORWARD = 1 / 3  # of a training batch: what a forward pass alone costs


@dataclass(frozen=True)
class Point:
    """One learning rate: the mean loss of its probes, and each seed's; inf where one diverged."""

    learning_rate: float
    loss: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Pick:
    """A rate with its interval: with one seed between the probes next to it, with several what the seeds span."""

    learning_rate: float
    low: float
    high: float

    def __str__(self) -> str:
        """The rate and its interval."""
        return f"{self.learning_rate:.3g} [{self.low:.2g}, {self.high:.2g}]"


@dataclass(frozen=True)
class Picks:
    """The window's two ends and the three picks inside it (reference/001).

    `min_lr` is the knee, `max_lr` the minimum; `log_midpoint` lies half-way between them on the log axis, `half_loss`
    where half of the reduction is reached, `steepest` where the loss falls fastest by the logarithm of the rate.
    """

    min_lr: Pick
    max_lr: Pick
    log_midpoint: Pick
    half_loss: Pick
    steepest: Pick


@dataclass(frozen=True)
class LearningRates:
    """The answer of `find_learning_rate`.

    `points` in ascending order of rate; `initial_loss` is that at rate 0; `judged_on` says whether losses are of
    validation or of training batches. Either `picks` or `problem`, a sentence that says what is wrong with the curve,
    is None. `steps` are optimizer steps; `cost` is all work in steps, a forward pass alone counted as a third.
    """

    points: tuple[Point, ...]
    initial_loss: float
    judged_on: str
    picks: Picks | None
    problem: str | None
    steps: int
    cost: float
    curve: Curve = field(repr=False)

    @property
    def learning_rate(self) -> float:
        """The recommended rate, `log_midpoint`. Raises FinderError with the sentence where there is none."""
        return self.found.log_midpoint.learning_rate

    @property
    def window(self) -> tuple[float, float]:
        """(min_lr, max_lr), outside of which no rate is worth trying. Raises FinderError as `learning_rate` does."""
        return self.found.min_lr.learning_rate, self.found.max_lr.learning_rate

    @property
    def found(self) -> Picks:
        """The picks. Raises FinderError with the sentence where there are none."""
        if self.picks is None:
            raise FinderError(str(self.problem))
        return self.picks

    def figure(self) -> Figure:
        """Loss and curvature against log rate, with window and picks; shows itself in a notebook."""
        from flatdirs.lr_finder.figure import curve_figure

        return curve_figure(self)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from io import BytesIO

        stream = BytesIO()
        self.figure().savefig(stream, format="png", dpi=100)
        return stream.getvalue()

    def __str__(self) -> str:
        """The answer in a few lines."""
        cost = (
            f"{len(self.points)} learning rates, {self.steps} steps; with validation as much as {self.cost:.0f} steps"
        )
        if self.picks is None:
            return f"no learning rate: {self.problem}\ncost: {cost}"
        picks = self.picks
        lines = [
            f"learning rate {picks.log_midpoint} (log_midpoint, recommended)",
            f"half_loss     {picks.half_loss}",
            f"steepest      {picks.steepest}",
            f"window        {picks.min_lr.learning_rate:.3g} to {picks.max_lr.learning_rate:.3g} (min_lr, max_lr)",
            f"judged on {self.judged_on} loss: {self.initial_loss:.4g} untrained, {self.curve.y.min():.4g} at best",
            f"cost: {cost}",
        ]
        return "\n".join(lines)


def curve_of(initial: Sequence[float], points: Sequence[Point]) -> Curve:
    """The mean curve of all seeds."""
    return Curve(sum(initial) / len(initial), {math.log10(point.learning_rate): point.loss for point in points})


def read_curve(
    initial: Sequence[float],
    points: Sequence[Point],
    placement: Placement,
    judged_on: str,
    cost: Cost,
    accumulate: int = 1,
) -> LearningRates:
    """The answer that a curve gives. `initial` and each point's `losses` have one entry a seed."""
    ordered = tuple(sorted(points, key=lambda point: point.learning_rate))
    places = [math.log10(point.learning_rate) for point in ordered]
    curve = curve_of(initial, ordered)
    problem = placement.problem(curve)
    own = [
        Curve(start, dict(zip(places, (point.losses[seed] for point in ordered), strict=True)))
        for seed, start in enumerate(initial)
    ]
    picks = None if problem is not None else _picks(curve, own if len(own) > 1 else [])
    spent = (cost.trained_batches + FORWARD * cost.judged_batches) / accumulate
    return LearningRates(ordered, curve.initial_loss, judged_on, picks, problem, cost.steps, spent, curve)


def _picks(curve: Curve, own: Sequence[Curve]) -> Picks:
    """Window and picks, with intervals from each seed's own curve or, with one seed, from the neighbouring probes."""
    marks = curve.landmarks
    seeds = [one.landmarks for one in own if one.reduction > 0]

    def pick(name: str) -> Pick:
        x = getattr(marks, name)
        if own:
            span = [x, *(getattr(one, name) for one in seeds)]
            return _pick(x, min(span), max(span))
        return _pick(x, *neighbours(curve, x))

    ends = pick("knee"), pick("minimum")
    if own:
        middle = pick("midpoint")
    else:
        low, high = (math.sqrt(getattr(ends[0], side) * getattr(ends[1], side)) for side in ("low", "high"))
        middle = Pick(10**marks.midpoint, low, high)
    return Picks(ends[0], ends[1], middle, pick("half"), pick("steepest"))


def _pick(x: float, low: float, high: float) -> Pick:
    return Pick(10**x, 10**low, 10**high)
