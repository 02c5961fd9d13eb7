"""The figures of a sweep's analysis, one function a section: a result of flatdirs/sweep/ → a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flatdirs.analysis.clusters import Clusters
from flatdirs.analysis.correlation import Quadrants, Rung
from flatdirs.analysis.curves import Shape
from flatdirs.analysis.divergence import Divergence
from flatdirs.analysis.exploration import Exploration
from flatdirs.analysis.gradients import GradientNorms
from flatdirs.analysis.importance import Importances
from flatdirs.analysis.records import Coordinates, Sweep, flat_coordinates, raw_coordinates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (6.4, 4.0)


def gradients(found: GradientNorms) -> Figure:
    """Median norm and quartiles against the rate; thin bins hollow; the spikes' share below."""
    figure = _figure((6.4, 5.2))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    rates = np.array([np.sqrt(b.low * b.high) for b in found.bins])
    upper.fill_between(
        rates, [b.lower for b in found.bins], [b.upper for b in found.bins], alpha=0.2, label="quartiles"
    )
    upper.plot(rates, [b.median for b in found.bins], linewidth=1)
    for thin, style in ((False, {"color": "C0"}), (True, {"facecolors": "white", "edgecolors": "C3"})):
        own = [i for i, b in enumerate(found.bins) if b.thin == thin]
        medians = [found.bins[i].median for i in own]
        if own:
            upper.scatter(rates[own], medians, zorder=3, label="thin bin" if thin else "median", **style)
    upper.set(xscale="log", yscale="log", ylabel="gradient norm")
    upper.legend()
    lower.bar(rates, [100 * b.spikes for b in found.bins], width=[0.8 * (b.high - b.low) for b in found.bins])
    lower.set(xlabel="learning rate", ylabel="spikes, %")
    return figure


def correlations(found: Sequence[Rung], metric: str | None) -> Figure:
    """Rank correlations and their intervals against the rung."""
    figure, axes = _one()
    for shift, (key, label) in enumerate((("loss", "loss"), ("metric", metric or ""))):
        told = [(i, c) for i, rung in enumerate(found) if (c := getattr(rung, key)) is not None]
        if not told:
            continue
        values = np.array([c.value for _, c in told])
        errors = [values - [c.low for _, c in told], [c.high for _, c in told] - values]
        places = [i + 0.1 * shift for i, _ in told]
        axes.errorbar(places, values, np.clip(errors, 0, None), fmt="o-", capsize=3, label=label)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(found)), [str(rung.evaluation) for rung in found])
    axes.set(xlabel="evaluation", ylabel="Spearman's ρ with the final loss", ylim=(-1.05, 1.05))
    _legend(axes)
    return figure


def quadrants(found: Quadrants, sweep: Sweep) -> Figure:
    """Loss against metric, with the medians."""
    figure, axes = _one()
    for one in found.quadrants:
        metrics, losses = [run.metrics[-1][1] for run in one.runs], [run.loss for run in one.runs]
        axes.scatter(metrics, losses, s=18)
    axes.axhline(found.median_loss, color="grey", linewidth=0.8)
    axes.axvline(found.median_metric, color="grey", linewidth=0.8)
    axes.set(xlabel=f"last {sweep.metric}", ylabel=f"final {sweep.judged_by}")
    return figure


def clusters(found: Clusters) -> Figure:
    """The survivors in the two coordinates in which the clusters lie furthest apart, with their centres."""
    figure, axes = _one()
    place = raw_coordinates([run for one in found.clusters for run in one.runs])
    first, columns = 0, _furthest_apart(found, place)
    for number, one in enumerate(found.clusters, start=1):
        own = slice(first, first := first + len(one.runs))
        logs = place.logs[own][:, columns]
        axes.scatter(2.0 ** logs[:, 0], 2.0 ** logs[:, 1], s=18, label=f"cluster {number}")
        centre = 2.0 ** logs.mean(axis=0)
        axes.scatter(*centre, marker="x", color="black")
    _label(axes, place, columns)
    _legend(axes)
    return figure


def _furthest_apart(found: Clusters, place: Coordinates) -> list[int]:
    """The two columns in which the cluster means vary most, in octaves; the only one twice."""
    ends = np.cumsum([len(one.runs) for one in found.clusters])[:-1]
    means = np.array([part.mean(axis=0) for part in np.split(place.logs, ends)])
    order = np.argsort(-means.std(axis=0), kind="stable").tolist()
    return [order[0], order[min(1, len(order) - 1)]]


def exploration(found: Exploration) -> Figure:
    """Both distances over time."""
    figure, axes = _one()
    runs = np.arange(2, len(found.novelty) + 2)
    axes.plot(runs, found.novelty, ".", label="to the nearest earlier run")
    axes.plot(runs, found.to_best, ".", label="to the best so far")
    for key, colour in (("novelty", "C0"), ("to_best", "C1")):
        for quarter in found.quarters:
            axes.plot((quarter.first, quarter.last), [getattr(quarter, key)] * 2, color=colour)
    axes.set(xlabel="run", ylabel="distance, octaves")
    _legend(axes)
    return figure


def shape(found: Shape) -> Figure:
    """The curves of the best runs over those of the others."""
    figure, axes = _one()
    for runs, style in (
        (found.other_runs, {"color": "lightgrey", "linewidth": 0.6}),
        (found.best_runs, {"color": "C0", "linewidth": 1.2}),
    ):
        for run in runs:
            axes.plot([step for step, _ in run.losses], [loss for _, loss in run.losses], **style)
    last = max(run.losses[-1][0] for run in (*found.best_runs, *found.other_runs))
    axes.axvspan(0, found.warmup * last, alpha=0.1, color="C1")
    axes.set(xlabel="step", ylabel="loss", yscale="log" if found.logarithmic else "linear")
    return figure


def importance(found: Importances) -> Figure:
    """Both evaluators as bars, raw beside flat."""
    figure = _figure((8.0, 3.2))
    parts = [("hyperparameters", found.raw), ("flat coordinates", found.flat)]
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
    """Diverged runs, survivors and pruned ones in the two coordinates that part them best, with the best threshold."""
    place = _all_coordinates(sweep)
    told = [one.coordinate for one in found.thresholds if one.coordinate in place.names]
    names = list(dict.fromkeys([*told, *place.names]))[:2]
    if not names:
        return None
    figure, axes = _one()
    columns = [place.names.index(name) for name in (names[0], names[-1])]
    for state, marker in (("finished", "o"), ("pruned", "."), ("diverged", "x")):
        own = [i for i, run in enumerate(sweep.runs) if run.state == state]
        if own:
            x, y = (2.0 ** place.logs[own][:, column] for column in columns)
            axes.scatter(x, y, s=24, marker=marker, label=state)
    if told and told[0] == names[0] == found.thresholds[0].coordinate:
        axes.axvline(found.thresholds[0].value, color="C3", linestyle="--", linewidth=1)
    _label(axes, place, columns)
    _legend(axes)
    return figure


def _all_coordinates(sweep: Sweep) -> Coordinates:
    """Flat coordinates, then the hyperparameters that are none of them, of every run."""
    raw = raw_coordinates(sweep.runs)
    flat = Coordinates((), raw.logs[:, :0]) if sweep.chart is None else flat_coordinates(sweep.chart, sweep.runs)
    own = [i for i, name in enumerate(raw.names) if name not in flat.names]
    names = (*flat.names, *(raw.names[i] for i in own))
    return Coordinates(names, np.concatenate([flat.logs, raw.logs[:, own]], axis=1))


def _label(axes: Axes, place: Coordinates, columns: Sequence[int]) -> None:
    axes.set(xscale="log", yscale="log", xlabel=place.names[columns[0]], ylabel=place.names[columns[1]])


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _one() -> tuple[Figure, Any]:
    figure = _figure(SIZE)
    return figure, figure.add_subplot()


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")
