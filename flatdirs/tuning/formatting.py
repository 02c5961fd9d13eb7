"""Numbers, hyperparameters, objective values and durations as text, the same in files, commands and tables."""

from __future__ import annotations

from collections.abc import Mapping

DIGITS = 6  # significant, of an objective value, at least


def exact(value: float) -> str:
    """The number in ten significant digits, or in more where fewer would be another number: 0.192, 1e-05, 512."""
    text = f"{value:.10g}"
    return text if float(text) == value else repr(float(value))


def assignments(hyperparameters: Mapping[str, float]) -> str:
    """Hyperparameters as overrides with their exact values: lr=0.192 momentum=0.8586."""
    return " ".join(f"{name}={exact(value)}" for name, value in hyperparameters.items())


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
