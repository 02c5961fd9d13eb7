"""A text as characters: the reference that comes with every Python (`help("for")` and so on), or a file of the user's.

The text is cut once: the first characters train, the next ones validate, those after them test, for every seed. The
training part is a ring, cut into windows side by side from another character on in every epoch. The built-in text
differs between Python versions; its checksum is part of a study's identity.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from flatdirs.errors import DataError
from flatdirs.training.augment import Draws
from flatdirs.training.data_files import data_path
from flatdirs.training.dataset import Dataset, Split
from flatdirs.training.gpt import build_gpt
from flatdirs.training.task import DataConfig, Task, TextTask


@dataclass(frozen=True)
class TextData(Dataset):
    """Windows (n, context) of character codes, with the characters that follow as labels (n, context)."""

    ring: Tensor  # the training part as codes (characters,)

    def draw(self, task: Task, generator: torch.Generator) -> Draws:
        """The first character of every window: the windows in random order, all moved by the same random offset."""
        count, context = self.train.inputs.shape
        order = torch.randperm(count, generator=generator, device=generator.device)
        offset = torch.randint(0, len(self.ring), (1,), generator=generator, device=generator.device)
        return Draws(order * context + offset)

    def batch(self, task: Task, draws: Draws, start: int, stop: int) -> tuple[Tensor, Tensor]:
        reach = torch.arange(self.train.inputs.shape[1] + 1, device=self.ring.device)
        windows = self.ring[(draws.order[start:stop].unsqueeze(1) + reach) % len(self.ring)]
        return windows[:, :-1], windows[:, 1:]

    def model(self, task: Task, seed: int, device: torch.device) -> nn.Module:
        assert isinstance(task, TextTask)
        return build_gpt(self.classes, task.context, task.width, task.depth, task.heads, seed, device)


def load_text(task: TextTask, data: DataConfig, device: torch.device) -> TextData:
    """Read, encode and cut the text of a task. Raises DataError if there is none or too little of it."""
    text = builtin_text() if data.path is None else _read_file(data)
    _check_length(text, task)
    train, validation, test = task.counts
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    alphabet, found = np.unique(points, return_inverse=True)
    codes = torch.from_numpy(found.astype(np.int64)).to(device)
    if data.evaluate == "test":
        train, validation = train + validation, 0
    ends = (0, train, train + validation, train + validation + test)
    training, validating, testing = (_windows(codes[start : stop + 1], task.context) for start, stop in pairwise(ends))
    return TextData(
        training, validating, testing, len(alphabet), data.evaluate, f"{zlib.crc32(text.encode()):08x}", codes[:train]
    )


def builtin_text() -> str:
    """All topics of Python's help, one after another: 465,000 characters in Python 3.11."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _read_file(data: DataConfig) -> str:
    path = data_path(data)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(
            f"data.path={path} cannot be read ({reason}); point it to a text file", key="data.path"
        ) from error


def _check_length(text: str, task: TextTask) -> None:
    """Raise DataError unless a text has two characters to tell apart, and enough of them for a task."""
    if len(set(text)) < 2:
        problem = f"the text in data.path consists of {'one character' if text else 'nothing'}"
        raise DataError(f"{problem}; point it to a text with more of them", key="data.path")
    if len(text) <= 3 * task.context:
        raise DataError(
            f"task.context={task.context} is too long for a text of {len(text)} characters, whose three parts hold a "
            f"window each and whose last window has a character behind it; lower it to at most {(len(text) - 1) // 3}",
            key="task.context",
        )
    if len(text) <= sum(task.counts):
        train, validation, test = task.counts
        raise DataError(
            f"the text has {len(text)} characters, not more than task.train_characters={train} + "
            f"task.validation_characters={validation} + task.test_characters={test}; lower them",
            key="task.train_characters",
        )


def _windows(codes: Tensor, context: int) -> Split:
    """Whole windows side by side: codes (n + 1,) → inputs and labels (n // context, context)."""
    count = (len(codes) - 1) // context
    return Split(codes[: count * context].view(count, context), codes[1 : count * context + 1].view(count, context))
