"""What all our studies share: stored trials, who runs them, and closing them in every case.

Everything a later process needs is in the storage: the study's identity (what must not change between two commands) and
every trial's setting, outcome, curve and provenance. The trial of a killed worker has no outcome, so it says nothing
and is closed at the next start. `Study` (study.py) adds a search, slices/loop.py a grid of runs.
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
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from flatdirs.backend import claims, optuna_private
from flatdirs.backend.reports import Reports
from flatdirs.backend.trial_runs import OUTCOME, run_of
from flatdirs.errors import StudyError
from flatdirs.objectives.base import Measurement
from flatdirs.search.types import Run

IDENTITY = "flatdirs:identity"
COMMAND = "flatdirs:command"  # overrides of the `tune` command, for one that goes on from its study
CURVE = "flatdirs:curve"
HANDED_OUT = "flatdirs:handed_out"  # whether somebody else makes the run and tells its value
CURVATURE = "flatdirs:curvature"
PROVENANCE = "flatdirs:provenance"
STEPS = "flatdirs:steps"
OUTCOME_KEYS = ("state", "value", "loss", "at_chance", "timescales", "accuracy", "partial")
KEYS = {"chart.fixed": "fixed"}  # how identity keys read in a sentence
MAY_CHANGE = ("task.catch",)  # decides what becomes of an exception in the user's function, not of a run that ended


class Trials:
    """The trials of an opened study. `keeps_steps`: whether what every step of a run did is kept with it."""

    keeps_steps = False

    def __init__(self, study: optuna.Study, maximize: bool, stale_seconds: float) -> None:
        self.optuna_study = study
        self.maximize = maximize
        self.stale_seconds = stale_seconds
        self._reports: dict[int, Reports] = {}  # trial number → what it has reported

    @property
    def name(self) -> str:
        """The study's name in its storage."""
        return self.optuna_study.study_name

    def trials(self) -> list[FrozenTrial]:
        """All trials, oldest first, as stored now."""
        return optuna_private.all_trials(self.optuna_study)

    def runs(self) -> list[tuple[FrozenTrial, Run]]:
        """The runs that count, oldest first."""
        pairs = ((trial, run_of(trial, self.maximize, failure_counts=False)) for trial in self.trials())
        return [(trial, run) for trial, run in pairs if run is not None]

    def live(self) -> list[FrozenTrial]:
        """Trials that some worker is running now, and those handed out lately."""
        return [trial for trial in self.trials() if self._is_live(trial)]

    def at_work(self) -> list[FrozenTrial]:
        """The live trials whose worker is a process of ours; without those handed out by ask."""
        return [trial for trial in self.live() if HANDED_OUT not in trial.user_attrs]

    def _is_live(self, trial: FrozenTrial) -> bool:
        running = trial.state == TrialState.RUNNING and OUTCOME not in trial.user_attrs
        return running and not claims.abandoned(trial, self.stale_seconds)

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Keep one intermediate value; it is written within a second or so, at the latest when the run ends."""
        if math.isfinite(value):
            reports = self._reports.setdefault(trial.number, Reports(self.optuna_study, trial))
            reports.add(step, value)
            if reports.due and not self._prunes:
                self._write_reports(trial)

    def should_stop(self, trial: optuna.Trial, done: int, total: int | None, value: float) -> bool:
        """Whether the study's pruner stops a run after so many evaluations of `total`; never after the last.

        Where `total` is not known (a user's function), only the first reports are judged one by one (reports.py).
        """
        if not self._prunes or not math.isfinite(value):
            return False
        reports, last = self._reports[trial.number], total is not None and done >= total
        if total is None and not reports.to_judge:
            return False
        self._write_reports(trial)
        if last:
            return False
        stored = optuna_private.stored_trial(self.optuna_study, optuna_private.trial_id(trial))
        return self.optuna_study.pruner.prune(self.optuna_study, stored)  # the trial's own copy has no reports

    @property
    def _prunes(self) -> bool:
        return not isinstance(self.optuna_study.pruner, optuna.pruners.NopPruner)

    def _write_reports(self, trial: optuna.Trial) -> None:
        if (reports := self._reports.get(trial.number)) is not None:
            with self._still_ours(trial):
                reports.write()

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

    def end(self, trial: optuna.Trial | FrozenTrial, measurement: Measurement) -> None:
        """Write curve, provenance and outcome, then close the trial; once the outcome stands, the run counts."""
        if isinstance(trial, optuna.Trial):
            self._write_reports(trial)
        self._reports.pop(trial.number, None)
        outcome = {key: getattr(measurement, key) for key in OUTCOME_KEYS}
        written: dict[str, Any] = {CURVE: list(measurement.curve)}
        if measurement.curvature:
            written[CURVATURE] = [dict(run) for run in measurement.curvature]
        written[PROVENANCE] = {**measurement.provenance, "seconds": measurement.seconds}
        if measurement.steps and self.keeps_steps:
            written[STEPS] = dict(measurement.steps)
        with self._still_ours(trial):
            for key, value in {**written, OUTCOME: outcome}.items():
                optuna_private.set_user_attribute(self.optuna_study, trial, key, value)
        self._close(optuna_private.trial_id(trial), outcome)

    @contextmanager
    def _still_ours(self, trial: optuna.Trial | FrozenTrial) -> Iterator[None]:
        try:
            yield
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise StudyError(
                f"another worker took over the run of this one, which was silent for more than "
                f"{self.stale_seconds / 60:g} minutes; raise storage.stale_minutes",
                key="storage.stale_minutes",
            ) from error

    def interrupt(self, trial: optuna.Trial) -> None:
        """Close a run without a result; its point will be run again."""
        self._reports.pop(trial.number, None)
        self._close(optuna_private.trial_id(trial), None)

    def tidy(self) -> None:
        """Close what dead processes left running; one that died before it could claim anything is given its time."""
        unclaimed = self._unclaimed()
        if unclaimed:
            time.sleep(claims.PATIENCE_SECONDS)
            unclaimed &= self._unclaimed()
        for trial in self.trials():
            running = trial.state == TrialState.RUNNING and HANDED_OUT not in trial.user_attrs
            if running and (optuna_private.trial_id(trial) in unclaimed or claims.abandoned(trial, self.stale_seconds)):
                self._close(optuna_private.trial_id(trial), trial.user_attrs.get(OUTCOME))

    def _unclaimed(self) -> set[int]:
        return {
            optuna_private.trial_id(t)
            for t in self.trials()
            if t.state == TrialState.RUNNING and claims.read(t) is None
        }

    def _close(self, trial_id: int, outcome: Mapping[str, Any] | None) -> None:
        """Tell Optuna; a pruned run's value there is its last partial one, as Optuna's own loop has it."""
        state = TrialState.PRUNED if outcome is not None and outcome["state"] == "pruned" else TrialState.COMPLETE
        value = None if outcome is None else outcome.get("partial" if state == TrialState.PRUNED else "value")
        if value is None and state == TrialState.COMPLETE:
            value = self.value_of_diverged(trial_id)
            state = TrialState.FAIL if value is None else state
        values = None if value is None else [float(value)]
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # somebody else closed it; its outcome stands
            optuna_private.storage_of(self.optuna_study).set_trial_state_values(trial_id, state, values)

    def value_of_diverged(self, trial_id: int) -> float | None:
        """What a run without a value is to Optuna; None closes it as failed."""
        return None


def has_begun(trials: Sequence[FrozenTrial]) -> bool:
    """Whether a study's search has an outcome, or a run in progress that will be one."""
    return any(OUTCOME in trial.user_attrs or trial.state == TrialState.RUNNING for trial in trials)


def open_optuna_study(
    storage: BaseStorage, name: str, identity: Mapping[str, Any], maximize: bool = True
) -> optuna.Study:
    """Create a study or continue it. Raises StudyError where the stored one has another identity."""
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    study = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
    trials = study.get_trials(deepcopy=False)
    ours = not trials or IDENTITY in study.user_attrs
    if ours and not has_begun(trials):
        # nothing is known yet, so this search may have the name
        if study.direction != direction:
            optuna.delete_study(study_name=name, storage=storage)
            study = optuna.create_study(study_name=name, storage=storage, direction=direction)
        study.set_user_attr(IDENTITY, dict(identity))
    _refuse_difference(study, name, identity)
    return study


def _refuse_difference(study: optuna.Study, name: str, identity: Mapping[str, Any]) -> None:
    """Raise StudyError naming the first key in which a stored study differs from the requested one."""
    stored = study.user_attrs.get(IDENTITY)
    if stored is None:
        raise StudyError(f"study {name} was not made by flatdirs; change study to another name", key="study")
    before, now = flatten(stored), flatten(identity)
    for key in (*before, *(key for key in now if key not in before)):
        if key not in MAY_CHANGE and before.get(key) != now.get(key):
            raise made_otherwise(name, key, before.get(key), now.get(key))


def made_otherwise(name: str, key: str, before: Any, now: Any) -> StudyError:
    """The error of a study that was made with another value of a key."""
    said = KEYS.get(key, key.removesuffix(".name"))
    return StudyError(
        f"study {name} was made with {said}={_shown(before)}, not {_shown(now)}; continue it with the old value, or "
        f"change study to another name",
        key=key,
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
