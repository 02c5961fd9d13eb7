"""The time of one ask(), suggested parameters included: ours, TPE's and RandomSampler's.

    python -m benchmarks.latency [--only storage]   storage and replay: search=myrtle, which itself costs next to nothing
    python -m benchmarks.latency [--only search]    the default search, and its first ask after a restart

Samplers take turns, one ask each a round, on the same history, own or random, so that other load on the machine hits all alike.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks import pages
from benchmarks.latency.page import CHARTS, COUNTS, OURS, PARTS, SAMPLERS
from flatdirs import FlatDirectionsSampler
from flatdirs.backend.optuna_private import storage_of
from flatdirs.backend.storages import close_storage, open_storage
from flatdirs.objectives.provenance import provenance

PLAN = {"memory": (1000, 100), "journal": (1000, 30), "sqlite": (100, 20)}  # storage → (finished trials, rounds)
WARM_UP = 3  # rounds that are not counted
Times = dict[str, list[float]]  # milliseconds by kind, wall or process


def objective(chart: str, seed: int) -> Callable[[optuna.Trial], float]:
    """A smooth made-up function with its best on a ridge as the chart has it, and with noise."""
    random = np.random.default_rng(seed)

    def value(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-9, 1e3, log=True)
        batch = trial.suggest_int("batch_size", 8, 8192, log=True) if chart == "sgd_batch" else 128
        rest = 1 - trial.suggest_float("momentum", 0.0, 0.9999)
        decay = trial.suggest_float("wd", 1e-9, 1.0, log=True)
        off = np.log2([rate * 128 / batch * decay / rest / 0.00256, decay / 0.00125, rest / 0.125, batch / 128])
        return float(0.05 * random.standard_normal() - off**2 @ (1, 1, 0.3, 0.3))

    return value


def sampler(name: str, chart: str = "sgd", search: str = "flatdirs") -> optuna.samplers.BaseSampler:
    """One of `SAMPLERS`."""
    if name == OURS:
        start = {"lr": 0.001, "momentum": 0.5, "wd": 0.01} if search == "myrtle" else None
        return FlatDirectionsSampler(chart=chart, search=search, start=start, seed=0)
    if name == "RandomSampler":
        return optuna.samplers.RandomSampler(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=0)


def history(made_by: optuna.samplers.BaseSampler, chart: str, size: int) -> list[Any]:
    """Finished trials of a sampler."""
    study = optuna.create_study(direction="maximize", sampler=made_by)
    study.optimize(objective(chart, 0), n_trials=size)
    return study.trials


def study_of(storage: str, folder: Path, own: optuna.samplers.BaseSampler) -> optuna.Study:
    """The study in a store, a new one where there is none."""
    settings = {"study_name": "timed", "direction": "maximize", "load_if_exists": True}
    return optuna.create_study(storage=open_storage(storage, folder), sampler=own, **settings)


def turns(storage: str, made: list[Any], rounds: int, restarts: int = 0, **kind: str) -> dict[str, Times]:
    """Milliseconds of each round's asks by sampler, and under "restart" those of the first ask of new processes."""
    chart = kind.get("chart", "sgd")
    times: dict[str, Times] = {name: {"wall": [], "process": []} for name in SAMPLERS}
    with tempfile.TemporaryDirectory() as place:
        folder, objectives = Path(place), {name: objective(chart, 1) for name in SAMPLERS}
        studies = {name: study_of(storage, folder / name, sampler(name, **kind)) for name in SAMPLERS}
        for study in studies.values():
            study.add_trials(made)
        if restarts:
            copies = [shutil.copytree(folder / OURS, folder / f"restart-{number}") for number in range(restarts)]
            with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
                asks = pool.starmap(first_ask, [(chart, copy) for copy in copies], chunksize=1)
            times["restart"] = {"wall": [wall for wall, _ in asks], "process": [spent for _, spent in asks]}
        for number in range(rounds + WARM_UP):
            for name in np.roll(SAMPLERS, -number):
                began, spent = time.perf_counter(), time.process_time()
                trial = studies[name].ask()
                value = objectives[name](trial)
                if number >= WARM_UP:
                    times[name]["process"].append(round(1e3 * (time.process_time() - spent), 3))
                    times[name]["wall"].append(round(1e3 * (time.perf_counter() - began), 3))
                studies[name].tell(trial, value)
        for study in studies.values():
            close_storage(storage_of(study))
    return times


def measure_storages(plan: dict[str, tuple[int, int]] = PLAN) -> list[dict[str, Any]]:
    """What storage and replay cost."""
    found, most = [], max(plan.values())[0]
    makers = {"own": sampler(OURS, search="myrtle"), "foreign": sampler("RandomSampler")}
    histories = {kind: history(maker, "sgd", most) for kind, maker in makers.items()}
    for (storage, (count, rounds)), kind in itertools.product(plan.items(), histories):
        about = {"storage": storage, "history": kind, "trials": count}
        for name, own in turns(storage, histories[kind][:count], rounds, search="myrtle").items():
            found.append({**about, "sampler": name, "milliseconds": own["wall"]})
    return found


def measure_search(rounds: int, counts: Sequence[int] = COUNTS, restarts: int = 5) -> list[dict[str, Any]]:
    """The default search by chart, storage and number of trials, and its first ask after a restart."""
    found = []
    for chart in CHARTS:
        made = history(sampler(OURS, chart), chart, max(counts))
        for storage, count in itertools.product(("memory", "sqlite"), counts):
            again = restarts * (storage == "sqlite")
            for name, own in turns(storage, made[:count], rounds, again, chart=chart).items():
                about = {"chart": chart, "storage": storage, "trials": count, "sampler": name}
                found.append({**about, **({"storage": name, "sampler": OURS} if name == "restart" else {}), **own})
    return found


def first_ask(chart: str, store: Path) -> tuple[float, float]:
    """Wall and process milliseconds of the first ask of a new process, which replays the trials of the study in a store."""
    study = study_of("sqlite", store, sampler(OURS, chart))
    began, spent = time.perf_counter(), time.process_time()
    objective(chart, 1)(study.ask())
    return 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - spent)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency")
    parser.add_argument("--only", choices=tuple(PARTS), help="measure one part alone")
    parser.add_argument("--rounds", type=int, default=20, help="asks timed for each line of the default search")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    told = {name: provenance()[name] for name in ("python", "optuna", "numpy", "flatdirs")}
    told |= {"date": datetime.date.today().isoformat(), "system": platform.platform(), "cores": str(os.cpu_count())}
    for part in (given.only,) if given.only else PARTS:
        found = measure_storages() if part == "storage" else measure_search(given.rounds)
        path = pages.HERE / "latency" / PARTS[part]
        path.write_text(json.dumps({"versions": told, "rows": found}) + "\n", encoding="utf-8")
    pages.write("latency")


if __name__ == "__main__":
    main()
