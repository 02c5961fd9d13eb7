"""Rows as Rich tables and as plain lines; numbers the way people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from flatdirs.chart import Chart, symbol
from flatdirs.report.rows import AxisLine, Row

COLOURS = {"better": "green", "worse": "red", "diverged": "magenta", "recalled": "dim", "pruned": "yellow"}


def runs_table(chart: Chart, rows: Sequence[Row], unit: str, most: int | None = None) -> Table:
    """A row a training run; with `most`, the last ones only and a word on how many are left out."""
    left_out = 0 if most is None else max(0, len(rows) - most)
    table = Table(title=None if not left_out else f"({left_out} earlier rows not shown)", title_justify="left")
    for name in _headings(chart, unit):
        table.add_column(name, justify="left" if name in ("axis", "move", "verdict") else "right", no_wrap=True)
    for row in rows[left_out:]:
        cells = _cells(chart, row)
        table.add_row(*cells[:-1], Text(cells[-1], style=COLOURS.get(cells[-1], "")))
    return table


def axes_table(chart: Chart, lines: Sequence[AxisLine], unit: str) -> Table:
    """The source's table: a line for each finished axis."""
    table = Table(title="where each axis ended", title_justify="left")
    headings = ["train runs", "axis", *(symbol(name) for name in chart.hyperparameters), *_first(chart), _value_name(unit)]
    for name in headings:
        table.add_column(name, justify="left" if name == "axis" else "right", no_wrap=True)
    for line in lines:
        row = line.row
        table.add_row(
            str(line.runs),
            line.axis,
            *(number(row.hyperparameters[name]) for name in chart.hyperparameters),
            *(number(row.coordinates[name]) for name in _first(chart)),
            value_text(row.value, unit),
        )
    return table


def plain_line(chart: Chart, row: Row, unit: str) -> str:
    """One run in one line, for logs."""
    settings = " ".join(f"{symbol(name)}={number(row.hyperparameters[name])}" for name in chart.hyperparameters)
    first = " ".join(f"{name}={number(row.coordinates[name])}" for name in _first(chart))
    where = row.move if row.axis in ("", row.move) else f"{row.move} {row.axis}"
    change = "" if row.change is None else f" ({row.change:+.2f})"
    seconds = "" if row.seconds is None else f" {row.seconds:.1f} s"
    return f"run {row.run:>3}  {where:<18} {settings} {first}  {value_text(row.value, unit)}{change}{seconds}  {row.verdict}"


def number(value: float) -> str:
    """Four significant digits, without an exponent where that stays short."""
    return f"{value:.4g}"


def value_text(value: float | None, unit: str) -> str:
    """A result with its unit; a dash where there is none."""
    if value is None:
        return "—"
    return f"{value:.2f}%" if unit == "%" else f"{value:.6g}{unit}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def overrides(hyperparameters: Mapping[str, float]) -> str:
    """Hyperparameters as command-line overrides, to the last bit."""
    return " ".join(f"{name}={value!r}" for name, value in hyperparameters.items())


def _headings(chart: Chart, unit: str) -> list[str]:
    letters = [symbol(name) for name in chart.hyperparameters]
    return ["run", "axis", "move", *letters, *_first(chart), _value_name(unit), "change", "seconds", "verdict"]


def _cells(chart: Chart, row: Row) -> list[str]:
    unit = "%" if row.value is None else ""
    return [
        str(row.run),
        row.axis,
        row.move,
        *(number(row.hyperparameters[name]) for name in chart.hyperparameters),
        *(number(row.coordinates[name]) for name in _first(chart)),
        value_text(row.value, unit) if row.value is None else f"{row.value:.2f}" if abs(row.value) >= 1 else number(row.value),
        "" if row.change is None else f"{row.change:+.2f}" if abs(row.change) >= 0.01 else f"{row.change:+.2g}",
        "" if row.seconds is None else f"{row.seconds:.1f}",
        row.verdict,
    ]


def _first(chart: Chart) -> Iterable[str]:
    """The coordinate that matters most, where it is no hyperparameter itself."""
    axis = chart.axes[0]
    return [axis.name] if len(axis.exponents) > 1 else []


def _value_name(unit: str) -> str:
    return "accuracy %" if unit == "%" else "value"
