"""Images and labels, decoded, split, normalised and on the device, once per process.

`load` is asked by every run and answers from a small cache after the first. Sources: the digits that scikit-learn
carries along, torchvision's folders (CIFAR-10, Fashion-MNIST), or one .npz file with x_train, y_train, x_test, y_test
(the Keras layout; nothing pickled is opened in it). Whatever is wrong with a file becomes one DataError sentence that
names the key.

Splits are cut by one fixed permutation, never by a run's seed: two runs judged on different images cannot be compared.
Mean and spread are computed from whole numbers, exactly, so the images do not depend on the number of threads that
happened to load them. An image larger than the task's is averaged over blocks of pixels, once, here.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatdirs.errors import DataError
from flatdirs.training.task import CLASSES, DataConfig, ImageTask

CHANNELS = {"digits": 1, "cifar10": 3, "fashion_mnist": 1}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
KEPT = 2  # data sets that stay loaded: a tuning run needs one, a final evaluation another
BROKEN_FILE = (  # what numpy, zipfile, pickle and torchvision raise for files that are cut, garbled or absent
    OSError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    AssertionError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    UnpicklingError,
)
_cache: dict[tuple[object, ...], Dataset] = {}

Images = NDArray[np.integer[Any]]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images (n, channels, h, w), float32, channels-last, normalised; labels (n,), int64; both on the device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """How many images."""
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits. Under data.evaluate=test the validation part is in `train` and `validation` is empty."""

    train: Split
    validation: Split
    test: Split
    channels: int
    classes: int
    evaluate: str

    @property
    def held_out(self) -> Split:
        """The images that judge a run: `validation`, or `test` under data.evaluate=test."""
        return self.test if self.evaluate == "test" else self.validation


@dataclass(frozen=True)
class Raw:
    """What a source holds: images (n, h, w, channels) of whole numbers and labels (n,), in its own order."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


def load(task: ImageTask, data: DataConfig, device: torch.device) -> Dataset:
    """The task's images on `device`, the same for every seed.

    Raises:
        DataError: a file is missing or broken, or its arrays do not fit the task; one sentence with the key to change.
    """
    key = _cache_key(task, data, device)
    if key not in _cache:
        dataset = _prepare(task, data, _read(task, data), device)
        while len(_cache) >= KEPT:
            del _cache[next(iter(_cache))]
        _cache[key] = dataset
    return _cache[key]


def _cache_key(task: ImageTask, data: DataConfig, device: torch.device) -> tuple[object, ...]:
    """Everything the tensors depend on, the file's own age and size included."""
    sizes = (task.image_size, task.train_images, task.validation_images, task.test_images)
    where: tuple[object, ...] = ()
    if task.dataset != "digits":
        path = _path(data).absolute()
        state = path.stat() if path.is_file() else None
        where = (str(path), state and state.st_mtime_ns, state and state.st_size)
    return (task.dataset, *sizes, data.evaluate, *where, str(device))


def _path(data: DataConfig) -> Path:
    return Path(data.path if data.path is not None else "data").expanduser()


def _read(task: ImageTask, data: DataConfig) -> Raw:
    """The source's arrays, whole."""
    if task.dataset == "digits":
        return _read_digits(task)
    path = _path(data)
    if path.is_dir() or (data.download and path.suffix != ".npz"):
        return _read_folder(task, data, path)
    if not path.exists():
        raise DataError(
            f"data.path={path} does not exist; set data.download=true to fetch {task.dataset}, or point data.path to "
            "torchvision's folder or to a .npz file with x_train, y_train, x_test, y_test"
        )
    return _read_npz(task, path)


def _read_digits(task: ImageTask) -> Raw:
    """The 1,797 digits of scikit-learn, 8 × 8, 17 grey levels; a fixed shuffle cuts off the test images.

    The data come sorted by writer, hence the shuffle.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = fixed_order(len(labels))
    cut = len(labels) - task.test_images
    if cut < task.train_images + task.validation_images:
        raise DataError(
            f"digits holds {len(labels)} images, fewer than task.train_images={task.train_images} + "
            f"task.validation_images={task.validation_images} + task.test_images={task.test_images}; lower one of them"
        )
    shaped, targets = images.astype(np.uint8).reshape(-1, 8, 8, 1)[order], labels.astype(np.int64)[order]
    return Raw(shaped[:cut], targets[:cut], shaped[cut:], targets[cut:])


def _read_folder(task: ImageTask, data: DataConfig, path: Path) -> Raw:
    """torchvision's own folder for the data set, fetched first where data.download says so."""
    from torchvision.datasets import CIFAR10, FashionMNIST

    source: Callable[..., Any] = CIFAR10 if task.dataset == "cifar10" else FashionMNIST
    try:
        parts = [source(root=str(path), train=train, download=data.download) for train in (True, False)]
    except BROKEN_FILE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = (
            "check the network, or point data.path to a .npz file"
            if data.download
            else "set data.download=true, or point data.path to a .npz file with x_train, y_train, x_test, y_test"
        )
        raise DataError(f"data.path={path} gives no complete {task.dataset} ({_clip(reason)}); {hint}") from error
    arrays = [array for part in parts for array in (np.asarray(part.data), np.asarray(part.targets))]
    return _checked(task, path, dict(zip(ARRAYS, arrays, strict=True)))


def _read_npz(task: ImageTask, path: Path) -> Raw:
    """One .npz file in the Keras layout."""
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            arrays = {name: file[name] for name in ARRAYS if name not in missing}
    except BROKEN_FILE as error:
        reason = _clip(" ".join(str(error).split()) or type(error).__name__)
        raise DataError(
            f"data.path={path} cannot be read as a .npz file of plain arrays ({reason}); write the file again or change "
            "data.path"
        ) from error
    if missing:
        raise DataError(
            f"data.path={path} lacks {', '.join(missing)}; write the .npz with x_train, y_train, x_test and y_test, or "
            "change data.path"
        )
    return _checked(task, path, arrays)


def _clip(reason: str, most: int = 120) -> str:
    return reason.rstrip(".") if len(reason) <= most else reason[: most - 1] + "…"


def _checked(task: ImageTask, path: Path, arrays: dict[str, NDArray[Any]]) -> Raw:
    """The four arrays with their shapes, types, lengths and label range verified."""
    images = {part: _checked_images(task, path, f"x_{part}", arrays[f"x_{part}"]) for part in ("train", "test")}
    labels = {part: _checked_labels(path, f"y_{part}", arrays[f"y_{part}"]) for part in ("train", "test")}
    needed = {"train": task.train_images + task.validation_images, "test": task.test_images}
    keys = {"train": "task.train_images or task.validation_images", "test": "task.test_images"}
    for part, count in needed.items():
        found, named = len(images[part]), len(labels[part])
        if found != named:
            raise DataError(
                f"data.path={path} holds {found} images in x_{part} but {named} labels in y_{part}; write the file again "
                "or change data.path"
            )
        if found < count:
            raise DataError(
                f"data.path={path} holds {found} images in x_{part}, the task needs {count}; lower {keys[part]} or change "
                "data.path"
            )
    return Raw(images["train"], labels["train"], images["test"], labels["test"])


def _checked_images(task: ImageTask, path: Path, name: str, array: NDArray[Any]) -> Images:
    """(n, h, w, channels), uint8, square, a whole multiple of the task's size."""
    channels, size = CHANNELS[task.dataset], task.image_size
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[3] != channels or images.shape[1] != images.shape[2]:
        shape = f"(n, size, size, {channels})" + (" or (n, size, size)" if channels == 1 else "")
        raise DataError(
            f"data.path={path} holds {name} of shape {array.shape}, {task.dataset} needs {shape}; write "
            "the file again or change data.path"
        )
    if images.dtype != np.uint8:
        raise DataError(
            f"data.path={path} holds {name} of type {array.dtype}, whole numbers 0..255 of type uint8 are needed; write "
            "the file again or change data.path"
        )
    if images.shape[1] < size or images.shape[1] % size:
        raise DataError(
            f"data.path={path} holds {name} of {images.shape[1]} × {images.shape[1]} pixels, which is no multiple of "
            f"task.image_size={size}; change task.image_size or data.path"
        )
    return images


def _checked_labels(path: Path, name: str, array: NDArray[Any]) -> Labels:
    """(n,), int64, every label 0..9."""
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"data.path={path} holds {name} of shape {array.shape} and type {array.dtype}, whole numbers of shape (n,) or "
            "(n, 1) are needed; write the file again or change data.path"
        )
    if labels.size and (labels.min() < 0 or labels.max() >= CLASSES):
        raise DataError(
            f"data.path={path} holds labels {labels.min()}..{labels.max()} in {name}, only 0..{CLASSES - 1} are allowed; "
            "write the file again or change data.path"
        )
    return labels.astype(np.int64)


def fixed_order(count: int) -> NDArray[np.int64]:
    """One permutation of range(count), the same in every run and on every machine (numpy froze this stream)."""
    return np.random.RandomState(0).permutation(count).astype(np.int64)


def _prepare(task: ImageTask, data: DataConfig, raw: Raw, device: torch.device) -> Dataset:
    """Cut the splits, shrink, normalise by the training images' statistics, move to the device."""
    order = fixed_order(len(raw.train_labels))
    train = order[: task.train_images]
    validation = order[task.train_images : task.train_images + task.validation_images]
    if data.evaluate == "test":
        train, validation = np.concatenate([train, validation]), validation[:0]
    test = np.arange(task.test_images)
    train_images = shrink(raw.train_images[train], task.image_size)
    mean, spread = channel_statistics(train_images)

    def split(images: Images, labels: Labels) -> Split:
        return Split(_normalised(images, mean, spread, device), torch.from_numpy(labels).to(device))

    return Dataset(
        train=split(train_images, raw.train_labels[train]),
        validation=split(shrink(raw.train_images[validation], task.image_size), raw.train_labels[validation]),
        test=split(shrink(raw.test_images[test], task.image_size), raw.test_labels[test]),
        channels=train_images.shape[3],
        classes=task.classes,
        evaluate=data.evaluate,
    )


def shrink(images: Images, size: int) -> Images:
    """(n, h, h, c) → (n, size, size, c): the sum over blocks of pixels, which normalising turns into their average."""
    factor = images.shape[1] // size
    if factor == 1:
        return images
    blocks = images.reshape(len(images), size, factor, size, factor, images.shape[3])
    return blocks.sum(axis=(2, 4), dtype=np.int32)


def channel_statistics(images: Images) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel of (n, h, w, c), from exact sums; a flat channel's deviation is 1."""
    means, spreads = [], []
    for channel in range(images.shape[3]):
        counts = np.bincount(images[..., channel].reshape(-1))
        values = np.arange(len(counts))
        total, first, second = int(counts.sum()), int(counts @ values), int(counts @ values**2)
        means.append(first / total)
        spreads.append(math.sqrt((second * total - first * first) / total**2) or 1.0)
    return means, spreads


def _normalised(images: Images, mean: list[float], spread: list[float], device: torch.device) -> Tensor:
    """(n, h, w, c) whole numbers → (n, c, h, w) float32 in channels-last order on the device."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).to(torch.float32)
    pixels -= torch.tensor(mean, device=device)
    pixels /= torch.tensor(spread, device=device)
    return pixels.permute(0, 3, 1, 2)
