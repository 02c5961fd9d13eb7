"""What a search hands over for a user's command: flatdirs against Optuna's TPE, from the same start, on four scripts.

    python -m benchmarks.commands            about an hour on one core; goes on where it stopped

rows.csv has one line a run of a search, judged.csv one line a run of what was handed over, with seeds of its own.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna

from benchmarks.commands.cases import BOX, BUDGETS, CASES, METHODS, REPETITIONS, Case
from flatdirs.backend.storages import open_storage
from flatdirs.cli.arguments import read_words
from flatdirs.cli.compose import compose
from flatdirs.config.tune import read_tune
from flatdirs.objectives.base import RunInfo
from flatdirs.search import bayes
from flatdirs.tuning.loop import tune
from flatdirs.tuning.settings import TuneConfig

HERE = Path(__file__).parent
ROWS, JUDGED = HERE / "rows.csv", HERE / "judged.csv"
FRESH, SEEDS = 5000, 5  # the first seed that judges, and how many

Settings = dict[str, float]


class Silent:
    """A listener that says nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def configured(case: Case, repetition: int, folder: Path) -> TuneConfig:
    """The configuration of a search; all runs of a repetition have one seed."""
    words = [f"metric={case.metric}", f"budget={max(BUDGETS)}", "confirm=0", "live=false", f"seed={100 * repetition}"]
    words += [f"output={folder}", "--", *case.command]
    return read_tune(compose("tune", read_words("tune", words)))


def flatdirs(config: TuneConfig, _: int) -> tuple[list[tuple[Settings, float]], dict[int, Settings]]:
    """The runs of the default search, and what it hands over at each budget."""
    tune(config, Silent())  # type: ignore[arg-type]
    from flatdirs.backend.study import view_study

    storage = open_storage("journal", config.output / config.study, reading=True)
    study = view_study(storage, config.study)
    runs, grid = study.grid_runs(), study.plan.grid
    sign = 1 if config.maximize else -1
    rows = [(grid.hyperparameters(run.point), sign * run.value) for run in runs]
    best = {budget: bayes.incumbent(grid, runs[:budget], study.plan.settings) for budget in BUDGETS}
    return rows, {budget: grid.hyperparameters(point or grid.origin) for budget, point in best.items()}


def tpe(config: TuneConfig, repetition: int) -> tuple[list[tuple[Settings, float]], dict[int, Settings]]:
    """The same for TPE in the usual box, with the start enqueued; it hands over the best it has seen."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start, counter = dict(config.plan.grid.start), itertools.count(1)
    spaces = {f"one_minus_{name}" if name == "momentum" else name: name for name in start}

    def objective(trial: optuna.Trial) -> float:
        given = {key: trial.suggest_float(key, *BOX[key], log=True) for key in spaces}
        settings = {name: 1 - given[key] if key != name else given[key] for key, name in spaces.items()}
        trial.set_user_attr("settings", settings)
        value = value_of(config, settings, config.plan.seed, next(counter))
        return float("nan") if value is None else value

    direction = "maximize" if config.maximize else "minimize"
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=repetition))
    study.enqueue_trial({key: 1 - start[name] if key != name else start[name] for key, name in spaces.items()})
    study.optimize(objective, n_trials=max(BUDGETS))
    worst = float("-inf") if config.maximize else float("inf")
    rows = [(dict(t.user_attrs["settings"]), worst if t.value is None else t.value) for t in study.trials]
    better = max if config.maximize else min
    return rows, {budget: better(rows[:budget], key=lambda row: row[1])[0] for budget in BUDGETS}


def value_of(config: TuneConfig, settings: Mapping[str, Any], seed: int, number: int) -> float | None:
    """One run of the command; None where it diverged."""
    run = RunInfo(config.study, None, f"{number:04d}", config.output / "runs-of-tpe")
    return config.objective.measure(settings, [seed], lambda *_: False, run=run).value


def main() -> None:
    """Every case, method and repetition that is not in the files yet, repetition by repetition."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands")
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    done = {tuple(row[:3]) for row in read(ROWS)}
    for repetition, name, method in itertools.product(range(REPETITIONS), given.cases, METHODS):
        if (name, method, str(repetition)) in done:
            continue
        with tempfile.TemporaryDirectory() as folder:
            config = configured(CASES[name], repetition, Path(folder))
            rows, handed = {"flatdirs": flatdirs, "tpe": tpe}[method](config, repetition)
            judged = list(judge(config, name, method, repetition, handed))
            if method == METHODS[0]:  # the start is the same for all methods
                judged += judge(config, name, "start", repetition, {0: dict(config.plan.grid.start)})
        add(JUDGED, judged)
        add(
            ROWS, [[name, method, repetition, number, words(row), value] for number, (row, value) in enumerate(rows, 1)]
        )
        print(name, method, repetition, flush=True)


def judge(
    config: TuneConfig, name: str, method: str, repetition: int, handed: Mapping[int, Settings]
) -> list[list[object]]:
    """The value of what was handed over, with seeds that no search has seen."""
    found = []
    for budget, settings in handed.items():
        for seed in range(FRESH, FRESH + SEEDS):
            value = value_of(config, settings, seed, 9000 + seed)
            found.append([name, method, repetition, budget, words(settings), seed, "" if value is None else value])
    return found


def words(settings: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.6g}" for name, value in settings.items())


def read(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def add(path: Path, rows: list[list[object]]) -> None:
    """Append; a heading where the file is new."""
    heads = {
        ROWS: ["case", "method", "repetition", "run", "settings", "value"],
        JUDGED: ["case", "method", "repetition", "budget", "settings", "seed", "value"],
    }
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(heads[path])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
