"""One training run from the first step to the last evaluation: `train(TrainConfig) → TrainResult`.

The whole data set is on the device, the augmentation of an epoch is a few large kernels, and losses and hits are summed
on the device: the host waits once per evaluation. A run that diverges is a result with `diverged` set, not an
exception; it stops at the next evaluation, as an earlier check would wait for the device at every step.

Everything random comes from two generators of the run, so the same seed, device, threads and versions give the same
bits on the CPU. The set-up is that of https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from flatdirs.curvature.log import CurvatureLog
from flatdirs.training import torch_compile
from flatdirs.training.data import load
from flatdirs.training.dataset import Dataset, mean_loss
from flatdirs.training.device import (
    cpu_threads,
    device_name,
    keep_freed_memory,
    resolve_device,
    resolve_precision,
    synchronize,
)
from flatdirs.training.run_config import Epoch, TrainConfig, TrainResult
from flatdirs.training.timing import expected_seconds
from flatdirs.training.training_step import Run

__all__ = ["Epoch", "TrainConfig", "TrainResult", "expected_seconds", "train"]

DIVERGED_LOSS = 2.0  # a mean loss over an epoch above this many times ln(classes), after warm-up, is divergence


def train(
    config: TrainConfig, on_epoch: Callable[[Epoch], bool | None] | None = None, keep_model: bool = False
) -> TrainResult:
    """Train once and evaluate after every epoch, or every `config.evaluate_every` steps and at the end.

    `on_epoch` is called after each evaluation; if it returns True the run stops there, and its exceptions pass through.
    A run has diverged if a loss is not finite, or if the mean training loss over an epoch (or over as many steps) that
    starts after the warm-up is above twice that of guessing. With a schedule that restarts, the result is that of the
    end of the last complete phase.

    Raises:
        ConfigError: the device is not available.
        DataError: images or text are missing or broken.
        CurvatureError: the edge of stability of the optimizer is not known.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    epochs: list[Epoch] = []
    diverged = stopped = False
    returned = config.returned_evaluation
    weights: Mapping[str, Tensor] = {}
    with cpu_threads(config.cpu_threads) as threads:
        dataset = load(config.task, config.data, device, config.base)
        if device.type == "cpu":
            keep_freed_memory()
        compile_seconds = _compile(config, dataset, device, precision) if config.compile else 0.0
        begin = time.perf_counter()
        run = Run(config, dataset, device, precision)
        curvature = _curvature_log(run)
        while len(epochs) < config.evaluations and not (diverged or stopped):
            epochs.append(run.train_and_evaluate(len(epochs) + 1))
            diverged = _has_diverged(epochs, config, dataset.classes)
            if keep_model and len(epochs) == returned and (returned < config.evaluations or run.average is not None):
                weights = run.judged_state()
            if on_epoch is not None:
                stopped = on_epoch(epochs[-1]) is True and len(epochs) < config.evaluations and not diverged
        seconds = time.perf_counter() - begin
    if weights and not (diverged or stopped):
        run.model.load_state_dict(weights)
    result = epochs[-1] if diverged or stopped else epochs[returned - 1]
    accuracy = 0.0 if diverged else result.accuracy
    return TrainResult(
        diverged=diverged,
        stopped=stopped,
        epochs=tuple(epochs),
        returned_epoch=result.number,
        accuracy=accuracy,
        loss=math.inf if diverged else result.loss,
        at_chance=accuracy <= chance_ceiling(dataset.classes, dataset.evaluation_set.labels.numel()),
        seconds=seconds,
        device=f"{device} ({device_name(device)})",
        precision=precision,
        threads=threads,
        steps=run.step,
        compile_seconds=compile_seconds,
        recorded=run.recorded(),
        model=run.model.eval() if keep_model else None,
        curvature=() if curvature is None else tuple(curvature.records),
        found_rate=run.found_rate(),
    )


def _compile(config: TrainConfig, dataset: Dataset, device: torch.device, precision: str) -> float:
    """Compile the code for runs like this one; the seconds it took, 0.0 if an earlier run has compiled it."""
    batch, shape = config.images_per_step, dataset.train.inputs.shape[1:]
    network = (config.task.shape, config.lora_rank, dataset.classes)
    key = (network, batch, shape, str(device), precision, torch.get_num_threads())

    def step() -> None:
        run = Run(config, dataset, device, precision)
        run.model.train()
        run.train_step(dataset.train.inputs[:batch], dataset.train.labels[:batch])
        synchronize(device)

    return torch_compile.prepare(key, step)


def _curvature_log(run: Run) -> CurvatureLog | None:
    """A log of the curvature of `run` on its first training examples, as they are; None without curvature.every.

    It measures in float32 at any precision of training: second derivatives in 16 bits would be noise.
    """
    if not run.config.curvature.every:
        return None

    split, count = run.dataset.train, run.config.curvature.images
    probe = split.inputs[:count], split.labels[:count]
    return CurvatureLog(run.model, run.optimizer, mean_loss, probe, every=run.config.curvature.every)


def _has_diverged(epochs: Sequence[Epoch], config: TrainConfig, classes: int) -> bool:
    """A loss that is not finite or, after the warm-up, a mean over an epoch's steps above twice that of guessing."""
    if not (math.isfinite(epochs[-1].train_loss) and math.isfinite(epochs[-1].loss)):
        return True
    start, steps, total = sum(epoch.steps for epoch in epochs), 0, 0.0
    for epoch in reversed(epochs):
        start, steps, total = start - epoch.steps, steps + epoch.steps, total + epoch.train_loss * epoch.steps
        if steps >= config.steps_per_epoch:
            break
    after_warmup = start / config.steps_per_epoch >= config.schedule.warmup(config.task.epochs)
    whole = steps >= config.steps_per_epoch
    return whole and after_warmup and total / steps > DIVERGED_LOSS * math.log(classes)


def chance_ceiling(classes: int, labels: int) -> float:
    """The accuracy in percent that guessing stays below: three binomial standard deviations above 1/classes."""
    chance = 1.0 / classes
    return 100.0 * (chance + 3.0 * math.sqrt(chance * (1.0 - chance) / labels))
