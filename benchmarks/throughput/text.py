"""The contestants on a text: the loop that a user would write, and the matrix products of its steps alone.

The loop is that of nanoGPT (https://github.com/karpathy/nanoGPT), with flatdirs' network: random windows stacked on the CPU, float32,
`torch.optim.AdamW`, clipped gradients, the loss of every step fetched. All use the task's number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear

from flatdirs.training.data import load
from flatdirs.training.device import DTYPES, cpu_threads, keep_freed_memory, resolve_precision, synchronize
from flatdirs.training.loop import TrainConfig


def plain(config: TrainConfig) -> Callable[[], object]:
    """(a): one epoch of steps and one evaluation."""
    task, device = config.task, torch.device(config.device)
    dataset = load(task, config.data, torch.device("cpu"))
    model = dataset.model(task, 0, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.wd)
    codes, judged = dataset.ring, dataset.evaluation_set

    def windows() -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(codes) - task.context, (task.batch_size,))
        inputs, labels = (torch.stack([codes[i + by : i + by + task.context] for i in starts]) for by in (0, 1))
        return inputs.to(device), labels.to(device)

    def loss_of(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(model(inputs).flatten(0, 1), labels.flatten())

    def piece() -> None:
        model.train()
        total = 0.0
        for _ in range(config.steps_per_epoch):
            inputs, labels = windows()
            optimizer.zero_grad()
            loss = loss_of(inputs, labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            parts = zip(judged.inputs.split(task.batch_size), judged.labels.split(task.batch_size), strict=True)
            total = sum(loss_of(inputs.to(device), labels.to(device)).item() for inputs, labels in parts)

    def with_threads() -> None:
        with cpu_threads(task.threads):
            piece()

    return with_threads


def floor(config: TrainConfig) -> Callable[[], object]:
    """(c): the products with all weight matrices, forward and backward, on random numbers; attention is left out."""
    device, task = torch.device(config.device), config.task
    dtype, layers = DTYPES[resolve_precision("auto", device)], []
    if device.type == "cpu":
        keep_freed_memory()
    rows = task.batch_size * task.context

    def some(*shape: int, wanted: bool = False) -> torch.Tensor:
        return torch.randn(shape, dtype=dtype, device=device, requires_grad=wanted)

    model: Any = load(task, config.data, device).model(task, 0, device)
    matrices = [part.weight for part in model.modules() if isinstance(part, nn.Linear)]
    for weight in (*matrices, model.embedding.weight):  # the embedding once more as the head
        outputs, inputs = weight.shape
        layers.append((some(rows, inputs, wanted=True), some(outputs, inputs, wanted=True), some(rows, outputs)))

    def piece() -> None:
        with cpu_threads(task.threads):
            for _ in range(config.steps_per_epoch):
                for inputs, weight, gradient in layers:
                    torch.autograd.grad(linear(inputs, weight), (inputs, weight), gradient)
            synchronize(device)

    return piece
