"""A text as characters: one that comes with every Python, or a file of the user's.

The two are the help topics (`help("for")` and so on) and the source of a few modules. The text is cut once: the first
characters train, the next ones validate, those after them test, for every seed. The training part is a ring, cut into
windows side by side from another character on in every epoch. The built-in texts differ between Python versions; the
checksum of a text is part of a study's identity. With a base, weights that `train save=` has written, the text has the
characters of the base.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from flatdirs.errors import DataError
from flatdirs.setting_checks import wrong
from flatdirs.training.augment import Draws
from flatdirs.training.data_files import data_path
from flatdirs.training.dataset import Dataset, Split
from flatdirs.training.gpt import build_gpt
from flatdirs.training.task import TEXTS, DataConfig, Task, TextTask

DOCUMENTATION = TEXTS[0]
SOURCES = ("argparse", "inspect", "tarfile", "typing")


@dataclass(frozen=True)
class TextData(Dataset):
    """Windows (n, context) of character codes, with the characters that follow as labels (n, context)."""

    ring: Tensor  # the training part as codes (characters,)
    alphabet: Tensor  # the code points of all characters (classes,)
    base: Mapping[str, Tensor] | None = None  # weights to begin from

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
        model = build_gpt(self.classes, task.context, task.width, task.depth, task.heads, seed, device)
        if self.base is None:
            model.alphabet.copy_(self.alphabet)
        else:
            model.load_state_dict(self.base)
        return model


def load_text(task: TextTask, data: DataConfig, device: torch.device, base: str | None = None) -> TextData:
    """Read, encode and cut the text of a task; `base` is a file of weights to begin from.

    Raises:
        DataError: there is no text or too little of it, or it has characters that the base has not.
        ConfigError: the base cannot be read or is of another task.
    """
    text = BUILT_IN[data.text or DOCUMENTATION]() if data.path is None else _read_file(data)
    _check_length(text, task)
    weights = None if base is None else read_base(base, task, device)
    train, validation, test = task.counts
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    alphabet, found = np.unique(points, return_inverse=True)
    if weights is not None:
        known = weights["alphabet"].cpu().numpy()
        if strange := [chr(one) for one in alphabet if one not in known]:
            raise DataError(
                f"the text has characters that base={base} has not ({', '.join(map(repr, strange[:5]))}); remove them "
                "from the text, or train a base on a text that has them",
                key="data.path",
            )
        alphabet, found = known, np.searchsorted(known, points)
    codes = torch.from_numpy(found.astype(np.int64)).to(device)
    if data.evaluate == "test":
        train, validation = train + validation, 0
    ends = (0, train, train + validation, train + validation + test)
    training, validating, testing = (_windows(codes[start : stop + 1], task.context) for start, stop in pairwise(ends))
    checksum = zlib.crc32(b"" if base is None else Path(base).expanduser().read_bytes(), zlib.crc32(text.encode()))
    return TextData(
        training,
        validating,
        testing,
        len(alphabet),
        data.evaluate,
        f"{checksum:08x}",
        codes[:train],
        torch.from_numpy(alphabet.astype(np.int64)).to(device),
        weights,
    )


def read_base(path: str, task: TextTask, device: torch.device) -> Mapping[str, Tensor]:
    """The weights in a file that `train save=` has written. Raises ConfigError unless they are of such a task."""
    try:
        state = torch.load(Path(path).expanduser(), map_location=device, weights_only=True)
        sizes = tuple(state["sizes"].tolist())
    except OSError as error:
        raise wrong("base", path, f"cannot be read ({error.strerror})") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, AttributeError, IndexError) as error:
        problem = "holds no weights of a text's network, as flatdirs train task=text save=base.pt writes them"
        raise wrong("base", path, problem) from error
    if sizes != task.shape:
        names = ("context", "width", "depth", "heads")
        own = " ".join(f"task.{name}={size}" for name, size in zip(names, sizes, strict=True))
        raise wrong("base", path, f"is of {own}, other than this task", remedy=f"set {own}, or change base")
    weights: Mapping[str, Tensor] = state
    return weights


def builtin_text() -> str:
    """All topics of Python's help, one after another: 465,000 characters in Python 3.11."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def builtin_source() -> str:
    """The source of a few modules of Python, 440,000 characters in Python 3.11, without the lines that hold "$" or "`".

    The help topics have neither character, so a network that was trained on them knows all of this text's. Raises
    DataError where Python comes without its source.
    """
    specs = (find_spec(name) for name in SOURCES)
    sources = [spec.loader.get_source(spec.name) for spec in specs if spec is not None and spec.loader is not None]  # type: ignore[attr-defined]
    if None in sources or len(sources) < len(SOURCES):
        raise DataError("data.text=source: this Python comes without its source; set data.path", key="data.text")
    lines = "".join(sources).splitlines(keepends=True)
    return "".join(line for line in lines if not {"$", "`"} & set(line))


BUILT_IN: Mapping[str, Callable[[], str]] = dict(zip(TEXTS, (builtin_text, builtin_source), strict=True))


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
