"""`LearningRates`, the result of the finder: points, window, picks and cost, or the reason why there are no picks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flatdirs.errors import FinderError
from flatdirs.lr_finder.curve import Curve
from flatdirs.lr_finder.picks import Picks, Point, mean_curve, picks_of
from flatdirs.lr_finder.range_search import RangeSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flatdirs.lr_finder.probe import Cost

FORWARD = 1 / 3  # cost of a forward pass, in training batches


@dataclass(frozen=True)
class LearningRates:
    """The result of `find_learning_rate`.

    `points` are in ascending order of learning rate; `initial_loss` is the loss at rate 0; `evaluated_on` is
    "validation" or "training", the batches of the losses. One of `picks` and `error`, the reason why the curve has no
    picks, is None. `steps` counts optimizer steps; `cost` is all work in steps, a forward pass counting a third.
    """

    points: tuple[Point, ...]
    initial_loss: float
    evaluated_on: str
    picks: Picks | None
    error: FinderError | None
    steps: int
    cost: float
    curve: Curve = field(repr=False)

    @property
    def problem(self) -> str | None:
        """Why there are no picks, None if there are."""
        return None if self.error is None else str(self.error)

    @property
    def learning_rate(self) -> float:
        """The recommended rate, `log_midpoint`. Raises FinderError if there is none."""
        return self.found.log_midpoint.learning_rate

    @property
    def window(self) -> tuple[float, float]:
        """(min_lr, max_lr), the range worth searching. Raises FinderError if there is none."""
        return self.found.min_lr.learning_rate, self.found.max_lr.learning_rate

    @property
    def found(self) -> Picks:
        """The picks. Raises FinderError if there are none."""
        if self.picks is None:
            raise self.error or FinderError("the curve has no picks", key="steps")
        return self.picks

    def figure(self) -> Figure:
        """Loss and curvature against the learning rate on a log axis, with window and picks; shown in notebooks."""
        from flatdirs.lr_finder.figure import curve_figure

        return curve_figure(self.curve, self.points, self.picks, self.problem, f"{self.evaluated_on} loss")

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        stream = BytesIO()
        self.figure().savefig(stream, format="png", dpi=100)
        return stream.getvalue()

    def __str__(self) -> str:
        cost = (
            f"cost: {len(self.points)} learning rates, {self.steps} steps; with validation as much as "
            f"{self.cost:.0f} steps"
        )
        if self.picks is None:
            return f"no learning rate: {self.problem}\n{cost}"
        picks = self.picks
        lines = [
            f"learning rate {picks.log_midpoint} (log_midpoint, recommended)",
            f"half_loss     {picks.half_loss}",
            f"steepest      {picks.steepest}",
            f"window        {picks.min_lr.learning_rate:.3g} to {picks.max_lr.learning_rate:.3g} (min_lr, max_lr)",
            f"{self.evaluated_on} loss: {self.initial_loss:.4g} untrained, {self.curve.y.min():.4g} at best",
            cost,
        ]
        return "\n".join(lines)


def result_of(
    initial: Sequence[float],
    points: Sequence[Point],
    search: RangeSearch,
    evaluated_on: str,
    cost: Cost,
    accumulate: int = 1,
) -> LearningRates:
    """The result of a finished search. `initial` and the `losses` of each point have one entry per seed."""
    ordered = tuple(sorted(points, key=lambda point: point.learning_rate))
    curve = mean_curve(initial, ordered)
    error = search.problem(curve)
    picks = None if error is not None else picks_of(curve, initial, ordered)
    spent = (cost.trained_batches + FORWARD * cost.evaluated_batches) / accumulate
    return LearningRates(ordered, curve.initial_loss, evaluated_on, picks, error, cost.steps, spent, curve)
