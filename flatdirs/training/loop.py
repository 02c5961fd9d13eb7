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
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from flatdirs.training import augment, compiled
from flatdirs.training.curvature_log import watch
from flatdirs.training.data import Dataset, Split, load
from flatdirs.training.device import (
    DTYPES,
    cpu_threads,
    device_name,
    keep_freed_memory,
    resolve_device,
    resolve_precision,
    synchronize,
)
from flatdirs.training.instruments import GradientLog
from flatdirs.training.model import build_model
from flatdirs.training.optimizer import build_optimizer, set_learning_rate
from flatdirs.training.records import Epoch, Steps, TrainConfig, TrainResult

__all__ = ["Epoch", "TrainConfig", "TrainResult", "expected_seconds", "train"]

PIECE_VALUES = 1 << 24  # numbers per augmented piece: 64 MB of float32
EVALUATION_IMAGES = {"cpu": 512}  # images per evaluation batch: what fits a CPU's caches; a GPU takes more
DIVERGED_LOSS = 2.0  # an epoch's mean loss above this many times ln(classes), after warm-up, is divergence


class _Run:
    """The moving parts of one run: network, optimizer, generator; one stretch of steps or one evaluation at a time."""

    def __init__(self, config: TrainConfig, dataset: Dataset, device: torch.device, precision: str) -> None:
        self.config, self.dataset, self.device, self.precision = config, dataset, device, precision
        self.model = build_model(dataset.channels, dataset.classes, config.task.width, 2 * config.seed, device)
        self.optimizer = build_optimizer(
            self.model.parameters(),
            config.peak_rate,
            config.momentum_in_force,
            config.weight_decay,
            device,
            config.optimizer,
        )
        self.scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None
        self.generator = torch.Generator(device=device).manual_seed(2 * config.seed + 1)
        self.forward = compiled.forward() if config.compile else compiled.call
        self.gradients = GradientLog(self.model.parameters(), config.clip_gradient, config.record_steps)
        self.stream = self.batches()
        self.step = 0

    def autocast(self) -> torch.autocast:
        """Mixed precision for the forward pass."""
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=self.precision != "fp32")

    def rate(self, step: int) -> float:
        """The learning rate of `step`."""
        config = self.config
        return config.peak_rate * config.schedule.multiplier(step, config.total_steps, config.steps_per_epoch)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented images and labels, a batch at a time, one epoch after another without end."""
        task, split, batch = self.config.task, self.dataset.train, self.config.images_per_step
        values = split.images[0].numel()
        piece = max(1, PIECE_VALUES // (values * batch)) * batch
        used = self.config.steps_per_epoch * batch
        while True:
            draws = augment.draw(task, len(split), self.generator)
            for start in range(0, used, piece):
                stop = min(start + piece, used)
                images = augment.apply(split.images, draws, start, stop, task.cutout)
                labels = split.labels[draws.order[start:stop]]
                yield from zip(torch.split(images, batch), torch.split(labels, batch), strict=True)

    def train_steps(self, count: int) -> Tensor:
        """The next `count` steps; the sum of their losses, still on the device. One bad loss makes the sum bad."""
        total = torch.zeros((), device=self.device)
        self.model.train()
        for images, labels in islice(self.stream, count):
            total += self.train_step(images, labels)
        return total

    def train_epoch(self) -> Tensor:
        """Every step of one epoch."""
        return self.train_steps(self.config.steps_per_epoch)

    def train_step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One forward and backward pass and one update; the batch's mean loss, detached, on the device."""
        set_learning_rate(self.optimizer, self.rate(self.step))
        self.step += 1
        with self.autocast():
            logits = self.forward(self.model, images)
        loss = cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            self.gradients.see()
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.unscale_(self.optimizer)
            self.gradients.see()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return loss.detach()

    @torch.inference_mode()
    def evaluate(self, split: Split) -> tuple[Tensor, Tensor]:
        """Summed loss and number of hits over `split`, still on the device."""
        self.model.eval()
        batch = EVALUATION_IMAGES.get(self.device.type, 2048)
        loss = torch.zeros((), device=self.device)
        hits = torch.zeros((), device=self.device)
        for images, labels in zip(torch.split(split.images, batch), torch.split(split.labels, batch), strict=True):
            with self.autocast():
                logits = self.model(images)
            loss += cross_entropy(logits.float(), labels, reduction="sum")
            hits += (logits.argmax(dim=1) == labels).sum()
        return loss, hits

    def stretch(self, number: int) -> Epoch:
        """Train as far as the next evaluation and judge; the only place where the host waits for the device."""
        begin = time.perf_counter()
        count = min(self.config.steps_per_evaluation, self.config.total_steps - self.step)
        train_loss = self.train_steps(count)
        loss, hits = self.evaluate(self.dataset.held_out)
        sums = self.gradients.fetch([train_loss, loss, hits])
        judged = len(self.dataset.held_out)
        return Epoch(
            number=number,
            train_loss=sums[0] / count,
            loss=sums[1] / judged,
            accuracy=100.0 * sums[2] / judged,
            learning_rate=self.rate(self.step - 1),
            seconds=time.perf_counter() - begin,
            steps=count,
        )

    def recorded(self) -> Steps:
        """What every step so far did."""
        rates = tuple(self.rate(step) for step in range(self.step)) if self.config.record_steps else ()
        return Steps(rates, tuple(self.gradients.norms), tuple(self.gradients.clipped()))


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
        run = _Run(config, dataset, device, precision)
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
        run = _Run(config, dataset, device, precision)
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


def expected_seconds(config: TrainConfig, budget_seconds: float = 1.0) -> float:
    """About how long `train(config)` will take, from a few real steps and one evaluation on the loaded data.

    Loading the data and looking at the curvature are not counted. Where one step alone would pass the budget, smaller
    batches are timed and the time is taken to grow in proportion. Nothing is compiled for it, so with `compile` it is
    on the long side. Networks and generators are the function's own.

    Raises:
        ConfigError: the device is not there.
        DataError: the images are missing or broken.
    """
    config = replace(config, compile=False)
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    with cpu_threads(config.cpu_threads):
        dataset = load(config.task, config.data, device)
        if device.type == "cpu":
            keep_freed_memory()
        run = _Run(config, dataset, device, precision)
        step = _seconds_per_step(run, budget_seconds)
        image = _seconds_per_judged_image(run, budget_seconds / 4)
    return config.total_steps * step + config.evaluations * len(dataset.held_out) * image


def _timed(run: _Run, action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    synchronize(run.device)
    return time.perf_counter() - begin


def _seconds_per_step(run: _Run, budget_seconds: float) -> float:
    """The median of a few steps at the run's batch size, or at the largest that fits the budget, scaled up."""
    split, task, full = run.dataset.train, run.config.task, run.config.images_per_step
    draws = augment.draw(task, len(split), run.generator)
    run.model.train()

    def step_of(batch: int) -> float:
        def action() -> None:
            images = augment.apply(split.images, draws, 0, batch, task.cutout)
            run.train_step(images, split.labels[draws.order[:batch]])

        return _timed(run, action)

    batch = min(full, 16)
    step_of(batch)  # the first step also loads code and is not like the others
    begin = time.perf_counter()
    times = [step_of(batch)]
    while batch < full and time.perf_counter() - begin + 2 * times[-1] < budget_seconds / 2:
        batch = min(full, 2 * batch)
        times = [step_of(batch)]
    while len(times) < 3 or (len(times) < 20 and time.perf_counter() - begin + times[-1] < budget_seconds):
        times.append(step_of(batch))
    return sorted(times)[len(times) // 2] * full / batch


def _seconds_per_judged_image(run: _Run, budget_seconds: float) -> float:
    """One evaluation of as many held-out images as the budget allows, per image."""
    split = run.dataset.held_out

    def judge(count: int) -> float:
        return _timed(run, lambda: run.evaluate(Split(split.images[:count], split.labels[:count])))

    count = min(32, len(split))
    judge(count)
    probe = max(judge(count), 1e-6)
    more = min(len(split), int(count * budget_seconds / (2 * probe)))
    return judge(more) / more if more > count else probe / count
