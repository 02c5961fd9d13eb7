"""How long the default search thinks: the time of one ask(), parameters suggested included, beside TPE's and RandomSampler's.

    python -m benchmarks.latency --only search               measure; search.json is written, result.md drawn
    python -m benchmarks.latency --only search --rounds 5    a small one

`own`: histories that our sampler made on a made-up score with noise, on the charts `sgd` and `sgd_batch`. Each sampler gets
a study of its own with the same trials; they take turns, one ask each a round, and every trial is told with noise of its
own, so that no proposal was made before. `restart`: a new process opens the study on SQLite and asks once; the search, which keeps no state but
the trials, is replayed there. Process time is that of all threads of the process, wall what a user waits.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import flatdirs
from benchmarks.latency.page import CHARTS, COUNTS, SAMPLERS
from benchmarks.latency.scores import rival, score_of
from flatdirs.backend.storages import close_storage, open_storage

WARM_UP = 2  # rounds that are not counted
RESTARTS = 5  # new processes for each number of trials
NOISE = 0.05  # standard deviation of a score
STUDY = "timed"
Times = dict[str, list[float]]


def make_sampler(name: str, chart: str) -> optuna.samplers.BaseSampler:
    """A sampler with its arguments written out; ours as users have it."""
    if name == "FlatDirectionsSampler":
        return flatdirs.FlatDirectionsSampler(chart=chart, seed=0)
    return rival(name)


def noisy(chart: str, seed: int) -> Callable[[optuna.Trial], float]:
    """The score of a chart with noise of its own."""
    random, score = np.random.default_rng(seed), score_of(chart)
    return lambda trial: score(trial) + NOISE * float(random.standard_normal())


def make_history(chart: str, size: int) -> list[optuna.trial.FrozenTrial]:
    """Finished trials, made by our sampler."""
    study = optuna.create_study(direction="maximize", sampler=make_sampler("FlatDirectionsSampler", chart))
    study.optimize(noisy(chart, 0), n_trials=size)
    return study.trials


def measure(rounds: int, counts: tuple[int, ...] = COUNTS, restarts: int = RESTARTS) -> list[dict[str, Any]]:
    """Milliseconds of every ask by chart, storage, number of trials and sampler; then of the first one after a restart."""
    found = []
    for chart in CHARTS:
        history = make_history(chart, max(counts))
        for count in counts:
            found += turns(
                chart, "memory", {name: in_memory(chart, name, history[:count]) for name in SAMPLERS}, rounds
            )
        with tempfile.TemporaryDirectory() as folder:
            stored = stores(Path(folder), history, counts)
            for count in counts:
                opened = {name: reopened(stored[count], name, chart) for name in SAMPLERS}
                found += turns(chart, "sqlite", opened, rounds)
            found += [restart(chart, stored[count], count, restarts) for count in counts]
    return found


def in_memory(chart: str, name: str, history: list[optuna.trial.FrozenTrial]) -> optuna.Study:
    """A study of these trials."""
    study = optuna.create_study(direction="maximize", sampler=make_sampler(name, chart))
    study.add_trials(history)
    return study


def stores(folder: Path, history: list[optuna.trial.FrozenTrial], counts: tuple[int, ...]) -> dict[int, Path]:
    """A folder with an SQLite store for each number of trials; written once, for SQLite takes tens of milliseconds a trial."""
    found, growing, before = {}, folder / "growing", 0
    for count in sorted(counts):
        opened = open_storage("sqlite", growing)
        study = optuna.create_study(study_name=STUDY, storage=opened, direction="maximize", load_if_exists=True)
        study.add_trials(history[before:count])
        close_storage(opened)
        found[count], before = folder / str(count), count
        shutil.copytree(growing, found[count])
    return found


def reopened(stored: Path, name: str, chart: str) -> optuna.Study:
    """A study of its own for a sampler, beside the store it is a copy of."""
    own = stored.with_name(f"{stored.name}-{name}")
    shutil.copytree(stored, own)
    return optuna.load_study(study_name=STUDY, storage=open_storage("sqlite", own), sampler=make_sampler(name, chart))


def turns(chart: str, storage: str, studies: dict[str, optuna.Study], rounds: int) -> list[dict[str, Any]]:
    """One ask of each sampler a round."""
    count = len(next(iter(studies.values())).trials)
    times: dict[str, Times] = {name: {"wall": [], "process": []} for name in studies}
    scores = {name: noisy(chart, 1) for name in studies}
    for number in range(rounds + WARM_UP):
        for name in SAMPLERS[number % 3 :] + SAMPLERS[: number % 3]:
            trial, value = ask(studies[name], scores[name], times[name])
            studies[name].tell(trial, value)
    for study in studies.values():
        close_storage(study._storage)
    about = {"chart": chart, "storage": storage, "trials": count}
    return [
        {**about, "sampler": name, **{kind: values[WARM_UP:] for kind, values in found.items()}}
        for name, found in times.items()
    ]


def ask(study: optuna.Study, score: Callable[[optuna.Trial], float], times: Times) -> tuple[optuna.Trial, float]:
    """One timed ask; the trial and its value."""
    began, spent = time.perf_counter(), time.process_time()
    trial = study.ask()
    value = score(trial)
    times["process"].append(round(1e3 * (time.process_time() - spent), 3))
    times["wall"].append(round(1e3 * (time.perf_counter() - began), 3))
    return trial, value


def restart(chart: str, stored: Path, trials: int, count: int) -> dict[str, Any]:
    """The first ask of so many new processes, each of a copy of the store."""
    times: Times = {"wall": [], "process": []}
    for number in range(count):
        own = stored.with_name(f"{stored.name}-restart-{number}")
        shutil.copytree(stored, own)
        command = [sys.executable, "-m", "benchmarks.latency.thinking", chart, str(own)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        for kind, value in json.loads(done.stdout.splitlines()[-1]).items():
            times[kind] += value
    return {"chart": chart, "storage": "restart", "trials": trials, "sampler": "FlatDirectionsSampler", **times}


def first_ask(chart: str, folder: Path) -> Times:
    """What a new process does: open the study and ask."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    times: Times = {"wall": [], "process": []}
    study = optuna.load_study(
        study_name=STUDY,
        storage=open_storage("sqlite", folder),
        sampler=make_sampler("FlatDirectionsSampler", chart),
    )
    ask(study, noisy(chart, 1), times)
    return times


if __name__ == "__main__":
    print(json.dumps(first_ask(sys.argv[1], Path(sys.argv[2]))))
