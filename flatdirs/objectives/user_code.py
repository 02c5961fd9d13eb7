"""A user's own code: the frames of it in a traceback, and a checksum of it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

MOST_FRAMES = 4
MOST_ERROR = 200  # characters of an exception in one line
OWN = str(Path(__file__).resolve().parents[1])


def one_line(error: BaseException) -> str:
    """An exception in one short line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= MOST_ERROR else f"{text[: MOST_ERROR - 1]}…"


def last_frames(error: BaseException) -> str:
    """The last frames of the user's code in an exception's traceback, then the exception, as Python prints them.

    Left out are flatdirs, installed packages and the standard library; if nothing else is left, only flatdirs.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(OWN)]
    paths = sysconfig.get_paths()
    installed = tuple(paths[key] for key in ("purelib", "platlib", "stdlib", "platstdlib"))
    theirs = [frame for frame in frames if not frame.filename.startswith((*installed, "<frozen"))]
    lines = [*traceback.format_list((theirs or frames)[-MOST_FRAMES:]), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()


def code_of(function: Callable[..., Any]) -> dict[str, str]:
    """What a function's code is called and its checksum: of the file of its module, where it was imported from one.

    A function of the program that runs (`__main__`), or of a notebook, is hashed by itself, because that file also
    holds the settings of the search.
    """
    inner = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    known = inner if hasattr(inner, "__code__") else type(inner)
    name = f"{known.__module__}:{known.__qualname__}"
    if known.__module__ != "__main__":
        try:
            path = Path(inspect.getfile(known))
            return {path.name: checksum(path.read_bytes())}
        except (OSError, TypeError):
            pass
    try:
        return {name: checksum(inspect.getsource(known).encode())}
    except (OSError, TypeError):
        code = getattr(inner, "__code__", None)
        return {} if code is None else {name: checksum(repr(_steps(code)).encode())}


def settings_of(arguments: Mapping[str, Any]) -> dict[str, str]:
    """A checksum of fixed arguments, under "kwargs"; of objects only their type counts. Empty where there are none."""
    return {"kwargs": checksum(repr(_plain(arguments)).encode())} if arguments else {}


def checksum(content: bytes) -> str:
    """A short checksum."""
    return hashlib.sha256(content).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """The value where its text is always the same, else its type."""
    if isinstance(value, Mapping):
        return sorted((str(key), _plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, bytes, int, float, type(None))) else type(value).__name__


def _steps(code: CodeType) -> tuple[Any, ...]:
    """Instructions, names and constants of compiled code, with that of inner functions, without addresses."""
    inner = [_steps(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, inner
