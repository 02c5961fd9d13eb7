"""Why a point is suggested, in words: what the model predicts for it, compared with the incumbent. Reads a model
only.
"""

from __future__ import annotations

import numpy as np

from flatdirs.search.known import Known
from flatdirs.space.chart import Axis, Chart, Point
from flatdirs.space.grid import Grid

RISK = 0.25  # probability of divergence from which on it is mentioned


def describe_move(grid: Grid, start: Point, end: Point) -> str:
    """What leads from one point to another, such as lr·wd/(1−momentum) ×4, wd ÷1.41, dropout 0.1 → 0.25."""
    words = []
    before, after = grid.hyperparameters(start), grid.hyperparameters(end)
    for axis, old, new in zip(grid.chart.axes, start, end, strict=False):
        if new != old and (name := _by_value(grid.chart, axis)) is not None:
            words.append(f"{name} {_short(before[name])} → {_short(after[name])}")
        elif new != old:
            words.append(f"{axis.name} {'×' if new > old else '÷'}{grid.chart.step ** abs(new - old):.3g}")
    old_choices, new_choices = grid.chosen(start), grid.chosen(end)
    words += [f"{name} {old} → {new_choices[name]}" for name, old in old_choices.items() if new_choices[name] != old]
    return ", ".join(words) or "replicate"


def _by_value(chart: Chart, axis: Axis) -> str | None:
    """The further hyperparameter of an axis on which a factor says little: linear, logit, whole, or in steps."""
    name = next(iter(axis.exponents))
    told = chart.scales.get(name)
    plain = told is None or (told.kind == "log" and name not in chart.whole and name not in chart.steps)
    return None if plain else name


def _short(value: float) -> str:
    return f"{value:.10g}"


def reason(known: Known, point: Point, count: int) -> str:
    """The prediction for a run at `point` and why it is worth making. `count`: runs of the point, pending ones too."""
    log_grid, best = known.log_grid, known.best
    grid = log_grid.grid
    move = describe_move(grid, best, point)
    place = log_grid.octaves(np.array([point], dtype=float))
    diverges = 1.0 - float(known.divergence.finishes(place)[0])
    notes = f"; {100 * diverges:.0f} % chance to diverge" if diverges >= RISK else ""
    if count and point == best:
        done = sum(run.point == best for run in known.runs)
        return f"replicate: is the incumbent as good as its {f'{done} runs' if done > 1 else 'one run'}?{notes}"
    again = "replicate, " if count else ""
    if known.even:
        return f"{move}: {again}all finished runs gave the same value"
    here = log_grid.octaves(np.array([best], dtype=float))[0]
    percents = [*(0.05, 0.5, 0.95), *np.linspace(0.01, 0.99, 99)]
    low, middle, high, *every = known.model.quantiles(here, percents, place[0])
    percent = min(99, max(1, sum(gain > 0 for gain in every)))
    expected = f"expected {_side(middle)}, 90 % interval {_sides(low, high)}"
    return f"{move}: {again}{percent} % chance to beat the incumbent ({expected}){notes}"


def _side(gain: float) -> str:
    """A difference of values in words that hold for losses and accuracies, such as 0.25 better."""
    size = abs(gain)
    return f"{size:{'.0f' if 10 <= size < 1e6 else '.2g'}} {'better' if gain >= 0 else 'worse'}"


def _sides(low: float, high: float) -> str:
    """An interval of differences, the worse end first; its word once where both ends have the same."""
    worse, better = _side(low), _side(high)
    same = worse.split()[1] == better.split()[1]
    return f"{worse.split()[0] if same else worse} to {better}"
