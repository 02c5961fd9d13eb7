"""FlatDirectionsSampler: the search as an Optuna sampler, for any study and any objective.

Stateless: when a trial is created, all trials are read from the storage, the search is replayed on their outcomes,
and the first point that nobody has run or is running is claimed for it (claims.py). So it resumes, runs in threads
and in processes, and works with every pruner: the storage is read directly because Hyperband hands out a filtered
study. What an objective asks for under the chart's names comes from the claimed point; anything else is random.

Once the search is over, further trials are drawn at random within one step of the winner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from flatdirs import claims, replay, search
from flatdirs.chart import Chart, Lattice, Point, named_chart
from flatdirs.errors import ChartError
from flatdirs.history import outcome_of, swallowed
from flatdirs.search import Outcome, Question, Rules

if TYPE_CHECKING:
    from optuna.study import Study

SOURCE_START: Mapping[str, float] = {  # reference/004; batch size and β₁: what its trainer and torch use
    "learning_rate": 0.001,
    "momentum": 0.5,
    "weight_decay": 0.01,
    "batch_size": 512,
    "beta1": 0.9,
}
Bounds = dict[str, tuple[float | None, float | None]]


class FlatDirectionsSampler(BaseSampler):
    """Walks along the directions of hyperparameter space that matter.

    `chart`: a name from conf/chart or a Chart. `start`: hyperparameters to begin at (default: the source's), clipped
    into the ranges the objective asks for. `search`: "myrtle" or "raw". `names`: the study's parameter for each of
    the chart's, where they differ, such as {"learning_rate": "lr"}; a parameter called one_minus_<name> is
    understood. `fixed`: hyperparameters held at the start. `rules`: what counts as better. `seed`: for parameters
    outside the chart. Raises ChartError for a start or names that do not fit, ValueError on several objectives.
    """

    def __init__(
        self,
        *,
        chart: str | Chart = "sgd",
        start: Mapping[str, float] | None = None,
        search: str = "myrtle",
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
        self._start = {name: value for name, value in SOURCE_START.items() if name in given.hyperparameters}
        self._start.update(start or {})
        self._seed = np.random.SeedSequence().entropy if seed is None else seed
        self._names = _study_names(given, names or {})
        self._stale_seconds = stale_seconds
        self._lattice({}, frozenset())  # a start that does not fit is refused now
        self._memory: tuple[Any, dict[int, tuple[Point | None, Outcome | None]]] = (None, {})

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
        if study._is_multi_objective() or set(trial.system_attrs.get("fixed_params", {})) & set(self._names):
            return
        trials = claims.wait_for_earlier(
            trial, lambda: study._storage.get_all_trials(study._study_id, deepcopy=False)
        )
        lattice = self._observed_lattice(trials)
        if lattice is None:
            return
        answers, busy = self._answers(study, lattice, [other for other in trials if other.number != trial.number])
        descent = search.make(self._search, lattice, self._rules)
        question = next(replay.proposals(descent, answers, busy), None)
        if question is not None:
            self._claim(study, trial, lattice, question)
        else:
            self._claim_nearby(study, trial, lattice, replay.trace(descent, answers).incumbent or lattice.origin)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter's value: from the claimed point where the chart has it, at random otherwise."""
        self._raise_error_if_multi_objective(study)
        claim = claims.latest(study, trial)
        known = self._names.get(param_name)
        if known is None or not claim or isinstance(param_distribution, CategoricalDistribution):
            digest = [*param_name.encode(), trial.number]
            seed = int(np.random.SeedSequence([int(self._seed or 0), *digest]).generate_state(1)[0])
            return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)
        name, one_minus = known
        wanted = claim["hyperparameters"][name]
        wanted = 1.0 - wanted if one_minus else wanted
        value = _fit(wanted, param_distribution)
        if value != wanted and claim.get("point") is not None and any(claim["point"]):
            claims.write(study, trial, {**claim, "point": None})  # not the point it was meant to be
        return value

    def _lattice(self, walls: Bounds, missing: frozenset[str], clip: Bounds | None = None) -> Lattice:
        chart = self._chart.fix(missing) if missing else self._chart
        start = {name: _clip(value, (clip or {}).get(name, (None, None))) for name, value in self._start.items()}
        return Lattice(chart.within(walls), start)

    def _observed_lattice(self, trials: list[FrozenTrial]) -> Lattice | None:
        """The lattice as the study's own parameters bound it, or None where it has none of the chart's.

        Walls: the ranges last asked for. Start: clipped into those asked for first. A hyperparameter that no finished
        trial suggested is held at the start.
        """
        first, last = Bounds(), Bounds()
        for trial in _with_distributions(trials):
            for name, bounds in self._ranges(trial).items():
                first.setdefault(name, bounds)
        for trial in _with_distributions(reversed(trials)):
            for name, bounds in self._ranges(trial).items():
                last.setdefault(name, bounds)
            if len(last) == len(first):
                break
        finished = any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
        missing = frozenset(self._chart.free) - set(last) if finished else frozenset()
        if missing == frozenset(self._chart.free):
            return None
        try:
            return self._lattice(last, missing, clip=first)
        except ChartError:  # ranges that moved away from the start: nothing to walk on
            return None

    def _ranges(self, trial: FrozenTrial) -> Bounds:
        """The ranges of the chart's hyperparameters in one trial."""
        found = Bounds()
        for parameter, space in trial.distributions.items():
            name, one_minus = self._names.get(parameter, (None, False))
            if name is not None and isinstance(space, (FloatDistribution, IntDistribution)):
                low, high = float(space.low), float(space.high)
                found[name] = (1.0 - high, 1.0 - low) if one_minus else (low, high)
        return found

    def _answers(
        self, study: Study, lattice: Lattice, trials: list[FrozenTrial]
    ) -> tuple[dict[Point, Outcome], set[Point]]:
        """What is known of each point (its first result), and the points being run now."""
        key = (id(study._storage), study._study_id, _fingerprint(lattice))
        if self._memory[0] != key:
            self._memory = (key, {})  # what a finished trial says never changes; this only saves reading it again
        memory, mark = self._memory[1], key[2]
        maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        answers: dict[Point, Outcome] = {}
        busy: set[Point] = set()
        for trial in trials:
            known = memory.get(trial._trial_id)
            if known is None:
                point = self._point_of(trial, lattice, mark)
                outcome = None if point is None else outcome_of(trial, maximize, swallowed(trial, trials))
                known = (point, outcome)
                if trial.state.is_finished():
                    memory[trial._trial_id] = known
            point, outcome = known
            if point is None:
                continue
            if outcome is not None:
                answers.setdefault(point, outcome)
            elif not trial.state.is_finished() and not claims.abandoned(trial, self._stale_seconds):
                busy.add(point)
        return answers, busy

    def _point_of(self, trial: FrozenTrial, lattice: Lattice, mark: str) -> Point | None:
        """Where a trial stands on the lattice: as claimed on this very lattice, else from its parameters."""
        claim = claims.read(trial)
        if claim and claim.get("lattice") == mark:
            return None if claim["point"] is None else tuple(claim["point"])
        parameters = trial.params or trial.system_attrs.get("fixed_params", {})
        found = {}
        for parameter, value in parameters.items():
            name, one_minus = self._names.get(parameter, (None, False))
            if name is not None and isinstance(value, (int, float)):
                found[name] = 1.0 - value if one_minus else value
        if not set(lattice.chart.free) <= set(found):
            return None
        return lattice.locate({**lattice.start, **found})

    def _claim(self, study: Study, trial: FrozenTrial, lattice: Lattice, question: Question) -> None:
        axis = None if question.axis is None else lattice.chart.axes[question.axis].name
        incumbent = None if question.incumbent is None else lattice.hyperparameters(question.incumbent)
        why = {"axis": axis, "move": question.move, "incumbent": incumbent, "reason": question.reason}
        self._write(study, trial, lattice, lattice.hyperparameters(question.point), why, list(question.point))

    def _claim_nearby(self, study: Study, trial: FrozenTrial, lattice: Lattice, winner: Point) -> None:
        random = np.random.default_rng([int(self._seed or 0), trial.number])
        place: tuple[float, ...] = winner
        for _ in range(20):
            drawn = tuple(n + offset for n, offset in zip(winner, random.uniform(-1, 1, len(winner)), strict=True))
            if lattice.wall(drawn) is None:
                place = drawn
                break
        why = {
            "axis": None,
            "move": "random",
            "incumbent": lattice.hyperparameters(winner),
            "reason": "the search is over, or waits for runs in progress: at random within one step of the best",
        }
        self._write(study, trial, lattice, lattice.hyperparameters(place), why, None)

    def _write(
        self,
        study: Study,
        trial: FrozenTrial,
        lattice: Lattice,
        hyperparameters: Mapping[str, float],
        why: Mapping[str, Any],
        point: list[int] | None,
    ) -> None:
        claim = {"lattice": _fingerprint(lattice), "point": point, "hyperparameters": dict(hyperparameters)}
        claims.write(study, trial, claim)
        for key, value in why.items():
            study._storage.set_trial_user_attr(trial._trial_id, key, value)


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
    result = {}
    for name in chart.hyperparameters:
        parameter = names.get(name, name)
        result[parameter] = (name, parameter.startswith("one_minus_"))
        if name not in names and name in chart.one_minus:
            result[f"one_minus_{name}"] = (name, True)
    return result


def _with_distributions(trials: Iterable[FrozenTrial]) -> Iterable[FrozenTrial]:
    return (trial for trial in trials if trial.distributions)


def _fingerprint(lattice: Lattice) -> str:
    """Short enough to store with every trial: axes, step and start, without the walls, which may move."""
    chart = lattice.chart
    axes = "|".join(axis.name for axis in chart.axes)
    start = ",".join(f"{name}={value!r}" for name, value in sorted(lattice.start.items()))
    return f"{axes};{chart.step!r};{start}"


def _clip(value: float, bounds: tuple[float | None, float | None]) -> float:
    low, high = bounds
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def _fit(value: float, space: BaseDistribution) -> float | int:
    """The value nearest to `value` that a distribution holds."""
    if not isinstance(space, (FloatDistribution, IntDistribution)):
        raise TypeError(f"cannot fit a number into {space}")
    value = _clip(float(value), (float(space.low), float(space.high)))
    if space.step is not None and not space.log:
        value = space.low + round((value - space.low) / space.step) * space.step
        value = _clip(value, (float(space.low), float(space.high)))
    return round(value) if isinstance(space, IntDistribution) else value
