"""The finder's curve as a picture: loss and curvature against the logarithm of the learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flatdirs.lr_finder.result import LearningRates

PICKS = (("log_midpoint", "C1", "-"), ("half_loss", "C0", "--"), ("steepest", "C2", ":"))  # the source's colours


def curve_figure(result: LearningRates) -> Figure:
    """Points and fitted flank above, curvature below; the window shaded, a line a pick with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _losses(upper, result)
    if result.picks is None:
        upper.set_title("\n".join(_wrapped(str(result.problem))), fontsize=9)
        lower.remove()
        upper.tick_params(labelbottom=True)
        upper.set_xlabel("learning rate")
        return figure
    flank = result.curve.flank
    upper.plot(10**flank.x, flank.loss, color="0.5", linewidth=1, zorder=1)
    lower.plot(10**flank.x, flank.curvature, color="0.3", linewidth=1)
    lower.axhline(0, color="0.8", linewidth=0.5)
    for axes in (upper, lower):
        axes.axvspan(*result.window, color="C1", alpha=0.1, linewidth=0)
    for name, color, style in PICKS:
        pick = getattr(result.picks, name)
        upper.axvspan(pick.low, pick.high, color=color, alpha=0.08, linewidth=0)
        upper.axvline(pick.learning_rate, color=color, linestyle=style, label=f"{name} {pick.learning_rate:.3g}")
    for name in ("min_lr", "max_lr"):
        lower.axvline(getattr(result.picks, name).learning_rate, color="C1", linewidth=1)
    upper.legend(fontsize=8, frameon=False)
    lower.set_ylabel("curvature")
    lower.set_xlabel("learning rate")
    return figure


def _losses(axes: Axes, result: LearningRates) -> None:
    """The points, every seed's small; diverged ones as crosses at the top."""
    finite = [point for point in result.points if math.isfinite(point.loss)]
    top = result.initial_loss + max(abs(result.initial_loss) * 0.02, 0.6 * max(result.curve.reduction, 0.0))
    axes.set_xscale("log")
    for point in finite:
        seeds = point.losses if len(point.losses) > 1 else ()
        axes.plot([point.learning_rate] * len(seeds), np.minimum(seeds, top), ".", color="0.7", markersize=4)
    shown = [min(point.loss, top) for point in finite]
    axes.plot([point.learning_rate for point in finite], shown, "o", color="k", markersize=4)
    gone = [point.learning_rate for point in result.points if not math.isfinite(point.loss)]
    axes.plot(gone, [top] * len(gone), "x", color="C3", label="diverged" if gone else None)
    axes.axhline(result.initial_loss, color="0.8", linewidth=0.8)
    axes.set_ylabel(f"{result.judged_on} loss")


def _wrapped(text: str, width: int = 90) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
