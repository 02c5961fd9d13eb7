"""Studies with a search: open one, check that its settings match, suggest trials and report their results.

`Study` adds a search to what all our studies share (trials.py). Confirming runs, the verdict that they lead to, and the
probes for a start are stored with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from flatdirs.backend import claims, optuna_private
from flatdirs.backend.liveness import ANYBODY, STALE_SECONDS
from flatdirs.backend.sampler import FlatDirectionsSampler
from flatdirs.backend.search_plan import RESEEDED, SearchPlan, make_sampler, plan_of
from flatdirs.backend.trial_runs import OUTCOME, SETTING, claimed_id, run_of
from flatdirs.backend.trials import (
    HANDED_OUT,
    IDENTITY,
    PROVENANCE,
    Trials,
    has_begun,
    made_otherwise,
    open_optuna_study,
)
from flatdirs.backend.verdict import VERDICT, Verdict, stored_verdict, verdict_record
from flatdirs.errors import StudyError
from flatdirs.objectives.base import Measurement
from flatdirs.search.coordinate_descent import DescentSettings, Trace, trace
from flatdirs.search.flatness import Findings, find
from flatdirs.search.known import BayesSettings, resolved
from flatdirs.search.remaining import LeftToGain, left_after
from flatdirs.search.suggest import suggest
from flatdirs.search.types import Run

CONFIRMATION = "flatdirs:confirmation:"
JUDGED = "flatdirs:judged"
PROBES = "flatdirs:step_sampling"


class Study(Trials):
    """An opened study with its search. Made by `open_study`."""

    keeps_steps = True

    def __init__(self, study: optuna.Study, plan: SearchPlan, maximize: bool, stale_seconds: float) -> None:
        super().__init__(study, maximize, stale_seconds)
        self.plan = plan

    def grid_runs(self, runs: Sequence[tuple[FrozenTrial, Run]] | None = None) -> list[Run]:
        """The runs that are on the search's grid, oldest first; `runs`: those read already."""
        found = []
        for trial, _ in self.runs() if runs is None else runs:
            if (known := claimed_id(trial)) is not None:
                run = run_of(trial, self.maximize, False, *known)
                found += [] if run is None else [run]
        return found

    def trace(self, runs: Sequence[tuple[FrozenTrial, Run]] | None = None) -> Trace | None:
        """Myrtle's search as far as these runs carry it (None: all that are stored now); None for other searches."""
        if not isinstance(self.plan.settings, DescentSettings):
            return None
        answers = {run.id: run for run in reversed(self.grid_runs(runs))}
        return trace(self.plan.grid, self.plan.settings, answers)

    def findings(self) -> Findings | None:
        """What the Bayesian search has learnt so far; None for other searches and before it has a few runs."""
        if not isinstance(self.plan.settings, BayesSettings):
            return None
        return find(self.plan.grid, self.grid_runs(), self.plan.settings)

    def left_to_gain(self) -> LeftToGain | None:
        """What is left to gain by these runs; None for other searches and before the search has a few runs."""
        if not isinstance(self.plan.settings, BayesSettings):
            return None
        return left_after(self.plan.grid, self.grid_runs(), self.plan.settings)

    @property
    def deterministic(self) -> bool:
        """Whether two runs of a point give the same value, as told or as the runs have shown."""
        settings = self.plan.settings
        return isinstance(settings, BayesSettings) and bool(resolved(settings, self.grid_runs()).deterministic)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to run: an objective without noise whose points within the bounds were all run."""
        settings = self.plan.settings
        if settings is None or not self.deterministic:
            return False
        busy = [known for trial in self.live() if (known := claimed_id(trial)) is not None]
        return suggest(self.plan.grid, settings, self.grid_runs(), busy) is None

    def numbered_runs(self) -> list[tuple[int, FrozenTrial, Run]]:
        """The runs that count with their numbers, from 1, the start.

        Runs in progress have a number too, so that no number changes when they end, and so have all that were handed
        out; other interrupted ones have none.
        """
        return [(number, trial, run) for number, trial, run in self._numbers() if run is not None]

    def run_number(self, trial: optuna.Trial) -> int:
        """The number of a run in progress."""
        return next(number for number, other, _ in self._numbers() if other.number == trial.number)

    def handed_out(self, number: int) -> FrozenTrial | None:
        """The trial of a run that `hand_out` gave this number; None where it gave none."""
        found = (trial for one, trial, _ in self._numbers() if one == number and HANDED_OUT in trial.user_attrs)
        return next(found, None)

    def waiting(self) -> list[int]:
        """The numbers of the runs that were handed out and have no outcome yet, without stale ones."""
        return [one for one, trial, _ in self._numbers() if HANDED_OUT in trial.user_attrs and self._is_live(trial)]

    def _numbers(self) -> Iterator[tuple[int, FrozenTrial, Run | None]]:
        number = 0
        for trial in self.trials():
            run = run_of(trial, self.maximize, failure_counts=False)
            if run is not None or self._is_live(trial) or HANDED_OUT in trial.user_attrs:
                number += 1
                yield number, trial, run

    def should_wait(self) -> bool:
        """Whether a worker of Myrtle's search should wait for the others rather than run further ahead of it.

        Two points ahead for each run in progress are worth their guess; more would spend the budget on guesses.
        """
        runs = self.runs()
        run = self.trace(runs)
        if run is None or run.pending is None:
            return False
        busy = {claimed_id(trial) for trial in self.at_work()}
        if run.pending.suggestion.id not in busy:
            return False
        asked = {step.proposal.suggestion.id for step in run.steps}
        ahead = {claimed_id(trial) for trial, _ in runs} - asked
        return len(ahead) + len(busy) - 1 >= 2 * len(busy)

    def limit(self, budget: int) -> None:
        """Tell the search how many runs it has, those that are stored included."""
        if isinstance(self.optuna_study.sampler, FlatDirectionsSampler):
            self.optuna_study.sampler.budget = budget

    def ask(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """A new trial and its hyperparameters."""
        plan = self.plan
        trial = self.optuna_study.ask()
        if plan.name in RESEEDED:  # what it suggests is a function of seed, history and number: no two alike
            self.optuna_study.sampler = make_sampler(plan, trial.number, self.stale_seconds)
        if claims.latest(self.optuna_study, trial) is None:
            claims.write(self.optuna_study, trial, {})
        hyperparameters = dict(plan.grid.start)
        for name, space in plan.spaces().items():
            if isinstance(space, CategoricalDistribution):
                value: Any = trial.suggest_categorical(name, space.choices)
            elif isinstance(space, IntDistribution):
                value = trial.suggest_int(name, space.low, space.high, log=space.log)
            else:
                value = trial.suggest_float(name, space.low, space.high, log=space.log)
            own = name if name in hyperparameters else name.removeprefix("one_minus_")
            hyperparameters[own] = 1.0 - value if own != name else value
        return trial, hyperparameters if plan.on_grid else plan.grid.rounded(hyperparameters)

    def hand_out(self, seed: int) -> tuple[int, optuna.Trial, dict[str, Any]]:
        """The number, trial and hyperparameters of a run that somebody else makes; nobody looks after its process.

        Its seed is `seed` and the number of the replicate. It is pending until it has ended or grown stale, and counts
        whenever it ends.
        """
        trial, hyperparameters = self.ask()
        claim = claims.latest(self.optuna_study, trial) or {}
        claims.write(self.optuna_study, trial, claim, ANYBODY)
        trial.set_user_attr(HANDED_OUT, True)
        self.begin(trial, hyperparameters, [seed + self.replicate_of(trial)])
        return self.run_number(trial), trial, hyperparameters

    def replicate_of(self, trial: optuna.Trial) -> int:
        """Which replicate of its point a trial is, each with seeds of its own; 0 for the first."""
        claim = claims.latest(self.optuna_study, trial) or {}
        return int(claim.get("replicate", 0))

    def begin(self, trial: optuna.Trial, hyperparameters: Mapping[str, float], seeds: Sequence[int]) -> None:
        """Store what this run is about to try."""
        coordinates = self.plan.grid.chart.coordinates(hyperparameters)
        setting = {"hyperparameters": dict(hyperparameters), "coordinates": coordinates, "seeds": list(seeds)}
        trial.set_user_attr(SETTING, setting)

    def best_folders(self, named: Collection[int], count: int = 0) -> set[str]:
        """The names of the folders in which commands ran: of the trials `named`, and of the `count` best observed.

        The best expected point may become an earlier one again, so several are kept while the search goes on.
        """
        finished = [(trial, run) for trial, run in self.runs() if run.state == "finished"]
        best = [trial for trial, _ in sorted(finished, key=lambda pair: -pair[1].value)[:count]]
        kept = [*(self.trials()[number] for number in named), *best]
        places = (trial.user_attrs.get(PROVENANCE, {}).get("folder") for trial in kept)
        return {str(place) for place in places if place}

    def value_of_diverged(self, trial_id: int) -> float | None:
        """A diverged run without a value is as bad as the worst finished one to Optuna's own searches."""
        if self.plan.on_grid or OUTCOME not in optuna_private.stored_trial(self.optuna_study, trial_id).user_attrs:
            return None
        finished = [run.value for _, run in self.runs() if run.state == "finished"]
        return None if not finished else min(finished) * (1 if self.maximize else -1)

    def confirmations(self) -> dict[str, dict[str, Any]]:
        """Runs with fresh seeds on the test set, by their key."""
        attributes = self.optuna_study.user_attrs
        return {k.removeprefix(CONFIRMATION): v for k, v in attributes.items() if k.startswith(CONFIRMATION)}

    def confirm(self, key: str, measurement: Measurement) -> None:
        """Store one confirming run."""
        record = {"state": measurement.state, "value": measurement.value, "seconds": measurement.seconds}
        self.optuna_study.set_user_attr(CONFIRMATION + key, record)

    def judged(self) -> dict[str, tuple[int, int]]:
        """The candidates that a race has judged: by how many seeds, and how many were allowed."""
        return {name: (own[0], own[1]) for name, own in self.optuna_study.user_attrs.get(JUDGED, {}).items()}

    def keep_judged(self, judged: Mapping[str, int], allowed: int) -> None:
        """Store that a race has judged these candidates, by so many seeds each of those allowed."""
        before = self.judged()
        now = {name: (seeds, max(allowed, before.get(name, (0, 0))[1])) for name, seeds in judged.items()}
        if {**before, **now} != before:
            self.optuna_study.set_user_attr(JUDGED, {**before, **now})

    def verdict(self) -> Verdict | None:
        """What the search hands over, as stored at its end; None where it has not ended, or has gone on since."""
        return stored_verdict(self.optuna_study.user_attrs, len(self.runs()))

    def keep_verdict(self, verdict: Verdict) -> None:
        """Store what the search hands over."""
        self.optuna_study.set_user_attr(VERDICT, verdict_record(verdict, len(self.runs())))


def open_study(
    storage: BaseStorage,
    name: str,
    plan: SearchPlan,
    identity: Mapping[str, Any],
    maximize: bool = True,
    stale_seconds: float = STALE_SECONDS,
) -> Study:
    """Create a study or continue it. Raises StudyError where the stored one is another search."""
    study = open_optuna_study(storage, name, identity, maximize)
    study.sampler = make_sampler(plan, len(study.get_trials(deepcopy=False)), stale_seconds)
    return Study(study, plan, maximize, stale_seconds)


def read_study(storage: BaseStorage, name: str, key: str = "study") -> tuple[optuna.Study, dict[str, Any]]:
    """A stored study and its identity, for reading. Raises StudyError (key) where flatdirs has made none so named."""
    summaries = optuna.get_all_study_summaries(storage, include_best_trial=False)
    names = sorted(summary.study_name for summary in summaries)
    if name not in names:
        raise StudyError(
            f"there is no study {name} here ({', '.join(names) or 'none at all'}); change {key} or output", key=key
        )
    study = optuna.load_study(study_name=name, storage=storage)
    if IDENTITY not in study.user_attrs:
        raise StudyError(f"study {name} was not made by flatdirs; change {key}", key=key)
    identity = dict(study.user_attrs[IDENTITY])
    if "slice" in identity:
        raise StudyError(f"study {name} is a slice; show it with flatdirs slices and budget=0", key=key)
    return study, identity


def stored_identity(storage: BaseStorage, name: str) -> dict[str, Any]:
    """What a study was made with; empty where there is none, or where it has not begun."""
    try:
        number = storage.get_study_id_from_name(name)
    except KeyError:
        return {}
    if not has_begun(storage.get_all_trials(number, deepcopy=False)):
        return {}
    return dict(storage.get_study_user_attrs(number).get(IDENTITY, {}))


def stored_probes(storage: BaseStorage, name: str, word: str, mark: str) -> dict[str, Any] | None:
    """What the probes gave for the start of a study; None where it has not begun, or not with these settings (`mark`).

    The start of a study that has begun is what counts, whatever two workers may have found at once.

    Raises:
        StudyError: the study began with a number, not with `word`.
    """
    try:
        number = storage.get_study_id_from_name(name)
    except KeyError:
        return None
    attributes = storage.get_study_user_attrs(number)
    kept: dict[str, Any] | None = json.loads(attributes[PROBES]) if PROBES in attributes else None
    start = attributes.get(IDENTITY, {}).get("start")
    if start is None or not has_begun(storage.get_all_trials(number, deepcopy=False)):
        return kept if kept is not None and kept.get("mark") == mark else None
    if kept is None:
        if (prior := attributes[IDENTITY].get("prior")) is not None:
            raise made_otherwise(name, "prior", prior, None)
        raise made_otherwise(name, "start.lr", start.get("lr"), word)
    began = {"start": start["lr"], "wd": start["wd"]}
    return {**kept, **{key: value for key, value in began.items() if key in kept}}


def keep_probes(storage: BaseStorage, name: str, word: str, record: dict[str, Any], maximize: bool) -> dict[str, Any]:
    """Store what the probes gave for the start of a study that may be new; what is stored already has precedence."""
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    study = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
    kept = stored_probes(storage, name, word, record["mark"])
    if kept is None:
        study.set_user_attr(PROBES, json.dumps(record))
    return record if kept is None else kept


def view_study(storage: BaseStorage, name: str, stale_seconds: float = STALE_SECONDS, key: str = "study") -> Study:
    """A stored study with the plan it was made with, for reading. Raises StudyError as `read_study` does."""
    study, identity = read_study(storage, name, key)
    return Study(study, plan_of(identity), identity["direction"] == "maximize", stale_seconds)


def resume_study(storage: BaseStorage, name: str, stale_seconds: float = STALE_SECONDS) -> Study:
    """A stored study with the search it was made with, to go on with it. Raises StudyError as `read_study` does."""
    study = view_study(storage, name, stale_seconds)
    study.optuna_study.sampler = make_sampler(study.plan, len(study.trials()), stale_seconds)
    return study
