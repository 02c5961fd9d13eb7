"""Text that the sections of an analysis share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flatdirs.analysis.correlation import Correlation
from flatdirs.report.sections import Table
from flatdirs.report.tables import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Content = tuple[Sequence[str], Sequence[Table], "Figure | None"]  # what a section shows: sentences, tables, figure


def left_out_sentences(names: Sequence[str]) -> list[str]:
    """A sentence if hyperparameters were left out."""
    return [f"left out, because it is zero or absent in some run: {', '.join(names)}"] if names else []


def settings_text(hyperparameters: Mapping[str, float]) -> str:
    """Such as lr=0.1, momentum=0.9."""
    return ", ".join(f"{name}={number(value)}" for name, value in hyperparameters.items())


def span_text(span: tuple[float, float] | None) -> str:
    """Lowest – highest."""
    return "—" if span is None else f"{span[0]:.3g} – {span[1]:.3g}"


def correlation_text(found: Correlation | None) -> str:
    """A coefficient with its interval and its number of runs."""
    if found is None or math.isnan(found.value):
        return "—"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}] ({found.runs})"


def or_dash(value: float | None) -> str:
    """Two decimals, a dash without a value."""
    return "—" if value is None or math.isnan(value) else f"{value:.2f}"
