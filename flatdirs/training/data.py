"""The images and labels of a task: split, shrunk, normalised and on the device, loaded once per process.

Every run calls `load`, which answers from a small cache after the first call; data_files.py reads the files,
text.py a text. Splits of images are cut by one fixed permutation, not by the seed of a run, so that all runs are
evaluated on the same images. Mean and standard deviation are computed exactly, from integers, so that they do not
depend on the number of threads.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flatdirs.errors import DataError
from flatdirs.training import augment
from flatdirs.training.data_files import Images, Labels, Raw, data_path, fixed_order, read
from flatdirs.training.dataset import Dataset, Split
from flatdirs.training.model import build_model
from flatdirs.training.task import CLASSES, DataConfig, ImageTask, Task, TextTask
from flatdirs.training.text import load_text

KEPT = 2  # data sets that stay loaded: one for tuning, one for the final evaluation
_cache: dict[tuple[object, ...], Dataset] = {}


@dataclass(frozen=True)
class ImageData(Dataset):
    """Images (n, channels, h, w), float32, channels-last, normalised, with labels (n,)."""

    channels: int

    def draw(self, task: Task, generator: torch.Generator) -> augment.Draws:
        assert isinstance(task, ImageTask)
        return augment.draw(task, len(self.train), generator)

    def batch(self, task: Task, draws: augment.Draws, start: int, stop: int) -> tuple[Tensor, Tensor]:
        assert isinstance(task, ImageTask)
        images = augment.apply(self.train.inputs, draws, start, stop, task.cutout)
        return images, self.train.labels[draws.order[start:stop]]

    def model(self, task: Task, seed: int, device: torch.device) -> nn.Module:
        assert isinstance(task, ImageTask)
        return build_model(self.channels, self.classes, task.width, seed, device)


def load(task: Task, data: DataConfig, device: torch.device, base: str | None = None) -> Dataset:
    """Load the images or the text of a task onto `device`; they are the same for every seed.

    `base`: a file of weights from which a network on a text begins.

    Raises:
        DataError: a file is missing or broken, or its content does not fit the task.
        ConfigError: the base does not fit the task.
    """
    if data.text is not None and not isinstance(task, TextTask):
        raise DataError(f"data.text={data.text} has no effect with task={task.name}; remove it", key="data.text")
    if isinstance(task, TextTask) and data.download:
        raise DataError(f"task={task.name} has nothing to download; remove data.download", key="data.download")
    key = _cache_key(task, data, device, base)
    if key not in _cache:
        if isinstance(task, TextTask):
            dataset: Dataset = load_text(task, data, device, base)
        else:
            dataset = _prepare(task, data, read(task, data), device)
        while len(_cache) >= KEPT:
            del _cache[next(iter(_cache))]
        _cache[key] = dataset
    found = _cache[key]
    return found if found.evaluate == data.evaluate else replace(found, evaluate=data.evaluate)


def _cache_key(task: Task, data: DataConfig, device: torch.device, base: str | None) -> tuple[object, ...]:
    """Everything that the tensors depend on, including the age and size of the files."""
    if isinstance(task, TextTask):
        sizes: tuple[object, ...] = ("text", task.shape, task.counts, data.text)
        built_in = data.path is None
    else:
        sizes = (task.dataset, task.image_size, task.train_images, task.validation_images, task.test_images)
        built_in = task.dataset == "digits"
    where = (() if built_in else _file(data_path(data)), None if base is None else _file(Path(base).expanduser()))
    return (*sizes, data.evaluate == "test", where, str(device))


def _file(path: Path) -> tuple[object, ...]:
    state = path.stat() if path.is_file() else None
    return str(path.absolute()), state and state.st_mtime_ns, state and state.st_size


def _prepare(task: ImageTask, data: DataConfig, raw: Raw, device: torch.device) -> ImageData:
    order = fixed_order(len(raw.train_labels))
    train = order[: task.train_images]
    validation = order[task.train_images : task.train_images + task.validation_images]
    if data.evaluate == "test":
        train, validation = np.concatenate([train, validation]), validation[:0]
    train_images = shrink(raw.train_images[train], task.image_size)
    mean, deviation = channel_statistics(train_images)

    def split(images: Images, labels: Labels) -> Split:
        return Split(_normalised(images, mean, deviation, device), torch.from_numpy(labels.copy()).to(device))

    test_images, test_labels = raw.test_images[: task.test_images], raw.test_labels[: task.test_images]
    return ImageData(
        train=split(train_images, raw.train_labels[train]),
        validation=split(shrink(raw.train_images[validation], task.image_size), raw.train_labels[validation]),
        test=split(shrink(test_images, task.image_size), test_labels),
        channels=train_images.shape[3],
        classes=CLASSES,
        evaluate=data.evaluate,
        checksum=_checksum(raw.train_images, raw.train_labels, raw.test_images, raw.test_labels),
    )


def _checksum(*arrays: np.ndarray[Any, Any]) -> str:
    """Eight hexadecimal digits of the CRC-32 of images and labels."""
    total = 0
    for array in arrays:
        total = zlib.crc32(array.tobytes(), total)
    return f"{total:08x}"


def shrink(images: Images, size: int) -> Images:
    """Sum blocks of pixels, (n, h, h, c) → (n, size, size, c); normalisation turns the sums into averages."""
    factor = images.shape[1] // size
    if factor == 1:
        return images
    shrunk = np.zeros((len(images), size, size, images.shape[3]), dtype=np.int32)
    for row in range(factor):
        for column in range(factor):
            shrunk += images[:, row::factor, column::factor]
    return shrunk


def channel_statistics(images: Images) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel of (n, h, w, c), from exact sums; 1 for a constant channel."""
    means, deviations = [], []
    for channel in range(images.shape[3]):
        counts = np.bincount(images[..., channel].reshape(-1))
        values = np.arange(len(counts))
        total, first, second = int(counts.sum()), int(counts @ values), int(counts @ values**2)
        means.append(first / total)
        deviations.append(math.sqrt((second * total - first * first) / total**2) or 1.0)
    return means, deviations


def _normalised(images: Images, mean: list[float], deviation: list[float], device: torch.device) -> Tensor:
    """Integers (n, h, w, c) → float32 (n, c, h, w), channels-last, on the device."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).to(torch.float32)
    pixels -= torch.tensor(mean, device=device)
    pixels /= torch.tensor(deviation, device=device)
    return pixels.permute(0, 3, 1, 2)
