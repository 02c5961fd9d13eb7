"""The state of one run: network, optimizer, generators. loop.py decides how many steps it takes.

Everything random comes from two generators of the run (weights; order and augmentation). Losses and hits are summed on
the device. A step is one of the base optimizer at the scheduled rate, or one of an optimizer that chooses its rate
(self_tuning.py) and gets the same forward pass as a closure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flatdirs.training import torch_compile
from flatdirs.training.dataset import Dataset, Split, mean_loss
from flatdirs.training.device import DTYPES
from flatdirs.training.gradient_clipping import GradientLog
from flatdirs.training.lora import build_network
from flatdirs.training.optimizer import build_optimizer, set_learning_rate
from flatdirs.training.run_config import Epoch, Steps, TrainConfig, check_precision
from flatdirs.training.schedule import Planned
from flatdirs.training.self_tuning import Tuner
from flatdirs.training.weight_average import Average, ScheduleFreeAverage, WeightAverage

CHUNK_VALUES = 1 << 24  # numbers per augmented chunk: 64 MB of float32
CALIBRATED = 50  # batches, as https://github.com/facebookresearch/schedule_free has it
EVALUATED_TOGETHER = {"cpu": 512}  # examples per evaluation batch: fits the caches of a CPU; a GPU takes 2048


class Run:
    """Network, optimizer and generators of one run."""

    def __init__(self, config: TrainConfig, dataset: Dataset, device: torch.device, precision: str) -> None:
        check_precision(precision, config.schedule)
        self.config, self.dataset, self.device, self.precision = config, dataset, device, precision
        self.model = build_network(config, dataset, device)
        self.optimizer = _optimizer(config, self.model, device)
        self.scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None
        self.generator = torch.Generator(device=device).manual_seed(2 * config.seed + 1)
        self.forward = torch_compile.forward() if config.compile else torch_compile.call
        self.gradients = GradientLog(self.model.parameters(), config.clip_gradient, config.record_steps)
        self.average = self._average()
        self.stream = self.batches()
        self.step = 0

    def _average(self) -> Average | None:
        """The average that evaluations judge, if any."""
        if self.config.optimizer.averages:
            return ScheduleFreeAverage(self.model, self.optimizer, self.calibrate)
        return None if self.config.ema is None else WeightAverage(self.model, self.config.ema)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=self.precision != "fp32")

    def scheduled_rate(self, step: int) -> float | None:
        """The learning rate of `step`; None if the optimizer chooses it."""
        config = self.config
        if not isinstance(config.schedule, Planned):
            return None
        return config.peak_rate * config.schedule.multiplier(step, config.total_steps, config.steps_per_epoch)

    def last_rate(self) -> float:
        """The learning rate of the previous step; waits for the device if the optimizer chose it."""
        rate = self.scheduled_rate(self.step - 1)
        return float(self.optimizer.param_groups[0]["lr"]) if rate is None else rate

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of inputs and their labels, one epoch after another without end."""
        task, dataset, batch = self.config.task, self.dataset, self.config.images_per_step
        values = dataset.train.inputs[0].numel()
        chunk = max(1, CHUNK_VALUES // (values * batch)) * batch
        used = self.config.steps_per_epoch * batch
        while True:
            draws = dataset.draw(task, self.generator)
            for start in range(0, used, chunk):
                stop = min(start + chunk, used)
                inputs, labels = dataset.batch(task, draws, start, stop)
                yield from zip(torch.split(inputs, batch), torch.split(labels, batch), strict=True)

    def train_steps(self, count: int) -> Tensor:
        """Take `count` steps; the sum of their losses, on the device, not finite if one of them is not."""
        total = torch.zeros((), device=self.device)
        self.model.train()
        for inputs, labels in islice(self.stream, count):
            total += self.train_step(inputs, labels)
        return total

    def train_step(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Forward pass, backward pass and update; the mean loss of the batch, detached, on the device."""
        loss = self._update(inputs, labels)
        if self.average is not None:
            self.average.see()
        return loss

    def _update(self, inputs: Tensor, labels: Tensor) -> Tensor:

        def loss_now() -> Tensor:
            with self.autocast():
                logits = self.forward(self.model, inputs)
            return mean_loss(logits, labels)

        rate = self.scheduled_rate(self.step)
        self.step += 1
        if rate is None:
            loss: Tensor = self.optimizer.step(loss_now)  # type: ignore[assignment, arg-type]
            self.gradients.see(self.optimizer.param_groups[0]["lr"])
            return loss
        set_learning_rate(self.optimizer, rate)
        loss = loss_now()
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

    @torch.no_grad()
    def calibrate(self, model: Callable[[Tensor], Tensor]) -> None:
        """Give batch norm the statistics of other weights, from a few batches of training examples as they are."""
        self.model.train()
        for inputs in torch.split(self.dataset.train.inputs, self.config.images_per_step)[:CALIBRATED]:
            with self.autocast():
                model(inputs)

    def evaluate(self, split: Split) -> tuple[Tensor, Tensor]:
        """Summed loss and number of hits over `split`, on the device; with the averaged weights if there are any."""
        if self.average is not None:
            self.average.settle()
        self.model.eval()
        return self._judge(self.model if self.average is None else self.average, split)

    @torch.inference_mode()
    def _judge(self, judged: Callable[[Tensor], Tensor], split: Split) -> tuple[Tensor, Tensor]:
        batch = EVALUATED_TOGETHER.get(self.device.type, 2048)
        loss = torch.zeros((), device=self.device)
        hits = torch.zeros((), device=self.device)
        for inputs, labels in zip(torch.split(split.inputs, batch), torch.split(split.labels, batch), strict=True):
            with self.autocast():
                logits = judged(inputs)
            loss += cross_entropy(logits.float().flatten(0, -2), labels.flatten(), reduction="sum")
            hits += (logits.argmax(dim=-1) == labels).sum()
        return loss, hits

    def train_and_evaluate(self, number: int) -> Epoch:
        """Train until evaluation `number` and evaluate; the only place where the host waits for the device."""
        begin = time.perf_counter()
        count = min(self.config.steps_per_evaluation, self.config.total_steps - self.step)
        train_loss = self.train_steps(count)
        loss, hits = self.evaluate(self.dataset.evaluation_set)
        sums = self.gradients.fetch([train_loss, loss, hits])
        evaluated = self.dataset.evaluation_set.labels.numel()
        return Epoch(
            number=number,
            train_loss=sums[0] / count,
            loss=sums[1] / evaluated,
            accuracy=100.0 * sums[2] / evaluated,
            lr=self.last_rate(),
            seconds=time.perf_counter() - begin,
            steps=count,
        )

    def judged_state(self) -> dict[str, Tensor]:
        """A copy of the weights that evaluations judge, as a state dict."""
        state: dict[str, Tensor] = self.model.state_dict()
        if self.average is not None:
            state.update(self.average.weights)
        return deepcopy(state)

    def found_rate(self) -> float | None:
        """The last estimate of the learning rate by Prodigy."""
        return float(self.optimizer.param_groups[0]["d"]) if self.config.optimizer.finds_rate else None

    def recorded(self) -> Steps:
        """The record of the steps taken."""
        rates = tuple(self.gradients.rates)
        if self.config.record_steps and isinstance(self.config.schedule, Planned):
            rates = tuple(self.scheduled_rate(step) or 0.0 for step in range(self.step))
        return Steps(rates, tuple(self.gradients.norms), tuple(self.gradients.clipped()))


def _optimizer(config: TrainConfig, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    if not isinstance(config.schedule, Tuner):
        momentum, decay = config.momentum_in_force, config.wd
        return build_optimizer(model, config.peak_rate, momentum, decay, device, config.rule)
    groups = config.rule.groups(model, config.wd)
    base, settings = config.rule.base(config.momentum_in_force)
    return config.schedule.build(groups, base, settings, config.sigma, full=config.steps_per_epoch == 1)
