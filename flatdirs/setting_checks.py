"""Checks of settings, and settings as plain mappings.

A check raises an error whose sentence names the setting, and whose `key` is that setting. `error` is the class to
raise: ConfigError for configurations, CurvatureError and FinderError for arguments of the libraries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from numbers import Integral, Real
from typing import Any

from flatdirs.errors import ConfigError, FlatdirsError


def wrong(
    key: str, value: object, problem: str, error: type[FlatdirsError] = ConfigError, remedy: str = ""
) -> FlatdirsError:
    """The error of a value: "momentum=1.2 must be below 1; change momentum". `remedy`: in place of "change …"."""
    short = f"{value:g}" if isinstance(value, float) else ""  # 4 for 4.0, if no digit is lost
    shown = short if short and float(short) == value else value
    return error(f"{key}={shown} {problem}; {remedy or f'change {key}'}", key=key)


def require_integer(
    key: str, value: object, least: int, most: int | None = None, error: type[FlatdirsError] = ConfigError
) -> None:
    """Raise `error` unless `value` is a whole number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise wrong(key, value, "must be a whole number", error)
    number = int(value)
    if number < least:
        raise wrong(key, value, f"must be at least {least}", error)
    if most is not None and number > most:
        raise wrong(key, value, f"must be at most {most}", error)


def require_number(
    key: str,
    value: object,
    least: float,
    most: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    error: type[FlatdirsError] = ConfigError,
) -> None:
    """Raise `error` unless `value` is a finite number in [least, most].

    `above` and `below` leave the lower and the upper limit out.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise wrong(key, value, "must be a number", error)
    number = float(value)
    if number < least or (above and number == least):
        raise wrong(key, value, f"must be {'above' if above else 'at least'} {least:g}", error)
    if number > most or (below and number == most):
        raise wrong(key, value, f"must be {'below' if below else 'at most'} {most:g}", error)


def require_boolean(key: str, value: object, error: type[FlatdirsError] = ConfigError) -> None:
    """Raise `error` unless `value` is true or false."""
    if not isinstance(value, bool):
        raise wrong(key, value, "must be true or false", error)


def require_choice(key: str, value: object, choices: Sequence[str], error: type[FlatdirsError] = ConfigError) -> None:
    """Raise `error` unless `value` is one of `choices`."""
    if value not in choices:
        names = ", ".join(choices[:-1]) + " or " + choices[-1]
        raise wrong(key, value, f"must be {names}", error)


def describe(settings: Any) -> dict[str, Any]:
    """A dataclass that stands for a file of conf/, as that file's mapping: its name and its fields, tuples as lists."""
    return {"name": settings.name, **_plain(asdict(settings))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
