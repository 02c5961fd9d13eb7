"""Studies: open one, make sure it is the one asked for, ask it for trials and tell it what they gave.

`Study` is a thin layer over Optuna's, with a search on top of what all our studies share (trials.py); which search it
asks is plan.py's matter. The confirmations of the winner are kept with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from flatdirs.backend import claims
from flatdirs.backend.outcomes import OUTCOME, SETTING, key_of, outcome_of
from flatdirs.backend.search_plan import FORMER, RESEEDED, SearchPlan, make_sampler
from flatdirs.backend.trials import IDENTITY, Trials, has_begun, open_optuna_study
from flatdirs.errors import StudyError
from flatdirs.objectives.base import Measurement
from flatdirs.search import VERSIONS, Key, Outcome, Rules, make
from flatdirs.search.bayes import model_of, scored
from flatdirs.search.flatness import FEWEST, Findings, find
from flatdirs.search.question import Told
from flatdirs.search.replay import Trace, trace
from flatdirs.space.grid import Grid
from flatdirs.space.library import read_chart
from flatdirs.space.log_grid import LogGrid

CONFIRMATION = "flatdirs:confirmation:"
PROBES = "flatdirs:step_sampling"


class Study(Trials):
    """An opened study with its search. Made by `open_study`."""

    keeps_steps = True

    def __init__(self, study: optuna.Study, plan: SearchPlan, maximize: bool, stale_seconds: float) -> None:
        super().__init__(study, maximize, stale_seconds)
        self.plan = plan

    def trace(self, runs: Sequence[tuple[FrozenTrial, Outcome]] | None = None) -> Trace | None:
        """The descent as far as these runs carry it (None: all that are stored now); None for Optuna's own searches."""
        if not self.plan.descends:
            return None
        answers: dict[Key, Outcome] = {}
        for trial, outcome in self.runs() if runs is None else runs:
            key = key_of(trial)
            if key is not None:
                answers.setdefault(key, outcome)
        return trace(make(self.plan.name, self.plan.grid, self.plan.rules), answers)

    def findings(self) -> Findings | None:
        """What the search by model has learnt so far; None for other searches and before it has a few runs."""
        return None if self.plan.name != "flatdirs" else find(self.plan.grid, self._told())

    def expected(self) -> tuple[Key, float] | None:
        """The best point by the model of all runs, and the value expected of it; None as for `findings`."""
        if self.plan.name != "flatdirs" or len(told := self._told()) < FEWEST:
            return None
        model = model_of(LogGrid(self.plan.grid), told)
        if not math.isfinite(max(one.score for one in told)):
            return None
        return model.best, model.score(model.peak) * (1 if self.maximize else -1)

    def _told(self) -> list[Told]:
        """The answered questions of a search by model."""
        run = self.trace()
        steps = [] if run is None else [step for step in run.steps if not step.recalled]
        return scored([(step.question, step.outcome) for step in steps], self.plan.rules)

    def numbered_runs(self) -> list[tuple[int, FrozenTrial, Outcome]]:
        """The runs that count with their numbers, from 1, the start.

        Runs in progress have a number too, so that no number changes when they end; interrupted ones have none.
        """
        numbered, count = [], 0
        for trial in self.trials():
            outcome = outcome_of(trial, self.maximize, failure_counts=False)
            if outcome is not None:
                count += 1
                numbered.append((count, trial, outcome))
            elif self._is_live(trial):
                count += 1
        return numbered

    def run_number(self, trial: optuna.Trial) -> int:
        """The number of a run in progress."""
        earlier = [other for other in self.trials() if other.number <= trial.number]
        counted = (outcome_of(other, self.maximize, failure_counts=False) for other in earlier)
        return sum(o is not None or self._is_live(t) for t, o in zip(earlier, counted, strict=True))

    def should_wait(self) -> bool:
        """Whether a worker had better wait for the others than run further ahead of the search.

        Two points ahead for each run in progress are worth their guess; more would spend the budget on guesses.
        """
        if not self.plan.descends:
            return False
        runs, busy = self.runs(), {key_of(trial) for trial in self.live()}
        run = self.trace(runs)
        if run is None or run.pending is None or run.pending.key not in busy:
            return False
        asked = {step.question.key for step in run.steps}
        ahead = {key_of(trial) for trial, _ in runs} - asked
        return len(ahead) + len(busy) - 1 >= 2 * len(busy)

    def ask(self) -> tuple[optuna.Trial, dict[str, float]]:
        """A new trial and its hyperparameters."""
        plan = self.plan
        trial = self.optuna_study.ask()
        if plan.name in RESEEDED:  # what it proposes is a function of seed, history and number: no two alike
            self.optuna_study.sampler = make_sampler(plan, trial.number, self.stale_seconds)
        if claims.latest(self.optuna_study, trial) is None:
            claims.write(self.optuna_study, trial, {})
        spaces = plan.spaces()
        hyperparameters = dict(plan.grid.start)
        for name, space in spaces.items():
            if isinstance(space, IntDistribution):
                value: float = trial.suggest_int(name, space.low, space.high, log=space.log)
            else:
                value = trial.suggest_float(name, space.low, space.high, log=space.log)
            own = name.removeprefix("one_minus_")
            hyperparameters[own] = 1.0 - value if own != name else value
        return trial, hyperparameters

    def repeat_of(self, trial: optuna.Trial) -> int:
        """Which repeat of its point a trial is, each with seeds of its own; 0 for the first."""
        claim = claims.latest(self.optuna_study, trial) or {}
        return int(claim.get("repeat", 0))

    def begin(self, trial: optuna.Trial, hyperparameters: Mapping[str, float], seeds: Sequence[int]) -> None:
        """Write what this run is about to try."""
        coordinates = self.plan.grid.chart.coordinates(hyperparameters)
        setting = {"hyperparameters": dict(hyperparameters), "coordinates": coordinates, "seeds": list(seeds)}
        trial.set_user_attr(SETTING, setting)

    def value_without_one(self, trial_id: int) -> float | None:
        """A diverged run without a value is as bad as the worst finished one to Optuna's own searches."""
        if self.plan.descends or OUTCOME not in self.optuna_study._storage.get_trial(trial_id).user_attrs:
            return None
        finished = [outcome.score for _, outcome in self.runs() if outcome.state == "finished"]
        return None if not finished else min(finished) * (1 if self.maximize else -1)

    def confirmations(self) -> dict[str, dict[str, Any]]:
        """Runs with fresh seeds on the test part, by their key."""
        attributes = self.optuna_study.user_attrs
        return {k.removeprefix(CONFIRMATION): v for k, v in attributes.items() if k.startswith(CONFIRMATION)}

    def confirm(self, key: str, measurement: Measurement) -> None:
        """Store one confirming run."""
        record = {"state": measurement.state, "value": measurement.value, "seconds": measurement.seconds}
        self.optuna_study.set_user_attr(CONFIRMATION + key, record)


def open_study(
    storage: BaseStorage,
    name: str,
    plan: SearchPlan,
    identity: Mapping[str, Any],
    maximize: bool = True,
    stale_seconds: float = claims.STALE_SECONDS,
) -> Study:
    """Create a study or continue it. Raises StudyError where the stored one is another search."""
    study = open_optuna_study(storage, name, {"version": VERSIONS.get(plan.name, 1), **identity}, maximize)
    study.sampler = make_sampler(plan, len(study.get_trials(deepcopy=False)), stale_seconds)
    return Study(study, plan, maximize, stale_seconds)


def read_study(storage: BaseStorage, name: str) -> tuple[optuna.Study, dict[str, Any]]:
    """A stored study and its identity, for reading. Raises StudyError where there is none of flatdirs' making."""
    names = sorted(summary.study_name for summary in _summaries(storage))
    if name not in names:
        raise StudyError(f"there is no study {name} here ({', '.join(names) or 'none at all'}); change study or output")
    study = optuna.load_study(study_name=name, storage=storage)
    if IDENTITY not in study.user_attrs:
        raise StudyError(f"study {name} was not made by flatdirs; change study")
    identity = dict(study.user_attrs[IDENTITY])
    if "slice" in identity:
        raise StudyError(f"study {name} is a slice; look at it with python -m flatdirs.slices and budget=0")
    return study, identity


def stored_probes(storage: BaseStorage, name: str, word: str, mark: str) -> dict[str, Any] | None:
    """What the probes gave for the start of a study; None where it has not begun, or not with these settings (`mark`).

    The start of a study that has begun is what counts, whatever two workers may have found at once.

    Raises:
        StudyError: the study began with a number, not with `word`.
    """
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return None
    attributes = storage.get_study_user_attrs(study_id)
    kept: dict[str, Any] | None = json.loads(attributes[PROBES]) if PROBES in attributes else None
    start = attributes.get(IDENTITY, {}).get("start")
    if start is None or not has_begun(storage.get_all_trials(study_id, deepcopy=False)):
        return kept if kept is not None and kept.get("mark") == mark else None
    if kept is None:
        raise StudyError(
            f"study {name} was made with start.lr={start.get('lr')}, not {word}; continue "
            f"it with the old value, or change study to another name"
        )
    began = {"start": start["lr"], "wd": start["wd"]}
    return {**kept, **{key: value for key, value in began.items() if key in kept}}


def keep_probes(storage: BaseStorage, name: str, word: str, record: dict[str, Any], maximize: bool) -> dict[str, Any]:
    """Keep what the probes gave for the start of a study that may be new; what is kept already goes first."""
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    study = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
    kept = stored_probes(storage, name, word, record["mark"])
    if kept is None:
        study.set_user_attr(PROBES, json.dumps(record))
    return record if kept is None else kept


def view_study(storage: BaseStorage, name: str, stale_seconds: float = claims.STALE_SECONDS) -> Study:
    """A stored study with the plan it was made with, for looking at. Raises StudyError as `read_study` does."""
    study, identity = read_study(storage, name)
    settings = {key: value for key, value in identity["search"].items() if key not in FORMER}
    search = settings.pop("name")
    grid = Grid(read_chart(identity["chart"]), identity["start"])
    box = {key: (pair[0], pair[1]) for key, pair in identity.get("box", {}).items()}
    uniform = frozenset(key for key, pair in identity.get("box", {}).items() if len(pair) > 2)
    plan = SearchPlan(search, grid, Rules(**settings), identity["seed"], box, uniform)
    return Study(study, plan, identity["direction"] == "maximize", stale_seconds)


def _summaries(storage: BaseStorage) -> list[Any]:
    return list(optuna.get_all_study_summaries(storage, include_best_trial=False))
