"""What a run needs of its data: splits, batches and the network for them. Of images: data.py; of a text: text.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flatdirs.training.augment import Draws
from flatdirs.training.task import Task


@dataclass(frozen=True)
class Split:
    """Inputs (n, …) and labels (n,) or (n, …), int64, on the device; one label for every row of logits."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset(ABC):
    """Three disjoint splits. With data.evaluate=test, `train` holds the validation part and `validation` is empty.

    `classes`: values that a label can take. `checksum`: of all that was read.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    evaluate: str
    checksum: str

    @property
    def evaluation_set(self) -> Split:
        """The examples that evaluate a run: `validation`, or `test` with data.evaluate=test and final."""
        return self.validation if self.evaluate == "validation" else self.test

    @abstractmethod
    def draw(self, task: Task, generator: torch.Generator) -> Draws:
        """The random numbers of one epoch; `generator` is on the device."""

    @abstractmethod
    def batch(self, task: Task, draws: Draws, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the training examples at positions start … stop − 1 of the epoch."""

    @abstractmethod
    def model(self, task: Task, seed: int, device: torch.device) -> nn.Module:
        """A network for these data, with weights drawn from `seed`."""


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy in nats, the mean over all labels: logits (…, classes), labels (…), → a scalar in float32."""
    return cross_entropy(logits.float().flatten(0, -2), labels.flatten())
