"""The loop of a slice: claim a run, train, store, report it.

Any number of processes may work on one slice with the same command. A killed one loses the run in progress; stored runs
stay, also if the grid is enlarged or gets more seeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from flatdirs.backend import optuna_private
from flatdirs.backend.storages import StorageConfig, close_storage, make_folder, open_storage, storage_errors
from flatdirs.backend.table_rows import counted
from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import Trials, open_optuna_study, study_folder
from flatdirs.objectives.base import Objective
from flatdirs.slices.cells import Key, Run, SliceGrid, runs_left
from flatdirs.slices.sampler import SliceSampler, key_of, range_of, read_runs
from flatdirs.tuning.formatting import duration, exact, value_text

WAIT_SECONDS = 0.5  # between two looks at what the other workers have finished
Say = Callable[[str], None]


@dataclass(frozen=True)
class SliceConfig:
    """All settings of `flatdirs slices`. `center`: the hyperparameters of the centre, those of the axes included."""

    study: str
    output: Path
    storage: StorageConfig
    grid: SliceGrid
    center: Mapping[str, float]
    objective: Objective
    seed: int
    maximize: bool
    budget: int | None
    floor: float | None
    identity: Mapping[str, Any]


def run_slice(config: SliceConfig, say: Say, wait_for_helpers: Callable[[], None] | None = None) -> list[Run]:
    """Make the runs that a slice still needs, at most `budget` of them, and return all its runs. Raises FlatdirsError.

    `wait_for_helpers` is called before the runs are read for the last time.
    """
    identity = {**config.identity, "data": {**config.identity["data"], "checksum": config.objective.fingerprint()}}
    folder = study_folder(config.output.absolute(), config.study)
    make_folder(folder)
    storage = open_storage(config.storage.kind, folder, config.storage.url)
    try:
        with storage_errors():
            stale = 60 * config.storage.stale_minutes
            study = open_optuna_study(storage, config.study, identity, config.maximize)
            study.sampler = sampler = SliceSampler(config.grid, config.maximize, stale)
            trials = Trials(study, config.maximize, stale)
            trials.tidy()
            _work(config, trials, sampler, say)
            if wait_for_helpers is not None:
                wait_for_helpers()
            cells = set(config.grid.cells())  # the stored grid may have been larger
            return [run for run in read_runs(trials.trials()) if run.cell in cells]
    finally:
        close_storage(storage)


def _work(config: SliceConfig, trials: Trials, sampler: SliceSampler, say: Say) -> None:
    """Make runs until none is left and no other worker's run is in progress, or the budget is used up."""
    made = 0
    while config.budget is None or made < config.budget:
        if sampler.next_key(trials.trials()) is None:
            if not trials.live():
                return
            time.sleep(WAIT_SECONDS)
            continue
        trial = trials.optuna_study.ask({axis.name: range_of(axis) for axis in (config.grid.x, config.grid.y)})
        key = key_of(optuna_private.stored_trial(trials.optuna_study, optuna_private.trial_id(trial)))
        if key is None:  # another worker was faster
            trials.interrupt(trial)
            continue
        _run_once(config, trials, trial, key, say)
        made += 1


def _run_once(config: SliceConfig, trials: Trials, trial: optuna.Trial, key: Key, say: Say) -> None:
    cell, number = key
    hyperparameters = {**config.center, **config.grid.hyperparameters(cell)}
    seed = config.seed + number
    trial.set_user_attr(SETTING, {"hyperparameters": hyperparameters, "cell": list(cell), "seeds": [seed]})
    try:
        with trials.alive(trial):
            measurement = config.objective.measure(hyperparameters, [seed], lambda *_: None)
        trials.end(trial, measurement)
    except BaseException:
        with suppress(Exception):  # report the first error; the next start closes a trial that stayed open
            trials.interrupt(trial)
        raise
    runs = read_runs(trials.trials())
    axes = zip((config.grid.x, config.grid.y), cell, strict=True)
    place = " ".join(f"{axis.name}={exact(axis.value(step))}" for axis, step in axes)
    value = "diverged" if measurement.state == "diverged" else value_text(measurement.value, config.objective.unit)
    left = runs_left(config.grid, runs, config.maximize)
    seconds = statistics.fmean(run.seconds or 0.0 for run in runs) * left
    say(
        f"{place} seed={seed}: {value} in {duration(measurement.seconds)}; {counted(len(runs))} done, "
        f"about {left} left ({duration(seconds)} for one worker)"
    )
