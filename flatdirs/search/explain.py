"""Why a run is made, in words: what the model expects of it beside the best point. Pure reading of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flatdirs.search.gp import SURE, Model, Shape
from flatdirs.space.coordinates import Point
from flatdirs.space.grid import Grid

RISK = 0.25  # probability of diverging from which on it is said


def describe_move(grid: Grid, start: Point, end: Point) -> str:
    """What leads from one point to another, such as lr·wd/(1−momentum) ×4, wd ÷1.41."""
    chart, words = grid.chart, []
    for axis, (old, new) in zip(chart.axes, zip(start, end, strict=True), strict=True):
        if new != old:
            words.append(f"{axis.name} {'×' if new > old else '÷'}{chart.step ** abs(new - old):.3g}")
    return ", ".join(words) or "repeat"


def reason(model: Model, held: Sequence[int], point: Point, repeat: int) -> str:
    """What a run at `point` is expected to show beside the best point's own expectation, and why it is worth making.

    `held`: axes that are left alone; `repeat`: how often the point was run before.
    """
    log_grid, best = model.log_grid, model.best
    move = describe_move(log_grid.grid, best, point)
    if repeat and point == best:
        runs = f"{repeat} runs say" if repeat > 1 else "one run says"
        return f"repeat with another seed: what comes next hangs on whether the best point is as good as its {runs}"
    where = f"repeat with another seed, {move} from the best" if repeat else move
    names = [log_grid.grid.chart.axes[axis].name for axis in held if point[axis] == best[axis]]
    flat = f"; {' and '.join(names)} held, flat so far" if names else ""
    falls = 1.0 - float(model.cliff.ends(np.array([point], dtype=float))[0])
    flat = f", {100 * falls:.0f} % likely to diverge{flat}" if falls >= RISK else flat
    if not any(math.isfinite(run.score) for run in model.runs):
        return f"{where}: no run has finished yet{flat}"
    if model.even:
        return f"{where}: all runs that finished gave the same so far"
    mean, deviation = model.change(best, point)
    low, middle, high = (_gain(model, shift) for shift in (mean - SURE * deviation, mean, mean + SURE * deviation))
    if mean >= 0:
        return f"{where}: expected {_side(middle)} than the best point (90 %: {_sides(low, high)}){flat}"
    percent = max(1, round(50 * math.erfc(-mean / (math.sqrt(2.0) * max(deviation, 1e-12)))))
    expected = f"expected {_side(middle)} (90 %: {_sides(low, high)}){_supposed(model, point)}"
    return f"{where}: worth a look, {percent} % likely to be better than the best point; {expected}{flat}"


def _gain(model: Model, shift: float) -> float:
    """A difference in warped score from the best point, as a score."""
    return model.score(model.peak + shift) - model.score(model.peak)


def _supposed(model: Model, point: Point) -> str:
    """Under which steep coordinate the point is expected to be better after all, where there is such a one."""
    log_grid, best = model.log_grid, model.best
    if log_grid.decay is None or "lr" not in (name := log_grid.grid.chart.axes[0].name):
        return ""
    means = model.means(np.array([best, point], dtype=float))
    for decay, word in ((1.0, "lr·wd"), (0.5, "lr·√wd"), (0.0, "lr")):
        weights = np.array([one.shape == Shape(decay) for one in model.hypotheses]) * model.weights
        if (likely := float(weights.sum())) and (gain := float(weights @ (means[:, 1] - means[:, 0])) / likely) > 0:
            steep = name.replace("wd", "").replace("lr", word)
            return f", {_side(_gain(model, gain))} if {steep} is what counts (probability {likely:.2g})"
    return ""


def _side(gain: float) -> str:
    """A difference of scores in words that hold whichever way the study optimises, such as 0.25 better."""
    size = abs(gain)
    return f"{size:{'.0f' if 10 <= size < 1e6 else '.2g'}} {'better' if gain >= 0 else 'worse'}"


def _sides(low: float, high: float) -> str:
    """An interval of differences, the worse end first; its word once where both ends have the same."""
    worse, better = _side(low), _side(high)
    same = worse.split()[1] == better.split()[1]
    return f"{worse.split()[0] if same else worse} to {better}"
