"""The loop of a slice: claim a run, train, store, say so; then draw. No Hydra.

Any number of processes may work on one slice with the same command. A killed one loses the run in progress; what is
stored stays, also when the grid is made larger or the seeds more.
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

from flatdirs.backend.outcomes import SETTING
from flatdirs.backend.storages import StorageConfig, close_storage, make_folder, open_storage, storage_errors
from flatdirs.backend.trials import Trials, open_optuna_study, study_folder
from flatdirs.objectives.image import Objective
from flatdirs.slices.cells import Run, SliceGrid, runs_left
from flatdirs.slices.sampler import SliceSampler, key_of, range_of, read_runs

WAIT_SECONDS = 0.5  # between looks at what the other workers have finished
Say = Callable[[str], None]


@dataclass(frozen=True)
class SliceConfig:
    """Everything one `slices` command says. `fixed`: the hyperparameters of the centre, the axes' own included."""

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
    """Make the runs that a slice still wants, at most `budget` of them; all runs there are. Raises FlatdirsError.

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
            return [run for run in read_runs(trials.trials()) if _inside(config.grid, run)]
    finally:
        close_storage(storage)


def _inside(grid: SliceGrid, run: Run) -> bool:
    """Whether a stored run belongs to the grid as it is now; an earlier one may have been larger."""
    return run.cell[0] in grid.x.steps and run.cell[1] in grid.y.steps


def _work(config: SliceConfig, trials: Trials, sampler: SliceSampler, say: Say) -> None:
    """One run after the other until nothing is left, or nothing that does not wait for another worker's run."""
    made = 0
    while config.budget is None or made < config.budget:
        if sampler.next_key(trials.trials()) is None:
            if not trials.live():
                return
            time.sleep(WAIT_SECONDS)
            continue
        trial = trials.optuna_study.ask({axis.name: range_of(axis) for axis in (config.grid.x, config.grid.y)})
        key = key_of(trials.optuna_study._storage.get_trial(trial._trial_id))
        if key is None:  # another worker was faster
            trials.interrupt(trial)
            continue
        _run_once(config, trials, trial, key, say)
        made += 1


def _run_once(config: SliceConfig, trials: Trials, trial: optuna.Trial, key: Any, say: Say) -> None:
    cell, number = key
    hyperparameters = {**config.center, **config.grid.hyperparameters(cell)}
    seed = config.seed + number
    trial.set_user_attr(SETTING, {"hyperparameters": hyperparameters, "cell": list(cell), "seeds": [seed]})
    try:
        with trials.alive(trial):
            measurement = config.objective.measure(hyperparameters, [seed], _unwatched)
        trials.end(trial, measurement)
    except BaseException:
        with suppress(Exception):  # what went wrong first is what to tell; the next start closes an unclosed trial
            trials.interrupt(trial)
        raise
    runs = read_runs(trials.trials())
    axes = " ".join(
        f"{axis.name}={axis.value(step):.6g}" for axis, step in zip((config.grid.x, config.grid.y), cell, strict=True)
    )
    value = "diverged" if measurement.state == "diverged" else f"{measurement.value:.2f}{config.objective.unit}"
    say(f"{axes} seed={seed}: {value} in {measurement.seconds:.0f} s; {_left(config, runs)}")


def _unwatched(done: int, total: int | None, value: float, repeat: int) -> None:
    """Nobody looks at a run's epochs."""


def _left(config: SliceConfig, runs: list[Run]) -> str:
    left = runs_left(config.grid, runs, config.maximize)
    seconds = statistics.fmean(run.seconds or 0.0 for run in runs) * left
    return f"{len(runs)} runs done, about {left} left ({seconds / 60:.0f} minutes for one worker)"
