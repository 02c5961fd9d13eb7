"""Words that the sections of an analysis share: runs, settings, spans and correlations as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flatdirs.analysis.correlation import Correlation
from flatdirs.analysis.records import Missing
from flatdirs.report.sections import Section
from flatdirs.report.tables import number


def missing(name: str, title: str, found: Missing) -> Section:
    """The section of an analysis that has no result."""
    return Section(name, title, (found.sentence,))


def left_out_sentences(names: Sequence[str]) -> list[str]:
    """What was left out and why; nothing where nothing was."""
    if not names:
        return []
    return [f"left out, being zero or absent in some run: {', '.join(names)}"]


def runs_text(count: int) -> str:
    """1 run, 2 runs."""
    return "1 run" if count == 1 else f"{count} runs"


def settings_text(hyperparameters: Mapping[str, float]) -> str:
    """Hyperparameters by their symbols."""
    return ", ".join(f"{name}={number(value)}" for name, value in hyperparameters.items())


def span_text(span: Any) -> str:
    """Lowest – highest."""
    return "—" if span is None else f"{span[0]:.3g} – {span[1]:.3g}"


def correlation_text(found: Correlation | None) -> str:
    """A coefficient with its interval and runs."""
    if found is None or math.isnan(found.value):
        return "—"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}] ({found.runs})"


def or_dash(value: float | None) -> str:
    """Two decimals."""
    return "—" if value is None or math.isnan(value) else f"{value:.2f}"
