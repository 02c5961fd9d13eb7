"""One figure a subject: every recorded run's end over its learning rate, and what a rung knows of the ends, over κ."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import pages
from benchmarks.edge_sweep.findings import Evidence, Foresight
from benchmarks.edge_sweep.setting import KAPPAS, RUNGS, VARIANTS

STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
COLOURS = {"sign": "#D55E00", "difference": "#0072B2"}


def picture(evidence: Evidence, subject: str) -> bytes:
    """Both panels; there must be recorded runs."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        first, *others = figure.subplots(1, 1 + len(RUNGS), width_ratios=[1.5, 1, 1, 1])
        finished = [curve for curve in evidence.recorded(subject) if curve.finished]
        rates, finals = [curve.point.learning_rate for curve in finished], [curve.final for curve in finished]
        averaging = [curve.point.one_minus_beta1 for curve in finished]
        dots = first.scatter(rates, finals, c=averaging, norm="log", cmap="viridis", s=14, lw=0)
        first.set(xscale="log", xlabel="learning rate", ylabel="final loss", title=f"{len(finished)} runs")
        figure.colorbar(dots, label="1−β₁")
        found = evidence.foresight(subject)
        for number, axes in enumerate(others):
            _foresight(axes, found, number)
        return pages.png(figure, 90)


def _foresight(axes: Axes, found: list[Foresight], number: int) -> None:
    """Rank correlation with the final loss at one rung: the loss's dashed, the variants' over κ."""
    known = {one.seen: one.whole[number] for one in found}
    if known:
        axes.axhline(known["loss"], color="black", ls="--", lw=1, label="loss")
        for variant in VARIANTS:
            line = [known[f"{variant}@{kappa:g}"] for kappa in KAPPAS]
            axes.plot(KAPPAS, line, "o-", color=COLOURS[variant], ms=3, lw=1.4, label=variant)
    axes.set(xlabel="κ", ylim=(-1.05, 1.05), title=f"Spearman's ρ at {RUNGS[number]}")
    if number == 0 and known:
        axes.legend(frameon=False, fontsize=8)
