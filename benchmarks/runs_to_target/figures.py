"""One figure a lattice: for every start, the share of seeds at the target against runs, all methods in one panel.

Strong lines begin at the panel's start, where it is clipped to a box if there is one; faint ones know no start.
"""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import pages
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.conditions import NONE, Condition
from benchmarks.runs_to_target.findings import BUDGET, Evidence, curve

COLOURS = {
    "flatdirs": "#D55E00",
    "myrtle": "#0072B2",
    "raw": "#56B4E9",
    "tpe": "#009E73",
    "tpe_chart": "#F0E442",
    "cmaes": "#CC79A7",
    "cfo": "#E69F00",
    "gp": "#000000",
    "qmc": "#AAAAAA",
    "random": "#666666",
}
FAINT = 0.5
WITH_START = ("tpe+start",)
STYLES = {NONE: "-", "ignorant": "--", "expert": ":"}
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}


def picture(evidence: Evidence, target: float) -> bytes:
    """A panel a start; methods without a start are faint and the same in all."""
    starts = list(conditions.settings()[conditions.named(evidence.lattice).optimizer]["starts"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.5), layout="constrained")
        panels = figure.subplots(2, 3, sharex=True, sharey=True)
        for axes, start in zip(panels.flat, starts, strict=True):
            _panel(axes, evidence, start, target)
        panels[1, 0].set_xlabel("runs, probes included")
        panels[1, 0].set_ylabel("share of seeds at the target")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=7, frameon=False)
        figure.suptitle(f"{evidence.lattice}: {target:g} % below the best of the fit", fontsize=10)
        return pages.png(figure, 90)


def _panel(axes: Axes, evidence: Evidence, start: str, target: float) -> None:
    for condition in evidence.groups:
        if _shown(condition, start):
            across, up = curve(evidence.runs(condition, target))
            label = condition.method if condition.box == NONE else f"{condition.method}, {condition.box}"
            wide = 2.4 if condition.method == "flatdirs" else 1.3 if condition.start != NONE else 1.0
            look = {"color": COLOURS[condition.base], "lw": wide, "alpha": 1.0 if condition.start != NONE else FAINT}
            axes.plot(across, up, STYLES[condition.box], label=label, **look)
    axes.set(title=start, xlim=(0, BUDGET), ylim=(-0.02, 1.02))


def _shown(condition: Condition, start: str) -> bool:
    """Every method once, with the panel's start where it has one, else without any; and TPE with the start as well."""
    return (condition.method == condition.base or condition.method in WITH_START) and condition.start in (start, NONE)
