"""FlatDirectionsSampler: the search as an Optuna sampler, for any study and any objective.

Stateless: when a trial is created, all trials are read from the storage, the search is replayed on their outcomes,
and the first point that nobody has run or is running is claimed for it (claims.py). So it resumes, runs in threads
and in processes, and works with every pruner: the storage is read directly because Hyperband hands out a filtered
study. What an objective asks for under the chart's names comes from the claimed point; anything else is random.

Once the search is over, further trials are drawn at random within one step of the winner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from flatdirs import search
from flatdirs.backend import claims
from flatdirs.backend.view import NUMERIC, Reader, View, fit
from flatdirs.errors import ChartError
from flatdirs.search import Question, Rules, replay
from flatdirs.space.coordinates import Chart, Point
from flatdirs.space.grid import Grid
from flatdirs.space.library import named_chart
from flatdirs.training.lr_tuners import USUAL_SIGMA

if TYPE_CHECKING:
    from optuna.study import Study

TYPICAL_SGD = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4, "batch_size": 128, "sigma": USUAL_SIGMA}
TYPICAL_ADAMW = {"lr": 1e-3, "beta1": 0.9, "wd": 1e-2, "batch_size": 128, "sigma": USUAL_SIGMA}


class FlatDirectionsSampler(BaseSampler):
    """Walks along the directions of hyperparameter space that matter.

    `chart`: a name from conf/chart or a Chart. `start`: hyperparameters to begin at (default: what many scripts begin
    with), clipped into the ranges the objective asks for. `search`: "flatdirs", "myrtle" or "raw". `names`: the study's
    parameter for each of the chart's, where they differ, such as {"lr": "lr"}; a parameter called
    one_minus_<name> is understood. `fixed`: hyperparameters held at the start. `rules`: what counts as better. `seed`:
    for parameters outside the chart. Raises ChartError for a start or names that do not fit, ValueError on several
    objectives.
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
        rules: Rules | None = None,
        stale_seconds: float = claims.STALE_SECONDS,
    ) -> None:
        given = named_chart(chart) if isinstance(chart, str) else chart
        self._chart = _walked(given, search, fixed)
        self._search = search
        self._rules = rules or Rules()
        self._start = typical_start(given)
        if unknown := set(start or {}) - set(given.hyperparameters):
            raise ChartError(
                f"start has {', '.join(sorted(unknown))}, which chart {given.name} does not know; change start"
            )
        self._start.update(start or {})
        self._seed = int(np.random.default_rng().integers(2**63)) if seed is None else int(seed)
        self._names = _study_names(given, names or {})
        self._groups = [_parameters_of(name, self._names) for name in self._chart.free]
        self._stale_seconds = stale_seconds
        Grid(self._chart, self._start)  # a start that does not fit is refused now
        self._reader: Reader | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: every parameter is answered as it is asked for, from the trial's claim."""
        self._raise_error_if_multi_objective(study)
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The same answers as one by one, for callers that pass a search space of their own."""
        self._raise_error_if_multi_objective(study)
        return {name: self.sample_independent(study, trial, name, space) for name, space in search_space.items()}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Claim the next point for this trial, and write into it why."""
        if study._is_multi_objective():
            return
        if trial.params:  # a retried trial comes with its parameters and a claim; it needs a new worker only
            claims.write(study, trial, claims.read(trial) or {})
            return
        trials = claims.wait_for_earlier(
            trial,
            lambda: study._storage.get_all_trials(study._study_id, deepcopy=False),
            self._groups,
        )
        view = self._view(study, trials, trial.number)
        if view.grid is None:
            claims.write(study, trial, {})
            return
        descent = search.make(self._search, view.grid, self._rules)
        if set(trial.system_attrs.get("fixed_params", {})) & set(self._names):
            best = replay.trace(descent, view.answers).incumbent
            self._claim_rest(study, trial, view.grid, best or view.grid.origin)
        elif (question := next(replay.proposals(descent, view.answers, view.busy), None)) is not None:
            self._claim(study, trial, view, question)
        else:
            best = replay.trace(descent, view.answers).incumbent
            self._claim_nearby(study, trial, view.grid, best or view.grid.origin)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Keep what a failure means: an answer, or an interruption after which the point is run again."""
        if state == TrialState.FAIL:
            claims.note_failure(study, trial)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter's value: from the claimed point where the chart has it, at random otherwise."""
        self._raise_error_if_multi_objective(study)
        known = self._names.get(param_name)
        claim = claims.latest(study, trial) if known else None
        if known is None or not (claim and "hyperparameters" in claim) or not isinstance(param_distribution, NUMERIC):
            seed = int(np.random.SeedSequence([self._seed, *param_name.encode(), trial.number]).generate_state(1)[0])
            return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)
        name, one_minus = known
        wanted = claim["hyperparameters"][name]
        wanted = 1.0 - wanted if one_minus else wanted
        clipped = min(max(wanted, param_distribution.low), param_distribution.high)
        if not math.isclose(clipped, wanted, rel_tol=1e-9, abs_tol=1e-12) and any(claim["point"] or ()):
            claims.write(study, trial, {**claim, "grid": "", "point": None})  # not the point it was meant to be
        return fit(wanted, param_distribution)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def _view(self, study: Study, trials: list[FrozenTrial], number: int) -> View:
        reader = self._reader
        if reader is None or not reader.reads(study, trials):
            reader = self._reader = Reader(study, self._chart, self._start, self._names)
        return reader.view(trials, number, self._stale_seconds)

    def _claim(self, study: Study, trial: FrozenTrial, view: View, question: Question) -> None:
        grid = view.grid
        assert grid is not None
        axis = None if question.axis is None else grid.chart.axes[question.axis].name
        incumbent = None if question.incumbent is None else grid.hyperparameters(question.incumbent)
        why: dict[str, Any] = {"axis": axis, "move": question.move, "incumbent": incumbent, "reason": question.reason}
        if question.repeat:  # for objectives that seed themselves
            why["repeat"] = question.repeat
        claim = {"grid": view.mark, "point": list(question.point), "repeat": question.repeat}
        self._write(study, trial, claim, grid.hyperparameters(question.point), why)

    def _claim_nearby(self, study: Study, trial: FrozenTrial, grid: Grid, winner: Point) -> None:
        random = np.random.default_rng([self._seed, trial.number])
        place: tuple[float, ...] = winner
        for _ in range(20):
            drawn = tuple((np.array(winner) + random.uniform(-1, 1, len(winner))).tolist())
            if grid.wall(drawn) is None:
                place = drawn
                break
        why = {
            "axis": None,
            "move": "random",
            "incumbent": grid.hyperparameters(winner),
            "reason": "the search is over, or waits for runs in progress: at random within one step of the best",
        }
        self._write(study, trial, {"grid": "", "point": None}, grid.hyperparameters(place), why)

    def _claim_rest(self, study: Study, trial: FrozenTrial, grid: Grid, best: Point) -> None:
        """For an enqueued trial: what it leaves open comes from the best point so far."""
        incumbent = grid.hyperparameters(best)
        why = {
            "axis": None,
            "move": "enqueued",
            "incumbent": incumbent,
            "reason": "enqueued; what it leaves open is taken from the best so far",
        }
        self._write(study, trial, {"grid": "", "point": None}, incumbent, why)

    def _write(
        self,
        study: Study,
        trial: FrozenTrial,
        claim: Mapping[str, Any],
        hyperparameters: Mapping[str, float],
        why: Mapping[str, Any],
    ) -> None:
        claims.write(study, trial, {**claim, "hyperparameters": dict(hyperparameters)})
        for key, value in why.items():
            study._storage.set_trial_user_attr(trial._trial_id, key, value)
            trial.user_attrs[key] = value  # for the objective, which sees the trial as it was before these writes


def typical_start(chart: Chart) -> dict[str, float]:
    """What many scripts begin with, as far as a chart knows it."""
    typical = TYPICAL_ADAMW if "beta1" in chart.hyperparameters else TYPICAL_SGD
    return {name: value for name, value in typical.items() if name in chart.hyperparameters}


def _walked(chart: Chart, name: str, fixed: Iterable[str]) -> Chart:
    """The chart a search walks on, with some hyperparameters held."""
    fixed = tuple(fixed)
    return search.chart_of(name, chart.fix(fixed) if fixed else chart)


def _study_names(chart: Chart, names: Mapping[str, str]) -> dict[str, tuple[str, bool]]:
    """Study parameter → (hyperparameter, whether the study holds 1 − value). Raises ChartError on unknown ones."""
    if unknown := set(names) - set(chart.hyperparameters):
        raise ChartError(
            f"names has {', '.join(sorted(unknown))}, but chart {chart.name} knows {', '.join(chart.hyperparameters)}"
        )
    result: dict[str, tuple[str, bool]] = {}
    for name in chart.hyperparameters:
        parameter = names.get(name, name)
        if parameter in result:
            raise ChartError(f"names gives {parameter} to both {result[parameter][0]} and {name}; change names")
        result[parameter] = (name, parameter.startswith("one_minus_"))
        if name not in names and name in chart.one_minus:
            result[f"one_minus_{name}"] = (name, True)
    return result


def _parameters_of(hyperparameter: str, names: Mapping[str, tuple[str, bool]]) -> frozenset[str]:
    """The study parameters that stand for one hyperparameter."""
    return frozenset(parameter for parameter, (own, _) in names.items() if own == hyperparameter)
