"""The field: random log search, Sobol's sequence, TPE, a Gaussian process and CMA-ES of Optuna, CFO of FLAML, in a box.

Optuna's arguments are those of flatdirs.plan; a study lies in memory. A diverged run is told as a guess, the accuracy it
leaves, for Optuna ignores failures. What a method would return is the run with the best accuracy observed.

- A start is clipped to the box, hyperparameter by hyperparameter. Random, Sobol, TPE and GP take it as an enqueued first
  run. CMA-ES takes it as first run and as x0 (by itself Optuna's first run is random). CFO takes it as its low-cost start.
- `tpe_chart` sees the chart's coordinates (λα/(1−ρ), 1−ρ, α) on logarithmic scales. Its box is the smallest in
  coordinates that holds the raw box; what falls outside the raw box is clipped to it per hyperparameter before it is run.
  TPE itself is told the point it asked for.
- Random and Sobol points are flatdirs' own sequences (flatdirs.sequence).
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution

from benchmarks.runs_to_target.conditions import Box
from benchmarks.runs_to_target.methods import Hyperparameters, Method, Unavailable
from benchmarks.runs_to_target.surface import Sample, Surface
from flatdirs.backend.search_plan import SearchPlan, make_sampler
from flatdirs.search import Rules
from flatdirs.space.coordinates import Chart
from flatdirs.space.grid import Grid as Lattice

optuna.logging.set_verbosity(optuna.logging.ERROR)
INDEPENDENT = ("random", "qmc")
CONFIG = "config/"  # FLAML's name for a hyperparameter in a result


class Best:
    """Keeps the run with the best accuracy observed."""

    def __init__(self) -> None:
        self._best = -math.inf
        self._returned: Hyperparameters | None = None

    @property
    def returned(self) -> Hyperparameters | None:
        """The best run so far; the first of equals."""
        return self._returned

    def note(self, hyperparameters: Hyperparameters, accuracy: float) -> None:
        """One more run."""
        if accuracy > self._best:
            self._best, self._returned = accuracy, hyperparameters


class Axes:
    """Between a chart's hyperparameters and the names of a box's sides (one_minus_momentum)."""

    def __init__(self, chart: Chart, box: Box) -> None:
        self.box = {self.side(chart, name): box[self.side(chart, name)] for name in chart.free}
        self.chart = chart

    @staticmethod
    def side(chart: Chart, name: str) -> str:
        """The side of a hyperparameter."""
        return f"one_minus_{name}" if name in chart.one_minus else name

    def sides(self, hyperparameters: Hyperparameters) -> dict[str, float]:
        """Hyperparameters along the sides, clipped to the box."""
        found = {self.side(self.chart, name): self.chart.inner(name, hyperparameters[name]) for name in self.chart.free}
        return self.clipped(found)

    def clipped(self, sides: Mapping[str, float]) -> dict[str, float]:
        """Inside the box."""
        return {name: min(max(value, self.box[name][0]), self.box[name][1]) for name, value in sides.items()}

    def hyperparameters(self, sides: Mapping[str, float]) -> dict[str, float]:
        """And back."""
        return {
            name: 1.0 - sides[self.side(self.chart, name)] if name in self.chart.one_minus else float(sides[name])
            for name in self.chart.free
        }


class Sequence(Best):
    """Points that need no answers; the start, where there is one, before them."""

    def __init__(self, kind: str, axes: Axes, begin: Hyperparameters | None, seed: int) -> None:
        super().__init__()
        self._axes, self._begin, self._kind, self._seed = axes, begin, kind, seed
        self._points: list[list[float]] = []
        self._asked = 0
        self._last: Hyperparameters = {}

    def ask(self) -> Hyperparameters | None:
        """The next point."""
        self._asked += 1
        if self._begin is not None and self._asked == 1:
            self._last = self._axes.hyperparameters(self._axes.sides(self._begin))
        else:
            unit = self._unit(self._asked - 1 - (self._begin is not None))
            pairs = zip(unit, self._axes.box.items(), strict=True)
            sides = {name: low * (high / low) ** part for part, (name, (low, high)) in pairs}
            self._last = self._axes.hyperparameters(self._axes.clipped(sides))
        return self._last

    def tell(self, sample: Sample) -> None:
        """Keep the best."""
        self.note(self._last, sample.accuracy)

    def _unit(self, index: int) -> list[float]:
        """Point `index` of flatdirs.sequence, whose Sobol engine is started once instead of once a point."""
        dimensions = len(self._axes.box)
        if self._kind == "random":
            return [float(u) for u in np.random.default_rng([self._seed, index]).random(dimensions)]
        if not self._points:
            from scipy.stats import qmc

            engine = qmc.Sobol(dimensions, scramble=True, seed=self._seed)
            self._points = engine.random(64).tolist()
        return self._points[index]


class Study(Best):
    """An Optuna study in memory."""

    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler,
        space: Box,
        run: Callable[[Mapping[str, float]], Hyperparameters],
        first: Mapping[str, float] | None,
    ) -> None:
        super().__init__()
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space = {name: FloatDistribution(low, high, log=True) for name, (low, high) in space.items()}
        self._run = run
        if first is not None:
            self._study.enqueue_trial(dict(first))
        self._trial: optuna.Trial | None = None
        self._last: Hyperparameters = {}

    def ask(self) -> Hyperparameters | None:
        """The sampler's next trial."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._trial = self._study.ask(self._space)
        self._last = self._run(self._trial.params)
        return self._last

    def tell(self, sample: Sample) -> None:
        """End the trial."""
        assert self._trial is not None
        self._study.tell(self._trial, sample.accuracy)
        self.note(self._last, sample.accuracy)


class Cfo(Best):
    """FLAML's cost-related frugal optimisation; every run costs the same here."""

    def __init__(self, axes: Axes, begin: Hyperparameters, seed: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                from flaml import CFO, tune
            except ImportError as error:
                raise Unavailable("cfo needs one more package: pip install flaml==2.7.0") from error
        logging.getLogger("flaml").setLevel(logging.ERROR)
        self._axes = axes
        self._search = CFO(
            metric="accuracy",
            mode="max",
            space={name: tune.loguniform(low, high) for name, (low, high) in axes.box.items()},
            low_cost_partial_config=axes.sides(begin),
            cost_attr=None,
            seed=seed,
        )
        self._number = 0
        self._sides: dict[str, float] = {}

    def ask(self) -> Hyperparameters | None:
        """The next configuration; one that CFO withdraws (it was tried before) is asked for again."""
        for _ in range(100):
            self._number += 1
            found = self._search.suggest(str(self._number))
            if found is not None:
                self._sides = {name: float(value) for name, value in found.items()}
                return self._axes.hyperparameters(self._axes.clipped(self._sides))
        return None

    def tell(self, sample: Sample) -> None:
        """The result of the configuration asked for last."""
        config = {f"{CONFIG}{name}": value for name, value in self._sides.items()}
        self._search.on_trial_complete(str(self._number), {"accuracy": sample.accuracy, **config})
        self.note(self._axes.hyperparameters(self._axes.clipped(self._sides)), sample.accuracy)


def make(name: str, surface: Surface, box: Box, begin: Hyperparameters | None, seed: int) -> Method:
    """A baseline in a box, from a start where it takes one."""
    axes = Axes(surface.chart, box)
    if name in INDEPENDENT:
        return Sequence(name, axes, begin, seed)
    if name == "cfo":
        assert begin is not None
        return Cfo(axes, begin, seed)
    first = None if begin is None else axes.sides(begin)
    if name == "tpe_chart":
        space, run = in_coordinates(axes)
        return Study(
            optuna_sampler("tpe", surface, seed), space, run, None if first is None else coordinates(axes, first)
        )
    if name == "cmaes":
        assert first is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna deprecates x0, and has nothing else that says where to begin
            try:
                sampler = optuna.samplers.CmaEsSampler(x0=first, seed=seed, warn_independent_sampling=False)
            except ImportError as error:
                raise Unavailable("cmaes needs one more package: pip install 'flatdirs[samplers]'") from error
        return Study(sampler, axes.box, axes.hyperparameters, first)
    return Study(optuna_sampler(name, surface, seed), axes.box, axes.hyperparameters, first)


def optuna_sampler(name: str, surface: Surface, seed: int) -> optuna.samplers.BaseSampler:
    """TPE or GP, as a study of flatdirs has it."""
    begin = dict.fromkeys(surface.chart.hyperparameters, 0.5)  # a plan wants a start; these samplers have none
    return make_sampler(SearchPlan(name, Lattice(surface.chart, begin), Rules(), seed, {}), 0, 60.0)


def coordinates(axes: Axes, sides: Mapping[str, float]) -> dict[str, float]:
    """The chart's coordinates of a point given along the box's sides."""
    return axes.chart.coordinates(axes.hyperparameters(sides))


def in_coordinates(axes: Axes) -> tuple[Box, Callable[[Mapping[str, float]], Hyperparameters]]:
    """The smallest box in coordinates that holds the raw one, and the way from there to hyperparameters inside the raw one."""
    names = [axes.side(axes.chart, name) for name in axes.chart.free]
    logs = np.log2(np.array([axes.box[name] for name in names]))
    ends = {}
    for axis, row in zip(axes.chart.axes, axes.chart.matrix.tolist(), strict=True):
        low = sum(power * side[0 if power > 0 else 1] for power, side in zip(row, logs, strict=True))
        high = sum(power * side[1 if power > 0 else 0] for power, side in zip(row, logs, strict=True))
        ends[axis.name] = (2.0**low, 2.0**high)

    def run(found: Mapping[str, float]) -> Hyperparameters:
        wanted = axes.chart.inverse @ np.log2([found[axis.name] for axis in axes.chart.axes])
        sides: Mapping[str, Any] = dict(zip(names, (2.0**wanted).tolist(), strict=True))
        return axes.hyperparameters(axes.clipped(sides))

    return ends, run
