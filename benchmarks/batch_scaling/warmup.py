"""The same network trained with and without warm-up, over peak rates from hopeless to lost.

The runs are the tuner's own (`train(TrainConfig)`) with its triangle schedule: linear rise over the first 5/24 of all
steps, then linear fall; without warm-up, the fall alone from the peak on. Both have the same area, hence the same sum of
rates. Momentum 0.9, weight decay 5e-4, the same seeds on both sides.

The trainer ends a run whose loss is far above guessing's, but not before its warm-up is over: a grace that runs without
warm-up would lack. So that rule is off here, every run goes on until its end or a loss that is not finite, and only the
latter counts as diverged. A run that ends no better than guessing counts as failed too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.batch_scaling.peaks import BATCH_SIZES, MOMENTUM, RATES, RUNS, SEEDS, WEIGHT_DECAY
from benchmarks.batch_scaling.raw import shown
from flatdirs.training import loop
from flatdirs.training.records import TrainConfig, TrainResult
from flatdirs.training.schedule import Triangle
from flatdirs.training.task import DataConfig, ImageTask


def schedule(warm: bool) -> Triangle:
    """The source's triangle, or its falling half alone."""
    return Triangle() if warm else Triangle(warmup_epochs=0.0)


@contextmanager
def losses_of_any_size() -> Iterator[None]:
    """Inside, the trainer ends a run for a loss that is not finite only; why, says the top of this file."""
    before = loop.DIVERGED_LOSS
    loop.DIVERGED_LOSS = math.inf
    try:
        yield
    finally:
        loop.DIVERGED_LOSS = before


def run(task: ImageTask, data: DataConfig, batch: int, warm: bool, rate: float, seed: int) -> TrainResult:
    """One run to its end, with the task's warm-up or with none."""
    setting = (task, data, rate, MOMENTUM, WEIGHT_DECAY, seed)
    with losses_of_any_size():
        return loop.train(TrainConfig(*setting, batch_size=batch, threads=1, schedule=schedule(warm)))


def measure(task: ImageTask, data: DataConfig) -> None:
    """Every run that is not on file yet for one task, all rates and both sides before the next seed."""
    done = RUNS.done()
    plan = [
        (task.name, batch, warm, rate, seed)
        for seed in range(SEEDS[task.name])
        for batch in BATCH_SIZES[task.name]
        for rate in RATES[task.name]
        for warm in (True, False)
    ]
    for key in plan:
        if tuple(map(shown, key)) in done:
            continue
        result = run(task, data, *key[1:])
        measured = (result.diverged, result.at_chance, result.accuracy, result.loss, len(result.epochs))
        RUNS.append([(*key, *measured, result.precision, result.seconds)])
        print("warm-up", *key, f"{result.accuracy:.2f} %", "diverged" if result.diverged else "", flush=True)
