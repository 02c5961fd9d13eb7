"""Estimate the time of a run from a few real steps and one evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from flatdirs.training.data import load
from flatdirs.training.dataset import Split
from flatdirs.training.device import cpu_threads, keep_freed_memory, resolve_device, resolve_precision, synchronize
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.training_step import Run


def expected_seconds(config: TrainConfig, budget_seconds: float = 1.0) -> float:
    """Estimate the seconds of `train(config)` by timing for about `budget_seconds`.

    Loading data and measuring curvature are not included. If one step would exceed the budget, smaller batches are
    timed and scaled up. Nothing is compiled, so with `compile` the estimate is too long.

    Raises:
        ConfigError: the device is not available.
        DataError: images or text are missing or broken.
    """
    config = replace(config, compile=False)
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    with cpu_threads(config.cpu_threads):
        dataset = load(config.task, config.data, device, config.base)
        if device.type == "cpu":
            keep_freed_memory()
        run = Run(config, dataset, device, precision)
        step = _seconds_per_step(run, budget_seconds)
        image = _seconds_per_evaluated_image(run, budget_seconds / 4)
    return config.total_steps * step + config.evaluations * len(dataset.evaluation_set) * image


def _timed(run: Run, action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    synchronize(run.device)
    return time.perf_counter() - begin


def _seconds_per_step(run: Run, budget_seconds: float) -> float:
    """The median of a few steps at the batch size of the run, or at the largest that fits the budget, scaled up."""
    dataset, task, full = run.dataset, run.config.task, run.config.images_per_step
    draws = dataset.draw(task, run.generator)
    run.model.train()

    def step_of(batch: int) -> float:
        def action() -> None:
            run.train_step(*dataset.batch(task, draws, 0, batch))

        return _timed(run, action)

    batch = min(full, 16)
    step_of(batch)  # the first step also loads code
    begin = time.perf_counter()
    times = [step_of(batch)]
    while batch < full and time.perf_counter() - begin + 2 * times[-1] < budget_seconds / 2:
        batch = min(full, 2 * batch)
        times = [step_of(batch)]
    while len(times) < 3 or (len(times) < 20 and time.perf_counter() - begin + times[-1] < budget_seconds):
        times.append(step_of(batch))
    return sorted(times)[len(times) // 2] * full / batch


def _seconds_per_evaluated_image(run: Run, budget_seconds: float) -> float:
    """Seconds per example of one evaluation of as many as the budget allows."""
    split = run.dataset.evaluation_set

    def evaluate(count: int) -> float:
        return _timed(run, lambda: run.evaluate(Split(split.inputs[:count], split.labels[:count])))

    count = min(32, len(split))
    evaluate(count)
    probe = max(evaluate(count), 1e-6)
    more = min(len(split), int(count * budget_seconds / (2 * probe)))
    return evaluate(more) / more if more > count else probe / count
