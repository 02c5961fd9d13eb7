"""Studies: open one, make sure it is the one asked for, ask it for trials and tell it what they gave.

Everything a later process needs lies in the storage: the study's identity (what must not change between two calls),
every trial's setting, outcome, curve and provenance, and the confirmations of the winner. `Study` is a thin layer
over Optuna's; which search it asks is plan.py's matter.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from flatdirs import claims
from flatdirs.chart import Lattice, Point, read_chart
from flatdirs.errors import StudyError
from flatdirs.history import OUTCOME, SETTING, outcome_of, point_of
from flatdirs.objective import Measurement
from flatdirs.plan import RESEEDED, SearchPlan, make_sampler
from flatdirs.replay import Trace, trace
from flatdirs.search import VERSION, Outcome, Rules, make

IDENTITY = "flatdirs:identity"
CONFIRMATION = "flatdirs:confirmation:"
CURVE = "curve"
PROVENANCE = "provenance"
KEYS = {"version": "search algorithm version", "chart.fixed": "fixed"}  # how identity keys read in a sentence


class Study:
    """An opened study with its search. Made by `open_study`."""

    def __init__(self, study: optuna.Study, plan: SearchPlan, maximize: bool, stale_seconds: float) -> None:
        self.optuna_study = study
        self.plan = plan
        self.maximize = maximize
        self.stale_seconds = stale_seconds

    @property
    def name(self) -> str:
        """The study's name in its storage."""
        return self.optuna_study.study_name

    def trials(self) -> list[FrozenTrial]:
        """All trials, oldest first, as stored now."""
        return self.optuna_study._storage.get_all_trials(self.optuna_study._study_id, deepcopy=False)

    def runs(self) -> list[tuple[FrozenTrial, Outcome]]:
        """The runs that count, oldest first."""
        pairs = ((trial, outcome_of(trial, self.maximize, failure_counts=False)) for trial in self.trials())
        return [(trial, outcome) for trial, outcome in pairs if outcome is not None]

    def trace(self, runs: Sequence[tuple[FrozenTrial, Outcome]] | None = None) -> Trace | None:
        """The descent as far as these runs carry it (None: all that are stored now); None for Optuna's own searches."""
        if not self.plan.descends:
            return None
        answers: dict[Point, Outcome] = {}
        for trial, outcome in self.runs() if runs is None else runs:
            point = point_of(trial)
            if point is not None:
                answers.setdefault(point, outcome)
        return trace(make(self.plan.name, self.plan.lattice, self.plan.rules), answers)

    def live(self) -> list[FrozenTrial]:
        """Trials that some worker is running now."""
        return [trial for trial in self.trials() if self._is_live(trial)]

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
        runs, busy = self.runs(), {point_of(trial) for trial in self.live()}
        run = self.trace(runs)
        if run is None or run.pending is None or run.pending.point not in busy:
            return False
        asked = {step.question.point for step in run.steps}
        ahead = {point_of(trial) for trial, _ in runs} - asked
        return len(ahead) + len(busy) - 1 >= 2 * len(busy)

    def _is_live(self, trial: FrozenTrial) -> bool:
        running = trial.state == TrialState.RUNNING and OUTCOME not in trial.user_attrs
        return running and not claims.abandoned(trial, self.stale_seconds)

    def ask(self) -> tuple[optuna.Trial, dict[str, float]]:
        """A new trial and its hyperparameters."""
        plan = self.plan
        trial = self.optuna_study.ask()
        if plan.name in RESEEDED:  # what it proposes is a function of seed, history and number: no two alike
            self.optuna_study.sampler = make_sampler(plan, trial.number, self.stale_seconds)
        if claims.latest(self.optuna_study, trial) is None:
            claims.write(self.optuna_study, trial, {})
        spaces = plan.spaces()
        hyperparameters = dict(plan.lattice.start)
        for name, space in spaces.items():
            if isinstance(space, IntDistribution):
                value: float = trial.suggest_int(name, space.low, space.high, log=space.log)
            else:
                value = trial.suggest_float(name, space.low, space.high, log=space.log)
            own = name.removeprefix("one_minus_")
            hyperparameters[own] = 1.0 - value if own != name else value
        return trial, hyperparameters

    def begin(self, trial: optuna.Trial, hyperparameters: Mapping[str, float], seeds: Sequence[int]) -> None:
        """Write what this run is about to try."""
        coordinates = self.plan.lattice.chart.coordinates(hyperparameters)
        setting = {"hyperparameters": dict(hyperparameters), "coordinates": coordinates, "seeds": list(seeds)}
        trial.set_user_attr(SETTING, setting)

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Keep one intermediate value."""
        if math.isfinite(value):
            with self._still_ours(trial):
                trial.report(value, step)

    @contextmanager
    def alive(self, trial: optuna.Trial) -> Iterator[None]:
        """Say from time to time, from a thread of its own, that this worker still runs the trial."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(min(60.0, self.stale_seconds / 4)):
                with suppress(Exception):  # a storage out of reach now may be back at the next beat
                    claims.beat(self.optuna_study, trial)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def end(self, trial: optuna.Trial, measurement: Measurement) -> None:
        """Write curve, provenance and outcome, then close the trial; once the outcome stands, the run counts."""
        with self._still_ours(trial):
            trial.set_user_attr(CURVE, list(measurement.curve))
            trial.set_user_attr(PROVENANCE, {**measurement.provenance, "seconds": measurement.seconds})
            outcome = {key: getattr(measurement, key) for key in ("state", "value", "loss", "at_chance")}
            trial.set_user_attr(OUTCOME, outcome)
        self._close(trial._trial_id, measurement.value)

    @contextmanager
    def _still_ours(self, trial: optuna.Trial) -> Iterator[None]:
        try:
            yield
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise StudyError(
                f"another worker took run {trial.number + 1} over, because this one had been silent for more than "
                f"{self.stale_seconds / 60:g} minutes; raise storage.stale_minutes"
            ) from error

    def interrupt(self, trial: optuna.Trial) -> None:
        """Give a run up; its point will be run again."""
        self._close(trial._trial_id, None)

    def tidy(self) -> None:
        """Close what dead processes left running; one that died before it could claim anything is given its time."""
        unclaimed = self._unclaimed()
        if unclaimed:
            time.sleep(claims.PATIENCE_SECONDS)
            unclaimed &= self._unclaimed()
        for trial in self.trials():
            running = trial.state == TrialState.RUNNING
            if running and (trial._trial_id in unclaimed or claims.abandoned(trial, self.stale_seconds)):
                written = trial.user_attrs.get(OUTCOME)
                self._close(trial._trial_id, written and written.get("value"))

    def _unclaimed(self) -> set[int]:
        return {t._trial_id for t in self.trials() if t.state == TrialState.RUNNING and claims.read(t) is None}

    def _close(self, trial_id: int, value: float | None) -> None:
        """Tell Optuna. A diverged run without a value is as bad as the worst finished one to Optuna's own searches."""
        if value is None and not self.plan.descends and self._has_outcome(trial_id):
            finished = [outcome.score for _, outcome in self.runs() if outcome.state == "finished"]
            value = None if not finished else min(finished) * (1 if self.maximize else -1)
        state, values = (TrialState.FAIL, None) if value is None else (TrialState.COMPLETE, [float(value)])
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # somebody else closed it; its outcome stands
            self.optuna_study._storage.set_trial_state_values(trial_id, state, values)

    def _has_outcome(self, trial_id: int) -> bool:
        return OUTCOME in self.optuna_study._storage.get_trial(trial_id).user_attrs

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
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    study = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
    trials = study.get_trials(deepcopy=False)
    ours = not trials or IDENTITY in study.user_attrs
    if ours and not any(OUTCOME in t.user_attrs or t.state == TrialState.RUNNING for t in trials):
        # nothing is known yet, so this search may have the name
        if study.direction != direction:
            optuna.delete_study(study_name=name, storage=storage)
            study = optuna.create_study(study_name=name, storage=storage, direction=direction)
        study.set_user_attr(IDENTITY, {"version": VERSION, **identity})
    _refuse_difference(study, name, identity)
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
    return study, dict(study.user_attrs[IDENTITY])


def view_study(storage: BaseStorage, name: str, stale_seconds: float = claims.STALE_SECONDS) -> Study:
    """A stored study with the plan it was made with, for looking at. Raises StudyError as `read_study` does."""
    study, identity = read_study(storage, name)
    settings = dict(identity["search"])
    search = settings.pop("name")
    lattice = Lattice(read_chart(identity["chart"]), identity["start"])
    box = {key: (low, high) for key, (low, high) in identity.get("box", {}).items()}
    plan = SearchPlan(search, lattice, Rules(**settings), identity["seed"], box)
    return Study(study, plan, identity["direction"] == "maximize", stale_seconds)


def _summaries(storage: BaseStorage) -> list[Any]:
    return list(optuna.get_all_study_summaries(storage, include_best_trial=False))


def _refuse_difference(study: optuna.Study, name: str, identity: Mapping[str, Any]) -> None:
    """Raise StudyError naming the first key in which a stored study differs from the one asked for."""
    stored = study.user_attrs.get(IDENTITY)
    if stored is None:
        raise StudyError(f"study {name} was not made by flatdirs; change study to another name")
    before, now = flatten(stored), flatten({"version": VERSION, **identity})
    for key in [*before, *(key for key in now if key not in before)]:
        if before.get(key) != now.get(key):
            said = KEYS.get(key, key.removesuffix(".name"))
            raise StudyError(
                f"study {name} was made with {said}={_shown(before.get(key))}, not {_shown(now.get(key))}; "
                f"continue it with the old value, or change study to another name"
            )


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    if not isinstance(tree, Mapping):
        return {prefix: list(tree) if isinstance(tree, (tuple, frozenset)) else tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def study_folder(output: Path, name: str) -> Path:
    """Where a study's files lie."""
    return output / name
