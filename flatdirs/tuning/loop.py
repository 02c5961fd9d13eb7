"""The loop: ask the study for a point, measure it, store the outcome; then decide what is handed over. Prints nothing.

    until something says stop: study.ask → objective.measure → study.end → listener
    then confirm.py: the race of incumbent, runner-up and start → Verdict → best.yaml

A killed process loses at most the run in progress: its trial has no outcome, so the next process closes it and the
search asks for the same point again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from flatdirs.backend.pruners import build_pruner
from flatdirs.backend.storages import close_storage, make_folder, open_storage, storage_errors
from flatdirs.backend.study import Study, open_study
from flatdirs.backend.table_rows import Winner, contenders, first_run, winner
from flatdirs.backend.trial_runs import REASON
from flatdirs.backend.trials import COMMAND, study_folder
from flatdirs.backend.verdict import Verdict
from flatdirs.errors import ConfigError
from flatdirs.objectives.base import Measurement, RunInfo
from flatdirs.objectives.command.objective import CommandObjective, keep_files
from flatdirs.objectives.command.strays import reap_strays
from flatdirs.tuning.best_file import write_best
from flatdirs.tuning.code_changes import check_code
from flatdirs.tuning.commands import split_command, tune_overrides, without_secrets
from flatdirs.tuning.confirm import Confirmed, hand_over, race_runs, reserved_runs, seconds_per_run, without_race
from flatdirs.tuning.failures import measured
from flatdirs.tuning.first_run import after_first_run, may_share
from flatdirs.tuning.formatting import duration, value_text
from flatdirs.tuning.settings import TuneConfig, identity

KEPT_MEANWHILE = 5  # best runs whose files stay until the search has ended
WAIT_SECONDS = 0.2  # between looks at what the other workers have finished
PASSING = (
    "budget=",
    "target=",
    "minutes=",
    "until=",
    "confirm=",
    "live=",
    "workers=",
)  # of one command, not of its study


class Listener(Protocol):
    """What is told of a search while it runs."""

    def begin(self, config: TuneConfig, study: Study, expected_seconds: float | None) -> None:
        """The study is open. `expected_seconds`: of one run; None if unknown."""

    def run_started(self, run: int, why: str, hyperparameters: Mapping[str, float], left: str) -> None:
        """A run begins. `left`: an estimate of what is still to come."""

    def progress(self, done: int, total: int | None, value: float) -> None:
        """An evaluation, or a report of the user's function, over all seeds; nan for one without a value."""

    def run_ended(self, study: Study) -> None:
        """The outcome of a run is stored."""

    def confirming(self, what: str, number: int, of: int) -> None:
        """A confirmation run begins."""

    def say(self, line: str) -> None:
        """A remark."""

    def end(self, config: TuneConfig, study: Study, result: Result) -> None:
        """Nothing more will run."""


class Helpers(Protocol):
    """Further workers of the same search."""

    def start(self) -> None:
        """Let them begin."""

    def join(self) -> None:
        """Wait until they have ended."""


@dataclass(frozen=True)
class Result:
    """How a search ended. `winner`: the incumbent of its own runs; `verdict`: what is handed over, also in best.yaml.

    All None before any finished run. `confirmed`: the values of "start", "incumbent" and "runner-up" with fresh seeds.
    """

    reason: str
    winner: Winner | None
    best_file: Path | None
    confirmed: Confirmed = field(default_factory=dict)
    verdict: Verdict | None = None


@dataclass(frozen=True)
class _Search:
    """An open search and what every step of it needs. `expected`: seconds of a run, None if unknown."""

    config: TuneConfig
    study: Study
    folder: Path
    listener: Listener
    began: float
    expected: float | None
    helpers: Helpers | None
    decides: bool

    @property
    def deadline(self) -> float:
        """When the last run must have ended (time.monotonic)."""
        minutes = self.config.limits.minutes
        return math.inf if minutes is None else self.began + 60 * minutes


def tune(
    config: TuneConfig,
    listener: Listener,
    began: float | None = None,
    helpers: Helpers | None = None,
    decides: bool = True,
) -> Result:
    """Run a search to its end, or continue one. Raises FlatdirsError for what a user can correct.

    `began`: when the command started (time.monotonic, seconds; None: now), from which `minutes` count. `helpers` begin
    with the search (with a command after its first run, which may fail or write files that others would share) and have
    ended before the race. `decides`: False for such a helper, which hands nothing over.
    """
    began = time.monotonic() if began is None else began
    identified = identity(config, config.objective.fingerprint())
    folder = study_folder(config.output.absolute(), config.study)  # a user's function may change directory
    make_folder(folder)
    if isinstance(config.objective, CommandObjective) and (ended := reap_strays(folder)):
        listener.say(f"ended what an earlier command of this study had left running: {', '.join(ended)}")
    storage = open_storage(config.storage.kind, folder, config.storage.url)
    try:
        stale = 60 * config.storage.stale_minutes
        with storage_errors():
            study = open_study(storage, config.study, config.plan, identified, config.maximize, stale)
            study.optuna_study.pruner = build_pruner(config.pruning, config.evaluations)
            _keep_command(config, study)
            study.tidy()
            study.limit(config.limits.budget)
            seconds = config.objective.expected_seconds(config.plan.grid.start)
            expected = None if seconds is None else seconds * config.repeats
            return _run(_Search(config, study, folder, listener, began, expected, helpers, decides))
    finally:
        close_storage(storage)


def _keep_command(config: TuneConfig, study: Study) -> None:
    """Store the overrides that make the same search, without secrets, for commands that go on from the study."""
    if config.in_python:
        return
    own, tail = split_command(tune_overrides(config))
    words = without_secrets([*(word for word in own if not word.startswith(PASSING)), *tail])
    if study.optuna_study.user_attrs.get(COMMAND) != words:
        study.optuna_study.set_user_attr(COMMAND, words)


def _run(search: _Search) -> Result:
    """Runs until something says stop, then the race and what is handed over."""
    config, study, listener = search.config, search.study, search.listener
    _refuse_too_short(search)
    listener.begin(config, study, search.expected)
    told_only = config.anyway or not isinstance(config.objective, CommandObjective)
    check_code(study, config.objective.code(), listener.say, told_only)
    helped = False
    while (reason := _stop_reason(search)) is None:
        if not helped and search.helpers is not None and may_share(config, study):
            search.helpers.start()
            helped = True
        if study.should_wait():
            time.sleep(WAIT_SECONDS)
            continue
        _run_once(search)
        _keep_meanwhile(search)
    if helped and search.helpers is not None:
        search.helpers.join()
    _keep_meanwhile(search)

    def progress(done: int, total: int | None, value: float, _: int) -> None:
        listener.progress(done, total, value)

    verdict, confirmed = None, Confirmed()
    if search.decides:
        told = listener.confirming, progress, listener.say
        verdict, confirmed = hand_over(config, study, search.deadline, *told, search.folder)
    best, file = winner(study), None
    if best is not None and verdict is not None:
        file = write_best(search.folder, config, study, verdict)
        if verdict.basis != "unfinished" and not study.at_work():
            named = best.trial if verdict.trial is None else verdict.trial  # a baseline's start need not have been run
            keep_files(config.objective, search.folder, study.best_folders([named]))
    result = Result(reason, best, file, confirmed, verdict)
    listener.end(config, study, result)
    return result


def _keep_meanwhile(search: _Search) -> None:
    """Write best.yaml as it stands, and keep the files of all runs that may be handed over."""
    config, study = search.config, search.study
    if (verdict := without_race(study, config.objective.unit, "the search has not ended")) is None:
        return
    write_best(search.folder, config, study, verdict)
    if isinstance(config.objective, CommandObjective):
        start = first_run(study, config.plan.grid.start)
        named = [*(one.trial for one in contenders(study)), *([] if start is None else [start[1].number])]
        keep_files(config.objective, search.folder, study.best_folders(named, KEPT_MEANWHILE))


def _run_once(search: _Search) -> None:
    """One point, from its suggestion to its stored outcome."""
    config, study, listener = search.config, search.study, search.listener
    trial, hyperparameters = study.ask()
    first = config.plan.seed + config.repeats * study.replicate_of(trial)
    seeds = [first + number for number in range(config.repeats)]
    study.begin(trial, hyperparameters, seeds)
    why = str(trial.user_attrs.get(REASON, config.plan.name))
    number = study.run_number(trial)
    listener.run_started(number, why, hyperparameters, _left(search))
    info = RunInfo(study.name, number, f"{number:04d}", search.folder)
    shown = 0

    def progress(done: int, total: int | None, value: float, repeat: int) -> bool:
        nonlocal shown
        shown += 1
        whole = None if total is None else total * len(seeds)
        listener.progress(shown if total is None else repeat * total + done, whole, value)
        if repeat:  # evaluation n of all points is compared in their first runs, which have the same seed
            return False
        study.report(trial, done, value)
        return study.should_stop(trial, done, total, value)

    known = study.runs()

    def once() -> Measurement:
        return config.objective.measure(hyperparameters, seeds, progress, run=info)

    first = not any(run.state == "finished" for _, run in known)

    def is_best() -> bool:
        best = winner(study)
        return best is not None and best.hyperparameters == hyperparameters

    try:
        with study.alive(trial):
            measurement = measured(once, f"run {number}", first, is_best, config.plan.grid.chart, listener.say)
        study.end(trial, measurement)
    except BaseException:
        with suppress(Exception):  # the first error is the one to show; the next start closes an open trial
            study.interrupt(trial)
        raise
    listener.run_ended(study)
    if not known:
        for line in after_first_run(config, study, measurement, search.expected):
            listener.say(line)


def _stop_reason(search: _Search) -> str | None:
    """Why no further run should start, or None."""
    return _over(search) or _out_of_time(search)


def _over(search: _Search) -> str | None:
    """Why further runs are not wanted, or None."""
    config, study = search.config, search.study
    limits, runs = config.limits, study.runs()
    if limits.target is not None:
        sign = 1 if config.maximize else -1
        if any(outcome.state == "finished" and outcome.value >= sign * limits.target for _, outcome in runs):
            return f"the target of {limits.target:.12g}{config.objective.unit} is reached"
    trace = study.trace()
    if trace is not None and trace.over:
        return "the search is over: a full cycle of axes brought no gain"
    if study.exhausted:
        return "the search is over: every setting within the bounds was run"
    if len(runs) + len(study.live()) >= limits.budget:
        return f"the budget of {limits.budget} run{'' if limits.budget == 1 else 's'} is used up"
    if limits.until == "converged" and (left := study.left_to_gain()) is not None and left.converged:
        gain, noise = (value_text(value, config.objective.unit, 2) for value in (left.high, left.noise))
        return f"converged: at most {gain} is left to gain (95 %), less than half of a run's noise of {noise}"
    return None


def _out_of_time(search: _Search) -> str | None:
    """Why no further run would end in time, or None."""
    config, study = search.config, search.study
    limits, seconds = config.limits, (seconds_per_run(study, search.expected) or 0.0) / config.repeats
    left = (search.deadline - time.monotonic()) / max(seconds, 1e-9)
    racing = reserved_runs(config, study, left)
    if not study.runs() or left >= config.repeats + racing:
        return None
    race = f" with {racing} runs of the race after it (confirm={limits.confirm})" if racing else ""
    return f"another run would not end within minutes={limits.minutes:g}{race}"


def _refuse_too_short(search: _Search) -> None:
    minutes, expected = search.config.limits.minutes, search.expected
    if minutes is not None and expected is not None and expected > 60 * minutes and not search.study.runs():
        raise ConfigError(
            f"minutes={minutes:g} is too short: one run takes about {duration(expected)} here; raise minutes",
            key="minutes",
        )


def _left(search: _Search) -> str:
    """An upper bound of what is still to come, as the search may end before its budget."""
    limits = search.config.limits
    left = max(0, limits.budget - len(search.study.runs()))
    seconds = seconds_per_run(search.study, search.expected)
    repeats = search.config.repeats
    racing = race_runs(search.config, search.study)
    most = "" if seconds is None else f", {duration(seconds * (left + racing / repeats))}"
    return f"at most {left} runs{most} left"
