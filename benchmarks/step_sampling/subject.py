"""What the grid, the finders and the rivals know of a model: a subject, and its complete training run.

A subject gives fresh weights, an optimizer, batches in an order of their own, a loss and the batches that judge; all of
it a function of the seed alone (weights: 2·seed; order, augmentation and dropout: 2·seed + 1), so a finder's probes
and a complete run begin alike. Two schedules: the rate held constant from the first step on, and the triangle
(5/24 of the run up, the rest down). models.py has the three.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flatdirs.training.device import DTYPES, keep_freed_memory
from flatdirs.training.optimizer import set_learning_rate
from flatdirs.training.schedule import Constant, Schedule, Triangle

SCHEDULES: Mapping[str, Schedule] = {"constant": Constant(), "triangle": Triangle()}
LOOK_EVERY = 20  # steps between two looks at whether the loss is still finite
JUDGED_AT_ONCE = 16  # batches that are judged together, for speed

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Run:
    """One complete training run: accuracy in percent (chance where it diverged), mean loss, optimizer steps, seconds."""

    accuracy: float
    loss: float
    diverged: bool
    steps: int
    seconds: float


@dataclass(frozen=True)
class Subject(ABC):
    """What every subject offers; the rates of its grid are in findings.py."""

    device: torch.device

    name: ClassVar[str]
    batch_size: ClassVar[int] = 32

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Optimizer steps of a complete run."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Among how many answers a guess is made."""

    @property
    @abstractmethod
    def precision(self) -> str:
        """fp32, or bf16 where the forward pass is autocast."""

    @property
    @abstractmethod
    def data(self) -> str:
        """The data's name and checksum."""

    @abstractmethod
    def model(self, seed: int) -> nn.Module:
        """Fresh weights, a function of `seed` alone, in training mode."""

    @abstractmethod
    def optimizer(self, parameters: Iterable[nn.Parameter], rate: float = 1e-3) -> torch.optim.Optimizer:
        """The subject's optimizer at a constant rate."""

    @abstractmethod
    def batches(self, seed: int) -> Iterable[Batch]:
        """Every training batch of a complete run, in order; iterated again, the same ones again."""

    @abstractmethod
    def validation(self) -> list[Batch]:
        """The batches that judge, of the same size as training's and the same for every seed."""

    @property
    def chance(self) -> float:
        """The accuracy of guessing, in percent."""
        return 100.0 / self.classes

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The model's answer, in the subject's precision."""
        with torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=self.precision != "fp32"):
            answer: Tensor = model(inputs)
        return answer

    def criterion(self, answer: Tensor, targets: Tensor) -> Tensor:
        """The mean cross-entropy, over images or over batch and time: answers (…, classes), targets (…)."""
        return cross_entropy(answer.float().flatten(0, -2), targets.flatten())

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """A batch's loss."""
        inputs, targets = batch
        return self.criterion(self.forward(model, inputs), targets)

    @torch.inference_mode()
    def judge(self, model: nn.Module) -> tuple[float, float]:
        """Accuracy in percent and mean loss over the validation batches, batch norm with its running statistics."""
        model.eval()
        judged, batches = 0, self.validation()
        sums = torch.zeros(2, device=self.device)
        for start in range(0, len(batches), JUDGED_AT_ONCE):
            inputs, targets = (torch.cat(part) for part in zip(*batches[start : start + JUDGED_AT_ONCE], strict=True))
            answer = self.forward(model, inputs)
            hits = (answer.argmax(dim=-1) == targets).sum()
            sums += torch.stack([hits.float(), self.criterion(answer, targets) * targets.numel()])
            judged += targets.numel()
        model.train()
        hits_in_all, loss = sums.tolist()
        return 100.0 * hits_in_all / judged, loss / judged

    def train_fully(self, rate: float, schedule: str, seed: int) -> Run:
        """One complete run, from fresh weights to the last judgement; a loss that is not finite ends it early."""
        keep_freed_memory()
        self.validation()
        with torch.random.fork_rng():
            torch.manual_seed(2 * seed + 1)
            began = time.perf_counter()
            model = self.model(seed)
            steps, finite = self._train(model, rate, SCHEDULES[schedule], seed)
            accuracy, loss = self.judge(model) if finite else (0.0, math.inf)
        diverged = not math.isfinite(loss)
        accuracy, loss = (self.chance, math.inf) if diverged else (accuracy, loss)
        return Run(accuracy, loss, diverged, steps, time.perf_counter() - began)

    def _train(self, model: nn.Module, rate: float, schedule: Schedule, seed: int) -> tuple[int, bool]:
        """All steps; how many were taken, and whether the losses stayed finite."""
        optimizer = self.optimizer(model.parameters(), rate)
        total = torch.zeros((), device=self.device)
        for step, batch in enumerate(self.batches(seed)):
            set_learning_rate(optimizer, rate * schedule.multiplier(step, self.total_steps, self.total_steps))
            loss = self.loss(model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            if (step + 1) % LOOK_EVERY == 0 and not math.isfinite(total.item()):
                return step + 1, False
        return self.total_steps, math.isfinite(total.item())
