"""What is trained on what: the plain numbers that name a task, and where its images come from.

`ImageTask` is one file of conf/task/, key by key; `DataConfig` is the `data` block of a configuration. Both are
frozen, know nothing of torch, and refuse values that no run could use, so that a wrong key is a sentence at once and
not a traceback minutes later. Whether the images themselves exist and fit is data.py's question.

Source of the numbers of task=cifar10 (width 64, batch 512, 24 epochs): reference/004.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flatdirs.errors import ConfigError

DATASETS = ("digits", "cifar10", "fashion_mnist")
EVALUATIONS = ("validation", "test", "final")
SMALLEST_IMAGE = 8  # three poolings by two leave one pixel of eight
CLASSES = 10  # every data set here has ten


@dataclass(frozen=True)
class ImageTask:
    """A data set, a network width and a length of training; every field is one key of conf/task/*.yaml.

    Sizes are pixels, counts are images. `pad` is the largest shift in either direction, `cutout` the side of the square
    that is blanked (0 for none), `threads` the CPU threads that suit a network of this size (None: torch's own choice).

    Raises:
        ConfigError: a value outside its range; the sentence names the key.
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
        """Refuse what no run could use."""
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"task.name={self.name!r} must be a word; change task.name")
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
            raise ConfigError(
                f"task.batch_size={self.batch_size} must be at most task.train_images={self.train_images}; "
                "change task.batch_size"
            )

    @property
    def classes(self) -> int:
        """How many classes the images fall into."""
        return CLASSES


@dataclass(frozen=True)
class DataConfig:
    """Where the images lie and which of them judge a run.

    `path` is torchvision's folder or a .npz file (None: the folder "data" in the working directory). `evaluate`
    "validation" holds a part of the training images out, which is what tuning must see; "test" is the source's own
    protocol (reference/004): train on all training images, judge on the test images; "final" trains on what tuning
    trained on and judges on the test images, which is how a winner is confirmed.

    Raises:
        ConfigError: an unknown value; the sentence names the key.
    """

    path: str | None = None
    download: bool = False
    evaluate: str = "validation"

    def __post_init__(self) -> None:
        """Refuse unknown values."""
        if self.path is not None and (not isinstance(self.path, str) or not self.path):
            raise ConfigError(f"data.path={self.path!r} must be a folder, a .npz file or null; change data.path")
        require_boolean("data.download", self.download)
        require_choice("data.evaluate", self.evaluate, EVALUATIONS)


def require_integer(key: str, value: object, least: int, most: int | None = None) -> None:
    """Raise ConfigError naming `key` unless `value` is a whole number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{key}={value} must be a whole number; change {key}")
    if value < least:
        raise ConfigError(f"{key}={value} must be at least {least}; change {key}")
    if most is not None and value > most:
        raise ConfigError(f"{key}={value} must be at most {most}; change {key}")


def require_number(key: str, value: object, least: float, most: float = math.inf) -> None:
    """Raise ConfigError naming `key` unless `value` is a finite number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{key}={value} must be a number; change {key}")
    if not least <= value <= most:
        wanted = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
        raise ConfigError(f"{key}={value} must be {wanted}; change {key}")


def require_boolean(key: str, value: object) -> None:
    """Raise ConfigError naming `key` unless `value` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{key}={value} must be true or false; change {key}")


def require_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ConfigError naming `key` unless `value` is one of `choices`."""
    if value not in choices:
        names = ", ".join(choices[:-1]) + " or " + choices[-1]
        raise ConfigError(f"{key}={value} must be {names}; change {key}")
