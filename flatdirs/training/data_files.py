"""Read and check image files; no other module opens a data file.

There are three sources: the digits that come with scikit-learn, torchvision's folders (CIFAR-10, Fashion-MNIST), and a
.npz file with x_train, y_train, x_test, y_test (the layout of Keras; pickled arrays are refused). A broken file is a
DataError that names the setting to change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatdirs.errors import DataError
from flatdirs.training.task import CLASSES, DataConfig, ImageTask

CHANNELS = {"digits": 1, "cifar10": 3, "fashion_mnist": 1}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
Images = NDArray[np.integer[Any]]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Raw:
    """Integer images (n, h, w, channels) and labels (n,), in the order of the source."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


def read(task: ImageTask, data: DataConfig) -> Raw:
    """Read all images of the task's source, at least as many as the task needs.

    Raises:
        DataError: a file is missing or broken, or its arrays do not fit the task.
    """
    if task.dataset == "digits":
        return _read_digits(task)
    path = data_path(data)
    if path.is_dir() or (data.download and path.suffix != ".npz"):
        return _read_folder(task, data, path)
    if not path.exists():
        raise DataError(
            f"data.path={path} does not exist; set data.download=true to fetch {task.dataset} into a folder, or "
            "point data.path to torchvision's folder or to a .npz file with x_train, y_train, x_test, y_test",
            key="data.path",
        )
    return _read_npz(task, path)


def data_path(data: DataConfig) -> Path:
    """data.path, or ./data."""
    return Path(data.path if data.path is not None else "data").expanduser()


def fixed_order(count: int) -> NDArray[np.int64]:
    """One permutation of range(count), the same on every machine (NumPy keeps the stream of RandomState)."""
    return np.random.RandomState(0).permutation(count).astype(np.int64)


def _read_digits(task: ImageTask) -> Raw:
    """The 1,797 digits of scikit-learn, 8 × 8. They are sorted by writer, hence shuffled before they are split."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    cut = len(labels) - task.test_images
    if cut < task.train_images + task.validation_images:
        raise DataError(
            f"digits holds {len(labels)} images, fewer than task.train_images={task.train_images} + "
            f"task.validation_images={task.validation_images} + task.test_images={task.test_images}; lower one of them",
            key="task.train_images",
        )
    if task.image_size != 8:
        raise DataError(
            f"digits holds images of 8 × 8 pixels, not task.image_size={task.image_size}; set task.image_size=8",
            key="task.image_size",
        )
    order = fixed_order(len(labels))
    shaped, targets = images.astype(np.uint8).reshape(-1, 8, 8, 1)[order], labels.astype(np.int64)[order]
    return Raw(shaped[:cut], targets[:cut], shaped[cut:], targets[cut:])


def _read_folder(task: ImageTask, data: DataConfig, path: Path) -> Raw:
    """torchvision's folder of the data set, downloaded first with data.download."""
    from torchvision.datasets import CIFAR10, FashionMNIST

    source: Callable[..., Any] = CIFAR10 if task.dataset == "cifar10" else FashionMNIST
    try:
        parts = [source(root=str(path), train=train, download=data.download) for train in (True, False)]
        arrays = [np.asarray(array) for part in parts for array in (part.data, part.targets)]
    except Exception as error:  # zipfile, pickle, NumPy and torchvision raise many kinds
        remedy = "check the network" if data.download else "set data.download=true to fetch it"
        raise DataError(
            f"data.path={path} holds no complete {task.dataset} ({_reason(error)}); {remedy}, or point data.path to a "
            ".npz file with x_train, y_train, x_test, y_test",
            key="data.path",
        ) from error
    return _checked(task, path, dict(zip(ARRAYS, arrays, strict=True)))


def _read_npz(task: ImageTask, path: Path) -> Raw:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            arrays = {name: file[name] for name in ARRAYS if name not in missing}
    except Exception as error:  # zipfile, pickle, NumPy and torchvision raise many kinds
        raise _unfit(path, f"cannot be read as a .npz file of plain arrays ({_reason(error)})") from error
    if missing:
        raise _unfit(path, f"lacks {', '.join(missing)} of x_train, y_train, x_test and y_test")
    return _checked(task, path, arrays)


def _reason(error: BaseException, most: int = 120) -> str:
    """The message of an error, on one line of at most `most` characters."""
    words = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
    return words if len(words) <= most else words[: most - 1] + "…"


def _unfit(path: Path, problem: str) -> DataError:
    return DataError(f"data.path={path} {problem}; write the file again or change data.path", key="data.path")


def _checked(task: ImageTask, path: Path, arrays: dict[str, NDArray[Any]]) -> Raw:
    images = {part: _checked_images(task, path, f"x_{part}", arrays[f"x_{part}"]) for part in ("train", "test")}
    labels = {part: _checked_labels(path, f"y_{part}", arrays[f"y_{part}"]) for part in ("train", "test")}
    needed = {"train": task.train_images + task.validation_images, "test": task.test_images}
    keys = {"train": "task.train_images or task.validation_images", "test": "task.test_images"}
    for part, count in needed.items():
        found, named = len(images[part]), len(labels[part])
        if found != named:
            raise _unfit(path, f"holds {found} images in x_{part} but {named} labels in y_{part}")
        if found < count:
            raise DataError(
                f"data.path={path} holds {found} images in x_{part}, the task needs {count}; lower {keys[part]} or "
                "change data.path",
                key="data.path",
            )
    if images["train"].shape[1:] != images["test"].shape[1:]:
        shapes = " and ".join(f"{images[part].shape[1:]} in x_{part}" for part in ("train", "test"))
        raise _unfit(path, f"holds images of {shapes}")
    return Raw(images["train"], labels["train"], images["test"], labels["test"])


def _checked_images(task: ImageTask, path: Path, name: str, array: NDArray[Any]) -> Images:
    """(n, h, h, channels) of type uint8, h a whole multiple of the task's size."""
    channels, size = CHANNELS[task.dataset], task.image_size
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[3] != channels or images.shape[1] != images.shape[2]:
        wanted = f"(n, size, size, {channels})" + (" or (n, size, size)" if channels == 1 else "")
        raise _unfit(path, f"holds {name} of shape {array.shape} where {task.dataset} needs {wanted}")
    if images.dtype != np.uint8:
        raise _unfit(path, f"holds {name} of type {array.dtype} where uint8 (0..255) is needed")
    if images.shape[1] < size or images.shape[1] % size:
        raise DataError(
            f"data.path={path} holds {name} of {images.shape[1]} × {images.shape[1]} pixels, no multiple of "
            f"task.image_size={size}; change task.image_size or data.path",
            key="data.path",
        )
    return images


def _checked_labels(path: Path, name: str, array: NDArray[Any]) -> Labels:
    """(n,) of type int64, every label 0..9."""
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        found = f"shape {array.shape} and type {array.dtype}"
        raise _unfit(path, f"holds {name} of {found} where whole numbers of shape (n,) or (n, 1) are needed")
    if labels.size and (labels.min() < 0 or labels.max() >= CLASSES):
        raise _unfit(path, f"holds labels {labels.min()}..{labels.max()} in {name} where 0..{CLASSES - 1} are allowed")
    return labels.astype(np.int64)
