"""FlatDirectionsSampler: flatdirs' searches as an Optuna sampler, for any study and any objective.

Stateless: when a trial is created, all trials are read from the storage, the search computes a suggestion from their
runs, and the suggestion is claimed for the trial (claims.py) and stored with its reason. So a study resumes, works with
threads and processes, and with every pruner. Parameters with names of the chart come from the suggestion; all others
are random.

Once Myrtle's search is over, further trials are drawn at random within one step of its best point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from flatdirs import search as searches
from flatdirs.backend import claims, optuna_private
from flatdirs.backend.liveness import STALE_SECONDS
from flatdirs.backend.study_reader import NUMERIC, Reader, View, fit
from flatdirs.backend.trial_runs import AXIS, INCUMBENT, INCUMBENT_VALUE, MOVE, REASON, REPLICATE
from flatdirs.errors import ChartError, ConfigError
from flatdirs.search.suggest import incumbent, suggest
from flatdirs.search.types import Suggestion
from flatdirs.space.chart import Chart, Point
from flatdirs.space.grid import Grid, significant
from flatdirs.space.names import ONE_MINUS, all_names, canonical, canonical_keys
from flatdirs.space.shipped_charts import named_chart

if TYPE_CHECKING:
    from optuna.study import Study

TYPICAL_SGD = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4, "batch_size": 128, "sigma": 0.25}
TYPICAL_ADAMW = {"lr": 1e-3, "beta1": 0.9, "wd": 1e-2, "batch_size": 128, "sigma": 0.25}


class FlatDirectionsSampler(BaseSampler):
    """Search the learning rate, momentum and weight decay along the directions that matter.

    `chart`: a name from conf/chart or a Chart. `start`: hyperparameters to begin at (default: what many scripts use),
    clipped into the ranges that the objective suggests. `search`: "flatdirs", "myrtle" or "raw"; `settings`: those of
    that search, BayesSettings or DescentSettings. `names`: the study's parameter for each hyperparameter, where it is
    none of the usual names, such as {"lr": "eta"}; a parameter called one_minus_<name> is understood. `fixed`:
    hyperparameters held at the start. `seed`: for parameters outside the chart. Raises ChartError for a start or names
    that do not fit, ValueError on several objectives.
    """

    def __init__(
        self,
        *,
        chart: str | Chart = "sgd",
        start: Mapping[str, float] | None = None,
        search: str = "flatdirs",
        seed: int | None = None,
        names: Mapping[str, str] | None = None,
        fixed: Iterable[str] = (),
        settings: searches.Settings | None = None,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        given, held = named_chart(chart) if isinstance(chart, str) else chart, tuple(map(canonical, fixed))
        self._chart = searches.grid_chart(search, given.fix(held) if held else given)
        kind = searches.SEARCHES[search]
        self._settings = kind() if settings is None else settings
        if type(self._settings) is not kind:
            raise ConfigError(f"search={search} takes a {kind.__name__}; change settings", key="settings")
        started = canonical_keys(start or {})
        if unknown := set(started) - set(given.hyperparameters):
            raise ChartError(
                f"start has {', '.join(sorted(unknown))}, which chart {given.name} does not have; change start",
                key="start",
            )
        self._start = {**typical_start(given), **started}
        self._seed = int(np.random.default_rng().integers(2**63)) if seed is None else int(seed)
        self._names = _study_names(given, canonical_keys(names or {}))
        self._groups = [_parameters_of(name, self._names) for name in self._chart.free]
        self._stale_seconds = stale_seconds
        Grid(self._chart, self._start)  # a start that does not fit is refused now
        self._reader: Reader | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: each parameter is answered as it is suggested, from the trial's claim."""
        optuna_private.refuse_several_objectives(self, study)
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The same answers, for callers that pass a search space of their own."""
        optuna_private.refuse_several_objectives(self, study)
        return {name: self.sample_independent(study, trial, name, space) for name, space in search_space.items()}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Claim the next point for this trial and store the reason."""
        if optuna_private.has_several_objectives(study):
            return
        if trial.params:  # a retried trial comes with its parameters and a claim; it needs a new worker only
            claims.write(study, trial, claims.read(trial) or {})
            return
        view = self._view(study, claims.wait_for_earlier(study, trial, self._groups), trial.number)
        if view.grid is None:
            claims.write(study, trial, {})
            return
        enqueued = bool(set(optuna_private.fixed_parameters(trial)) & set(self._names))
        suggestion = None if enqueued else suggest(view.grid, self._settings, view.runs, view.pending)
        if suggestion is not None:
            claim = {"grid": view.mark, "point": list(suggestion.point), "replicate": suggestion.replicate}
            self._write(study, trial, claim, view.grid, suggestion.point, suggestion)
            return
        best = incumbent(view.grid, self._settings, view.runs) or view.grid.origin
        point: Sequence[float] = best if enqueued else self._near(view.grid, best, trial.number)
        why = (
            Suggestion(best, 0, "enqueued; what it leaves open is that of the incumbent", "enqueued", best)
            if enqueued
            else Suggestion(best, 0, "the search is over: random within one step of the incumbent", "random", best)
        )
        self._write(study, trial, {"grid": "", "point": None}, view.grid, point, why)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Store what a failure means: a result, or an interruption after which the point is run again."""
        if state == TrialState.FAIL:
            claims.note_failure(study, trial)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter's value: from the claimed point where the chart has it, at random otherwise."""
        optuna_private.refuse_several_objectives(self, study)
        known = self._names.get(param_name)
        claim = claims.latest(study, trial) if known else None
        if known is None or not (claim and "hyperparameters" in claim) or not isinstance(param_distribution, NUMERIC):
            seed = int(np.random.SeedSequence([self._seed, *param_name.encode(), trial.number]).generate_state(1)[0])
            return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)
        name, one_minus = known
        wanted = claim["hyperparameters"][name]
        wanted = significant(1.0 - wanted, 12) if one_minus else wanted
        clipped = min(max(wanted, param_distribution.low), param_distribution.high)
        if not math.isclose(clipped, wanted, rel_tol=1e-9, abs_tol=1e-12) and any(claim["point"] or ()):
            claims.write(study, trial, {**claim, "grid": "", "point": None})  # not the point that was suggested
        return fit(wanted, param_distribution)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def _view(self, study: Study, trials: list[FrozenTrial], number: int) -> View:
        reader = self._reader
        if reader is None or not reader.reads(study, trials):
            reader = self._reader = Reader(study, self._chart, self._start, self._names)
        return reader.view(trials, number, self._stale_seconds)

    def _near(self, grid: Grid, best: Point, number: int) -> Sequence[float]:
        """A random place within one step of a point and within the bounds."""
        random = np.random.default_rng([self._seed, number])
        for _ in range(20):
            drawn: list[float] = (np.array(best) + random.uniform(-1, 1, len(best))).tolist()
            if grid.out_of_bounds(drawn) is None:
                return drawn
        return best

    def _write(
        self,
        study: Study,
        trial: FrozenTrial,
        claim: Mapping[str, Any],
        grid: Grid,
        point: Sequence[float],
        why: Suggestion,
    ) -> None:
        """Store the claim, and the reason as it is now: it is shown from there and never computed again."""
        claims.write(study, trial, {**claim, "hyperparameters": grid.hyperparameters(point)})
        attributes: dict[str, Any] = {REASON: why.reason, MOVE: why.move}
        attributes[AXIS] = None if why.axis is None else grid.chart.axes[why.axis].name
        attributes[INCUMBENT] = None if why.incumbent is None else grid.hyperparameters(why.incumbent)
        if why.incumbent_value is not None:
            sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
            attributes[INCUMBENT_VALUE] = sign * why.incumbent_value + 0.0  # no −0.0
        if claim.get("replicate"):  # for objectives that seed themselves
            attributes[REPLICATE] = claim["replicate"]
        for key, value in attributes.items():
            optuna_private.set_user_attribute(study, trial, key, value)


def typical_start(chart: Chart) -> dict[str, float]:
    """What many scripts begin with, for the hyperparameters of a chart."""
    typical = TYPICAL_ADAMW if "beta1" in chart.hyperparameters else TYPICAL_SGD
    return {name: value for name, value in typical.items() if name in chart.hyperparameters}


def _study_names(chart: Chart, names: Mapping[str, str]) -> dict[str, tuple[str, bool]]:
    """Study parameter → (hyperparameter, whether the study holds 1 − value). Raises ChartError on unknown ones."""
    if unknown := set(names) - set(chart.hyperparameters):
        raise ChartError(
            f"names has {', '.join(sorted(unknown))}, but chart {chart.name} has {', '.join(chart.hyperparameters)}",
            key="names",
        )
    result: dict[str, tuple[str, bool]] = {}
    for name in chart.hyperparameters:
        parameters = [names[name]] if name in names else all_names(name)
        if name not in names and name in chart.one_minus:
            parameters += [f"{ONE_MINUS}{parameter}" for parameter in all_names(name)]
        for parameter in parameters:
            if parameter in result:
                raise ChartError(
                    f"names gives {parameter} to both {result[parameter][0]} and {name}; change names", key="names"
                )
            result[parameter] = (name, parameter.startswith(ONE_MINUS))
    return result


def _parameters_of(hyperparameter: str, names: Mapping[str, tuple[str, bool]]) -> frozenset[str]:
    """The study parameters that stand for one hyperparameter."""
    return frozenset(parameter for parameter, (own, _) in names.items() if own == hyperparameter)
