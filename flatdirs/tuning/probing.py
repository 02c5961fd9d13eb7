"""Step sampling on images or on a text: the learning-rate finder with the trainer's network, batches and optimizer.

Used by `find-lr` and by `tune start=step_sampling`. A probe begins as a run with the same seed does: the same weights
and the same first batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flatdirs.lr_finder.finder import find_learning_rate
from flatdirs.lr_finder.result import LearningRates
from flatdirs.training.data import load
from flatdirs.training.dataset import Dataset, mean_loss
from flatdirs.training.device import DTYPES, cpu_threads, keep_freed_memory, resolve_device, resolve_precision
from flatdirs.training.lora import build_network
from flatdirs.training.optimizer import build_optimizer
from flatdirs.training.run_config import ProbeConfig, TrainConfig
from flatdirs.training.task import Task


@dataclass(frozen=True)
class TaskBatches:
    """The batches of a run as the trainer makes them, epoch after epoch.

    Pairs on the device: images (size, channels, side, side) or characters (size, context), and their labels.
    """

    task: Task
    dataset: Dataset
    seed: int
    size: int

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Examples are shuffled and augmented anew in each epoch; an incomplete last batch is left out."""
        split = self.dataset.train
        generator = torch.Generator(device=split.labels.device).manual_seed(2 * self.seed + 1)
        for _ in range(self.task.epochs):
            draws = self.dataset.draw(self.task, generator)
            for start in range(0, len(split) - self.size + 1, self.size):
                yield self.dataset.batch(self.task, draws, start, start + self.size)

    def evaluation_set(self) -> list[tuple[Tensor, Tensor]]:
        """The validation or test set of a run, in batches of the same size; an incomplete last one is left out."""
        split = self.dataset.evaluation_set
        stop = max(len(split) // self.size, 1) * self.size
        inputs, labels = (torch.split(part[:stop], self.size) for part in (split.inputs, split.labels))
        return list(zip(inputs, labels, strict=True))


def probe_task(config: TrainConfig, probing: ProbeConfig, progress: bool = True) -> LearningRates:
    """Step sampling with all settings of `config` but lr and schedule; found rates are per step of the optimizer.

    Raises:
        ConfigError: there is no such device.
        DataError: images or text are missing or broken.
        FinderError: the task cannot be probed.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32"):
            logits = model(batch[0])
        return mean_loss(logits, batch[1])

    with cpu_threads(config.cpu_threads):
        dataset = load(config.task, config.data, device, config.base)
        if device.type == "cpu":
            keep_freed_memory()
        model = build_network(config, dataset, device)
        optimizer = build_optimizer(
            model, config.optimizer.usual_lr, config.momentum_in_force, config.wd, device, config.rule
        )
        batches = TaskBatches(config.task, dataset, config.seed, config.images_per_step)
        return find_learning_rate(
            model,
            None,
            optimizer,
            batches,
            batches.evaluation_set(),
            closure=loss,
            steps=probing.steps,
            budget=probing.budget,
            threshold=probing.threshold,
            seeds=probing.seeds,
            lowest=probing.lowest,
            highest=probing.highest,
            validation_steps=probing.validation_steps,
            scaler=torch.amp.GradScaler(device.type) if precision == "fp16" else None,
            progress=progress,
        )
