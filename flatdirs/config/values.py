"""The value of one key, from plain settings as Hydra composed them, or one sentence that names the key.

config.py puts these together into a command's whole configuration.
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

T = TypeVar("T")
KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def read_dataclass(kind: type[T], settings: Mapping[str, Any], prefix: str) -> T:
    """A frozen dataclass of plain fields from a mapping. Raises ConfigError naming `prefix`.key."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{prefix.rstrip('.')}={settings} must hold keys of its own; see --help for them")
    hints = typing.get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if strange := set(settings) - known:
        raise ConfigError(f"there is no key {prefix}{sorted(strange)[0]}; {_known_keys(prefix, known)}")
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in settings:
            values[field.name] = read_value(hints[field.name], settings[field.name], prefix + field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{prefix}{field.name} is missing; set {prefix}{field.name}=…")
    return kind(**values)


def _known_keys(prefix: str, known: set[str]) -> str:
    return f"the keys are {', '.join(prefix + key for key in sorted(known))}"


def read_named(kinds: Mapping[str, type[T]], group: str, settings: Mapping[str, Any]) -> T:
    """What a group's key `name` stands for, made from its other keys. Raises ConfigError naming the key."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{group}={settings} must be one of {', '.join(kinds)}; change {group}")
    name = read_choice(f"{group}.name", settings.get("name"), tuple(kinds))
    return read_dataclass(kinds[name], {key: settings[key] for key in settings if key != "name"}, f"{group}.")


def read_value(hint: Any, value: Any, key: str) -> Any:
    """One value of a plain type (int, float, bool, str, tuples of them, or one of these or None).

    Raises ConfigError naming the key.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    wanted = next(option for option in options if option is not types.NoneType)
    if typing.get_origin(wanted) is tuple:
        return _read_tuple(typing.get_args(wanted), value, key)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is float and number and math.isfinite(value):
        return float(value)
    if wanted is int and number and math.isfinite(value) and value == int(value):
        return int(value)
    if wanted in (bool, str) and isinstance(value, wanted):
        return value
    if wanted is str and number:
        return str(value)
    raise ConfigError(f"{key}={value} must be {KINDS[wanted]}; change {key}")


def _read_tuple(hints: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    """A list as tuple[kind, ...] or tuple[kind, kind]."""
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{key}={value} must be a list; change {key}")
    kinds = [hints[0]] * len(value) if hints[-1] is Ellipsis else list(hints)
    if len(kinds) != len(value):
        raise ConfigError(f"{key} has {value} where {len(kinds)} values belong; change {key}")
    return tuple(read_value(kind, item, key) for kind, item in zip(kinds, value, strict=True))


def read_choice(key: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of some words. Raises ConfigError naming the key."""
    if value not in choices:
        raise ConfigError(f"{key}={value} must be one of {', '.join(choices)}; change {key}")
    return str(value)


def read_integer(settings: Mapping[str, Any], key: str, least: int, most: int | None = None) -> int:
    value: int = read_value(int, settings[key], key)
    if value < least:
        raise ConfigError(f"{key}={value} must be {least} or more; change {key}")
    if most is not None and value > most:
        raise ConfigError(f"{key}={value} must be {most} or less; change {key}")
    return value


def check_writable(path: Path, key: str, example: str) -> None:
    """Raise ConfigError naming the key where a file cannot be written: now rather than after an hour of training."""
    if not path.parent.is_dir():
        raise ConfigError(f"{key}={path}: there is no folder {path.parent}; make it or change {key}")
    if path.is_dir():
        raise ConfigError(f"{key}={path} is a folder; change {key} to a file such as {example}")
    fresh = not path.exists()
    try:
        path.open("ab").close()
        if fresh:
            path.unlink()
    except OSError as error:
        raise ConfigError(f"{key}={path} cannot be written ({error.strerror}); change {key}") from error


def check_picture(path: Path, key: str) -> None:
    """Raise ConfigError naming the key unless matplotlib writes files of this kind."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise ConfigError(f"{key}={path} must end in one of .{', .'.join(kinds)}; change {key}")


def read_study_name(name: Any) -> str:
    text = str(name)
    if not text or text != text.strip() or any(c in text for c in "/\\\0") or text.startswith("."):
        raise ConfigError(f"study={text!r} must be a plain name without slashes; change study")
    return text
