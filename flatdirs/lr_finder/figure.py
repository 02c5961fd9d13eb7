"""The figure of the finder: loss and curvature against the learning rate on a log axis."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flatdirs.lr_finder.curve import Curve
from flatdirs.lr_finder.picks import Picks, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = (("log_midpoint", "C1", "-"), ("half_loss", "C0", "--"), ("steepest", "C2", ":"))


def curve_figure(curve: Curve, points: Sequence[Point], picks: Picks | None, problem: str | None, label: str) -> Figure:
    """Points and fitted flank above, curvature below; the window is shaded, every pick has a line and its interval.

    Without picks, the points and the `problem`. `label`: of the axis of the loss.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _losses(upper, curve, points)
    upper.set_ylabel(label)
    if picks is None:
        upper.set_title("\n".join(textwrap.wrap(str(problem), 90)), fontsize=9)
        lower.remove()
        upper.tick_params(labelbottom=True)
        upper.set_xlabel("learning rate")
        return figure
    flank = curve.flank
    upper.plot(10**flank.x, flank.loss, color="0.5", linewidth=1, zorder=1)
    lower.plot(10**flank.x, flank.curvature, color="0.3", linewidth=1)
    lower.axhline(0, color="0.8", linewidth=0.5)
    for axes in (upper, lower):
        axes.axvspan(picks.min_lr.learning_rate, picks.max_lr.learning_rate, color="C1", alpha=0.1, linewidth=0)
    for name, color, style in STYLES:
        pick = getattr(picks, name)
        upper.axvspan(pick.low, pick.high, color=color, alpha=0.08, linewidth=0)
        upper.axvline(pick.learning_rate, color=color, linestyle=style, label=f"{name} {pick.learning_rate:.3g}")
    for end in (picks.min_lr, picks.max_lr):
        lower.axvline(end.learning_rate, color="C1", linewidth=1)
    upper.legend(fontsize=8, frameon=False)
    lower.set_ylabel("curvature")
    lower.set_xlabel("learning rate")
    return figure


def _losses(axes: Axes, curve: Curve, points: Sequence[Point]) -> None:
    """The points, those of each seed small; diverged ones as crosses at the top."""
    finite = [point for point in points if math.isfinite(point.loss)]
    top = curve.initial_loss + max(abs(curve.initial_loss) * 0.02, 0.6 * max(curve.reduction, 0.0))
    axes.set_xscale("log")
    for point in finite:
        seeds = point.losses if len(point.losses) > 1 else ()
        axes.plot([point.learning_rate] * len(seeds), np.minimum(seeds, top), ".", color="0.7", markersize=4)
    shown = [min(point.loss, top) for point in finite]
    axes.plot([point.learning_rate for point in finite], shown, "o", color="k", markersize=4)
    diverged = [point.learning_rate for point in points if not math.isfinite(point.loss)]
    axes.plot(diverged, [top] * len(diverged), "x", color="C3", label="diverged" if diverged else None)
    axes.axhline(curve.initial_loss, color="0.8", linewidth=0.8)
