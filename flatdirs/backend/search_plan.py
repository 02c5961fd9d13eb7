"""Which search a study runs: one of flatdirs' own on a grid, or one of Optuna's in a box, with its arguments written
out.

A `SearchPlan` is all that decides which points are suggested. `make_sampler` turns it into an Optuna sampler,
`plan_identity` into the part of a study's identity that must not change while it goes on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler

from flatdirs.backend.random_sequences import SequenceSampler
from flatdirs.backend.sampler import FlatDirectionsSampler
from flatdirs.errors import StudyError, require
from flatdirs.search import SEARCHES, Settings, stored
from flatdirs.space.chart import Chart
from flatdirs.space.grid import Grid, significant
from flatdirs.space.scales import Scale
from flatdirs.space.shipped_charts import describe_chart, read_chart

Space = FloatDistribution | IntDistribution | CategoricalDistribution
BASELINES = ("random", "tpe", "qmc", "gp", "cmaes")
RESEEDED = ("tpe", "gp", "cmaes")  # these get a new seed for each trial: its number
ANYWHERE = (1e-30, 1e30)  # the range of a searched hyperparameter without bounds
MOST = 2**48  # the largest whole number; floats hold every smaller one exactly, also MOST away


@dataclass(frozen=True)
class SearchPlan:
    """Which search runs, where it starts, and what it may move. `settings`: of flatdirs' own searches, else None."""

    name: str
    grid: Grid
    settings: Settings | None
    seed: int
    box: Mapping[str, tuple[float, float]]  # of one_minus_… where the chart says so; baselines only
    uniform: frozenset[str] = frozenset()  # names in the box that are drawn uniformly, not log-uniformly

    @property
    def on_grid(self) -> bool:
        """Whether this is one of flatdirs' own searches."""
        return self.settings is not None

    def spaces(self) -> dict[str, Space]:
        """What a trial suggests: the box for Optuna's searches, practically no range for our own."""
        chart = self.grid.chart
        numbers = unbounded(chart) if self.on_grid else box_spaces(chart, self.box, self.uniform)
        return numbers | {name: CategoricalDistribution(chart.choices[name]) for name in chart.open_choices}


def make_sampler(plan: SearchPlan, number: int, stale_seconds: float) -> BaseSampler:
    """The Optuna sampler of a search. TPE, GP and CMA-ES are seeded by the number of the trial they suggest."""
    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    if plan.settings is not None:
        return FlatDirectionsSampler(
            chart=plan.grid.chart,
            start=dict(plan.grid.start),
            search=plan.name,
            seed=plan.seed,
            settings=plan.settings,
            stale_seconds=stale_seconds,
        )
    if plan.name in ("random", "qmc"):
        return SequenceSampler(plan.name, plan.spaces(), plan.seed, stale_seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if plan.name == "tpe":
            return optuna.samplers.TPESampler(
                n_startup_trials=10, n_ei_candidates=24, multivariate=True, group=False, constant_liar=True, seed=seed
            )
        require("torch" if plan.name == "gp" else "cmaes")  # else it would be missed after ten runs
        if plan.name == "gp":
            return optuna.samplers.GPSampler(n_startup_trials=10, deterministic_objective=False, seed=seed)
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def unbounded(chart: Chart) -> dict[str, Space]:
    """Practically no range at all: the search decides, the chart's bounds limit it."""
    spaces: dict[str, Space] = {}
    for name in chart.free:
        kind = chart.scales[name].kind if name in chart.scales else "log"
        if name in chart.whole:
            linear = chart.scales[name] if kind == "linear" else None
            spaces[name] = IntDistribution(1, MOST) if linear is None else IntDistribution(*_whole_ends(linear))
        elif name in chart.one_minus or kind == "logit":
            spaces[name] = FloatDistribution(0.0, 1.0)
        elif kind == "linear":
            spaces[name] = FloatDistribution(-ANYWHERE[1], ANYWHERE[1])
        else:
            spaces[name] = FloatDistribution(*ANYWHERE, log=True)
    return spaces


def box_spaces(chart: Chart, box: Mapping[str, tuple[float, float]], uniform: Collection[str] = ()) -> dict[str, Space]:
    """The ranges of the baselines, log-uniform but for `uniform`. Raises StudyError where a hyperparameter has none.

    A further hyperparameter has its own range where the box has none, and is uniform unless its scale is log.
    """
    spaces: dict[str, Space] = {}
    for name in chart.free:
        key = f"one_minus_{name}" if name in chart.one_minus else name
        pair = box.get(key) or _own_range(chart, name)
        if pair is None:
            raise StudyError(f"this search needs a range for {key}; set box.{key}=[low,high]", key=f"box.{key}")
        log = key not in uniform and (name not in chart.scales or chart.scales[name].kind == "log")
        if name in chart.whole:
            spaces[key] = IntDistribution(int(pair[0]), int(pair[1]), log=log)
        else:
            spaces[key] = FloatDistribution(*pair, log=log)
    return spaces


def _whole_ends(scale: Scale) -> tuple[int, int]:
    return math.ceil(scale.low), math.floor(scale.high)


def _own_range(chart: Chart, name: str) -> tuple[float, float] | None:
    """The range of a further hyperparameter (of 1 − value where it enters as that), if it has both ends."""
    low, high = chart.bounds.get(name, (None, None))
    if name not in chart.scales or low is None or high is None:
        return None
    if name not in chart.one_minus:
        return low, high
    return (significant(1.0 - high, 12), significant(1.0 - low, 12)) if high < 1 else None


def plan_identity(plan: SearchPlan) -> dict[str, Any]:
    """The part of a study's identity that the search makes up."""
    identity: dict[str, Any] = {
        "search": {"name": plan.name, **({} if plan.settings is None else stored(plan.settings))},
        "chart": describe_chart(plan.grid.chart),
        "start": dict(plan.grid.start),
        "seed": plan.seed,
    }
    if not plan.on_grid:
        words = {name: ["uniform"] for name in plan.uniform}
        identity["box"] = {name: [*plan.box[name], *words.get(name, [])] for name in plan.spaces() if name in plan.box}
    return identity


def plan_of(identity: Mapping[str, Any]) -> SearchPlan:
    """The plan that a stored identity describes."""
    settings = dict(identity["search"])
    name = settings.pop("name")
    box = {key: (pair[0], pair[1]) for key, pair in identity.get("box", {}).items()}
    uniform = frozenset(key for key, pair in identity.get("box", {}).items() if len(pair) > 2)
    own = SEARCHES[name](**settings) if name in SEARCHES else None
    return SearchPlan(name, Grid(read_chart(identity["chart"]), identity["start"]), own, identity["seed"], box, uniform)
