"""FlatDirectionsSampler: flatdirs' searches as an Optuna sampler, for any study and any objective.

Stateless: when a trial is created, all trials are read from the storage, the search computes a suggestion from their
runs, and the suggestion is claimed for the trial (claims.py) and stored with its reason. So a study resumes, works with
threads and processes, and with every pruner. Parameters with names of the chart come from the suggestion; all others
are axes of their own, or random (further_parameters.py). Runs count wherever they lie, also those of other samplers
(study_reader.py).

Once Myrtle's search is over, further trials are drawn at random within one step of its best point.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from flatdirs import search as searches
from flatdirs.backend import claims, optuna_private
from flatdirs.backend.further_parameters import FurtherParameters, held
from flatdirs.backend.liveness import STALE_SECONDS
from flatdirs.backend.parameter_names import ParameterNames
from flatdirs.backend.ranges import NUMERIC, Range
from flatdirs.backend.study_reader import Reader, View
from flatdirs.backend.trial_runs import AXIS, INCUMBENT, INCUMBENT_VALUE, MOVE, REASON, REPLICATE
from flatdirs.errors import ChartError, ConfigError, FlatdirsWarning
from flatdirs.search.known import BayesSettings
from flatdirs.search.suggest import incumbent, suggest
from flatdirs.search.types import Suggestion
from flatdirs.space.chart import Chart, Point
from flatdirs.space.grid import Grid
from flatdirs.space.names import canonical, canonical_keys
from flatdirs.space.shipped_charts import describe_chart, named_chart

if TYPE_CHECKING:
    from optuna.study import Study

SAMPLER = "flatdirs:sampler"  # of a study: chart, start, search and names of the sampler that suggested last
TYPICAL_SGD = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4, "batch_size": 128, "sigma": 0.25}
TYPICAL_ADAMW = {"lr": 1e-3, "beta1": 0.9, "wd": 1e-2, "batch_size": 128, "sigma": 0.25, "beta2": 0.999}
TYPICAL = {  # by the first of these names that a chart has; else TYPICAL_SGD
    "beta1": TYPICAL_ADAMW,
    "adamw_lr": {"lr": 0.02, "momentum": 0.95, "wd": 1e-2, "adamw_lr": 3e-4},  # https://github.com/KellerJordan/Muon
    "lora_rank": {"lr": 2e-4, "lora_rank": 8, "lora_alpha": 16},
}


class FlatDirectionsSampler(BaseSampler):
    """Search the learning rate, momentum and weight decay along the directions that matter.

    `chart`: a name from conf/chart or a Chart. `start`: hyperparameters to begin at (default: what many scripts use),
    moved into the ranges that the objective suggests. `search`: "flatdirs", "myrtle" or "raw"; `settings`: those of
    that search, BayesSettings or DescentSettings. `names`: the study's parameter for each hyperparameter, where it is
    none of the usual names (lr, learning_rate, optimizer.lr, weight_decay …), such as {"lr": "eta"}; a parameter called
    one_minus_<name> is understood. `fixed`: hyperparameters held at the start. Of parameters outside the chart, the
    default search takes the first three numbers and the first three choices as axes of their own; all others are
    random, by `seed`. Trials that the study has already count, on the grid or off it; "myrtle" and "raw" use
    those on it. `budget`: runs of the study, where that is known; the last ones are replicates. A study of whose
    parameters the chart can use none, or not as they are, gets a FlatdirsWarning. Raises ChartError for a start or
    names that do not fit, ValueError on several objectives.
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
        budget: int | None = None,
    ) -> None:
        given, held = named_chart(chart) if isinstance(chart, str) else chart, tuple(map(canonical, fixed))
        self._chart = searches.grid_chart(search, given.fix(held) if held else given)
        kind = searches.SEARCHES[search]
        self.settings = kind() if settings is None else settings
        if type(self.settings) is not kind:
            raise ConfigError(f"search={search} takes a {kind.__name__}; change settings", key="settings")
        started = canonical_keys(start or {})
        if unknown := set(started) - {*given.hyperparameters, *given.choices}:
            raise ChartError(
                f"start has {', '.join(sorted(unknown))}, which chart {given.name} does not have; change start",
                key="start",
            )
        self._start = {**typical_start(given), **started}
        self._seed = int(np.random.default_rng().integers(2**63)) if seed is None else int(seed)
        self._names = ParameterNames(given, canonical_keys(names or {}))
        self._search = search
        self._stale_seconds = stale_seconds
        self.budget = budget
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
        view = self._view(study, claims.wait_for_earlier(study, trial, self._show_all), trial.number)
        if view.warnings:
            warnings.warn(". ".join(view.warnings), FlatdirsWarning, stacklevel=2)
        if view.grid is None:
            claims.write(study, trial, {})
        elif self._names.any_of(optuna_private.fixed_parameters(trial)):
            best = incumbent(view.grid, self.settings, view.runs) or view.grid.origin
            why = Suggestion(best, 0, "enqueued; what it leaves open is that of the incumbent", "enqueued", best)
            self._write(study, trial, "", view.grid.hyperparameters(best), why, view.grid)
        elif (suggestion := self._suggestion(view)) is not None:
            self._write(study, trial, view.mark, *self._in_ranges(view, suggestion), view.grid)
        else:
            best = incumbent(view.grid, self.settings, view.runs) or view.grid.origin
            why = Suggestion(best, 0, "the search is over: random within one step of the incumbent", "random", best)
            near = self._near(view.grid, best, trial.number)
            self._write(study, trial, "", view.grid.hyperparameters(near), why, view.grid)

    def _suggestion(self, view: View) -> Suggestion | None:
        """The search's next point in a study."""
        assert view.grid is not None
        left = None if self.budget is None else self.budget - len(view.runs) - len(view.pending)
        return suggest(view.grid, self.settings, view.runs, view.pending, left)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Store what a failure means: a result, or an interruption after which the point is run again."""
        if state == TrialState.FAIL:
            claims.note_failure(study, trial)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter's value: from the claimed point where the chart has it, at random otherwise."""
        optuna_private.refuse_several_objectives(self, study)
        value = self._claimed(study, trial, param_name, param_distribution)
        if value is not None:
            return value
        seed = int(np.random.SeedSequence([self._seed, *param_name.encode(), trial.number]).generate_state(1)[0])
        return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)

    def _claimed(self, study: Study, trial: FrozenTrial, parameter: str, space: BaseDistribution) -> Any:
        """A parameter's value by the trial's claim; None where it is random."""
        claimed = (claims.latest(study, trial) or {}).get("hyperparameters")
        if claimed is None:
            return None
        if (known := self._names.find(parameter)) is not None:
            if not isinstance(space, NUMERIC):
                return None
            name, one_minus = known
            there = Range.of(self._chart, name, space, one_minus)
            return there.fit(claimed[name]) if there.ends is not None or there.constant is not None else None
        if not isinstance(self.settings, BayesSettings):
            return None
        if (name := canonical(parameter)) in claimed and name not in self._chart.hyperparameters:
            return held(claimed[name], space)
        return FurtherParameters(self._names, self._chart).first_value(trial, parameter, space)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def _view(self, study: Study, trials: Sequence[FrozenTrial], number: int) -> View:
        """The study as the search sees it when trial `number` is created. `trials`: all of them, oldest first."""
        reader = self._reader
        if reader is None or not reader.reads(study, trials):
            reader = self._reader = self.reader(study, isinstance(self.settings, BayesSettings))
            self._describe(study)
        return reader.view(trials, number, self._stale_seconds)

    def reader(self, study: Study, between: bool) -> Reader:
        """A reader of a study with this sampler's chart, start and names, of runs `between` the points too."""
        return Reader(study, self._chart, self._start, self._names, between)

    def _show_all(self, parameters: Collection[str]) -> bool:
        """Whether parameters of a study are all that this sampler searches."""
        return set(self._chart.free) <= self._names.names_of(parameters)

    def _describe(self, study: Study) -> None:
        """Store what this search is, for `flatdirs.recommend`."""
        about = {
            "chart": describe_chart(self._chart),
            "start": self._start,
            "search": self._search,
            "settings": asdict(self.settings),
            "names": self._names.given,
        }
        if optuna_private.study_attributes(study).get(SAMPLER) != about:
            optuna_private.set_study_attribute(study, SAMPLER, about)

    def _in_ranges(self, view: View, suggestion: Suggestion) -> tuple[dict[str, float], Suggestion]:
        """A suggestion as the ranges of the study can hold it, with its hyperparameters.

        The Bayesian search takes a run for what it was, so it is told of rounding before the run.
        """
        grid, reason = view.grid, suggestion.reason
        assert grid is not None
        values = grid.hyperparameters(suggestion.point)
        if view.foreign and view.foreign == len(view.runs):
            reason += f"; the model has {view.foreign} runs that the study had before"
        if not isinstance(self.settings, BayesSettings):
            return values, suggestion
        moved = {n: space.inside(values[n]) for n, space in view.ranges.items()}
        moved = {n: v for n, v in moved.items() if not math.isclose(v, values[n], rel_tol=1e-9, abs_tol=1e-12)}
        rounded = {**values, **moved}
        point = None if not moved else grid.place(rounded)
        if point is None:
            return values, replace(suggestion, reason=reason)
        ids = {*view.pending, *(run.id for run in view.runs)}
        number = next(number for number in itertools.count() if (point, number) not in ids)
        again = ", a replicate" if number else ""
        reason += f"; rounded to the study's steps: {', '.join(f'{n}={v:g}' for n, v in moved.items())}{again}"
        return rounded, replace(suggestion, point=point, replicate=number, reason=reason)

    def _near(self, grid: Grid, best: Point, number: int) -> Sequence[float]:
        """A random place within one step of a point and within the bounds."""
        random = np.random.default_rng([self._seed, number])
        for _ in range(20):
            drawn: list[float] = (np.array(best) + random.uniform(-1, 1, len(best))).tolist()
            if grid.out_of_bounds(drawn) is None:
                return drawn
        return best

    def _write(
        self, study: Study, trial: FrozenTrial, mark: str, values: Mapping[str, float], why: Suggestion, grid: Grid
    ) -> None:
        """Store the claim, and the reason as it is now: it is shown from there and never computed again.

        `mark`: of the grid that has the point, "" where the claim is no point of the search.
        """
        claim = {"grid": mark, "point": list(why.point) if mark else None, "hyperparameters": dict(values)}
        claims.write(study, trial, {**claim, "replicate": why.replicate} if mark else claim)
        attributes: dict[str, Any] = {REASON: why.reason, MOVE: why.move}
        attributes[AXIS] = None if why.axis is None else grid.chart.axes[why.axis].name
        attributes[INCUMBENT] = None if why.incumbent is None else grid.hyperparameters(why.incumbent)
        if why.incumbent_value is not None:
            sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
            attributes[INCUMBENT_VALUE] = sign * why.incumbent_value + 0.0  # no −0.0
        if why.replicate:  # for objectives that seed themselves
            attributes[REPLICATE] = why.replicate
        for key, value in attributes.items():
            optuna_private.set_user_attribute(study, trial, key, value)


def typical_start(chart: Chart) -> dict[str, float]:
    """What many scripts begin with, for the hyperparameters of a chart."""
    typical = next((TYPICAL[name] for name in TYPICAL if name in chart.hyperparameters), TYPICAL_SGD)
    return {name: value for name, value in typical.items() if name in chart.hyperparameters}
