"""At which σ a search with schedule=cdat should begin: whole runs as `tune` would train them at its start, over σ. No torch.

Digits chose, by a rule fixed before a run; another task only shows how far its own choice lies off. Source: ours.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SIGMAS = (0.125, 0.25, 0.5, 1.0, 2.0)
STARTS: Mapping[str, Mapping[str, float]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 5e-4},
    "adamw": {"beta1": 0.9, "weight_decay": 0.01},
}
RULE = (
    "Mean validation accuracy, percent, of runs with `schedule=cdat` at the start of a search; 0 counts for one that diverged. The rule, fixed before a run:",
    "of each base, how far σ's mean lies below the best σ's; the σ whose larger shortfall is least. Digits chose; the other task, trained for one epoch, only",
    "shows how far its own choice lies off.",
)


@dataclass(frozen=True)
class Tried:
    """How a task is trained for this: `epochs` None for its own."""

    epochs: int | None
    seeds: int


TASKS = {"digits": Tried(None, 5), "cifar10_small": Tried(1, 3)}
Question = tuple[str, str, float, int]  # task, base, σ, seed


def questions(cifar10: bool) -> list[Question]:
    """Every run there is to make; `cifar10`: whether its images are at hand."""
    return [
        (task, base, sigma, seed)
        for task, tried in TASKS.items()
        if cifar10 or not task.startswith("cifar10")
        for seed in range(tried.seeds)
        for base in STARTS
        for sigma in SIGMAS
    ]


def question_of(row: Mapping[str, str]) -> Question:
    """The run that a row is of."""
    return row["task"], row["base"], float(row["sigma"]), int(row["seed"])


def row(question: Question, path: str | None) -> dict[str, Any]:
    """Train; a row of sigma_start.csv. `path`: of CIFAR-10's images."""
    from dataclasses import replace

    import yaml

    from flatdirs.objectives.image import ImageObjective
    from flatdirs.resources import conf_folder
    from flatdirs.training.lr_tuners import Cdat
    from flatdirs.training.optimizer import OPTIMIZERS
    from flatdirs.training.task import DataConfig, ImageTask

    name, base, sigma, seed = question
    task = ImageTask(**yaml.safe_load((conf_folder() / "task" / f"{name}.yaml").read_text(encoding="utf-8")))
    if (epochs := TASKS[name].epochs) is not None:
        task = replace(task, epochs=epochs)
    data = DataConfig(path=path if name.startswith("cifar10") else None)
    objective = ImageObjective(task, data, threads=1, schedule=Cdat(), optimizer=OPTIMIZERS[base]())
    measured = objective.measure({"sigma": sigma, **STARTS[base]}, [seed], lambda *_: None)
    return {
        "task": name,
        "base": base,
        "sigma": f"{sigma:g}",
        "seed": seed,
        "epochs": task.epochs,
        "state": measured.state,
        "accuracy": f"{measured.value:.2f}" if measured.state == "finished" else "0",
        "seconds": f"{measured.seconds:.1f}",
    }


def means(table: Sequence[Mapping[str, str]], task: str) -> dict[str, dict[float, float]]:
    """Base → σ → mean accuracy of a task."""
    found: dict[str, dict[float, list[float]]] = {base: {} for base in STARTS}
    for one in table:
        if one["task"] == task:
            found[one["base"]].setdefault(float(one["sigma"]), []).append(float(one["accuracy"]))
    return {
        base: {sigma: statistics.fmean(values) for sigma, values in sorted(column.items())}
        for base, column in found.items()
        if column
    }


def chosen(means: Mapping[str, Mapping[float, float]]) -> tuple[float, dict[float, float]]:
    """The σ whose larger shortfall of both bases is least, and every σ's; `means`: base → σ → accuracy."""
    shortfalls = {
        sigma: max(max(table.values()) - table[sigma] for table in means.values())
        for sigma in next(iter(means.values()))
    }
    return min(shortfalls, key=lambda sigma: (shortfalls[sigma], sigma)), shortfalls
