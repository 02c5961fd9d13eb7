"""The errors that a user can correct: one sentence each, and the key that it is about.

    FlatdirsError
    ├── ConfigError    a key or a value of the command line or of a YAML file
    ├── ChartError     hyperparameters or coordinates that do not fit the chart
    ├── DataError      a data set that is missing, broken or of the wrong shape
    ├── StudyError     a storage that cannot be opened, or a study that differs from the requested one
    ├── ObjectiveError a user's function that cannot be found, raised an exception or returned no number
    ├── FinderError    a model or curve that the learning-rate finder cannot work with
    ├── CurvatureError a model or setting that CDAT or the curvature tools cannot work with
    └── MissingExtra   a package that is not installed; the key is the extra that brings it

The commands print the sentence and exit with code 2. A run that diverges is a result, not an error; a bug stays an
ordinary exception. What may go on, but hardly as meant, is a FlatdirsWarning.
"""

from __future__ import annotations

import re
from importlib.util import find_spec

EXTRAS = {  # module → extra
    "torch": "torch", "torchvision": "torch", "sklearn": "torch", "cmaes": "samplers", "pandas": "pandas",
    "schedulefree": "optimizers", "prodigyopt": "optimizers",
}  # fmt: skip

# the password of scheme://user:password@host, up to the last @ of a word, where it is no port; password=… in a query
_PASSWORD = re.compile(
    r"(://[^\s:/?#@]*:)(?:[^\s?]+|(?!\d+[/?#;,\s])[^@\n]+)(?=@)"
    r"|([?&]\w*(?:password|passwd|pwd)=)(?:'[^'\n]*'|\"[^\"\n]*\"|['\"]?[^&\s'\"]+)",
    re.I,
)


def masked(text: str) -> str:
    """The text with *** in place of the passwords of URLs."""
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


class FlatdirsError(Exception):
    """The root of all errors that a user can correct. `key`: the setting to change, such as start.momentum.

    `detail`: lines to show below the sentence, such as the end of a log. Passwords of URLs are masked in both.
    """

    def __init__(self, sentence: str = "", *, key: str = "", detail: str = "") -> None:
        super().__init__(masked(sentence))
        self.key, self.detail = key, masked(detail)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.key, self.detail)


def _rebuild(kind: type[FlatdirsError], sentence: str, key: str, detail: str) -> FlatdirsError:
    return kind(sentence, key=key, detail=detail)


class FlatdirsWarning(UserWarning):
    """What a user may want to change while the search goes on: one sentence, with what to do."""


class ConfigError(FlatdirsError):
    """A key or a value of the command line or of a YAML file."""


class ChartError(FlatdirsError):
    """Hyperparameters or coordinates that do not fit the chart."""


class DataError(FlatdirsError):
    """A data set that is missing, broken or of the wrong shape."""


class StudyError(FlatdirsError):
    """A storage that cannot be opened, or a study that differs from the requested one."""


class ObjectiveError(FlatdirsError):
    """A user's function that cannot be found, raised an exception or returned no number."""


class FinderError(FlatdirsError):
    """A model or curve that the learning-rate finder cannot work with."""


class CurvatureError(FlatdirsError):
    """A model or setting that CDAT or the curvature tools cannot work with."""


class MissingExtra(FlatdirsError):
    """A package that is not installed. `key`: the extra that brings it, such as flatdirs[torch]."""


def missing_extra(error: ModuleNotFoundError) -> MissingExtra | None:
    """The sentence that says which extra to install for a failed import; None for a module that no extra brings."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    extra, package = f"flatdirs[{EXTRAS[module]}]", "scikit-learn" if module == "sklearn" else module
    return MissingExtra(f"{package} is not installed; run pip install '{extra}'", key=extra)


def require(module: str) -> None:
    """Raise MissingExtra where a module of an extra is not installed, without importing it."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None and (missing := missing_extra(ModuleNotFoundError(name=module))) is not None:
        raise missing
