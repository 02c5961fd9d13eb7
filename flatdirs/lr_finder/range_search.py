"""Which learning rate to probe next, and when to stop: a pure function of the curve so far.

The coarse step is half a decade (https://openreview.net/forum?id=Q1XWSM8ftl). The coarse grid is bisected (ours): only
the falling flank is filled, between the last rate that learns nothing and the first beyond the minimum. If the flank
extends beyond an end of the range, the range widens. Then the log-midpoints of the gaps around every point of interest
are probed, widest gap first, until each is between two probes `threshold` apart, or the curvature at the knee is lost
in the noise, or the budget is spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from flatdirs.errors import FinderError
from flatdirs.lr_finder.curve import CLIFF, Curve, Landmarks
from flatdirs.setting_checks import require_integer, require_number, wrong

STEP = 0.5  # decades of the coarse grid
WIDENING = 4.0  # decades by which the range may grow at either end
FLAT = 0.1  # of the reduction: a loss this close to the initial one has not learned yet
CLEAR = 0.1  # of the initial loss: a difference that is not noise, before the reduction is known
URGENCY = (("knee", 1.0), ("minimum", 1.0), ("half", 0.6), ("steepest", 0.4))  # the first two are the window
DROWNED = 2.7  # a reduction of fewer times the noise says nothing; the fit recognises noise up to 0.4 of it
SMALL = 1e-30  # the lowest rate; after widening, float32 still holds its inverse
SAME = 1e-6  # decades between places that count as one


@dataclass(frozen=True)
class RangeSearch:
    """The initial range of learning rates, the gap in decades at which a point of interest is known, and the budget.

    `budget` None: probe until every point of interest is known.

    Raises:
        FinderError: a value out of range.
    """

    lowest: float = 1e-6
    highest: float = 10.0
    threshold: float = 0.1
    budget: int | None = 14

    def __post_init__(self) -> None:
        for name in ("lowest", "highest", "threshold"):
            require_number(name, getattr(self, name), SMALL, 1 / SMALL, error=FinderError)
        if self.highest < 10 * self.lowest:
            raise wrong("highest", self.highest, f"must be at least 10 times lowest={self.lowest}", FinderError)
        if self.budget is not None:
            require_integer("budget", self.budget, 1, error=FinderError)

    def next(self, curve: Curve) -> float | None:
        """log10 of the learning rate to probe next, None if the search has ended."""
        if self.budget is not None and len(curve.losses) >= self.budget:
            return None
        coarse = self._coarse(curve)
        if coarse is not None or _problem(curve) is not None:
            return coarse
        return _refined(curve, self.threshold, math.log10(self.lowest) - WIDENING)

    def problem(self, curve: Curve) -> FinderError | None:
        """The error of a curve that has no picks, None if it has."""
        if self.budget is not None and len(curve.losses) >= self.budget and self._coarse(curve) is not None:
            return FinderError(
                f"budget={self.budget} was spent before the curve was bracketed; raise budget", key="budget"
            )
        return _problem(curve)

    @property
    def _bottom(self) -> int:
        """The first place of the coarse grid, in steps from rate 1."""
        return math.ceil(math.log10(self.lowest) / STEP - SAME)

    @property
    def _top(self) -> int:
        """The last place of the coarse grid."""
        return math.floor(math.log10(self.highest) / STEP + SAME)

    def _coarse(self, curve: Curve) -> float | None:
        """The next place of the coarse grid, None if the flank is filled or the range cannot widen further."""
        probed = _on_grid(curve)
        if not probed:
            return STEP * ((self._bottom + self._top) // 2)
        left, right = _bracket(curve, probed)
        room = round(WIDENING / STEP)
        bottom = self._bottom if left is not None or min(probed) > self._bottom else min(probed) - 2
        top = self._top if right is not None or max(probed) < self._top else max(probed) + 2
        bottom, top = max(bottom, self._bottom - room), min(top, self._top + room)
        ends = [bottom - 1 if left is None else left, top + 1 if right is None else right]
        known = [ends[0], *(place for place in probed if ends[0] < place < ends[1]), ends[1]]
        gaps = [(after - before, after, before) for before, after in pairwise(known)]
        width, after, before = max(gaps)
        return STEP * ((before + after + 1) // 2) if width > 1 else None


def _on_grid(curve: Curve) -> list[int]:
    """The probed places of the coarse grid, ascending."""
    places = (round(x / STEP) for x in curve.x if abs(x / STEP - round(x / STEP)) < SAME)
    return sorted(places)


def _bracket(curve: Curve, probed: list[int]) -> tuple[int | None, int | None]:
    """The last place left of the flank and the first right of it; None if not known yet.

    Before a loss has clearly decreased, every place that is not clearly worse counts as left of the flank, as rates
    that are too high are usually clearly worse. If the first one is only a little worse, the plateau is below.
    """
    clear = CLEAR * abs(curve.initial_loss)
    losses = {place: curve.losses[_key(curve, place)] for place in probed}
    best = min(probed, key=lambda place: losses[place] if math.isfinite(losses[place]) else math.inf)
    reduction = curve.initial_loss - losses[best] if math.isfinite(losses[best]) else -math.inf
    learns = reduction > clear
    right = [place for place in probed if _is_beyond(losses[place], place > best and learns, curve, clear)]
    if not right and not learns:
        return max(probed), None
    bound = min(right, default=None)
    below = [place for place in probed if bound is None or place < bound]
    if reduction <= 0:
        flat = [place for place in below if place + 1 != bound or losses[place] <= curve.initial_loss]
        return (None if len(flat) < len(below) else max(below, default=None)), bound
    flat = [place for place in below if place < best and curve.initial_loss - losses[place] < FLAT * reduction]
    return max(flat, default=None), bound


def _is_beyond(loss: float, right_of_best: bool, curve: Curve, clear: float) -> bool:
    """Whether a loss is beyond the minimum: diverged, clearly worse than at rate 0, or up by half the reduction."""
    if not math.isfinite(loss) or loss > curve.initial_loss + clear:
        return True
    return right_of_best and loss > curve.y[curve.lowest] + CLIFF * curve.reduction


def _key(curve: Curve, place: int) -> float:
    return min(curve.losses, key=lambda x: abs(x - STEP * place))


def _problem(curve: Curve) -> FinderError | None:
    """What is wrong with a curve that has been probed completely."""
    lowest, highest = (f"{10**x:.2g}" for x in (curve.x[0], curve.x[-1]))
    if not curve.reduction > 0:
        return FinderError(
            f"no learning rate between {lowest} and {highest} lowered the loss below {curve.initial_loss:.4g}, that of "
            f"the untrained model; raise steps, or check model and loss",
            key="steps",
        )
    left, right = _bracket(curve, _on_grid(curve))
    if right is None:
        return FinderError(
            f"the loss has no minimum and still falls, or stays flat, at {highest}; raise highest", key="highest"
        )
    if left is None:
        return FinderError(
            f"the loss has no plateau and is lower at {lowest} than untrained; decrease lowest", key="lowest"
        )
    noise = curve.landmarks.noise
    if curve.reduction < DROWNED * noise:
        return FinderError(
            f"the reduction of the loss by {curve.reduction:.2g} is not distinguishable from noise of {noise:.2g}; "
            f"raise steps, seeds or validation_steps",
            key="steps",
        )
    return None


def _refined(curve: Curve, threshold: float, floor: float) -> float | None:
    """The middle of the widest gap around a point of interest, not below `floor`; None if all are known."""
    marks = curve.landmarks
    wanted = [
        (urgency * (b - a), (a + b) / 2)
        for name, urgency in URGENCY
        for a, b in _gaps(curve, marks, name, threshold)
        if (a + b) / 2 >= floor
    ]
    return max(wanted)[1] if wanted else None


def _gaps(curve: Curve, marks: Landmarks, name: str, threshold: float) -> list[tuple[float, float]]:
    """The gaps between the probes around a point of interest that are wider than `threshold`."""
    drowned = 0.0
    if name == "knee" and marks.bend:  # three points a gap h apart give a second derivative to √6·noise/h²
        drowned = math.sqrt(math.sqrt(6) * marks.noise / curve.reduction / abs(marks.bend))
    low, high = neighbours(curve, getattr(marks, name))
    between = [float(x) for x in curve.x if low < x < high]
    edges = [low, *between, high]
    return [(a, b) for a, b in pairwise(edges) if b - a > max(threshold, drowned) + SAME]


def neighbours(curve: Curve, x: float) -> tuple[float, float]:
    """The probes next to x on both sides; x itself if it is beyond the last one."""
    below = [float(place) for place in curve.x if place < x - SAME]
    above = [float(place) for place in curve.x if place > x + SAME]
    return max(below, default=x), min(above, default=x)
