"""The two models that are trained, small enough for some six seconds a run on one core.

    transformer   nn.TransformerEncoder (one layer, width 32, two heads, causal, dropout 0.1) that guesses the next
                  character of Python's own documentation: 16 windows of 32 characters a step
    resnet        flatdirs' own network and trainer on scikit-learn's digits: 12 of 300 images a step

Judged on 2,048 held-out characters and 200 held-out images, always the same ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import torch
import yaml
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.edge_sweep.curves import Curve, short
from benchmarks.edge_sweep.setting import (
    BETA2,
    EVERY,
    SCHEDULE,
    STEPS,
    STEPS_PER_EPOCH,
    WARMUP_STEPS,
    Point,
    multiplier,
)
from benchmarks.step_sampling.text import Characters, NextCharacter, load_text
from flatdirs.resources import conf_folder
from flatdirs.training.data import load
from flatdirs.training.device import resolve_device, resolve_precision
from flatdirs.training.loop import Epoch, train
from flatdirs.training.optimizer import AdamW
from flatdirs.training.records import TrainConfig
from flatdirs.training.task import DataConfig, ImageTask

# the number of an evaluation, its loss (rounded as it is kept), the learning rate before it; True stops the run
Watch = Callable[[int, float, float], bool]
WINDOWS, JUDGED = 16, 64  # of characters a step, and in the evaluation
WIDTH, LAYERS, HEADS = 32, 1, 2
DIVERGED_LOSS = 2.0  # times that of guessing, after the warm-up


class Subject(Protocol):
    """A model that can be trained."""

    name: ClassVar[str]

    def train(self, point: Point, seed: int, watch: Watch) -> Curve:
        """One run, until its end, its divergence, or `watch` says stop."""

    def about(self) -> dict[str, str]:
        """What else it depends on."""


@dataclass(frozen=True)
class Transformer:
    """Guesses the next character."""

    device: torch.device
    text: Characters = field(default_factory=load_text)
    name: ClassVar[str] = "transformer"

    def train(self, point: Point, seed: int, watch: Watch) -> Curve:
        """Dropout draws from torch's global generator, which is put back afterwards."""
        begin, losses, diverged = time.perf_counter(), list[float](), False
        guessing = math.log(self.text.distinct)
        with _seeded(2 * seed, self.device):
            for step, loss in self._judged(point, seed):
                losses.append(float(short(loss)))
                blown = step > WARMUP_STEPS and loss > DIVERGED_LOSS * guessing
                diverged = blown or not math.isfinite(loss)
                rate = point.learning_rate * multiplier(step - 1)
                if watch(len(losses), losses[-1], rate) or diverged:
                    break
        return Curve(point, seed, tuple(losses), diverged, time.perf_counter() - begin)

    def _judged(self, point: Point, seed: int) -> Iterator[tuple[int, float]]:
        """Steps done and the held-out loss, every EVERY steps."""
        model = NextCharacter(self.text.distinct, WIDTH, LAYERS, HEADS).to(self.device)
        betas = (point.beta1, BETA2)
        rule = torch.optim.AdamW(model.parameters(), betas=betas, weight_decay=point.weight_decay, fused=True)
        judged = self.text.held_out(JUDGED, self.device)[0]
        batches = self.text.windows(2 * seed + 1, STEPS, WINDOWS, self.device)
        for step, (windows, following) in enumerate(batches, 1):
            rule.param_groups[0]["lr"] = point.learning_rate * multiplier(step - 1)
            loss = _loss(model.train(), windows, following)
            rule.zero_grad(set_to_none=True)
            loss.backward()
            rule.step()
            if step % EVERY == 0:
                with torch.inference_mode():
                    yield step, float(_loss(model.eval(), *judged))

    def about(self) -> dict[str, str]:
        """The text, and how it is computed."""
        return {"data": f"{self.text.name} {self.text.checksum}", "precision": "fp32"}


def _loss(model: torch.nn.Module, windows: Tensor, following: Tensor) -> Tensor:
    return cross_entropy(model(windows).flatten(0, 1), following.flatten())


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generators begin at `seed`, and go on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class ResNet:
    """flatdirs' own network."""

    device: torch.device
    name: ClassVar[str] = "resnet"

    @property
    def task(self) -> ImageTask:
        """conf/task/digits.yaml with other batches, a longer run, and fewer images to judge by."""
        digits = ImageTask(**yaml.safe_load((conf_folder() / "task" / "digits.yaml").read_text(encoding="utf-8")))
        batch, epochs = digits.train_images // STEPS_PER_EPOCH, STEPS // STEPS_PER_EPOCH
        return replace(digits, batch_size=batch, epochs=epochs, validation_images=200)

    def config(self, point: Point, seed: int) -> TrainConfig:
        """The run as flatdirs has it."""
        return TrainConfig(
            task=self.task,
            data=DataConfig(),
            learning_rate=point.learning_rate,
            momentum=None,
            beta1=point.beta1,
            weight_decay=point.weight_decay,
            seed=seed,
            device=str(self.device),
            threads=1,
            schedule=SCHEDULE,
            optimizer=AdamW(beta2=BETA2),
            evaluate_every=EVERY,
        )

    def train(self, point: Point, seed: int, watch: Watch) -> Curve:
        """`flatdirs.training.loop.train`."""
        losses: list[float] = []

        def judged(epoch: Epoch) -> bool:
            losses.append(float(short(epoch.loss)))
            return watch(epoch.number, losses[-1], epoch.learning_rate)

        result = train(self.config(point, seed), judged)
        return Curve(point, seed, tuple(losses), result.diverged, result.seconds)

    def about(self) -> dict[str, str]:
        """The images, and how it is computed."""
        checksum = load(self.task, DataConfig(), self.device).checksum
        return {"data": f"digits {checksum}", "precision": resolve_precision("auto", self.device)}


def subject(name: str, device: str) -> Subject:
    """A subject by its name, on `device` (auto, cpu, cuda …)."""
    return {kind.name: kind for kind in (Transformer, ResNet)}[name](resolve_device(device))  # type: ignore[abstract]
