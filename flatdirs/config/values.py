"""The value of one key from the plain settings that Hydra composed, or a ConfigError that names the key.

In: a value as YAML gives it, and the type that a field of a dataclass declares. Out: the value in that type. Whether a
number is in range is checked by the dataclass itself (setting_checks.py).
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from flatdirs.errors import ConfigError
from flatdirs.setting_checks import wrong

T = TypeVar("T")
KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def read_dataclass(kind: type[T], settings: Mapping[str, Any], prefix: str) -> T:
    """A frozen dataclass of plain fields from a mapping, whose keys are named `prefix`key in errors."""
    if not isinstance(settings, Mapping):
        group = prefix.rstrip(".")
        raise wrong(group, settings, "must hold keys", remedy="see --help for them")
    hints = typing.get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if strange := sorted(set(settings) - known):
        names = ", ".join(prefix + name for name in sorted(known))
        raise ConfigError(f"there is no key {prefix}{strange[0]}; the keys are {names}", key=prefix + strange[0])
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        key = prefix + field.name
        if field.name in settings:
            values[field.name] = read_value(hints[field.name], settings[field.name], key)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{key} is missing; set {key}=…", key=key)
    return kind(**values)


def read_named(kinds: Mapping[str, type[T]], group: str, settings: Mapping[str, Any]) -> T:
    """The dataclass that a group's key `name` stands for, from its other keys."""
    if not isinstance(settings, Mapping):
        raise wrong(group, settings, f"must be one of {', '.join(kinds)}")
    name = read_choice(f"{group}.name", settings.get("name"), tuple(kinds))
    return read_dataclass(kinds[name], {key: settings[key] for key in settings if key != "name"}, f"{group}.")


def read_value(hint: Any, value: Any, key: str) -> Any:
    """One value of a plain type: int, float, bool, str, a tuple of them, or one of these or None."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    wanted = next(option for option in options if option is not types.NoneType)
    if (origin := typing.get_origin(wanted)) is not None:
        read = _read_tuple if origin is tuple else _read_literal
        return read(typing.get_args(wanted), value, key)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is float and number and math.isfinite(value):
        return float(value)
    if wanted is int and number and math.isfinite(value) and value == int(value):
        return int(value)
    if wanted in (bool, str) and isinstance(value, wanted):
        return value
    if wanted is str and number:
        return str(value)
    raise wrong(key, value, f"must be {KINDS[wanted]}")


def _read_tuple(hints: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    """A list as tuple[kind, ...] or tuple[kind, kind]."""
    if not isinstance(value, (list, tuple)):
        raise wrong(key, value, "must be a list")
    kinds = [hints[0]] * len(value) if hints[-1] is Ellipsis else list(hints)
    if len(kinds) != len(value):
        raise wrong(key, value, f"must hold {len(kinds)} values")
    return tuple(read_value(kind, item, key) for kind, item in zip(kinds, value, strict=True))


def _read_literal(words: tuple[Any, ...], value: Any, key: str) -> str:
    """One of the words of a Literal."""
    return read_choice(key, value, words)


def read_choice(key: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of some words."""
    if value not in choices:
        raise wrong(key, value, f"must be one of {', '.join(choices)}")
    return str(value)


def read_integer(settings: Mapping[str, Any], key: str, least: int, most: int | None = None) -> int:
    """The whole number of a key, from `least` to `most`."""
    value: int = read_value(int, settings[key], key)
    if value < least:
        raise wrong(key, value, f"must be {least} or more")
    if most is not None and value > most:
        raise wrong(key, value, f"must be {most} or less")
    return value


def check_writable(path: Path, key: str, example: str) -> None:
    """Raise ConfigError if a file cannot be written, before anything is trained for it."""
    if not path.parent.is_dir():
        raise wrong(key, path, f"lies in {path.parent}, which does not exist", remedy=f"create it or change {key}")
    if path.is_dir():
        raise wrong(key, path, "is a folder", remedy=f"change {key} to a file such as {example}")
    fresh = not path.exists()
    try:
        path.open("ab").close()
        if fresh:
            path.unlink()
    except OSError as error:
        raise wrong(key, path, f"cannot be written ({error.strerror})") from error


def check_picture(path: Path, key: str) -> None:
    """Raise ConfigError unless matplotlib writes files with this ending."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise wrong(key, path, f"must end in one of .{', .'.join(kinds)}")


def read_study_name(name: Any) -> str:
    """The name of a study, which is also that of its folder."""
    text = str(name)
    if not text or text != text.strip() or any(c in "/\\" or not c.isprintable() for c in text) or text[0] == ".":
        raise wrong("study", repr(text), "must be a plain name without slashes")
    return text


def read_folder(name: Any, key: str) -> Path:
    """A folder by its path, in printable characters, as it stands in printed commands."""
    text: str = read_value(str, name, key)
    if not text.isprintable():
        raise wrong(key, repr(text), "has a character that cannot be printed")
    return Path(text)
