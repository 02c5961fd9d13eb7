"""Why a point is suggested, in words: what the model predicts for it, compared with the incumbent. Reads a model
only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flatdirs.search.gp import SURE, Model, Shape
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


def reason(model: Model, held: Sequence[int], point: Point, count: int) -> str:
    """The prediction for a run at `point` and why it is worth making.

    `held`: axes that are left alone; `count`: runs of the point, pending ones included.
    """
    grid, best = model.log_grid.grid, model.best
    move = describe_move(grid, best, point)
    names = [grid.chart.axes[axis].name for axis in held if point[axis] == best[axis]]
    listed = " and ".join([", ".join(names[:-1]), *names[-1:]] if names[1:] else names)
    notes = f"; {listed} held, flat so far" if names else ""
    diverges = 1.0 - float(model.divergence.finishes(np.array([point], dtype=float))[0])
    notes = f"; {100 * diverges:.0f} % chance to diverge{notes}" if diverges >= RISK else notes
    if count and point == best:
        done = sum(run.point == best for run in model.runs)
        return f"replicate: is the incumbent as good as its {f'{done} runs' if done > 1 else 'one run'}?{notes}"
    again = "replicate, " if count else ""
    if (finished := sum(math.isfinite(run.value) for run in model.runs)) < 2:
        choices = " with these choices" if grid.chart.choices else ""
        return f"{move}: {again}{'only one' if finished else 'no'} run{choices} has finished yet{notes}"
    if model.even:
        return f"{move}: {again}all finished runs gave the same value"
    means, deviations = model.changes(best, np.array([point], dtype=float))
    mean, deviation = float(means[0]), float(deviations[0])
    low, middle, high = (_gain(model, shift) for shift in (mean - SURE * deviation, mean, mean + SURE * deviation))
    percent = min(99, max(1, round(50 * math.erfc(-mean / (math.sqrt(2.0) * max(deviation, 1e-12))))))
    expected = f"expected {_side(middle)}, 90 % interval {_sides(low, high)}"
    return f"{move}: {again}{percent} % chance to beat the incumbent ({expected}){_under(model, point, mean)}{notes}"


def _gain(model: Model, shift: float) -> float:
    """A difference in warped value from the incumbent, in units of the objective."""
    return model.value(model.peak + shift) - model.value(model.peak)


def _under(model: Model, point: Point, mean: float) -> str:
    """The steep coordinate under which a point that is expected to be worse would be better, if there is one."""
    grid, best = model.log_grid.grid, model.best
    name = grid.chart.axes[0].name
    if mean >= 0 or model.log_grid.decay is None or "lr" not in grid.chart.axes[0].exponents:
        return ""
    means = model.means(np.array([best, point], dtype=float))
    for decay in (1.0, 0.5, 0.0):
        weights = np.array([one.shape == Shape(decay) for one in model.kernels]) * model.weights
        if (likely := float(weights.sum())) and (gain := float(weights @ (means[:, 1] - means[:, 0])) / likely) > 0:
            return (
                f", {_side(_gain(model, gain))} if {with_decay(name, decay)} is what counts (probability {likely:.2g})"
            )
    return ""


def with_decay(name: str, decay: float) -> str:
    """The name of the first axis with the weight decay to another power: lr/(1−momentum) for 0."""
    bare = name.replace("lr·wd", "lr")
    return bare.replace("lr", {1.0: "lr·wd", 0.5: "lr·√wd"}.get(decay, "lr"), 1)


def _side(gain: float) -> str:
    """A difference of values in words that hold for losses and accuracies, such as 0.25 better."""
    size = abs(gain)
    return f"{size:{'.0f' if 10 <= size < 1e6 else '.2g'}} {'better' if gain >= 0 else 'worse'}"


def _sides(low: float, high: float) -> str:
    """An interval of differences, the worse end first; its word once where both ends have the same."""
    worse, better = _side(low), _side(high)
    same = worse.split()[1] == better.split()[1]
    return f"{worse.split()[0] if same else worse} to {better}"
