"""The models that the finders probe and the grid trains completely; sizes fixed before any rate was tried.

All is a function of the seed (weights 2·seed; order, augmentation, dropout 2·seed + 1): probes begin like complete runs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

from benchmarks.step_sampling.text import NextCharacter, load_text
from flatdirs.resources import conf_folder
from flatdirs.training.data import load
from flatdirs.training.device import DTYPES, resolve_precision
from flatdirs.training.loop import train
from flatdirs.training.model import build_model
from flatdirs.training.optimizer import set_learning_rate
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.schedule import Constant, Triangle
from flatdirs.training.task import DataConfig, ImageTask
from flatdirs.tuning.probing import TaskBatches

SCHEDULES = {"constant": Constant(), "triangle": Triangle()}  # Triangle: 5/24 of the run up, the rest down
Batch = tuple[Tensor, Tensor]
Run = tuple[float, float, bool, int, float]  # accuracy in percent, mean loss, whether it diverged, steps, seconds


def criterion(output: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy: outputs (…, classes), targets (…)."""
    return cross_entropy(output.float().flatten(0, -2), targets.flatten())


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """A batch's loss."""
    return criterion(model(batch[0]), batch[1])


@dataclass(frozen=True)
class Subject:
    """A model to train: `steps` of a complete run, weights by seed, batches by seed; `trainer` replaces ours."""

    name: str
    device: torch.device
    steps: int
    classes: int
    precision: str
    data: str
    model: Callable[[int], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]  # by parameters and lr
    batches: Callable[[int], Iterable[Batch]]
    validation: list[Batch]
    trainer: Callable[[float, str, int], Run] | None = None

    def train_fully(self, rate: float, schedule: str, seed: int) -> Run:
        """One complete run; a run that diverges counts as guessing."""
        accuracy, loss, diverged, *spent = (self.trainer or self._train)(rate, schedule, seed)
        return (100.0 / self.classes if diverged else accuracy, math.inf if diverged else loss, diverged, *spent)

    def _train(self, rate: float, schedule: str, seed: int) -> Run:
        began, steps = time.perf_counter(), 0
        with torch.random.fork_rng():
            torch.manual_seed(2 * seed + 1)
            model = self.model(seed)
            optimizer = self.optimizer(model.parameters(), rate)
            for steps, batch in enumerate(self.batches(seed), 1):
                set_learning_rate(optimizer, rate * SCHEDULES[schedule].multiplier(steps - 1, self.steps, self.steps))
                loss = loss_of(model, batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if not math.isfinite(loss.item()):
                    break
            accuracy, judged = self._judge(model)
        return accuracy, judged, not math.isfinite(judged), steps, time.perf_counter() - began

    @torch.inference_mode()
    def _judge(self, model: nn.Module) -> tuple[float, float]:
        """Accuracy in percent and mean loss over the validation batches."""
        model.eval()
        sums = torch.zeros(2, device=self.device)
        for inputs, targets in self.validation:
            output = model(inputs)
            sums += torch.stack([(output.argmax(dim=-1) == targets).float().mean(), criterion(output, targets)])
        accuracy, loss = (sums / len(self.validation)).tolist()
        return 100.0 * accuracy, loss


def subject(name: str, path: str | None, device: torch.device) -> Subject:
    """A model by name; `path`: CIFAR-10 as one .npz file, None fetches it by torchvision."""
    if name.startswith("transformer"):
        return transformer(name, device, 3200 if name == "transformer_long" else 800)
    task = ImageTask(**yaml.safe_load((conf_folder() / "task" / "cifar10_small.yaml").read_text(encoding="utf-8")))
    sizes = {"epochs": 3, "width": 64, "image_size": 32, "train_images": 3000, "pad": 0, "cutout": 0}
    task = replace(task, name=name, **(sizes if name == "resnet18" else {}))
    return images(task, DataConfig(path=path, download=path is None), device)


def images(task: ImageTask, source: DataConfig, device: torch.device) -> Subject:
    """flatdirs' own network and trainer; for resnet18 torchvision's network, with heavy-ball SGD."""
    dataset, own, precision = load(task, source, device), task.name != "resnet18", resolve_precision("auto", device)
    fixed = {"lr": 1.0, "momentum": 0.9, "wd": 5e-4, "threads": 1, "device": str(device)}
    config = TrainConfig(task=task, data=source, **fixed)

    def model(seed: int) -> nn.Module:
        build = partial(resnet18, weights=None, num_classes=dataset.classes)
        ours = partial(build_model, dataset.channels, dataset.classes, task.width, 2 * seed, device)
        network = ours() if own else seeded(seed, build, device)
        network.forward = torch.autocast(device.type, DTYPES[precision], precision != "fp32")(network.forward)
        return network

    def trainer(rate: float, schedule: str, seed: int) -> Run:
        found = train(replace(config, lr=rate, schedule=SCHEDULES[schedule], seed=seed))
        return found.accuracy, found.loss, found.diverged, found.steps, found.seconds

    optimizer = partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4, nesterov=own, fused=True)
    batches = partial(TaskBatches, task, dataset, size=task.batch_size)
    steps = task.epochs * (task.train_images // task.batch_size)
    data = f"{'CIFAR-10 (JPEG)' if dataset.checksum == '1b9326d1' else task.dataset} {dataset.checksum}"
    ways = (model, optimizer, batches, batches(0).evaluation_set(), trainer if own else None)
    return Subject(task.name, device, steps, dataset.classes, precision, data, *ways)


def transformer(name: str, device: torch.device, steps: int) -> Subject:
    """A causal encoder of two layers, width 64; dropout draws from torch's global generator."""
    text = load_text()
    about = (steps, text.distinct, "fp32", text.data)
    model = partial(seeded, build=lambda: NextCharacter(text.distinct), device=device)
    optimizer = partial(torch.optim.AdamW, weight_decay=0.01, fused=True)
    batches = partial(text.windows, steps=steps, batch_size=32, device=device)
    return Subject(name, device, *about, model, optimizer, batches, text.held_out(32, device))


def seeded(seed: int, build: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    """Initial weights as a function of the seed, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(2 * seed)
        return build().to(device).train()
