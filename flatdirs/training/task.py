"""The settings of an image task and of its data: `ImageTask` is a file of conf/task/, `DataConfig` the `data` block.

Both are frozen and are read without torch. Whether the images exist and fit is checked when they are loaded (data.py).
The numbers of task=cifar10 (width 64, batch 512, 24 epochs) are those of
https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/.
"""

from __future__ import annotations

from dataclasses import dataclass

from flatdirs.setting_checks import require_boolean, require_choice, require_integer, wrong

DATASETS = ("digits", "cifar10", "fashion_mnist")
TEXTS = ("documentation", "source")  # that come with Python
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

    def examples(self, evaluate: str) -> int:
        """The number of training images, with data.evaluate=test including the validation set."""
        return self.train_images + (self.validation_images if evaluate == "test" else 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """What a network depends on beside its data."""
        return (self.width,)


@dataclass(frozen=True)
class TextTask:
    """The size of a GPT that predicts the next character, and the length of training; an example is a window of text.

    `batch_size` is in windows of `context` characters, `width`, `depth` and `heads` are those of the network (gpt.py).
    Counts are in characters that are predicted.

    Raises:
        ConfigError: a value out of range.
    """

    name: str
    epochs: int
    batch_size: int
    context: int
    width: int
    depth: int
    heads: int
    train_characters: int
    validation_characters: int
    test_characters: int
    threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise wrong("task.name", repr(self.name), "must be a word")
        for key in ("epochs", "batch_size", "context", "width", "depth", "heads"):
            require_integer(f"task.{key}", getattr(self, key), 1)
        for key in ("train_characters", "validation_characters", "test_characters"):
            require_integer(f"task.{key}", getattr(self, key), self.context)
        if self.width % self.heads:
            raise wrong("task.heads", self.heads, f"must divide task.width={self.width}")
        if self.threads is not None:
            require_integer("task.threads", self.threads, 1, 1024)
        if self.batch_size > (windows := self.examples("validation")):
            problem = f"must be at most {windows}, the windows in task.train_characters={self.train_characters}"
            raise wrong("task.batch_size", self.batch_size, problem)

    def examples(self, evaluate: str) -> int:
        """The number of training windows, with data.evaluate=test including those of the validation part."""
        validation = self.validation_characters if evaluate == "test" else 0
        return (self.train_characters + validation) // self.context

    @property
    def counts(self) -> tuple[int, int, int]:
        """Characters to train on, to validate with and to test with."""
        return self.train_characters, self.validation_characters, self.test_characters

    @property
    def shape(self) -> tuple[int, ...]:
        """What a network depends on beside its data."""
        return self.context, self.width, self.depth, self.heads


Task = ImageTask | TextTask


def batch_sizes(task: object) -> tuple[float, float] | None:
    """The smallest and largest batch that a search may try; None for a task that the trainer does not know.

    Batch norm needs two images.
    """
    if not isinstance(task, Task):
        return None
    return (2.0 if isinstance(task, ImageTask) else 1.0), float(task.examples("validation"))


@dataclass(frozen=True)
class DataConfig:
    """Where the images are and which of them evaluate a run.

    `path` is torchvision's folder or a .npz file (None: ./data). `evaluate`: "validation" holds a validation set out
    of the training images; "test" trains on all training images and evaluates on the test set, as Myrtle does; "final"
    trains on the same images as "validation" and evaluates on the test set, as the race at the end of a search does.
    `text`: one of TEXTS for a text without a path (None: the first).

    Raises:
        ConfigError: an unknown value.
    """

    path: str | None = None
    download: bool = False
    evaluate: str = "validation"
    text: str | None = None

    def __post_init__(self) -> None:
        if self.path is not None and (not isinstance(self.path, str) or not self.path):
            raise wrong("data.path", repr(self.path), "must be a folder, a .npz file or null")
        require_boolean("data.download", self.download)
        require_choice("data.evaluate", self.evaluate, EVALUATIONS)
        if self.text is not None:
            require_choice("data.text", self.text, TEXTS)
            if self.path is not None:
                raise wrong("data.text", self.text, "has no effect with data.path", remedy="remove one of them")
