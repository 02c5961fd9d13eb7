"""Every search that is compared: `ask` gives a point and the number of its replicate, `tell` the run, `handed_over` what it would return.

The first run of every method is the start. A rival hands over the best run observed, flatdirs its incumbent, the highest posterior mean
among the points run. A diverged run counts for a rival as guessing, for Optuna ignores failures. In a pool of runs what was run is not
what was asked for; flatdirs, TPE and the Gaussian process are told the true place, CMA-ES and CFO, which learn from their own points
only, the place that they asked for. Optuna's samplers have the arguments that the long form of SEARCH.md's rivals had, written out.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution

from benchmarks.search import split
from benchmarks.search.split import NONE, OURS, Box, Condition, Hyperparameters
from benchmarks.search.surfaces import Absent, Told
from flatdirs.errors import FlatdirsError
from flatdirs.search import grid_chart
from flatdirs.search.bayes import BayesSettings
from flatdirs.search.suggest import incumbent, suggest
from flatdirs.search.types import Run, Suggestion
from flatdirs.space.chart import Axis, Chart, product
from flatdirs.space.grid import Grid
from flatdirs.space.names import label
from flatdirs.space.shipped_charts import named_chart

optuna.logging.set_verbosity(optuna.logging.ERROR)
AVERAGING = ("momentum", "beta1")  # one of these is in every chart with momentum


class Method(Protocol):
    """A search in the middle of a repetition."""

    def ask(self) -> tuple[Hyperparameters, int]: ...
    def tell(self, told: Told) -> None: ...
    def handed_over(self) -> Hyperparameters: ...


def make(condition: Condition, begin: Hyperparameters, seed: int) -> Method:
    """The method of a condition, at its start. Raises Absent where a package, or a setting of our search, is not here."""
    name = split.FROZEN[condition.method]["runs"] if condition.method in split.FROZEN else condition.method
    if name in OURS:
        return Ours(condition, OURS[name], begin)
    if name == "keep":
        return Keep(begin)
    names, box = split.names_of(condition.surface), split.box(condition.surface, condition.box)
    kinds: dict[str, Any] = {"random": Random, "cfo": Cfo}
    return kinds[name](names, box, begin, seed) if name in kinds else Study(name, names, box, begin, seed)


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


class Rival:
    """Remembers the best run observed; the first run is the start."""

    def __init__(self, begin: Hyperparameters) -> None:
        self.begin, self.best, self.highest, self.count = begin, begin, -math.inf, 0

    def ask(self) -> tuple[Hyperparameters, int]:
        """The start, then what the search proposes."""
        self.count += 1
        return (self.begin if self.count == 1 else self.propose()), 0

    def tell(self, told: Told) -> None:
        """Learn from a run."""
        if not told.diverged and told.value > self.highest:
            self.best, self.highest = told.hyperparameters, told.value
        self.learn(told)

    def handed_over(self) -> Hyperparameters:
        """The best run observed; the start where none finished."""
        return self.best

    def propose(self) -> Hyperparameters:
        raise NotImplementedError

    def learn(self, told: Told) -> None:
        """What else a search does with a run."""


class Keep(Rival):
    """Never leaves the start."""

    def propose(self) -> Hyperparameters:
        return self.begin

    def handed_over(self) -> Hyperparameters:
        return self.begin


class Random(Rival):
    """Log-uniform in the box; run n is a function of seed and n."""

    def __init__(self, names: list[str], box: Box, begin: Hyperparameters, seed: int) -> None:
        super().__init__(begin)
        self.names, self.box, self.seed = names, box, seed

    def propose(self) -> Hyperparameters:
        parts = np.random.default_rng([self.seed, self.count]).random(len(self.box)).tolist()
        place = {s: low * (high / low) ** u for u, (s, (low, high)) in zip(parts, self.box.items(), strict=True)}
        return split.from_sides(place, self.names)


class Study(Rival):
    """One of Optuna's samplers, by ask and tell on a study in memory. A start out of the box is its first trial all the same."""

    def __init__(self, kind: str, names: list[str], box: Box, begin: Hyperparameters, seed: int) -> None:
        super().__init__(begin)
        self.names, self.place, self.own = names, split.to_sides(begin, names), kind == "cmaes"
        self.ranges = {side: distribution(side, *ends) for side, ends in box.items()}
        clipped = {side: min(max(self.place[side], low), high) for side, (low, high) in box.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna_sampler(kind, clipped, int(np.random.SeedSequence([seed, 0]).generate_state(1)[0]))
            self.study = optuna.create_study(direction="maximize", sampler=sampler)
            self.study.enqueue_trial(dict(self.place))

    def ask(self) -> tuple[Hyperparameters, int]:
        self.count += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.trial = self.study.ask(self.ranges)
        self.place = dict(self.trial.params)
        return (self.begin if self.count == 1 else split.from_sides(self.place, self.names)), 0

    def learn(self, told: Told) -> None:
        where = split.to_sides(told.hyperparameters, self.names)
        if self.own or all(math.isclose(where[side], self.place[side], rel_tol=1e-9) for side in where):
            self.study.tell(self.trial, told.value)
            return
        self.study.tell(self.trial, state=optuna.trial.TrialState.FAIL)
        true = {
            side: int(where[side]) if isinstance(one, IntDistribution) else where[side]
            for side, one in self.ranges.items()
        }
        self.study.add_trial(optuna.trial.create_trial(params=true, distributions=self.ranges, value=told.value))


def distribution(side: str, low: float, high: float) -> FloatDistribution | IntDistribution:
    """The range of a side, on a log scale."""
    if side == "batch_size":
        return IntDistribution(int(low), int(high), log=True)
    return FloatDistribution(low, high, log=True)


def optuna_sampler(kind: str, first: Mapping[str, float], seed: int) -> Any:
    """A sampler with its arguments written out. Raises Absent where its package is not here."""
    try:
        if kind == "gp":
            import torch  # noqa: F401  (else it would be missed after three runs)

            return optuna.samplers.GPSampler(n_startup_trials=3, deterministic_objective=False, seed=seed)
        if kind == "cmaes":  # x0 is deprecated, but nothing else says where to begin
            import cmaes  # noqa: F401

            return optuna.samplers.CmaEsSampler(x0=dict(first), seed=seed, warn_independent_sampling=False)
    except ImportError as error:
        raise Absent(f"{kind} needs one more package; pip install 'flatdirs[samplers]'; skipped") from error
    told = {"n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": True, "group": False, "constant_liar": True}
    return optuna.samplers.TPESampler(**told, seed=seed)


class Cfo(Rival):
    """FLAML's cost-related frugal optimisation from the start, clipped to the box; every run costs the same here."""

    def __init__(self, names: list[str], box: Box, begin: Hyperparameters, seed: int) -> None:
        super().__init__(begin)
        try:
            from flaml import CFO, tune
        except ImportError as error:
            raise Absent("cfo needs one more package; pip install flaml==2.7.0; skipped") from error
        logging.getLogger("flaml").setLevel(logging.ERROR)
        self.names, self.number = names, -1
        place = split.to_sides(begin, names)
        first = {side: min(max(place[side], low), high) for side, (low, high) in box.items()}
        space = {side: tune.loguniform(low, high) for side, (low, high) in box.items()}
        told: dict[str, Any] = {"metric": "value", "mode": "max", "low_cost_partial_config": first, "cost_attr": None}
        self.search, self.place = CFO(space=space, seed=seed, **told), first

    def ask(self) -> tuple[Hyperparameters, int]:
        self.count += 1
        point = self.propose()
        return (self.begin if self.count == 1 else point), 0

    def propose(self) -> Hyperparameters:
        for _ in range(10_000):  # a configuration that was tried before is withdrawn, and the next one asked for
            self.number += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self.search.suggest(str(self.number))
            if found is not None:
                self.place = found
                return split.from_sides({side: found[side] for side in split.sides(self.names).values()}, self.names)
        raise Absent("cfo proposes nothing new; skipped")

    def learn(self, told: Told) -> None:
        config = {f"config/{side}": float(value) for side, value in self.place.items()}
        self.search.on_trial_complete(str(self.number), {"value": told.value, **config})
