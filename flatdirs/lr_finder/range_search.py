"""Which learning rate to probe next, and when to stop: a pure function of the curve so far.

Half a decade is the coarse step (reference/001). The coarse grid is not walked from end to end but bisected (ours):
only the falling flank between the last rate that learns nothing and the first that is beyond the minimum is filled, and
half of it is met on the way there. Where an end of the range cuts the flank off, the range widens by itself. Then the
log-midpoints around every point of interest are probed, widest gap first, until each lies between two probes
`threshold` apart, or the knee's curvature drowns in the points' scatter, or the budget is spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from flatdirs.errors import FinderError
from flatdirs.lr_finder.curve import CLIFF, Curve, Landmarks

STEP = 0.5  # decades of the coarse grid
WIDENING = 4.0  # decades by which the range may grow at either end
FLAT = 0.1  # of the reduction: a loss this close to the initial one has learnt nothing yet
CLEAR = 0.1  # of the initial loss: a difference that noise does not make, before the reduction is known
URGENCY = (("knee", 1.0), ("minimum", 1.0), ("half", 0.6), ("steepest", 0.4))  # the first two make the window
DROWNED = 2.7  # a reduction of fewer times the scatter says nothing; the fit tells scatters of up to 0.4 of it
SMALL = 1e-30  # what a rate may be: with the widening, float32 holds its inverse, too
SAME = 1e-6  # decades between places that count as one


@dataclass(frozen=True)
class Placement:
    """The range to begin with (learning rates), the gap in decades at which a point is known, and how many probes.

    `budget` None probes until every point of interest is known.

    Raises:
        FinderError: a value that no search could use; the sentence names the argument.
    """

    lowest: float = 1e-6
    highest: float = 10.0
    threshold: float = 0.1
    budget: int | None = 14

    def __post_init__(self) -> None:
        """Refuse what no search could use."""
        for name in ("lowest", "highest", "threshold"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not SMALL <= value <= 1 / SMALL:
                raise FinderError(f"{name}={value} must be a number between 1e-30 and 1e30; change {name}")
        if self.highest < 10 * self.lowest:
            raise FinderError(
                f"lowest={self.lowest:g}, highest={self.highest:g} must span a decade or more; change lowest or highest"
            )
        if self.budget is not None and (isinstance(self.budget, bool) or not isinstance(self.budget, int)):
            raise FinderError(f"budget={self.budget} must be a whole number or None; change budget")
        if self.budget is not None and self.budget < 1:
            raise FinderError(f"budget={self.budget} must be 1 or more; change budget")

    def next(self, curve: Curve) -> float | None:
        """log10 of the rate to probe next, None when there is nothing left to probe for."""
        if self.budget is not None and len(curve.losses) >= self.budget:
            return None
        coarse = self._coarse(curve)
        if coarse is not None or _problem(curve) is not None:
            return coarse
        return _refined(curve, self.threshold, math.log10(self.lowest) - WIDENING)

    def problem(self, curve: Curve) -> str | None:
        """Why the curve has no answer, in one sentence, or None where it has one."""
        if self.budget is not None and len(curve.losses) >= self.budget and self._coarse(curve) is not None:
            return f"budget={self.budget} was spent before the curve was bracketed; raise budget"
        return _problem(curve)

    @property
    def _bottom(self) -> int:
        """The first place of the coarse grid, counted in steps from rate 1."""
        return math.ceil(math.log10(self.lowest) / STEP - SAME)

    @property
    def _top(self) -> int:
        """The last place of the coarse grid."""
        return math.floor(math.log10(self.highest) / STEP + SAME)

    def _coarse(self, curve: Curve) -> float | None:
        """The next place of the coarse grid, None when the flank is filled or the range is as wide as it may get."""
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
    """The places of the coarse grid that have been probed, ascending."""
    places = (round(x / STEP) for x in curve.x if abs(x / STEP - round(x / STEP)) < SAME)
    return sorted(places)


def _bracket(curve: Curve, probed: list[int]) -> tuple[int | None, int | None]:
    """The last place left of the flank and the first right of it; None where it is not known yet.

    Before a loss has clearly come down, all that is not clearly worse counts as left of the flank: rates that are too
    high give themselves away. Where they do not, because the first is only a little worse, the plateau is still below.
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
    """Whether a loss is that of a rate beyond the minimum: diverged, clearly worse than at rate 0, or risen by half."""
    if not math.isfinite(loss) or loss > curve.initial_loss + clear:
        return True
    return right_of_best and loss > curve.y[curve.lowest] + CLIFF * curve.reduction


def _key(curve: Curve, place: int) -> float:
    return min(curve.losses, key=lambda x: abs(x - STEP * place))


def _problem(curve: Curve) -> str | None:
    """What is wrong with a curve that was probed as far as it goes."""
    rates = f"between {10 ** curve.x[0]:.2g} and {10 ** curve.x[-1]:.2g}"
    if not curve.reduction > 0:
        return f"no learning rate {rates} lowered the loss below {curve.initial_loss:.4g}, that of the untrained model"
    left, right = _bracket(curve, _on_grid(curve))
    if right is None:
        return f"the loss has no minimum: it still falls, or stays flat, at {10 ** curve.x[-1]:.2g}; raise highest"
    if left is None:
        return f"the loss has no plateau: it is already lower at {10 ** curve.x[0]:.2g} than untrained; lower lowest"
    noise = curve.landmarks.noise
    if curve.reduction < DROWNED * noise:
        return (
            f"the curve drowns in noise: the loss came down by {curve.reduction:.2g} and scatters by {noise:.2g}; "
            f"raise steps, seeds or the number of validation batches"
        )
    return None


def _refined(curve: Curve, threshold: float, floor: float) -> float | None:
    """The middle of the widest gap around a point of interest, not below `floor`; None where all are known."""
    marks = curve.landmarks
    wanted = [
        (urgency * (b - a), (a + b) / 2)
        for name, urgency in URGENCY
        for a, b in _gaps(curve, marks, name, threshold)
        if (a + b) / 2 >= floor
    ]
    return max(wanted)[1] if wanted else None


def _gaps(curve: Curve, marks: Landmarks, name: str, threshold: float) -> list[tuple[float, float]]:
    """The gaps between probes next to a point of interest that are wider than `threshold`."""
    drowned = 0.0
    if name == "knee" and marks.bend:  # three points a gap h apart tell a second derivative to √6·noise/h²
        drowned = math.sqrt(math.sqrt(6) * marks.noise / curve.reduction / abs(marks.bend))
    low, high = neighbours(curve, getattr(marks, name))
    between = [float(x) for x in curve.x if low < x < high]
    edges = [low, *between, high]
    return [(a, b) for a, b in pairwise(edges) if b - a > max(threshold, drowned) + SAME]


def neighbours(curve: Curve, x: float) -> tuple[float, float]:
    """The probes next to x on both sides; x itself stands in where it lies beyond the last."""
    below = [float(place) for place in curve.x if place < x - SAME]
    above = [float(place) for place in curve.x if place > x + SAME]
    return max(below, default=x), min(above, default=x)
