"""Numbers, hyperparameters, objective values and durations as text, the same in files, commands and tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DIGITS = 6  # significant, of an objective value, at least
PLAIN_WORD = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_][\w/.:+-]*", re.ASCII | re.IGNORECASE)


def exact(value: float) -> str:
    """The number in ten significant digits, or in more where fewer would be another number: 0.192, 1e-05, 512."""
    text = f"{value:.10g}"
    return text if float(text) == value else repr(float(value))


def shown_setting(value: Any) -> str:
    """The value of a hyperparameter: a number in full, a choice as it is."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return exact(value) if number else str(value)


def assignments(hyperparameters: Mapping[str, Any]) -> str:
    """Hyperparameters as overrides with their exact values: lr=0.192 momentum=0.8586."""
    return " ".join(f"{name}={shown_setting(value)}" for name, value in hyperparameters.items())


def value_text(value: float | None, unit: str, digits: int = DIGITS) -> str:
    """An objective value with its unit: two decimals for percent, else `digits` significant ones; — for None."""
    if value is None:
        return "—"
    return f"{value:.2f}%" if unit == "%" else f"{value:.{digits}g}{unit}"


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best: 1.2 s, 45 s, 10 min, 2.0 h."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def hydra_text(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, (int, float)):
        return str(value) if isinstance(value, int) else exact(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{hydra_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(hydra_text, value)) + "]"
    text = str(value)
    if PLAIN_WORD.fullmatch(text):
        return text
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no interpolation
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + found[2].replace('"', '\\"'), text)
    return f'"{escaped}"'
