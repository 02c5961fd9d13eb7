"""At which σ a search with schedule=cdat should begin: `python -m benchmarks.cdat.sigma_start`.

Whole runs of a task as `tune schedule=cdat` would train them at its start, SGD and AdamW, over σ in octaves and a few
seeds. The rule was fixed before a run: of each base, how far σ's mean validation accuracy lies below the best σ's; the
σ whose larger shortfall is least. Digits chose; any other task only shows how far its own choice lies off (one epoch of
cifar10_small would rather begin lower still).
Prints; writes nothing.

    --task digits     a file of conf/task            --data cifar10.npz   its images, where it needs some
    --seeds 5         seeds 0 to 4                   --epochs 2           fewer than the task's
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Mapping
from dataclasses import replace

import torch
import yaml

from flatdirs.objective import ImageObjective
from flatdirs.paths import conf_folder
from flatdirs.training.optimizer import OPTIMIZERS
from flatdirs.training.task import DataConfig, ImageTask
from flatdirs.training.tuners import Cdat

SIGMAS = (0.125, 0.25, 0.5, 1.0, 2.0)
STARTS: Mapping[str, Mapping[str, float]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 5e-4},
    "adamw": {"beta1": 0.9, "weight_decay": 0.01},
}


def accuracies(task: ImageTask, data: DataConfig, base: str, sigma: float, seeds: int) -> list[float]:
    """Validation accuracy of a run a seed, in percent; 0 where it diverged."""
    objective = ImageObjective(task, data, threads=1, schedule=Cdat(), optimizer=OPTIMIZERS[base]())
    found = []
    for seed in range(seeds):
        measured = objective.measure({"sigma": sigma, **STARTS[base]}, [seed], lambda *_: None)
        found.append(measured.value if measured.state == "finished" else 0.0)
    return found


def chosen(means: Mapping[str, Mapping[float, float]]) -> tuple[float, dict[float, float]]:
    """The σ whose larger shortfall of both bases is least, and every σ's; `means`: base → σ → accuracy."""
    shortfalls = {
        sigma: max(max(table.values()) - table[sigma] for table in means.values())
        for sigma in next(iter(means.values()))
    }
    return min(shortfalls, key=lambda sigma: (shortfalls[sigma], sigma)), shortfalls


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--data", default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None)
    arguments = parser.parse_args()
    task = ImageTask(**yaml.safe_load((conf_folder() / "task" / f"{arguments.task}.yaml").read_text(encoding="utf-8")))
    task = task if arguments.epochs is None else replace(task, epochs=arguments.epochs)
    data = DataConfig(path=arguments.data)
    print(f"torch {torch.__version__}, Python {platform.python_version()}; {task.name}, {task.epochs} epochs, ", end="")
    print(f"{arguments.seeds} seeds: mean accuracy (of each)")
    means: dict[str, dict[float, float]] = {}
    for base in STARTS:
        for sigma in SIGMAS:
            found = accuracies(task, data, base, sigma, arguments.seeds)
            means.setdefault(base, {})[sigma] = statistics.fmean(found)
            each = ", ".join(f"{value:.2f}" for value in found)
            print(f"{base}, σ = {sigma:g}: {means[base][sigma]:.2f} ({each})", flush=True)
    best, shortfalls = chosen(means)
    told = ", ".join(f"{sigma:g}: {shortfall:.2f}" for sigma, shortfall in shortfalls.items())
    print(f"larger shortfall by σ: {told}; least at σ = {best:g}")


if __name__ == "__main__":
    main()
