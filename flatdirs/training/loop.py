"""One training run from first step to last evaluation: `train(TrainConfig) → TrainResult`.

The objective calls this for every point and seed. The whole data set lies on the device, an epoch's augmentation is a
few large kernels, and losses and hits are summed on the device: the host waits once per evaluation (an epoch, or
`evaluate_every` steps), for three numbers and the steps' gradient norms. A run that blows up is a result with
`diverged` set, never an exception; it stops at the evaluation after it blew up, for looking earlier would mean waiting
for the device at every step.

Source of the set-up: reference/004. Everything random comes from two generators of the run's own (weights; order and
augmentation), so the same seed, device, threads and versions give the same bits on the CPU, whatever else the process
draws. On two cores a step costs 7 to 9 ms for cifar10_small and 3 to 6 ms for digits, nearly all of it convolutions and
their dispatch; augmentation is 0.1 ms of it.

Looked at for speed and left as it is (torch.profiler and CPU time, two AMD EPYC cores, bf16): autocast's casts and
other copies are 5 % of a step at width 8 and 1 % at width 64, too little to keep bfloat16 weights beside float32
ones; judging 5,000 images after every epoch is 6 % of a cifar10_small epoch, and pruners, the live curve and the
check for divergence read it; pooling before the normalisation is another network wherever batch norm's weight is
negative; micro-batches have other batch statistics. compiled.py has torch.compile; benchmarks/throughput measures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from flatdirs.training import augment, compiled
from flatdirs.training.curvature_log import watch
from flatdirs.training.data import Dataset, load
from flatdirs.training.device import (
    cpu_threads,
    device_name,
    keep_freed_memory,
    resolve_device,
    resolve_precision,
    synchronize,
)
from flatdirs.training.records import Epoch, TrainConfig, TrainResult
from flatdirs.training.run import Run
from flatdirs.training.timing import expected_seconds

__all__ = ["Epoch", "TrainConfig", "TrainResult", "expected_seconds", "train"]

DIVERGED_LOSS = 2.0  # an epoch's mean loss above this many times ln(classes), after warm-up, is divergence


def train(
    config: TrainConfig, on_epoch: Callable[[Epoch], bool | None] | None = None, keep_model: bool = False
) -> TrainResult:
    """Train once and judge after every epoch, or every `config.evaluate_every` steps and at the end.

    `on_epoch` is called after each evaluation, the diverged one included; where it returns True the run stops there,
    which is how a caller prunes, and what it raises passes through. A run diverges when a loss is not finite, or when
    an epoch that starts after the warm-up (with `evaluate_every`: a stretch of an epoch's length or more) has a mean
    training loss above twice that of guessing; it then ends with that evaluation. With a schedule that restarts, the
    result is that of the end of the last finished phase, though the run goes on to its last epoch.

    Raises:
        ConfigError: the device is not there.
        DataError: the images are missing or broken.
        CurvatureError: config.curvature asks for the edge of stability of an optimizer that has none.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    epochs: list[Epoch] = []
    diverged = stopped = False
    returned = config.returned_evaluation
    weights: Mapping[str, Tensor] = {}
    with cpu_threads(config.cpu_threads) as threads:
        dataset = load(config.task, config.data, device)
        if device.type == "cpu":
            keep_freed_memory()
        compile_seconds = _compile(config, dataset, device, precision) if config.compile else 0.0
        begin = time.perf_counter()
        run = Run(config, dataset, device, precision)
        watched = watch(config.curvature, run.model, run.optimizer, dataset)
        while len(epochs) < config.evaluations and not (diverged or stopped):
            epochs.append(run.stretch(len(epochs) + 1))
            diverged = _has_diverged(epochs, config)
            if keep_model and len(epochs) == returned < config.evaluations:
                weights = deepcopy(run.model.state_dict())
            if on_epoch is not None:
                stopped = on_epoch(epochs[-1]) is True and len(epochs) < config.evaluations and not diverged
        seconds = time.perf_counter() - begin
    if weights and not (diverged or stopped):
        run.model.load_state_dict(weights)
    judged = epochs[-1] if diverged or stopped else epochs[returned - 1]
    accuracy = 0.0 if diverged else judged.accuracy
    return TrainResult(
        diverged=diverged,
        stopped=stopped,
        epochs=tuple(epochs),
        returned_epoch=judged.number,
        accuracy=accuracy,
        loss=math.inf if diverged else judged.loss,
        at_chance=accuracy <= chance_ceiling(dataset.classes, len(dataset.held_out)),
        seconds=seconds,
        device=f"{device} ({device_name(device)})",
        precision=precision,
        threads=threads,
        steps=run.step,
        compile_seconds=compile_seconds,
        recorded=run.recorded(),
        model=run.model.eval() if keep_model else None,
        curvature=() if watched is None else tuple(watched.records),
    )


def _compile(config: TrainConfig, dataset: Dataset, device: torch.device, precision: str) -> float:
    """Have the code for runs like this one ready; the seconds that took, 0.0 where an earlier run had paid."""
    shape, batch = (dataset.channels, dataset.classes, config.task.width), config.images_per_step
    key = (shape, batch, dataset.train.images.shape[2:], str(device), precision, torch.get_num_threads())

    def step() -> None:
        run = Run(config, dataset, device, precision)
        run.model.train()
        images = augment.apply(dataset.train.images, augment.Draws(torch.arange(batch, device=device)), 0, batch, 0)
        run.train_step(images, dataset.train.labels[:batch])
        synchronize(device)

    return compiled.prepare(key, step)


def _has_diverged(epochs: Sequence[Epoch], config: TrainConfig) -> bool:
    """A loss that is not finite, or, past the warm-up, an epoch's worth of steps worse than twice guessing's."""
    if not (math.isfinite(epochs[-1].train_loss) and math.isfinite(epochs[-1].loss)):
        return True
    start, steps, total = sum(epoch.steps for epoch in epochs), 0, 0.0
    for epoch in reversed(epochs):
        start, steps, total = start - epoch.steps, steps + epoch.steps, total + epoch.train_loss * epoch.steps
        if steps >= config.steps_per_epoch:
            break
    after_warmup = start / config.steps_per_epoch >= config.schedule.warmup(config.task.epochs)
    whole = steps >= config.steps_per_epoch
    return whole and after_warmup and total / steps > DIVERGED_LOSS * math.log(config.task.classes)


def chance_ceiling(classes: int, images: int) -> float:
    """The accuracy in percent that guessing stays below: three binomial standard deviations above 1/classes."""
    chance = 1.0 / classes
    return 100.0 * (chance + 3.0 * math.sqrt(chance * (1.0 - chance) / images))
