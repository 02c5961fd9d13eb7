"""The settings of an image task and of its data: `ImageTask` is a file of conf/task/, `DataConfig` the `data` block.

Both are frozen and are read without torch. Whether the images exist and fit is checked when they are loaded (data.py).
The numbers of task=cifar10 (width 64, batch 512, 24 epochs) are those of
https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/.
"""

from __future__ import annotations

from dataclasses import dataclass

from flatdirs.setting_checks import require_boolean, require_choice, require_integer, wrong

DATASETS = ("digits", "cifar10", "fashion_mnist")
EVALUATIONS = ("validation", "test", "final")
SMALLEST_IMAGE = 8  # three poolings by two leave one pixel of eight
CLASSES = 10  # of every data set


@dataclass(frozen=True)
class ImageTask:
    """A data set, the width of the network and the length of training.

    Sizes are in pixels, counts in images. `pad` is the largest random shift in either direction, `cutout` the side of
    the blanked square (0: none), `threads` the number of CPU threads (None: torch's choice).

    Raises:
        ConfigError: a value out of range.
    """

    name: str
    dataset: str
    epochs: int
    batch_size: int
    width: int
    image_size: int
    train_images: int
    validation_images: int
    test_images: int
    pad: int = 0
    flip: bool = False
    cutout: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise wrong("task.name", repr(self.name), "must be a word")
        require_choice("task.dataset", self.dataset, DATASETS)
        for key in ("epochs", "batch_size", "width", "train_images", "validation_images", "test_images"):
            require_integer(f"task.{key}", getattr(self, key), 1)
        require_integer("task.image_size", self.image_size, SMALLEST_IMAGE)
        require_integer("task.pad", self.pad, 0, self.image_size - 1)
        require_integer("task.cutout", self.cutout, 0, self.image_size)
        require_boolean("task.flip", self.flip)
        if self.threads is not None:
            require_integer("task.threads", self.threads, 1, 1024)
        if self.batch_size > self.train_images:
            raise wrong("task.batch_size", self.batch_size, f"must be at most task.train_images={self.train_images}")

    @property
    def classes(self) -> int:
        return CLASSES


@dataclass(frozen=True)
class DataConfig:
    """Where the images are and which of them evaluate a run.

    `path` is torchvision's folder or a .npz file (None: ./data). `evaluate`: "validation" holds a validation set out
    of the training images; "test" trains on all training images and evaluates on the test set, as Myrtle does; "final"
    trains on the same images as "validation" and evaluates on the test set, as the race at the end of a search does.

    Raises:
        ConfigError: an unknown value.
    """

    path: str | None = None
    download: bool = False
    evaluate: str = "validation"

    def __post_init__(self) -> None:
        if self.path is not None and (not isinstance(self.path, str) or not self.path):
            raise wrong("data.path", repr(self.path), "must be a folder, a .npz file or null")
        require_boolean("data.download", self.download)
        require_choice("data.evaluate", self.evaluate, EVALUATIONS)
