"""Those that take turns, each in a process of its own so that memory and allocator settings stay its own.

`plain` is what a user would write; `flatdirs` is `flatdirs.training.loop.train`, augmentation included; `floor` is the
convolutions of the same steps and nothing else, forward and backward, in flatdirs' precision, layout and threads, with
weights cast beforehand. `levers` are flatdirs with one thing done differently. A piece is the same number of steps on the same number of images for all three. `serve` is a
process: it warms up, says so, and answers every order with the seconds it took.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy
from torch.utils.data import DataLoader, Dataset

from flatdirs.training import loop
from flatdirs.training.data_files import fixed_order
from flatdirs.training.device import (
    DTYPES,
    cpu_threads,
    keep_freed_memory,
    resolve_device,
    resolve_precision,
    synchronize,
)
from flatdirs.training.loop import TrainConfig, train
from flatdirs.training.model import build_model
from flatdirs.training.task import CLASSES, DataConfig, ImageTask

RATES = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
GROUPS = {  # of the profiler's names; the first that fits
    "convolution": "convolutions",
    "batch_norm": "batch norm",
    "BatchNorm": "batch norm",
    "threshold": "ReLU",
    "clamp_min": "ReLU",
    "relu": "ReLU",
    "Relu": "ReLU",
    "pool": "pooling",
    "amax": "pooling",
    "MaxPool": "pooling",
    "sgd": "optimizer",
    "SGD": "optimizer",
    "copy": "copies, casts, zeros",
    "fill": "copies, casts, zeros",
    "zero": "copies, casts, zeros",
}


@dataclass(frozen=True)
class Case:
    """One network on one kind of image; `steps` of `task.batch_size` images make a piece, then `judged` are judged."""

    name: str
    task: ImageTask
    path: str
    device: str

    @property
    def steps(self) -> int:
        """Steps of a piece."""
        return self.task.train_images // self.task.batch_size

    def config(self, threads: int | None = None) -> TrainConfig:
        """One epoch, which is one piece."""
        return TrainConfig(self.task, DataConfig(path=self.path), **RATES, device=self.device, threads=threads)


class PlainImages(Dataset[tuple[Tensor, int]]):
    """PIL images through torchvision's transforms, one at a time, as its CIFAR10 class does it."""

    def __init__(self, case: Case, part: slice, augment: bool) -> None:
        from torchvision import transforms

        task = case.task
        with np.load(case.path) as file:
            chosen = fixed_order(len(file["x_train"]))[part]
            images, self.labels = file["x_train"][chosen], file["y_train"].reshape(-1)[chosen]
        factor = images.shape[1] // task.image_size
        blocks = images.reshape(len(images), task.image_size, factor, task.image_size, factor, 3)
        self.images = blocks.mean(axis=(2, 4)).astype(np.uint8)
        plain = [transforms.ToTensor(), transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26))]
        crop = [transforms.RandomCrop(task.image_size, padding=task.pad, padding_mode="reflect")]
        crop += [transforms.RandomHorizontalFlip()]
        part_blanked = (task.cutout / task.image_size) ** 2
        blank = [transforms.RandomErasing(p=1.0, scale=(part_blanked, part_blanked), ratio=(1.0, 1.0))]
        self.transform = transforms.Compose([*crop, *plain, *blank] if augment else plain)

    def __len__(self) -> int:
        """How many images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One transformed image and its label."""
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def plain(case: Case) -> Callable[[], object]:
    """(a): torchvision transforms, DataLoader with two workers, float32, contiguous, eager, torch's own threads."""
    task, device = case.task, torch.device(case.device)
    usual = multiprocessing.get_all_start_methods()[0]  # what a script would have; this process itself was spawned
    loader_of: dict[str, Any] = {
        "num_workers": 2,
        "pin_memory": device.type == "cuda",
        "multiprocessing_context": usual,
    }
    training = PlainImages(case, slice(0, task.train_images), augment=True)
    loader = DataLoader(training, batch_size=task.batch_size, shuffle=True, drop_last=True, **loader_of)
    judged = PlainImages(case, slice(task.train_images, task.train_images + task.validation_images), augment=False)
    judge = DataLoader(judged, batch_size=512, **loader_of)
    model = build_model(3, CLASSES, task.width, 0, device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=RATES["learning_rate"],
        momentum=RATES["momentum"],
        weight_decay=RATES["weight_decay"],
        nesterov=True,
    )

    def piece() -> None:
        model.train()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = cross_entropy(model(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        hits = 0
        with torch.no_grad():
            for images, labels in judge if task.validation_images > 1 else ():
                hits += int((model(images.to(device)).argmax(dim=1) == labels.to(device)).sum())

    return piece


def flatdirs(case: Case, threads: int | None = None) -> Callable[[], object]:
    """(b): a training run of one epoch, network and optimizer made anew."""
    config = case.config(threads)
    return lambda: train(config)


def giving_back(case: Case) -> Callable[[], object]:
    """flatdirs without `keep_freed_memory`: the C library does as it does by itself."""
    loop.keep_freed_memory = lambda: False
    return flatdirs(case)


def compiled(case: Case) -> Callable[[], object]:
    """flatdirs with compile=true; the compiling itself falls into the warm-up."""
    config = replace(case.config(), compile=True)
    return lambda: train(config)


def levers(device: str, quick: bool) -> tuple[str, ...]:
    """What can be done differently on this device and machine; `quick` leaves out compiling, which takes a minute."""
    cpu = torch.device(device).type == "cpu"
    can_compile = not quick and any(
        shutil.which(name) for name in (("g++", "clang++", "c++") if cpu else ("gcc", "clang", "cc"))
    )
    return (("freed memory given back",) if cpu else ()) + (("torch.compile",) if can_compile else ())


def floor(case: Case) -> Callable[[], object]:
    """(c): the convolutions alone."""
    device, task = resolve_device(case.device), case.task
    dtype = DTYPES[resolve_precision("auto", device)]
    if device.type == "cpu":
        keep_freed_memory()
    layers = [_layer(*shapes, dtype, device) for shapes in _convolutions(task, device)]

    def piece() -> None:
        with cpu_threads(task.threads):
            for _ in range(case.steps):
                for images, weight, gradient in layers:
                    wanted = [tensor for tensor in (images, weight) if tensor.requires_grad]
                    torch.autograd.grad(conv2d(images, weight, padding=1), wanted, gradient)
            synchronize(device)

    return piece


def _convolutions(task: ImageTask, device: torch.device) -> list[tuple[torch.Size, torch.Size]]:
    """Input and weight shapes of every convolution of one step, in order."""
    shapes = []
    model = build_model(3, CLASSES, task.width, 0, device).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, given, _: shapes.append((given[0].shape[1:], m.weight.shape)))
    with torch.inference_mode():
        model(torch.zeros(1, 3, task.image_size, task.image_size, device=device))
    return [(torch.Size((task.batch_size, *images)), weight) for images, weight in shapes]


def _layer(
    images: torch.Size, weight: torch.Size, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Random input (no gradient wanted for the network's own images), weight and output gradient."""

    def some(shape: tuple[int, ...]) -> Tensor:
        drawn = torch.randn(shape, dtype=dtype, device=device)
        return drawn.contiguous(memory_format=torch.channels_last)

    first = images[1] == 3
    return (
        some(images).requires_grad_(not first),
        some(weight).requires_grad_(),
        some((images[0], weight[0], *images[2:])),
    )


CONTESTANTS: dict[str, Callable[[Case], Callable[[], object]]] = {
    "plain": plain,
    "flatdirs": flatdirs,
    "floor": floor,
    "freed memory given back": giving_back,
    "torch.compile": compiled,
    "one thread": lambda case: flatdirs(case, 1),
    "two threads": lambda case: flatdirs(case, 2),
}


def serve(name: str, case: Case, pipe: Connection) -> None:
    """A contestant's process: warm up, then do as told until told to stop. Orders: go, peak, startup, profile, stop."""
    piece = CONTESTANTS[name](case)
    device = torch.device(case.device)
    piece()
    pipe.send("ready")
    while (order := pipe.recv()) != "stop":
        begin = time.perf_counter()
        if order == "go":
            piece()
            synchronize(device)
            pipe.send(time.perf_counter() - begin)
        else:
            pipe.send({"peak": peak_megabytes, "startup": startup, "profile": profile}[order](case))


def peak_megabytes(case: Case) -> float:
    """The most memory held at a time: on CUDA by tensors, on the CPU by the process, its loader's workers left out."""
    if case.device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(case.device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def startup(case: Case, rounds: int = 20) -> list[float]:
    """Milliseconds that a further run of one step takes beyond a step: building, first step, judging one image."""
    whole = train(case.config())
    step = whole.epochs[0].seconds / whole.steps
    short = replace(case.task, train_images=case.task.batch_size, validation_images=1)
    config = replace(case.config(), task=short)
    train(config)
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        train(config)
        times.append(1e3 * (time.perf_counter() - begin - step))
    return times


def profile(case: Case) -> dict[str, float]:
    """Where one piece's time goes: milliseconds a step by kind of work, "rest" being what no kind claims."""
    cuda = case.device.startswith("cuda")
    kinds = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * cuda
    begin = time.perf_counter()
    with torch.profiler.profile(activities=kinds) as profiler:
        train(case.config())
        wall = time.perf_counter() - begin
    found = dict.fromkeys(dict.fromkeys(GROUPS.values()), 0.0)
    kernels = torch.autograd.DeviceType.CUDA if cuda else torch.autograd.DeviceType.CPU
    for event in profiler.key_averages():
        if event.device_type != kernels or event.is_user_annotation:
            continue  # on CUDA, operators tell their kernels' time once more
        microseconds = event.self_device_time_total if cuda else event.self_cpu_time_total
        kind = next((kind for word, kind in GROUPS.items() if word in event.key), None)
        if kind is not None:
            found[kind] += microseconds / 1e3 / case.steps
    return {**found, "rest": 1e3 * wall / case.steps - sum(found.values())}


def make_images(path: Path, count: int, size: int) -> None:
    """A .npz file of synthetic images: random uint8 pixels and labels, for speed alone."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, images in (("train", count), ("test", 16)):
        arrays[f"x_{part}"] = random.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = random.integers(0, CLASSES, images)
    np.savez(path, **arrays)
