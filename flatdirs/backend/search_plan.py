"""Which search a study runs: our own over the grid, or one of Optuna's in a box, with the arguments written out.

A `SearchPlan` is all that decides which points are asked for. `make_sampler` turns it into an Optuna sampler,
`plan_identity` into the part of a study's identity that must not change while it goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler

from flatdirs.backend.sampler import FlatDirectionsSampler
from flatdirs.backend.sequences import SequenceSampler
from flatdirs.errors import StudyError
from flatdirs.search import SEARCHES, Rules
from flatdirs.space.coordinates import Chart
from flatdirs.space.grid import Grid
from flatdirs.space.library import describe_chart

Space = FloatDistribution | IntDistribution
BASELINES = ("random", "tpe", "qmc", "gp", "cmaes")
RESEEDED = ("tpe", "gp", "cmaes")  # these get a new seed for each trial: its number
FORMER = {"pruned": "worst"}  # a rule of earlier versions, as it is always now, so that their studies go on
ANYWHERE = (1e-30, 1e30)  # the range of a searched hyperparameter without walls


@dataclass(frozen=True)
class SearchPlan:
    """Which search runs, where it starts, and what it may move."""

    name: str
    grid: Grid
    rules: Rules
    seed: int
    box: Mapping[str, tuple[float, float]]  # of one_minus_… where the chart says so; baselines only
    uniform: frozenset[str] = frozenset()  # names in the box that are drawn uniformly, not log-uniformly

    @property
    def descends(self) -> bool:
        """Whether this is one of flatdirs' own searches over the grid."""
        return self.name in SEARCHES

    def spaces(self) -> dict[str, Space]:
        """What a trial is asked for: the box for Optuna's searches, as good as no range at all for our own."""
        chart = self.grid.chart
        return unbounded(chart) if self.descends else box_spaces(chart, self.box, self.uniform)


def make_sampler(plan: SearchPlan, number: int, stale_seconds: float) -> BaseSampler:
    """The Optuna sampler of a search. TPE, GP and CMA-ES are seeded by the number of the trial they propose."""
    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    if plan.descends:
        return FlatDirectionsSampler(
            chart=plan.grid.chart,
            start=dict(plan.grid.start),
            search=plan.name,
            seed=plan.seed,
            rules=plan.rules,
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
        try:
            if plan.name == "gp":
                return optuna.samplers.GPSampler(n_startup_trials=10, deterministic_objective=False, seed=seed)
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        except ImportError as error:
            raise StudyError(
                f"search={plan.name} needs one more package; run pip install 'flatdirs[samplers]'"
            ) from error


def unbounded(chart: Chart) -> dict[str, Space]:
    """As good as no range at all: the search decides, the chart's walls bound it."""
    spaces: dict[str, Space] = {}
    for name in chart.free:
        if name in chart.whole:
            spaces[name] = IntDistribution(1, 2**62)
        elif name in chart.one_minus:
            spaces[name] = FloatDistribution(0.0, 1.0)
        else:
            spaces[name] = FloatDistribution(*ANYWHERE, log=True)
    return spaces


def box_spaces(chart: Chart, box: Mapping[str, tuple[float, float]], uniform: Collection[str] = ()) -> dict[str, Space]:
    """The ranges of the baselines, log-uniform but for `uniform`. Raises StudyError where a hyperparameter has none."""
    spaces: dict[str, Space] = {}
    for name in chart.free:
        key = f"one_minus_{name}" if name in chart.one_minus else name
        if key not in box:
            raise StudyError(f"this search needs a range for {key}; set box.{key}=[low,high]")
        low, high = box[key]
        if name in chart.whole:
            spaces[key] = IntDistribution(int(low), int(high), log=key not in uniform)
        else:
            spaces[key] = FloatDistribution(low, high, log=key not in uniform)
    return spaces


def plan_identity(plan: SearchPlan) -> dict[str, Any]:
    """The part of a study's identity that the search makes up."""
    chart = plan.grid.chart
    settings = {"name": plan.name, **asdict(plan.rules), **FORMER} if plan.descends else {"name": plan.name}
    identity = {
        "search": settings,
        "chart": describe_chart(chart),
        "start": dict(plan.grid.start),
        "seed": plan.seed,
    }
    if not plan.descends:
        words = {name: ["uniform"] for name in plan.uniform}
        identity["box"] = {name: [*plan.box[name], *words.get(name, [])] for name in plan.spaces()}
    return identity
