"""What takes turns, each in a process of its own so that memory and allocator settings stay its own.

`plain` is what a user would write; `flatdirs` is `flatdirs.training.loop.train`, augmentation included; `floor` is the convolutions
of the same steps alone, forward and backward, in flatdirs' precision, layout and threads, with weights cast beforehand. The others
are flatdirs with one thing changed. text.py holds what they are on a text. All do the same number of steps on the same number of images: one piece.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv2d, cross_entropy
from torch.profiler import ProfilerActivity
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.throughput import text
from flatdirs.training import loop
from flatdirs.training.data_files import fixed_order
from flatdirs.training.device import DTYPES, cpu_threads, keep_freed_memory, resolve_precision, synchronize
from flatdirs.training.loop import TrainConfig, train
from flatdirs.training.model import build_model
from flatdirs.training.task import CLASSES, TextTask

MOVES = {"copies, casts, zeros": ["copy", "fill", "zero"]}
KINDS = {  # of work, by parts of the profiler's names in lower case; the first that fits
    **{"convolutions": ["convolution"], "batch norm": ["batch_norm", "batchnorm"]},
    **{"ReLU": ["threshold", "clamp_min", "relu"], "pooling": ["pool", "amax"], "optimizer": ["sgd"], **MOVES},
}
TEXT_KINDS = {
    **{
        "attention": ["attention", "fmha"],
        "matrix products": ["mm", "gemm"],
        "layer norm": ["layer_norm", "layernorm"],
    },
    **{"GELU": ["gelu"], "softmax": ["softmax"], "optimizer": ["adam"], **MOVES},
}


class PlainImages(Dataset[tuple[torch.Tensor, int]]):
    """PIL images through torchvision's transforms, one at a time, as its CIFAR10 class does it."""

    def __init__(self, config: TrainConfig, first: int, count: int, augment: bool) -> None:
        size = config.task.image_size
        with np.load(config.data.path) as file:
            chosen = fixed_order(len(file["x_train"]))[first : first + count]
            images, self.labels = file["x_train"][chosen], file["y_train"].reshape(-1)[chosen]
        factor = images.shape[1] // size
        self.images = images.reshape(count, size, factor, size, factor, 3).mean(axis=(2, 4)).astype(np.uint8)
        plain = [transforms.ToTensor(), transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26))]
        crop = transforms.RandomCrop(size, padding=config.task.pad, padding_mode="reflect")
        blanked = ((config.task.cutout / size) ** 2,) * 2
        blank = transforms.RandomErasing(p=1.0, scale=blanked, ratio=(1.0, 1.0))
        used = [crop, transforms.RandomHorizontalFlip(), *plain, blank] if augment else plain
        self.transform = transforms.Compose([transforms.ToPILImage(), *used])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def plain(config: TrainConfig) -> Callable[[], object]:
    """(a): torchvision transforms, DataLoader with two workers, float32, contiguous, eager, torch's own threads."""
    task, device = config.task, torch.device(config.device)
    usual = multiprocessing.get_all_start_methods()[0]  # what a script would have; this process itself was spawned
    loading = {"num_workers": 2, "pin_memory": device.type == "cuda", "multiprocessing_context": usual}
    training = PlainImages(config, 0, task.train_images, augment=True)
    judged = PlainImages(config, task.train_images, task.validation_images, augment=False)
    loader = DataLoader(training, batch_size=task.batch_size, shuffle=True, drop_last=True, **loading)
    judge = DataLoader(judged, batch_size=512, **loading)
    model = build_model(3, CLASSES, task.width, 0, device).to(memory_format=torch.contiguous_format)
    rates = {"lr": config.lr, "momentum": config.momentum, "weight_decay": config.wd}
    optimizer = torch.optim.SGD(model.parameters(), **rates, nesterov=True)

    def piece() -> None:
        model.train()
        total = hits = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = cross_entropy(model(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            for images, labels in judge if task.validation_images > 1 else ():
                hits += int((model(images.to(device)).argmax(dim=1) == labels.to(device)).sum())

    return piece


def flatdirs(config: TrainConfig, **changed: Any) -> Callable[[], object]:
    """(b): a training run of one epoch, network and optimizer made anew."""
    return lambda: train(replace(config, **changed))


def giving_back(config: TrainConfig) -> Callable[[], object]:
    """flatdirs without `keep_freed_memory`: the C library does as it does by itself."""
    loop.keep_freed_memory = lambda: False
    return flatdirs(config)


def floor(config: TrainConfig) -> Callable[[], object]:
    """(c): the convolutions alone, on random numbers; the network's own images want no gradient."""
    device, task = torch.device(config.device), config.task
    dtype, layers = DTYPES[resolve_precision("auto", device)], []
    if device.type == "cpu":
        keep_freed_memory()

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)

    def keep(module: nn.Module, given: tuple[torch.Tensor], _: object) -> None:
        channels, *size = given[0].shape[1:]
        images = some(task.batch_size, channels, *size).requires_grad_(channels != 3)
        weight = some(*module.weight.shape).requires_grad_()
        layers.append((images, weight, some(task.batch_size, len(weight), *size)))

    model = build_model(3, CLASSES, task.width, 0, device).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep)
    model(torch.zeros(1, 3, task.image_size, task.image_size, device=device))

    def piece() -> None:
        with cpu_threads(task.threads):
            for _ in range(config.steps_per_epoch):
                for images, weight, gradient in layers:
                    wanted = [tensor for tensor in (images, weight) if tensor.requires_grad]
                    torch.autograd.grad(conv2d(images, weight, padding=1), wanted, gradient)
            synchronize(device)

    return piece


CONTESTANTS: dict[str, Callable[[TrainConfig], Callable[[], object]]] = {
    **{"plain": plain, "flatdirs": flatdirs, "floor": floor, "freed memory given back": giving_back},
    "torch.compile": lambda config: flatdirs(config, compile=True),  # the compiling itself falls into the warm-up
    "one thread": lambda config: flatdirs(config, threads=1),
    "two threads": lambda config: flatdirs(config, threads=2),
}


def contestants(config: TrainConfig, quick: bool) -> tuple[str, ...]:
    """All that take turns in a case; `quick` leaves out compiling, which takes a minute."""
    if isinstance(config.task, TextTask):
        return "plain", "flatdirs", "floor"
    device = config.device
    cpu = torch.device(device).type == "cpu"
    compiled = not quick and any(map(shutil.which, ("g++", "clang++", "c++") if cpu else ("gcc", "clang", "cc")))
    return ("plain", "flatdirs", "floor") + ("freed memory given back",) * cpu + ("torch.compile",) * compiled


@cache
def made(name: str, config: TrainConfig) -> Callable[[], object]:
    """This process's contestant."""
    own = {"plain": text.plain, "floor": text.floor} if isinstance(config.task, TextTask) else {}
    return {**CONTESTANTS, **own}[name](config)


def timed(name: str, config: TrainConfig) -> float:
    """Seconds of one piece."""
    piece, begin = made(name, config), time.perf_counter()
    piece()
    synchronize(torch.device(config.device))
    return round(time.perf_counter() - begin, 6)


def peak_megabytes(config: TrainConfig) -> float:
    """The most memory held at a time: on CUDA by tensors, on the CPU by the process, its loader's workers left out."""
    if config.device.startswith("cuda"):
        return round(torch.cuda.max_memory_allocated(config.device) / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)


def profile(config: TrainConfig) -> dict[str, float]:
    """Where one piece's time goes: milliseconds a step by kind of work, "rest" being what no kind claims."""
    cuda = config.device.startswith("cuda")
    kernels = torch.autograd.DeviceType.CUDA if cuda else torch.autograd.DeviceType.CPU
    begin = time.perf_counter()
    with torch.profiler.profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda) as profiler:
        made("flatdirs", config)()
        wall = time.perf_counter() - begin
    kinds = TEXT_KINDS if isinstance(config.task, TextTask) else KINDS
    found = dict.fromkeys(kinds, 0.0)
    for event in profiler.key_averages():
        kind = next((kind for kind, words in kinds.items() if any(word in event.key.lower() for word in words)), None)
        # on CUDA operators report the time of their kernels once more
        if kind is not None and event.device_type == kernels and not event.is_user_annotation:
            microseconds = event.self_device_time_total if cuda else event.self_cpu_time_total
            found[kind] += microseconds / 1e3 / config.steps_per_epoch
    found["rest"] = 1e3 * wall / config.steps_per_epoch - sum(found.values())
    return {kind: round(value, 4) for kind, value in found.items()}
