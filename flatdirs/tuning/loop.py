"""The loop: ask the study for a point, measure it, tell the study; then confirm the winner. No Hydra, no printing.

    while nothing says stop: study.ask → objective.measure → study.end → listener

A killed process loses at most the run in progress: its trial has no outcome, so the next process closes it and the
search asks for the same point again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flatdirs.backend.pruners import build_pruner
from flatdirs.backend.storages import close_storage, make_folder, open_storage, storage_errors
from flatdirs.backend.study import Study, open_study
from flatdirs.backend.table_rows import Winner, winner
from flatdirs.backend.trial_runs import REASON
from flatdirs.backend.trials import study_folder
from flatdirs.config.tune import TuneConfig
from flatdirs.errors import ConfigError
from flatdirs.objectives.base import Progress
from flatdirs.objectives.image import ImageObjective
from flatdirs.report.closing import doubt_of
from flatdirs.tuning.best_file import TRAIN_KEYS, write_winner

WAIT_SECONDS = 0.2  # between looks at what the other workers have finished
FRESH = 1000  # confirming runs use seeds from here on, beyond those of the search


class Listener(Protocol):
    """Who watches a search."""

    def begin(self, config: TuneConfig, study: Study, expected_seconds: float | None) -> None:
        """The study is open; one run is expected to take so long (None: not known)."""

    def run_started(self, run: int, why: str, hyperparameters: Mapping[str, float], left: str) -> None:
        """A training run begins; `left` is the estimate of what is still to come."""

    def progress(self, done: int, total: int | None, value: float) -> None:
        """An evaluation, or a report of the user's function, is done, over all seeds; nan: it gave no value yet."""

    def run_ended(self, study: Study) -> None:
        """A run's outcome is stored."""

    def confirming(self, what: str, number: int, of: int) -> None:
        """A confirming run begins."""

    def end(self, config: TuneConfig, study: Study, result: Result) -> None:
        """Nothing more will run."""


@dataclass(frozen=True)
class Result:
    """How a search ended: why, the best point (None before any finished run), and the confirmed values."""

    reason: str
    winner: Winner | None
    best_file: Path | None
    confirmed: Mapping[str, list[float | None]] = field(default_factory=dict)  # "winner" and "start"


def tune(
    config: TuneConfig,
    listener: Listener,
    began: float | None = None,
    wait_for_helpers: Callable[[], None] | None = None,
) -> Result:
    """Run a search to its end, or continue one. Raises FlatdirsError for what a user can mend.

    `began`: when the command started (time.monotonic, seconds; None: now), from which `minutes` count.
    `wait_for_helpers` is called before the winner is confirmed.
    """
    began = time.monotonic() if began is None else began
    identity = _with_data(config.identity, config.objective.fingerprint())
    folder = study_folder(config.output.absolute(), config.study)  # a user's function may change directory
    make_folder(folder)
    storage = open_storage(config.storage.kind, folder, config.storage.url)
    try:
        stale = 60 * config.storage.stale_minutes
        with storage_errors():
            study = open_study(storage, config.study, config.plan, identity, config.maximize, stale)
            study.optuna_study.pruner = build_pruner(config.pruning, config.evaluations)
            study.tidy()
            return _search(config, study, folder, listener, began, wait_for_helpers)
    finally:
        close_storage(storage)


def _with_data(identity: Mapping[str, Any], checksum: str) -> dict[str, Any]:
    """A study's identity with the checksum of its data, where there is one."""
    if not checksum:
        return dict(identity)
    return {**identity, "data": {**identity["data"], "path (checksum of its images)": checksum}}


def _search(
    config: TuneConfig,
    study: Study,
    folder: Path,
    listener: Listener,
    began: float,
    wait_for_helpers: Callable[[], None] | None,
) -> Result:
    """Runs until something says stop, then the confirmation."""
    expected = config.objective.expected_seconds(config.plan.grid.start)
    expected = None if expected is None else expected * config.repeats
    _refuse_too_short(config, study, expected)
    listener.begin(config, study, expected)
    while (reason := _stop_reason(config, study, began, expected)) is None:
        if study.should_wait():
            time.sleep(WAIT_SECONDS)
            continue
        _run_once(config, study, listener, expected)
        if (best := winner(study)) is not None:
            _write_best(config, folder, best)
    if wait_for_helpers is not None:
        wait_for_helpers()
    best = winner(study)
    best_file = None if best is None else _write_best(config, folder, best)
    confirmed = _confirm(config, study, best, listener, began)
    result = Result(reason, best, best_file, confirmed)
    if best is not None and (doubt := doubt_of(config, result)) is not None:
        _write_best(config, folder, best, doubt[0])
    listener.end(config, study, result)
    return result


def _run_once(config: TuneConfig, study: Study, listener: Listener, expected: float | None) -> None:
    """One point from question to stored outcome."""
    trial, hyperparameters = study.ask()
    number = study.run_number(trial)
    first = config.plan.seed + config.repeats * study.replicate_of(trial)
    seeds = [first + n for n in range(config.repeats)]
    study.begin(trial, hyperparameters, seeds)
    why = str(trial.user_attrs.get(REASON, config.plan.name))
    listener.run_started(number, why, hyperparameters, _left(config, study, expected))

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

    try:
        with study.alive(trial):
            measurement = config.objective.measure(hyperparameters, seeds, progress)
        study.end(trial, measurement)
    except BaseException:
        with suppress(
            Exception
        ):  # what went wrong first is what to tell; an unclosed trial is closed at the next start
            study.interrupt(trial)
        raise
    listener.run_ended(study)


def _stop_reason(config: TuneConfig, study: Study, began: float, expected: float | None) -> str | None:
    """Why no further run should start, or None."""
    limits, runs = config.limits, study.runs()
    if limits.target is not None:
        sign = 1 if config.maximize else -1
        if any(outcome.state == "finished" and outcome.value >= sign * limits.target for _, outcome in runs):
            return f"the target of {limits.target:.12g}{config.objective.unit} is reached"
    trace = study.trace()
    if trace is not None and trace.over:
        return "the search is over: a full cycle of axes brought no gain"
    if len(runs) + len(study.live()) >= limits.budget:
        return f"the budget of {limits.budget} run{'' if limits.budget == 1 else 's'} is used up"
    if limits.minutes is not None:
        seconds = _seconds_per_run(study, expected) or 0.0
        reserve = seconds * (1 + 2 * limits.confirm / config.repeats)
        if runs and time.monotonic() - began + reserve > 60 * limits.minutes:
            return f"another run would not end within minutes={limits.minutes:g}"
    return None


def _refuse_too_short(config: TuneConfig, study: Study, expected: float | None) -> None:
    minutes = config.limits.minutes
    if minutes is not None and expected is not None and expected > 60 * minutes and not study.runs():
        raise ConfigError(f"minutes={minutes:g} is too short: one run takes about {expected:.0f} s here; raise minutes")


def _seconds_per_run(study: Study, expected: float | None) -> float | None:
    """The mean wall time of this study's runs, storage included, or the estimate before there is one."""
    ends = [(trial.datetime_start, trial.datetime_complete) for trial, _ in study.runs()]
    seconds = [(end - start).total_seconds() for start, end in ends if start is not None and end is not None]
    return statistics.fmean(seconds) if seconds else expected


def _left(config: TuneConfig, study: Study, expected: float | None) -> str:
    """The estimate of what is still to come: an upper bound, as the search may end before its budget."""
    from flatdirs.report.tables import duration

    left = max(0, config.limits.budget - len(study.runs()))
    seconds = _seconds_per_run(study, expected)
    most = "" if seconds is None else f", {duration(seconds * (left + 2 * config.limits.confirm / config.repeats))}"
    return f"at most {left} runs{most} left"


def _write_best(config: TuneConfig, folder: Path, best: Winner, doubt: str | None = None) -> Path:
    path = study_folder(config.output, config.study) / "best.yaml"
    settings: dict[str, Any] = {"seed": config.plan.seed, "task": asdict(config.task)}
    if isinstance(config.objective, ImageObjective):
        settings |= {**config.objective.recipe(), "data": asdict(config.data)}
        settings |= {key: getattr(config.objective, key) for key in ("device", *TRAIN_KEYS)}
    write_winner(folder / path.name, path, config, best, settings, doubt)
    return path


def _shown_to(listener: Listener) -> Progress:
    """A confirming run is watched and never stopped."""
    return lambda done, total, value, _: listener.progress(done, total, value)


def _confirm(
    config: TuneConfig, study: Study, best: Winner | None, listener: Listener, began: float
) -> dict[str, list[float | None]]:
    """Train the winner and the start again with fresh seeds, judged on the test part; None for a run that diverged.

    Runs already stored are kept, and none is begun that would end later than `minutes`.
    """
    if best is None or not config.limits.confirm or study.live():
        return {}
    wanted = {"winner": best.hyperparameters}
    if dict(best.hyperparameters) != dict(config.plan.grid.start):
        wanted["start"] = config.plan.grid.start
    confirmed: dict[str, list[float | None]] = {}
    minutes, seconds = config.limits.minutes, (_seconds_per_run(study, None) or 0.0) / config.repeats
    for what, hyperparameters in wanted.items():
        for number in range(config.limits.confirm):
            seed = config.plan.seed + FRESH + number
            key = f"{','.join(f'{k}={v!r}' for k, v in hyperparameters.items())};seed={seed}"
            if key not in study.confirmations():
                if minutes is not None and time.monotonic() - began + seconds > 60 * minutes:
                    return confirmed
                listener.confirming(what, number + 1, config.limits.confirm)
                told = config.objective.measure(hyperparameters, [seed], _shown_to(listener), final=True)
                study.confirm(key, told)
            record = study.confirmations()[key]
            confirmed.setdefault(what, []).append(record["value"] if record["state"] == "finished" else None)
    return confirmed
