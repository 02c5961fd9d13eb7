"""The figures of an analysis: a function for each section, from a result of flatdirs/analysis to a figure.

Nothing is computed here but places on the page. Figures are matplotlib's, unsaved; matplotlib is imported when the
first one is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flatdirs.analysis.clusters import Clusters
from flatdirs.analysis.correlation import Quadrants, Rung
from flatdirs.analysis.curve_shape import Shape
from flatdirs.analysis.diverged_runs import Divergence
from flatdirs.analysis.exploration import Exploration
from flatdirs.analysis.gradient_norms import GradientNorms
from flatdirs.analysis.importance import Importances
from flatdirs.analysis.sweep import Coordinates, Sweep, chart_coordinates, raw_coordinates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def gradients(found: GradientNorms) -> Figure:
    """Median norm and quartiles against the learning rate, thin bins hollow; the share of spikes below."""
    figure = _figure((6.4, 5.2))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    rates = np.array([np.sqrt(b.low * b.high) for b in found.bins])
    medians, thin = np.array([b.median for b in found.bins]), np.array([b.thin for b in found.bins])
    quartiles = [b.lower for b in found.bins], [b.upper for b in found.bins]
    upper.fill_between(rates, *quartiles, alpha=0.2, label="quartiles")
    upper.plot(rates, medians, linewidth=1)
    for own, label, style in (
        (~thin, "median", {"color": "C0"}),
        (thin, "thin bin", {"facecolors": "white", "edgecolors": "C3"}),
    ):
        if own.any():
            upper.scatter(rates[own], medians[own], zorder=3, label=label, **style)
    upper.set(xscale="log", yscale="log", ylabel="gradient norm")
    upper.legend()
    lower.bar(rates, [100 * b.spikes for b in found.bins], width=[0.8 * (b.high - b.low) for b in found.bins])
    lower.set(xlabel="learning rate", ylabel="spikes, %")
    return figure


def correlations(found: Sequence[Rung], metric: str | None) -> Figure:
    """Rank correlations with their intervals against the evaluation."""
    figure, axes = _one()
    for shift, (key, label) in enumerate((("loss", "loss"), ("metric", metric or ""))):
        known = [(i, c) for i, rung in enumerate(found) if (c := getattr(rung, key)) is not None]
        if not known:
            continue
        values = np.array([c.value for _, c in known])
        errors = [values - [c.low for _, c in known], [c.high for _, c in known] - values]
        places = [i + 0.1 * shift for i, _ in known]
        axes.errorbar(places, values, np.clip(errors, 0, None), fmt="o-", capsize=3, label=label)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(found)), [str(rung.evaluation) for rung in found])
    axes.set(xlabel="evaluation", ylabel="rank correlation with the final loss", ylim=(-1.05, 1.05))
    _legend(axes)
    return figure


def quadrants(found: Quadrants, sweep: Sweep) -> Figure:
    """Final loss against the last metric, with the medians."""
    figure, axes = _one()
    for one in found.quadrants:
        axes.scatter([run.metrics[-1][1] for run in one.runs], [run.loss for run in one.runs], s=18)
    axes.axhline(found.median_loss, color="grey", linewidth=0.8)
    axes.axvline(found.median_metric, color="grey", linewidth=0.8)
    axes.set(xlabel=f"last {sweep.metric}", ylabel=f"final {sweep.loss_name}")
    return figure


def clusters(found: Clusters) -> Figure:
    """The finished runs in the two hyperparameters in which the clusters are furthest apart, with their centres."""
    figure, axes = _one()
    place = raw_coordinates([run for one in found.clusters for run in one.runs])
    parts = np.split(place.logs, np.cumsum([len(one.runs) for one in found.clusters])[:-1])
    order = np.argsort(-np.std([part.mean(axis=0) for part in parts], axis=0), kind="stable").tolist()
    columns = [order[0], order[min(1, len(order) - 1)]]
    for cluster, part in enumerate(parts, start=1):
        axes.scatter(*(2.0 ** part[:, columns].T), s=18, label=f"cluster {cluster}")
        axes.scatter(*(2.0 ** part[:, columns].mean(axis=0)), marker="x", color="black")
    _label(axes, place, columns)
    _legend(axes)
    return figure


def exploration(found: Exploration) -> Figure:
    """Both distances over time, with the medians of the quarters."""
    figure, axes = _one()
    runs = np.arange(2, len(found.nearest) + 2)
    for key, label, colour in (
        ("nearest", "to the nearest earlier run", "C0"),
        ("to_best", "to the best so far", "C1"),
    ):
        axes.plot(runs, getattr(found, key), ".", color=colour, label=label)
        for quarter in found.quarters:
            axes.plot((quarter.first, quarter.last), [getattr(quarter, key)] * 2, color=colour)
    axes.set(xlabel="run", ylabel="distance, doublings")
    _legend(axes)
    return figure


def curve_shape(found: Shape) -> Figure:
    """The loss curves of the best runs over those of the others; the warm-up shaded."""
    figure, axes = _one()
    for runs, style in (
        (found.other_runs, {"color": "lightgrey", "linewidth": 0.6}),
        (found.best_runs, {"color": "C0", "linewidth": 1.2}),
    ):
        for run in runs:
            axes.plot(*zip(*run.losses, strict=True), **style)
    last = max(run.losses[-1][0] for run in (*found.best_runs, *found.other_runs))
    axes.axvspan(0, found.warmup * last, alpha=0.1, color="C1")
    axes.set(xlabel="step", ylabel="loss", yscale="log" if found.logarithmic else "linear")
    return figure


def importance(found: Importances) -> Figure:
    """Both evaluators as bars: hyperparameters, and beside them chart coordinates."""
    figure = _figure((8.0, 3.2))
    parts = [("hyperparameters", found.raw), ("chart coordinates", found.chart)]
    shown = [(title, part) for title, part in parts if part is not None]
    for axes, (title, part) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        names = list(part.ped_anova)[::-1]
        for shift, label, shares in ((0.2, "PED-ANOVA", part.ped_anova), (-0.2, "fANOVA", part.fanova or {})):
            axes.barh(np.arange(len(names)) + shift, [shares.get(n, 0.0) for n in names], height=0.38, label=label)
        axes.set_yticks(range(len(names)), names)
        axes.set(title=title, xlim=(0, 1), xlabel="share")
        axes.legend()
    return figure


def divergence(found: Divergence, sweep: Sweep) -> Figure | None:
    """All runs in the two coordinates that separate diverged ones best, with the best threshold."""
    raw = raw_coordinates(sweep.runs)
    chart = Coordinates((), raw.logs[:, :0]) if sweep.chart is None else chart_coordinates(sweep.chart, sweep.runs)
    own = [i for i, name in enumerate(raw.names) if name not in chart.names]
    logs = np.concatenate([chart.logs, raw.logs[:, own]], axis=1)
    place = Coordinates((*chart.names, *(raw.names[i] for i in own)), logs)
    best = [one.coordinate for one in found.thresholds if one.coordinate in place.names]
    names = list(dict.fromkeys([*best, *place.names]))[:2]
    if not names:
        return None
    figure, axes = _one()
    columns = [place.names.index(name) for name in (names[0], names[-1])]
    for state, marker in (("finished", "o"), ("pruned", "."), ("diverged", "x")):
        inside = [run.state == state for run in sweep.runs]
        if any(inside):
            axes.scatter(*(2.0 ** logs[inside][:, columns].T), s=24, marker=marker, label=state)
    if best and best[0] == found.thresholds[0].coordinate:
        axes.axvline(found.thresholds[0].value, color="C3", linestyle="--", linewidth=1)
    _label(axes, place, columns)
    _legend(axes)
    return figure


def _label(axes: Axes, place: Coordinates, columns: Sequence[int]) -> None:
    axes.set(xscale="log", yscale="log", xlabel=place.names[columns[0]], ylabel=place.names[columns[1]])


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _one() -> tuple[Figure, Any]:
    figure = _figure((6.4, 4.0))
    return figure, figure.add_subplot()


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")
