"""B steps of batch 1 at rate η against one step of batch B at rate Bη: how far apart do they end?

Reference/002 §2.1 bounds the distance of the two by 2ση√B + η²HB²‖∇L‖ + 4η²HσB^1.5 for Bη ≤ 1/(2H) and argues from the
middle term that the two agree only where the gradient is small, so that early training wants small rates. Here both are
walked from the same weights w, with plain SGD (no momentum, no decay), in float64.

The network must have a loss per example, which batch norm in training mode has not (and with one example of one pixel
it has no variance at all). So it is flatdirs' own network with the statistics of its batch norms frozen at those of the
measured images under w: from there on each is a fixed affine map. All parameters move. L is the mean loss over the
first 300 training images, not augmented; examples are drawn from these with replacement. σ² is the variance of the
examples' gradients at w and H the Hessian's largest |eigenvalue| at w (power iteration): both local, where the source
means bounds over all weights, so its inequality is tested in spirit, not by the letter.

w is the initial one (0 epochs) or that of finished runs of the tuner's trainer, each on its own whole schedule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.batch_scaling.raw import shown
from benchmarks.batch_scaling.walks import (
    BATCH_SIZES,
    DISTANCES,
    DRAWS,
    EPOCHS,
    IMAGES,
    LARGE_RATES,
    SEEDS,
    SETTINGS,
    STATES,
)
from flatdirs.training.data import Split, load
from flatdirs.training.loop import train
from flatdirs.training.model import build_model
from flatdirs.training.records import TrainConfig
from flatdirs.training.task import DataConfig, ImageTask


def measure(task: ImageTask, data: DataConfig) -> None:
    """Everything that is not on file yet for one task."""
    states, distances = STATES.done(), DISTANCES.done()
    for seed in range(SEEDS[task.name]):
        for epochs in EPOCHS[task.name]:
            about = (task.name, seed, epochs)
            cells = [(batch, rate, draw) for rate in LARGE_RATES for batch in BATCH_SIZES for draw in range(DRAWS)]
            todo = [cell for cell in cells if tuple(map(shown, (*about, *cell))) not in distances]
            if not todo and tuple(map(shown, about)) in states:
                continue
            model, images = network_after(task, data, seed, epochs)
            if tuple(map(shown, about)) not in states:
                STATES.append([(*about, *describe(model, images))])
            for batch, rate, draw in todo:
                DISTANCES.append([(*about, batch, rate, draw, *walk(model, images, batch, rate, 1000 * seed + draw))])
            print("distances", *about, flush=True)


def network_after(task: ImageTask, data: DataConfig, seed: int, epochs: int) -> tuple[nn.Module, Split]:
    """The network after a run of so many epochs, statistics frozen, and the images, both in float64 on the CPU."""
    device = torch.device("cpu")
    dataset = load(task, data, device)
    images = dataset.train.images[:IMAGES].double().contiguous(memory_format=torch.channels_last)
    if epochs:
        shorter = dataclasses.replace(task, epochs=epochs)
        result = train(TrainConfig(shorter, data, *SETTINGS, seed=seed, device="cpu", threads=1), keep_model=True)
        assert result.model is not None
        model: nn.Module = result.model.double()
    else:
        model = build_model(dataset.channels, dataset.classes, task.width, 2 * seed, device).double()  # as the trainer
    freeze_statistics(model, images)
    return model, Split(images, dataset.train.labels[:IMAGES])


@torch.no_grad()
def freeze_statistics(model: nn.Module, images: Tensor) -> None:
    """Give every batch norm the statistics of these images under the present weights, for good."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    model(images)
    model.eval()


def gradient(model: nn.Module, split: Split, chosen: Tensor | None = None) -> Tensor:
    """The flat gradient of the mean loss over `chosen` images (indices; None: all)."""
    images, labels = (split.images, split.labels) if chosen is None else (split.images[chosen], split.labels[chosen])
    loss = cross_entropy(model(images), labels)
    return flat(torch.autograd.grad(loss, list(model.parameters())))


def flat(parts: Sequence[Tensor]) -> Tensor:
    """All numbers of all parts in one vector."""
    return torch.cat([part.reshape(-1) for part in parts])


def describe(model: nn.Module, split: Split) -> tuple[float, ...]:
    """Loss, accuracy in percent, ‖∇L‖, σ and H at the present weights."""
    with torch.no_grad():
        logits = model(split.images)
    mean = gradient(model, split)
    examples = torch.arange(len(split)).unsqueeze(1)
    variance = sum(float((gradient(model, split, one) - mean).square().sum()) for one in examples) / len(split)
    accuracy = 100 * float((logits.argmax(dim=1) == split.labels).double().mean())
    loss = float(cross_entropy(logits, split.labels))
    return loss, accuracy, float(mean.norm()), variance**0.5, sharpness(model, split)


def sharpness(model: nn.Module, split: Split, tolerance: float = 0.005, most: int = 100) -> float:
    """The largest |eigenvalue| of the Hessian of the mean loss, until it moves by less than `tolerance` of itself."""
    parameters = list(model.parameters())
    loss = cross_entropy(model(split.images), split.labels)
    slope = flat(torch.autograd.grad(loss, parameters, create_graph=True))
    vector = torch.randn(slope.shape, generator=torch.Generator().manual_seed(0), dtype=slope.dtype)
    before, now = 0.0, 0.0
    for _ in range(most):
        vector = vector / vector.norm()
        vector = flat(torch.autograd.grad(slope, parameters, vector, retain_graph=True))
        before, now = now, float(vector.norm())
        if abs(now - before) <= tolerance * now:
            break
    return now


def walk(model: nn.Module, split: Split, batch: int, large_rate: float, seed: int) -> tuple[float, ...]:
    """Distances of `batch` small steps from one large step, and the lengths of both ways.

    Returns:
        ‖w_small − w_large‖ where both see the same examples, where the large step sees others, ‖w_large − w‖ (same
        examples) and ‖w_small − w‖. The model keeps its weights.
    """
    generator = torch.Generator().manual_seed(seed)
    same, others = torch.randint(len(split), (2, batch), generator=generator)
    start = flat([parameter.detach() for parameter in model.parameters()])
    large = start - large_rate * gradient(model, split, same)
    other_large = start - large_rate * gradient(model, split, others)
    small = start.clone()
    for one in same.unsqueeze(1):
        nn.utils.vector_to_parameters(small, model.parameters())
        small = small - large_rate / batch * gradient(model, split, one)
    nn.utils.vector_to_parameters(start, model.parameters())
    ways = (small - large, small - other_large, large - start, small - start)
    return tuple(float(way.norm()) for way in ways)
