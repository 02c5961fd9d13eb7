"""Who runs which trial: claims in the study's own storage, so that no state is held in memory.

A sampler claims what it suggests the moment a trial is created, in the trial's system attributes, together with the
process that will run it. Claims are made in the order of trial numbers (an earlier trial without one is waited for,
briefly), so that two workers that ask at once never get the same point. The claim of a process that is gone holds
nothing.

Processes on this machine are looked up; those elsewhere count as alive until they have been silent for a while. Tried
and dropped: a lock (storages have none in common), and Optuna's heartbeats (relational storages only).
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from flatdirs.backend import optuna_private
from flatdirs.backend.liveness import STALE_SECONDS, is_gone, this_worker

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

CLAIM = "flatdirs:claim"
ALIVE = "flatdirs:alive"
FAILURE = "flatdirs:failure"
RESULT, INTERRUPTION = "result", "interruption"
PATIENCE_SECONDS = 2.0  # how long an earlier trial may take to claim before it is passed over


_met: dict[tuple[int, datetime.datetime | None], float] = {}


def write(
    study: optuna.Study,
    trial: FrozenTrial | optuna.Trial,
    what: Mapping[str, Any],
    worker: Mapping[str, Any] | None = None,
) -> None:
    """Claim `what` for a trial, in the name of a worker, by default this process."""
    claim = {**what, "worker": dict(worker or this_worker()), "thread": threading.get_ident(), "time": time.time()}
    optuna_private.set_system_attribute(study, trial, CLAIM, claim)


def read(trial: FrozenTrial) -> dict[str, Any] | None:
    """A trial's claim, or None."""
    return trial.system_attrs.get(CLAIM)


def latest(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> dict[str, Any] | None:
    """A trial's claim as stored now, for trials that were read before it was made."""
    return optuna_private.system_attributes(study, trial).get(CLAIM)


def beat(study: optuna.Study, trial: optuna.Trial) -> None:
    """Say that the worker of this trial still lives."""
    optuna_private.set_system_attribute(study, trial, ALIVE, time.time())


def abandoned(trial: FrozenTrial, stale_seconds: float = STALE_SECONDS) -> bool:
    """Whether an unfinished trial was claimed by a worker that is gone."""
    claim = read(trial)
    if claim is None or "worker" not in claim or trial.state.is_finished():
        return False
    return is_gone(claim["worker"], float(trial.system_attrs.get(ALIVE, claim["time"])), stale_seconds)


def note_failure(study: optuna.Study, trial: FrozenTrial) -> None:
    """Write, before a trial is closed as failed, whether that is its result or only interrupted it.

    An exception that ends `study.optimize`, Ctrl-C included, is an interruption; one reported by `study.tell` a result.
    """
    ended = optuna_private.an_exception_ends_the_study()
    optuna_private.set_system_attribute(study, trial, FAILURE, INTERRUPTION if ended else RESULT)


def wait_for_earlier(
    study: optuna.Study,
    trial: FrozenTrial,
    show: Callable[[Collection[str]], bool] | None = None,
) -> list[FrozenTrial]:
    """All trials, read once every running trial with a lower number has claimed something (or had its time).

    `show`: whether these parameters of a trial show all the ranges of the search. Until a first trial has shown them,
    or has ended, others wait for it as well: the ranges decide where the search starts.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        trials = optuna_private.all_trials(study)
        if time.monotonic() > deadline:
            return trials
        blind = show is not None and not any(t.state.is_finished() or show(t.distributions) for t in trials)
        unfinished = [other for other in trials if other.datetime_complete is None]
        if not any(_about_to_speak(other, trial, blind) for other in unfinished):
            return trials
        time.sleep(0.002)


def _about_to_speak(other: FrozenTrial, trial: FrozenTrial, blind: bool) -> bool:
    """Whether an earlier trial will claim soon, or (`blind`) show its ranges soon."""
    if other.number >= trial.number or other.state.name != "RUNNING" or other.datetime_start is None:
        return False
    claim = read(other)
    if claim is None:
        if other.params or optuna_private.fixed_parameters(other):
            return False
    elif not blind or (claim.get("worker") == this_worker() and claim.get("thread") == threading.get_ident()):
        return False  # a trial of this thread cannot go on while the thread waits
    return time.monotonic() - _first_seen(other) < PATIENCE_SECONDS


def _first_seen(trial: FrozenTrial) -> float:
    """When this process first met a trial, by its own clock: those of other machines may say anything."""
    if len(_met) > 10_000:
        _met.clear()
    return _met.setdefault((optuna_private.trial_id(trial), trial.datetime_start), time.monotonic())
