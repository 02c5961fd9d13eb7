"""One figure a model: complete runs and picks over the rate, and below them the curves that the picks were made on."""

from __future__ import annotations

import math

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import pages
from benchmarks.step_sampling.findings import EXPONENTS, OWN, RIVALS, SCHEDULES, Evidence, Grid, Picks

BLUE, ORANGE, GREEN, VERMILION, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#666666"
SCHEDULE_STYLES = {"constant": (BLUE, "o"), "triangle": (ORANGE, "^")}
RAMPS = {
    "torch_lr_finder": ("torch-lr-finder", VERMILION),
    "fastai": ("fastai", PURPLE),
    "lightning": ("Lightning", GREY),
}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def pictures(evidence: Evidence) -> dict[str, bytes]:
    """Every figure that has runs, by its file's name."""
    with mpl.rc_context(STYLE):
        measured = [model for model in EXPONENTS if any(evidence.grid(model, kind).runs for kind in SCHEDULES)]
        return {f"{model}.png": pages.png(_draw(evidence, model), 110) for model in measured}


def _draw(evidence: Evidence, model: str) -> Figure:
    """Accuracy above, losses below, one axis of rates."""
    figure = Figure(figsize=(9, 8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for schedule in SCHEDULES:
        _accuracies(above, evidence.grid(model, schedule), schedule)
    low, high = evidence.grid(model, "constant").rates[0], evidence.grid(model, "constant").rates[-1]
    above.set_xscale("log")
    above.set_xlim(low / 2, high * 2)
    above.set(ylabel="accuracy in %", title=f"{model}: complete runs, one dot a seed, lines through the means")
    _mark(above, evidence.picks(model))
    above.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    _losses(below, evidence, model)
    return figure


def _accuracies(axes: Axes, grid: Grid, schedule: str) -> None:
    """Every run of the grid's rates."""
    colour, marker = SCHEDULE_STYLES[schedule]
    means = {}
    for rate in grid.rates:
        found = list(grid.runs.get(rate, {}).values())
        axes.plot([rate] * len(found), found, marker, color=colour, markersize=3, alpha=0.6)
        if found:
            means[rate] = sum(found) / len(found)
    axes.plot(
        list(means),
        list(means.values()),
        color=colour,
        label=f"{schedule} rate" if schedule == "constant" else "peak of the triangle",
    )


def _mark(axes: Axes, picks: dict[str, Picks]) -> None:
    """The window as a band, step sampling's picks as thick lines, the rivals' as thin ones: seed 0's."""
    ends = [picks[rule].judged for rule in ("min_lr", "max_lr") if rule in picks]
    if len(ends) == 2 and None not in ends:
        axes.axvspan(*ends, color=GREEN, alpha=0.12, label="window, min_lr to max_lr")
    styles = ("-", "--", ":", "-.")
    for number, rule in enumerate(rule for rule in OWN if rule in picks and rule not in ("min_lr", "max_lr")):
        if (rate := picks[rule].judged) is not None:
            axes.axvline(rate, color=GREEN, linestyle=styles[number], linewidth=2, label=rule)
    left, right = axes.get_xlim()
    for number, rule in enumerate(rule for rule in RIVALS if rule in picks):
        rate = picks[rule].judged
        if rate is not None and left < rate < right:
            colour = VERMILION if "torch" in rule else PURPLE if "fastai" in rule else GREY
            axes.axvline(rate, color=colour, linestyle=styles[number % 4], linewidth=1, label=RIVALS[rule])


def _losses(axes: Axes, evidence: Evidence, model: str) -> None:
    """The probes of step sampling and the rivals' ramps, seed 0's; what grew beyond the start is cut off."""
    curves = {
        "probes, 20 steps each": (evidence.curve("probes.csv", model), {"color": GREEN, "marker": "o", "markersize": 3})
    }
    for finder, (name, colour) in RAMPS.items():
        ramp = evidence.curve("rivals_curves.csv", model, finder)
        curves[f"{name}'s ramp, smoothed"] = (ramp, {"color": colour, "linewidth": 1})
    left, right = axes.get_xlim()
    shown, starts = [], []
    for name, ((rates, losses), style) in curves.items():
        if rates:
            axes.plot(rates, losses, label=name, **style)
            starts += [losses[0]]
            shown += [
                loss for rate, loss in zip(rates, losses, strict=True) if left < rate < right and math.isfinite(loss)
            ]
    if shown:
        least, start = min(shown), max(starts)
        axes.set_ylim(least - 0.1 * (start - least), start + 0.4 * (start - least))
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    axes.set(xlabel="learning rate", ylabel="the finders' losses")
