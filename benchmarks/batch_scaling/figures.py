"""The figures of the page, from the raw rows: one of distances and one of warm-up for each task.

Colours are Okabe and Ito's, which people with any colour vision can tell apart; shapes and line styles say the same
again. Lines of distances are geometric means over seeds, lines of accuracies plain means; dots are single seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks import pages
from benchmarks.batch_scaling import findings, peaks, walks

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
SHOWN_BATCH = 64
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def pictures() -> dict[str, bytes]:
    """Every figure whose rows are on file, by its file's name."""
    with mpl.rc_context(STYLE):
        figures = {f"distance_{task}.png": draw_distance(task) for task in findings.walked_tasks()}
        figures |= {f"warmup_{task}.png": draw_warmup(task) for task in findings.trained_tasks()}
        return {name: pages.png(figure, 110) for name, figure in figures.items()}


def draw_distance(task: str) -> Figure:
    """Distance against gradient norm; against the rate, with the bound; and in units of the step."""
    figure = Figure(figsize=(12, 4.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _against_gradient(left, task)
    _against_rate(middle, task)
    _relative(right, task)
    words = "network in evaluation mode, batch norm frozen; plain SGD"
    figure.suptitle(f"{task}: B steps of batch 1 at η against one step of batch B at Bη ({words})", fontsize=10)
    return figure


def _against_gradient(axes: Axes, task: str) -> None:
    """One dot a state and seed; colour says B, shape says how long the weights were trained."""
    for batch, colour in zip(walks.BATCH_SIZES, (BLUE, ORANGE, GREEN), strict=True):
        axes.plot([], [], "o", color=colour, markersize=5, label=f"B = {batch}")
        for epochs, marker in zip(walks.EPOCHS[task], "o^Ds", strict=False):
            keys = [key for key in findings.states() if (key[0], key[2]) == (task, epochs)]
            norms = [findings.states()[key].gradient_norm for key in keys]
            apart = [findings.ways()[(*key, batch, findings.REFERENCE_RATE)].same_examples for key in keys]
            axes.loglog(norms, apart, marker, color=colour, markersize=4, alpha=0.8)
    for epochs, marker in zip(walks.EPOCHS[task], "o^Ds", strict=False):
        axes.plot([], [], marker, color=GREY, markersize=5, label=f"epoch {epochs}" if epochs else "initial")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="gradient norm ‖∇L‖ at w", ylabel="distance ‖w_small − w_large‖")
    axes.set_title(f"same examples, Bη = 1/{round(1 / findings.REFERENCE_RATE)}; one dot a state and seed", fontsize=9)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4)


def _seed_mean(task: str, epochs: int, value: Callable[[tuple[str, int, int]], float]) -> float:
    """Geometric mean of `value` over the seeds of one state; nan where a walk blew up."""
    found = [value(key) for key in findings.states() if (key[0], key[2]) == (task, epochs)]
    return statistics.geometric_mean(found) if all(map(math.isfinite, found)) else math.nan


def _stages(task: str) -> list[tuple[int, str, str, str]]:
    """The first and the last state: epochs, colour, marker, name."""
    last = max(walks.EPOCHS[task])
    return [(0, VERMILION, "o", "initial weights"), (last, BLUE, "s", f"after {last} epochs")]


def _against_rate(axes: Axes, task: str) -> None:
    kinds = {"-": ("same examples", _same), "--": ("other examples", _others), ":": ("bound", _bound)}
    for epochs, colour, marker, stage in _stages(task):
        for style, (_, value) in kinds.items():
            drawn = [_seed_mean(task, epochs, partial(value, rate)) for rate in walks.LARGE_RATES]
            axes.loglog(walks.LARGE_RATES, drawn, style, marker="" if style == ":" else marker, color=colour, ms=4)
        axes.plot([], [], color=colour, marker=marker, markersize=4, label=stage)
        limit = _seed_mean(task, epochs, lambda key: 1 / (2 * findings.states()[key].sharpness))
        if limit < 4 * walks.LARGE_RATES[-1]:
            axes.axvline(limit, color=colour, linewidth=1, alpha=0.6)
    for style, (name, _) in kinds.items():
        axes.plot([], [], style, color=GREY, label=name)
    axes.set(xlabel="rate of the large step Bη", ylabel="distance ‖w_small − w_large‖")
    axes.set_title(f"B = {SHOWN_BATCH}; vertical lines: 1/(2H), where within the range", fontsize=9)
    axes.legend()


def _same(rate: float, key: tuple[str, int, int]) -> float:
    return findings.ways()[(*key, SHOWN_BATCH, rate)].same_examples


def _others(rate: float, key: tuple[str, int, int]) -> float:
    return findings.ways()[(*key, SHOWN_BATCH, rate)].other_examples


def _bound(rate: float, key: tuple[str, int, int]) -> float:
    return findings.states()[key].bound(SHOWN_BATCH, rate)


def _share(rate: float, key: tuple[str, int, int]) -> float:
    way = findings.ways()[(*key, SHOWN_BATCH, rate)]
    return way.same_examples / way.large_step


def _relative(axes: Axes, task: str) -> None:
    for epochs, colour, marker, stage in _stages(task):
        drawn = [_seed_mean(task, epochs, partial(_share, rate)) for rate in walks.LARGE_RATES]
        axes.loglog(walks.LARGE_RATES, drawn, color=colour, marker=marker, markersize=4, label=stage)
    axes.set(xlabel="rate of the large step Bη", ylabel="distance / length of the large step")
    axes.set_title(f"same examples, B = {SHOWN_BATCH}, in units of the step", fontsize=9)
    axes.legend()


def draw_warmup(task: str) -> Figure:
    """Accuracy and share of failed runs against the peak rate, a column a batch size."""
    sizes = peaks.BATCH_SIZES[task]
    figure = Figure(figsize=(5.5 * len(sizes) + 0.5, 5), layout="constrained")
    grid = figure.subplots(2, len(sizes), sharex="col", sharey="row", squeeze=False, height_ratios=[3, 1])
    for column, batch in enumerate(sizes):
        above, below = grid[0][column], grid[1][column]
        for warm, colour, marker, style, name in (
            (True, BLUE, "o", "-", "with warm-up"),
            (False, VERMILION, "x", "--", "without"),
        ):
            side = {key[3]: found for key, found in sorted(findings.runs().items()) if key[:3] == (task, batch, warm)}
            rates = list(side)
            points = [(rate, accuracy) for rate, found in side.items() for accuracy in found.accuracies]
            above.plot(*zip(*points, strict=True), marker, color=colour, markersize=3, alpha=0.4, linestyle="none")
            above.plot(rates, [found.mean for found in side.values()], style, color=colour, label=name)
            counts = [len(found.accuracies) for found in side.values()]
            failed = [100 * found.failed / n for found, n in zip(side.values(), counts, strict=True)]
            diverged = [100 * found.diverged / n for found, n in zip(side.values(), counts, strict=True)]
            below.plot(rates, failed, style, color=colour, marker=marker, markersize=3)
            below.plot(rates, diverged, ":", color=colour)
        above.set_xscale("log", base=2)
        above.set_title(f"{task}, batch {batch}", fontsize=9)
        above.legend(loc="lower center")
        below.set(xlabel="peak learning rate λ", ylim=(-5, 105))
    grid[0][0].set_ylabel("validation accuracy (%)")
    grid[1][0].set_ylabel("failed runs (%)\ndotted: not finite")
    return figure
