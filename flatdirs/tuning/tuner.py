"""`flatdirs.Tuner`: ask for a setting, make the run wherever and however, tell its value.

    ask → Asked ─ your own loop, scheduler or program ─► tell(run, value)

For loops that `flatdirs.tune` cannot call. Everything is in the storage: another process may ask or tell, and the same
arguments go on with the same study. A run that was handed out and never told is pending until it has grown stale, and
counts whenever it is told. `flatdirs ask` and `flatdirs tell` do the same for shells and other languages.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flatdirs.backend.search_plan import plan_identity
from flatdirs.backend.storages import close_storage, open_at, storage_at
from flatdirs.backend.study import Study, open_study
from flatdirs.backend.table_rows import winner
from flatdirs.backend.trial_runs import OUTCOME, REASON, SETTING, claimed_id
from flatdirs.backend.verdict import Verdict
from flatdirs.errors import StudyError
from flatdirs.objectives.base import Measurement, State
from flatdirs.search.known import BayesSettings
from flatdirs.search.prediction import Prediction, predict
from flatdirs.setting_checks import require_choice, require_number, wrong
from flatdirs.space.chart import Point
from flatdirs.tuning.confirm import without_race
from flatdirs.tuning.python_plan import Range, python_plan
from flatdirs.tuning.workers import refuse_torchrun

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DAY = 24 * 60.0  # minutes
DIVERGED = "diverged"


@dataclass(frozen=True)
class Asked:
    """A run to make: `settings` with `seed`, whose value is to be told under the number `run`.

    `replicate`: 0 for the first run of these settings. `reason`: why it is worth making. `expected`: the value that all
    runs together predict, with the ends of a 90 % `interval` of it, seed noise left out; None while they cannot.
    """

    run: int
    settings: Mapping[str, Any]
    seed: int
    replicate: int
    reason: str
    expected: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Best:
    """A setting and its value: observed in the run `run`, or expected from all runs, with a 90 % `interval`."""

    run: int
    settings: Mapping[str, Any]
    value: float
    interval: tuple[float, float] | None = None


class Tuner:
    """Ask for settings, tell values.

    Args:
        start: the hyperparameters to begin with, such as {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}.
        direction: "maximize" or "minimize".
        storage: the path of a journal file, a URL such as sqlite:///study.db, or None for memory.
        study: the name of the study; the same name and arguments go on with it.
        optimizer, fixed, ranges, choices, search, seed: as of `flatdirs.tune`.
        deterministic: True where the seeds do not matter and the same settings always give the same value; None where
            the runs are to show it.
        stale_minutes: how long a run that was handed out counts as pending.

    Raises ConfigError, ChartError or StudyError, whose `key` is the argument to change.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        direction: str,
        *,
        storage: str | os.PathLike[str] | None = None,
        study: str = "tuner",
        optimizer: str | None = None,
        fixed: Iterable[str] = (),
        ranges: Mapping[str, Range] | None = None,
        choices: Mapping[str, Sequence[Any]] | None = None,
        search: str = "flatdirs",
        seed: int = 0,
        deterministic: bool | None = False,
        stale_minutes: float = DAY,
    ) -> None:
        refuse_torchrun(os.environ, "make the Tuner outside torchrun, or in a process that torchrun did not start")
        require_choice("direction", direction, ("maximize", "minimize"))
        require_number("stale_minutes", stale_minutes, 0, above=True)
        found = python_plan(start, optimizer, fixed, ranges, choices, search, seed, deterministic)
        identity = {
            "task": {"name": "told", "unit": ""},
            **plan_identity(found.plan),
            "direction": direction,
            "repeats": 1,
        }
        self._storage: BaseStorage | None = open_at(storage_at(storage, stale_minutes))
        maximize = direction == "maximize"
        opened = open_study(self._storage, study, found.plan, identity, maximize, 60 * stale_minutes)
        self._open(opened, found.spelling)

    @classmethod
    def of(cls, study: Study, spelling: Mapping[str, str] | None = None) -> Tuner:
        """The tuner of an open study, whose storage stays open. `spelling`: short name → the user's."""
        tuner = cls.__new__(cls)
        tuner._storage = None
        tuner._open(study, spelling or {})
        return tuner

    def _open(self, study: Study, spelling: Mapping[str, str]) -> None:
        self.study, self._spelling = study, spelling

    def ask(self) -> Asked:
        """The next run to make."""
        study = self.study
        number, trial, hyperparameters = study.hand_out(study.plan.seed)
        reason = str(trial.user_attrs.get(REASON, study.plan.name))
        stored = study.handed_out(number)
        assert stored is not None
        known = claimed_id(stored)
        found = None if known is None else self._predicted(known[0])
        replicate = study.replicate_of(trial)
        seed = int(stored.user_attrs[SETTING]["seeds"][0])
        value, interval = (None, None) if found is None else self._in_unit(found)
        return Asked(number, self._spelled(hyperparameters), seed, replicate, reason, value, interval)

    def tell(self, run: int, value: float | str | None) -> None:
        """Store the value of a run that was handed out; nan, None or "diverged" for one that diverged.

        Raises StudyError (key run) for a run that was not handed out, or told already; ConfigError (key value) for what
        is no number.
        """
        amount, trial = _number(value), self.study.handed_out(run)
        if trial is None:
            waiting = ", ".join(map(str, self.pending)) or "none"
            problem = f"was not handed out in study {self.study.name} (waiting for a value: {waiting})"
            raise wrong("run", run, problem, StudyError)
        if OUTCOME in trial.user_attrs or trial.state.is_finished():
            raise wrong("run", run, "has a value already", StudyError)
        begun = trial.datetime_start
        seconds = 0.0 if begun is None else max(0.0, time.time() - begun.timestamp())
        finite = math.isfinite(amount)
        state: State = "finished" if finite else "diverged"
        kept = amount if finite else None
        provenance = {"values": [amount if finite else repr(amount)], "seeds": trial.user_attrs[SETTING]["seeds"]}
        self.study.end(trial, Measurement(state, kept, seconds=seconds, provenance=provenance))

    @property
    def pending(self) -> list[int]:
        """The numbers of the runs that were handed out and not told, oldest first, without stale ones."""
        return self.study.waiting()

    @property
    def best_observed(self) -> Best | None:
        """The run with the best value, which many noisy values make better than it is; None before any value."""
        finished = [(n, trial, run.value) for n, trial, run in self.study.numbered_runs() if run.state == "finished"]
        if not finished:
            return None
        number, trial, value = max(finished, key=lambda one: one[2])
        return Best(number, self._spelled(trial.user_attrs[SETTING]["hyperparameters"]), self._sign * value)

    @property
    def best_expected(self) -> Best | None:
        """The setting that all runs together favour, and the value expected of it; None before any value.

        While the runs cannot predict anything, with searches that have no model, and where the same settings always
        give the same value, the mean of its own runs.
        """
        found = winner(self.study)
        if found is None or found.mean is None:
            return None
        settings, seen = self._spelled(found.hyperparameters), found.point and self._predicted(found.point)
        if not seen or self.study.deterministic:
            return Best(found.run, settings, found.mean)
        return Best(found.run, settings, *self._in_unit(seen))

    @property
    def verdict(self) -> Verdict | None:
        """What is handed over, and why; None before any value.

        As decided where `flatdirs tune` has ended this study. A Tuner itself races nothing, so what it hands over is
        unconfirmed: run it and the start with the same fresh seeds before you replace the start.
        """
        found = self.study.verdict() or without_race(self.study, "", "there was no race")
        return found and replace(found, hyperparameters=self._spelled(found.hyperparameters))

    def close(self) -> None:
        """Give a database's connections back."""
        if self._storage is not None:
            close_storage(self._storage)

    def __enter__(self) -> Tuner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _sign(self) -> int:
        return 1 if self.study.maximize else -1

    def _predicted(self, point: Point) -> Prediction | None:
        settings = self.study.plan.settings
        if not isinstance(settings, BayesSettings):
            return None
        return predict(self.study.plan.grid, self.study.grid_runs(), settings, point)

    def _in_unit(self, found: Prediction) -> tuple[float, tuple[float, float]]:
        low, high = sorted(self._sign * end for end in found.interval)
        return self._sign * found.value, (low, high)

    def _spelled(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        return {self._spelling.get(name, name): value for name, value in hyperparameters.items()}


def _number(value: float | str | None) -> float:
    """A told value; nan for a run that diverged. Raises ConfigError for anything else."""
    if value is None or value == DIVERGED:
        return math.nan
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError) as error:
        raise wrong("value", repr(value), f"is no number; tell a number, nan or {DIVERGED}") from error
