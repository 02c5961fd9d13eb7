"""How long a sampler thinks: its own time inside ask(), parameters suggested included, beyond RandomSampler's.

    python -m benchmarks.latency                    measure, write result.json, search.json and result.md beside this file
    python -m benchmarks.latency --only search      the default search alone (thinking.py)
    python -m benchmarks.latency --draw             draw result.md again

Every sampler has a study of its own with the same history. They take turns, one ask each a round, so that a noisy
machine disturbs all alike; what is reported is the difference to RandomSampler's ask of the same round. Each trial is
told before the next round, so histories grow from the stated number by one a round. Histories: `own`, trials that our
sampler made (its search ends after 26, then it draws near the winner); `foreign`, random trials of somebody else, in
which our search takes its 26 steps while being timed. It is the source's search from the source's start, which costs next to
nothing; what the default search thinks on top of that is thinking.py's to measure.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import flatdirs
from benchmarks import pages
from benchmarks.latency import thinking
from benchmarks.latency.page import COMMAND, HERE, PARTS, SAMPLERS
from benchmarks.latency.scores import rival, suggest
from flatdirs.backend.storages import open_storage

PLAN = {"memory": (1000, 100), "journal": (1000, 30), "sqlite": (100, 20)}  # storage → (finished trials, rounds)
WARM_UP = 3  # rounds that are not counted: imports, and the first reading of a history


def make_sampler(name: str) -> optuna.samplers.BaseSampler:
    """A sampler with its arguments written out."""
    if name == "FlatDirectionsSampler":
        start = {"learning_rate": 0.001, "momentum": 0.5, "weight_decay": 0.01}
        return flatdirs.FlatDirectionsSampler(seed=0, search="myrtle", start=start)
    return rival(name)


def make_history(kind: str, size: int) -> list[optuna.trial.FrozenTrial]:
    """Finished trials, made by our sampler or at random."""
    sampler = make_sampler("FlatDirectionsSampler" if kind == "own" else "RandomSampler")
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(suggest, n_trials=size)
    return study.trials


def measure(storage: str, kind: str, history: list[optuna.trial.FrozenTrial], rounds: int) -> list[dict[str, Any]]:
    """The milliseconds of each round's ask, a record a sampler."""
    times: dict[str, list[float]] = {name: [] for name in SAMPLERS}
    with tempfile.TemporaryDirectory() as folder:
        studies = {}
        for name in SAMPLERS:
            opened = open_storage(storage, Path(folder) / name)
            studies[name] = optuna.create_study(storage=opened, direction="maximize", sampler=make_sampler(name))
            studies[name].add_trials(history)
        for number in range(rounds + WARM_UP):
            for name in SAMPLERS[number % 3 :] + SAMPLERS[: number % 3]:
                began = time.perf_counter()
                trial = studies[name].ask()
                value = suggest(trial)
                times[name].append(round(1e3 * (time.perf_counter() - began), 4))
                studies[name].tell(trial, value)
    about = {"storage": storage, "history": kind, "trials": len(history)}
    return [{**about, "sampler": name, "milliseconds": values[WARM_UP:]} for name, values in times.items()]


def versions() -> dict[str, str]:
    """What a reader needs to judge the numbers."""
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "optuna": optuna.__version__,
        "numpy": np.__version__,
        "flatdirs": flatdirs.__version__,
        "system": platform.platform(),
        "cores": str(os.cpu_count()),
    }


def measure_storages() -> list[dict[str, Any]]:
    """What storage and replay cost."""
    found = []
    for kind in ("own", "foreign"):
        history = make_history(kind, max(trials for trials, _ in PLAN.values()))
        for storage, (trials, rounds) in PLAN.items():
            found += measure(storage, kind, history[:trials], rounds)
    return sorted(found, key=lambda row: list(PLAN).index(row["storage"]))


def keep(name: str, found: list[dict[str, Any]]) -> None:
    """Write a part's raw times."""
    lines = ",\n".join("  " + json.dumps(row) for row in found)
    text = f'{{"versions": {json.dumps(versions())},\n"rows": [\n{lines}\n]}}\n'
    (HERE / PARTS[name]).write_text(text, encoding="utf-8")


def main() -> None:
    """Measure and write, or draw only."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--draw", action="store_true", help="draw result.md from the raw times, measure nothing")
    parser.add_argument(
        "--only", choices=tuple(PARTS), help="measure one part: storage and replay, or the default search"
    )
    parser.add_argument("--rounds", type=int, default=20, help="asks timed for each line of the default search")
    arguments = parser.parse_args()
    if not arguments.draw:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if arguments.only in (None, "storage"):
            keep("storage", measure_storages())
        if arguments.only in (None, "search"):
            keep("search", thinking.measure(arguments.rounds))
    pages.write("latency")
    print((HERE / "result.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
