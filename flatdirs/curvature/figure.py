"""A figure of the loss and the curvature of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flatdirs.curvature.log_record import CurvatureRecord

HEIGHTS = (3, 1, 1, 2, 1, 1)


def curvature_figure(
    records: Sequence[CurvatureRecord], losses: Sequence[tuple[float, float]] = (), name: str = "training"
) -> Figure:
    """Loss, lr, gradient norm, sharpness with its threshold, their ratio and the alignment, against the steps.

    `losses`: (step, loss) of a second loss curve, called `name`. Numbers that are not finite are left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 9), layout="constrained")
    loss, rate, gradient, sharpness, ratio, alignment = figure.subplots(6, 1, sharex=True, height_ratios=HEIGHTS)
    _line(loss, records, "loss", "k", "probe")
    if losses:
        steps, values = np.array(losses, dtype=float).T
        loss.plot(steps, np.where(np.isfinite(values), values, np.nan), "o", color="0.6", markersize=3, label=name)
    loss.legend(fontsize=8, frameon=False)
    _line(rate, records, "lr", "C0")
    _line(gradient, records, "gradient_norm", "C0")
    _line(sharpness, records, "sharpness", "C3", "sharpness")
    _line(sharpness, records, "threshold", "0.4", "edge of stability", ":")
    sharpness.legend(fontsize=8, frameon=False)
    ratio.axhline(1, color="0.4", linestyle=":", linewidth=1)
    _line(ratio, records, "ratio", "C3")
    _line(alignment, records, "alignment", "C2", magnitude=True)
    alignment.set_ylim(0, 1)
    names = ("loss", "lr", "gradient norm", "sharpness", "ratio", "|alignment|")
    for axes, label in zip(figure.axes, names, strict=True):
        axes.set_ylabel(label, fontsize=8)
        axes.tick_params(labelsize=8)
    for axes in (loss, gradient, sharpness):
        _logarithmic(axes)
    alignment.set_xlabel("step")
    return figure


def _line(
    axes: Axes,
    records: Sequence[CurvatureRecord],
    name: str,
    color: str,
    label: str | None = None,
    style: str = "-",
    magnitude: bool = False,
) -> None:
    values = np.array([getattr(record, name) for record in records], dtype=float)
    values = np.where(np.isfinite(values), abs(values) if magnitude else values, np.nan)
    axes.plot([record.step for record in records], values, style, color=color, linewidth=1, label=label)


def _logarithmic(axes: Axes) -> None:
    """Use a logarithmic axis if all numbers shown are above 0 and span more than a factor of ten."""
    shown = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    shown = shown[np.isfinite(shown)]
    if shown.size and shown.min() > 0 and shown.max() > 10 * shown.min():
        axes.set_yscale("log")
