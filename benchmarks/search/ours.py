"""flatdirs in a repetition: its public API, default settings but for those of split.yaml, on the chart of a surface.

It hands over its incumbent, the highest posterior mean among the points run. In a pool of runs it is told the true place of a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.search import split
from benchmarks.search.simulated import Absent, Told
from benchmarks.search.split import NONE, Box, Condition, Hyperparameters
from flatdirs.errors import FlatdirsError
from flatdirs.search import grid_chart
from flatdirs.search.bayes import BayesSettings
from flatdirs.search.suggest import incumbent, suggest
from flatdirs.search.types import Run, Suggestion
from flatdirs.space.chart import Axis, Chart, product
from flatdirs.space.grid import Grid
from flatdirs.space.names import label
from flatdirs.space.shipped_charts import named_chart

AVERAGING = ("momentum", "beta1")  # one of these is in every chart with momentum


class Ours:
    """flatdirs with its default settings but for those of split.yaml."""

    def __init__(self, condition: Condition, settings: Mapping[str, Any], begin: Hyperparameters) -> None:
        told = {key: value for key, value in settings.items() if key != "chart"}
        try:
            self.settings = BayesSettings(**told)
        except (TypeError, FlatdirsError) as error:
            raise Absent(f"{condition.method}: this version of the search has no {', '.join(told)}; skipped") from error
        found = chart(condition.surface, settings.get("chart", split.family(condition.surface)["optimizer"]))
        ends = split.limits(condition.surface) if condition.box == NONE else split.box(condition.surface, condition.box)
        self.grid = Grid(grid_chart("flatdirs", found.within(bounds(found, ends))), dict(begin))
        self.runs: list[Run] = []
        self.asked: Suggestion | None = None

    def ask(self) -> tuple[Hyperparameters, int]:
        self.asked = suggest(self.grid, self.settings, self.runs, ())
        return self.grid.hyperparameters(self.asked.point), self.asked.replicate

    def tell(self, told: Told) -> None:
        point = self.asked.point
        if told.hyperparameters != self.grid.hyperparameters(point):
            point = self.grid.place(told.hyperparameters)
        state, number = "diverged" if told.diverged else "finished", sum(run.point == point for run in self.runs)
        self.runs.append(Run(point, told.value, state, number, told.loss, told.at_chance, told.timescales))

    def handed_over(self) -> Hyperparameters:
        return self.grid.hyperparameters(incumbent(self.grid, self.settings, self.runs) or self.grid.origin)


def chart(surface: str, kind: str) -> Chart:
    """The chart of a surface's hyperparameters whose first axis is that of a chart that comes with flatdirs.

    Momentum and beta1 stand for one another, hyperparameters that the surface lacks are left out, further ones get an axis each.
    """
    names, shipped = split.names_of(surface), named_chart("sgd_batch" if kind == "sgd" else kind)
    here = next((name for name in names if name in AVERAGING), None)
    steep = {here if name in AVERAGING else name: power for name, power in shipped.axes[0].exponents.items()}
    if kind == "sgd_plain":
        steep["batch_size"] = -1  # as in sgd_batch
    steep, one_minus = {name: steep[name] for name in names if name in steep}, frozenset(AVERAGING) & set(names)
    firsts = {"momentum": "double", "beta1": "double"}
    axes = [Axis(product(steep, one_minus), steep)]
    axes += [
        Axis(label(name, name in one_minus), {name: 1}, firsts.get(name, "halve")) for name in names if name != "lr"
    ]
    return Chart(kind, tuple(names), tuple(axes), one_minus, frozenset({"batch_size"} & set(names)))


def bounds(found: Chart, ends: Box) -> dict[str, tuple[float | None, float | None]]:
    """The sides of a box as bounds of a chart; 0 below and infinity above are none."""
    pairs = {}
    for name, side in split.sides(found.hyperparameters).items():
        low, high = (None if end in (0, math.inf) else end for end in ends[side])
        back = side != name  # the other way round, for 1 − momentum
        pairs[name] = tuple(None if end is None else round(1 - end, 12) for end in (high, low)) if back else (low, high)
    return pairs
