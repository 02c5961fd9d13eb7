"""What the tests run in processes of their own: trials on a shared journal, ended in every way a process can end."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna

from flatdirs import FlatDirectionsSampler
from flatdirs.backend.storages import open_storage
from tests.test_descent import START, bowl

NAME = "shared"
CONTEXT = multiprocessing.get_context("forkserver")  # clean processes, without importing everything anew for each
CONTEXT.set_forkserver_preload(["tests.workers"])


def source_sampler(start: Mapping[str, float] | None = None, **arguments: Any) -> FlatDirectionsSampler:
    """The source's search from the source's start, unless told otherwise."""
    settings = {"seed": 0, "search": "myrtle", **arguments}
    return FlatDirectionsSampler(start={**START, **(start or {})}, **settings)


def open_shared(folder: Path, kind: str = "journal", search: str = "myrtle") -> optuna.Study:
    """The study in a folder, with a new sampler."""
    storage = open_storage(kind, folder)
    sampler = source_sampler(search=search)
    return optuna.create_study(
        study_name=NAME, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
    )


def suggest(trial: optuna.Trial) -> dict[str, float]:
    """What an objective that knows nothing of flatdirs asks for."""
    return {
        "lr": trial.suggest_float("lr", 1e-9, 1e3, log=True),
        "momentum": trial.suggest_float("momentum", 0.0, 0.9999),
        "wd": trial.suggest_float("wd", 1e-9, 1.0, log=True),
    }


def work(
    folder: Path, trials: int, then: str = "", kind: str = "journal", seconds: float = 0.0, search: str = "myrtle"
) -> None:
    """Run `trials` trials, then one more that ends as `then` says: kill, interrupt, raise, swallow or nan."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    done = 0

    def objective(trial: optuna.Trial) -> float:
        nonlocal done
        values = suggest(trial)
        time.sleep(seconds * (1 + trial.number % 3))
        done += 1
        if done <= trials:
            return bowl(values).value
        if then == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if then == "interrupt":
            raise KeyboardInterrupt
        if then == "nan":
            return math.nan
        raise ValueError("raised" if then == "raise" else "swallowed")

    study = open_shared(folder, kind, search)
    catch = (ValueError,) if then == "swallow" else ()
    with contextlib.suppress(KeyboardInterrupt, ValueError):
        study.optimize(objective, n_trials=trials + bool(then), catch=catch)


def start(
    folder: Path, trials: int, then: str = "", kind: str = "journal", seconds: float = 0.0, search: str = "myrtle"
) -> BaseProcess:
    """`work` in a process of its own."""
    process = CONTEXT.Process(target=work, args=(folder, trials, then, kind, seconds, search))
    process.start()
    return process


def run(folder: Path, trials: int, then: str = "", kind: str = "journal", search: str = "myrtle") -> int | None:
    """`work` in a process of its own, waited for. Returns its exit code."""
    process = start(folder, trials, then, kind, search=search)
    process.join(60)
    return process.exitcode
