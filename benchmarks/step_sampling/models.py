"""The three subjects: models of different kinds that the finder, its rivals and the grid of complete runs all train.

    resnet_small   our network on task=cifar10_small, SGD with Nesterov's momentum; its complete runs are flatdirs' own
    resnet18       torchvision's ResNet-18, from scratch, on 3,000 CIFAR-10 images of 32 x 32, plain SGD with momentum
    transformer    nn.TransformerEncoder that guesses the next character of Python's own documentation, AdamW

Their sizes were chosen for runs of half a minute on one core, before any rate was tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
import yaml
from torch import nn

from benchmarks.gpu.seeds import data_name
from benchmarks.step_sampling.subject import SCHEDULES, Batch, Run, Subject
from benchmarks.step_sampling.text import Characters, NextCharacter, load_text
from flatdirs.resources import conf_folder
from flatdirs.training.data import Dataset, load
from flatdirs.training.device import resolve_precision
from flatdirs.training.loop import TrainConfig, train
from flatdirs.training.model import build_model
from flatdirs.training.optimizer import build_optimizer
from flatdirs.training.task import DataConfig, ImageTask
from flatdirs.tuning.probing import TaskBatches


@dataclass(frozen=True)
class ImageSubject(Subject):
    """What the two networks on CIFAR-10 share. `source`: where the images lie."""

    source: DataConfig
    task: ImageTask

    @property
    def dataset(self) -> Dataset:
        """The images on the device, from the trainer's cache."""
        return load(self.task, self.source, self.device)

    @property
    def total_steps(self) -> int:
        """Whole batches only."""
        return self.task.epochs * (self.task.train_images // self.task.batch_size)

    @property
    def classes(self) -> int:
        """Ten."""
        return self.task.classes

    @property
    def precision(self) -> str:
        """What the trainer would take by itself on this device."""
        return resolve_precision("auto", self.device)

    @property
    def data(self) -> str:
        """CIFAR-10 or its JPEG copy, with the checksum of all images."""
        checksum = self.dataset.checksum
        return f"{data_name(checksum, False)} {checksum}"

    def batches(self, seed: int) -> Iterable[Batch]:
        """The trainer's own order and augmentation."""
        return self._batches(seed)

    def validation(self) -> list[Batch]:
        """The images held out of training; what does not fill a batch is left out."""
        return self._batches(0).held_out()

    def _batches(self, seed: int) -> TaskBatches:
        return TaskBatches(self.task, self.dataset, seed, self.task.batch_size)


@dataclass(frozen=True)
class ResNetSmall(ImageSubject):
    """flatdirs' own network and trainer on task=cifar10_small, judged on its 5,000 validation images."""

    name: ClassVar[str] = "resnet_small"
    momentum: ClassVar[float] = 0.9
    weight_decay: ClassVar[float] = 5e-4

    def model(self, seed: int) -> nn.Module:
        """The network that the trainer begins with."""
        return build_model(self.dataset.channels, self.classes, self.task.width, 2 * seed, self.device)

    def config(self, rate: float, schedule: str, seed: int) -> TrainConfig:
        """The complete run as flatdirs has it."""
        return TrainConfig(
            task=self.task,
            data=self.source,
            learning_rate=rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            seed=seed,
            threads=1,
            device=str(self.device),
            schedule=SCHEDULES[schedule],
        )

    def optimizer(self, parameters: Iterable[nn.Parameter], rate: float = 1e-3) -> torch.optim.Optimizer:
        """The trainer's SGD with Nesterov's momentum."""
        rule = self.config(rate, "constant", 0).optimizer
        return build_optimizer(parameters, rate, self.momentum, self.weight_decay, self.device, rule)

    def train_fully(self, rate: float, schedule: str, seed: int) -> Run:
        """`flatdirs.training.loop.train`, whose 0 % for a diverged run becomes chance."""
        result = train(self.config(rate, schedule, seed))
        accuracy = self.chance if result.diverged else result.accuracy
        return Run(accuracy, result.loss, result.diverged, result.steps, result.seconds)


@dataclass(frozen=True)
class ResNet18(ImageSubject):
    """torchvision's ResNet-18 as it comes, with ten classes; heavy-ball SGD; images mirrored at random, no more."""

    name: ClassVar[str] = "resnet18"

    def model(self, seed: int) -> nn.Module:
        """torchvision's own initial weights."""
        from torchvision.models import resnet18

        with torch.random.fork_rng():
            torch.manual_seed(2 * seed)
            return resnet18(weights=None, num_classes=self.classes).to(self.device).train()

    def optimizer(self, parameters: Iterable[nn.Parameter], rate: float = 1e-3) -> torch.optim.Optimizer:
        """torch's SGD, one kernel for all weights."""
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=5e-4, fused=True)


@dataclass(frozen=True)
class Transformer(Subject):
    """A causal encoder of two layers that guesses the next character; dropout draws from torch's global generator."""

    name: ClassVar[str] = "transformer"
    total_steps: ClassVar[int] = 800  # type: ignore[misc]
    precision: ClassVar[str] = "fp32"  # type: ignore[misc]
    text: Characters = field(default_factory=load_text)

    @property
    def classes(self) -> int:
        """Distinct characters of the text."""
        return self.text.distinct

    @property
    def data(self) -> str:
        """The text's name and checksum."""
        return f"{self.text.name} {self.text.checksum}"

    def model(self, seed: int) -> nn.Module:
        """torch's own initial weights."""
        with torch.random.fork_rng():
            torch.manual_seed(2 * seed)
            return NextCharacter(self.classes).to(self.device).train()

    def optimizer(self, parameters: Iterable[nn.Parameter], rate: float = 1e-3) -> torch.optim.Optimizer:
        """torch's AdamW with its usual moments."""
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, fused=True)

    def batches(self, seed: int) -> Iterable[Batch]:
        """Windows from random places of the text's first nine tenths."""
        return self.text.windows(2 * seed + 1, self.total_steps, self.batch_size, self.device)

    def validation(self) -> list[Batch]:
        """Windows side by side over the text's last tenth."""
        return self._validation

    @cached_property
    def _validation(self) -> list[Batch]:
        return self.text.held_out(self.batch_size, self.device)


@dataclass(frozen=True)
class TransformerLong(Transformer):
    """The same in runs of four times the steps."""

    name: ClassVar[str] = "transformer_long"
    total_steps: ClassVar[int] = 4 * Transformer.total_steps  # type: ignore[misc]


def subjects(path: str | None, device: torch.device) -> list[Subject]:
    """The three, in the order of every table; `path` is CIFAR-10 as one file, None torchvision's folder."""
    source = DataConfig(path=path, download=path is None)
    small = ImageTask(**yaml.safe_load((conf_folder() / "task" / "cifar10_small.yaml").read_text(encoding="utf-8")))
    images = ImageTask(
        name="resnet18",
        dataset="cifar10",
        epochs=3,
        batch_size=32,
        width=64,
        image_size=32,
        train_images=3000,
        validation_images=5000,
        test_images=10000,
        pad=0,
        flip=True,
        cutout=0,
    )
    return [ResNetSmall(device, source, small), ResNet18(device, source, images), Transformer(device)]


def longer(device: torch.device) -> list[Subject]:
    """The one that learns most after its runs have ended, in longer ones."""
    return [TransformerLong(device)]
