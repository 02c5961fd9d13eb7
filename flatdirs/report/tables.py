"""Runs as Rich tables and as plain lines.

In: the rows of a study (backend/table_rows.py), which hold the stored move, reason and verdict. Out: tables for a
terminal, fitted to its width by dropping columns, and one line a run where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from flatdirs.backend.table_rows import AxisLine, Row, significant
from flatdirs.space.chart import Chart
from flatdirs.tuning.formatting import DIGITS, shown_setting, value_text

WHY = "why"  # what stands above or before a reason
ROOM = 24  # characters that a column of reasons needs
COLOURS = {"better": "green", "worse": "red", "diverged": "magenta", "recalled": "dim", "pruned": "yellow"}


def runs_table(
    chart: Chart, rows: Sequence[Row], unit: str, most: int | None = None, width: int | None = None
) -> RenderableType:
    """One row a run; with `most`, the last ones only and how many are left out.

    If `width` (characters) is too small, the seconds are dropped, and then the rows are plain lines. If it is large
    enough, there is a column of reasons.
    """
    table = _runs_table(chart, rows, unit, most)
    if width is not None and (room := width - _width(table) - 1) >= ROOM:
        return _runs_table(chart, rows, unit, most, room)
    if width is not None and _width(table) > width:
        table.columns = [column for column in table.columns if column.header != "seconds"]
    if width is None or _width(table) <= width:
        return table
    shown = rows if most is None else rows[-most:]
    digits = significant(row.value for row in rows)
    return Text("\n".join(plain_line(chart, row, unit, digits) for row in shown))


def print_runs(console: Console, chart: Chart, rows: Sequence[Row], unit: str) -> None:
    """All runs: a table in a terminal, with the reasons below it if it is narrow; else one line a run."""
    table = runs_table(chart, rows, unit, width=console.width)
    if not console.is_terminal:
        digits = significant(row.value for row in rows)
        for row in rows:
            console.print(Text(reasoned_line(chart, row, unit, digits)), soft_wrap=True)
        return
    console.print(table)
    if isinstance(table, Table) and table.columns[-1].header == WHY:
        return
    for row in rows:
        if row.reason:
            console.print(Text(f"{WHY} run {row.run}: {reason_text(row)}"), no_wrap=True, overflow="ellipsis")


def print_whole(console: Console, table: Table) -> None:
    """A table in its full width, however narrow the console is."""
    narrow, console.width = console.width, max(console.width, _width(table))
    console.print(table, crop=False)
    console.width = narrow


def _width(table: Table) -> int:
    console = Console(width=10_000)
    return Measurement.get(console, console.options, table).maximum


def _runs_table(chart: Chart, rows: Sequence[Row], unit: str, most: int | None, room: int = 0) -> Table:
    """`room`: the characters that each reason is shortened to; 0 leaves them out."""
    left_out = 0 if most is None else max(0, len(rows) - most)
    table = _table(f"({left_out} earlier rows not shown)" if left_out else None)
    for name in ("run", "move", *_searched(chart), *_first(chart), _value_name(unit), "seconds", "verdict"):
        table.add_column(name, justify="left" if name in ("move", "verdict") else "right", no_wrap=True)
    if room:
        table.add_column(WHY, no_wrap=True)
    digits = _digits(rows, unit)
    for row in rows[left_out:]:
        why = Text(reason_text(row))
        why.truncate(room, overflow="ellipsis")
        told = _verdict(row, unit, digits)
        verdict = Text(told, style=COLOURS.get(told.rpartition(" ")[2], ""))
        table.add_row(*_cells(chart, row, digits), verdict, *([why] if room else []))
    return table


def axes_table(chart: Chart, lines: Sequence[AxisLine], unit: str) -> Table:
    """The best point and the number of runs after each axis of a coordinate descent."""
    table = _table("where each axis ended")
    for name in ("runs", "axis", *_searched(chart), *_first(chart), _value_name(unit)):
        table.add_column(name, justify="left" if name == "axis" else "right", no_wrap=True)
    digits = _digits([line.row for line in lines], unit)
    for line in lines:
        table.add_row(str(line.runs), line.axis, *_place(chart, line.row), _value(line.row.value, digits))
    return table


def reason_text(row: Row) -> str:
    """Why the run was made, without the move, which stands beside it."""
    return row.reason.removeprefix(f"{row.move}: ")


def plain_line(chart: Chart, row: Row, unit: str, digits: int = DIGITS) -> str:
    """One run in one line, for logs."""
    settings = " ".join(f"{name}={_shown(chart, row, name)}" for name in _searched(chart))
    first = "".join(f" {name}={number(row.coordinates[name])}" for name in _first(chart))
    seconds = "" if row.seconds is None else f" {row.seconds:.1f} s"
    result = f"{value_text(row.value, unit, digits)}{seconds}  {_verdict(row, unit, digits)}"
    return f"run {row.run:>3}  {moved(chart, row):<16} {settings}{first}  {result}"


def reasoned_line(chart: Chart, row: Row, unit: str, digits: int) -> str:
    """The same with the reason behind it."""
    line = plain_line(chart, row, unit, digits)
    return f"{line}  {WHY}: {reason_text(row)}" if row.reason else line


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def _shown(chart: Chart, row: Row, name: str) -> str:
    """A hyperparameter as it was run: four significant digits, those of 1 − momentum; further ones in full."""
    value = row.hyperparameters[name]
    if name in chart.choices or name in chart.whole:
        return str(value if name in chart.choices else int(value))
    if name in chart.scales and name not in chart.one_minus:
        return shown_setting(value)
    return f"{1 - float(number(1 - value)):.10g}" if name in chart.one_minus else number(value)


def moved(chart: Chart, row: Row) -> str:
    """What the run changes, such as 1−momentum ÷2."""
    if row.axis in ("", row.move):
        return row.move
    return f"{row.axis} {'×' if row.move == 'double' else '÷'}{chart.step:.3g}"


def _table(title: str | None) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _place(chart: Chart, row: Row) -> list[str]:
    """Hyperparameters and first coordinate."""
    settings = [_shown(chart, row, name) for name in _searched(chart)]
    return settings + [number(row.coordinates[name]) for name in _first(chart)]


def _cells(chart: Chart, row: Row, digits: int) -> list[str]:
    """All of a row but its verdict and its reason."""
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    return [str(row.run), moved(chart, row), *_place(chart, row), _value(row.value, digits), seconds]


def _verdict(row: Row, unit: str, digits: int) -> str:
    """Such as 0.12 better, or tie where the printed values do not differ."""
    if row.verdict not in ("better", "worse") or row.by_loss or row.change is None or row.value is None:
        return f"{'by loss ' if row.by_loss else ''}{row.verdict}"
    if value_text(row.value, unit, digits) == value_text(row.value - row.change, unit, digits):
        return "tie"
    size, two_decimals = abs(row.change), 0.01 if unit == "%" else 1.0
    return f"{size:.2f} {row.verdict}" if two_decimals <= size < 1e6 else f"{size:.2g} {row.verdict}"


def _digits(rows: Sequence[Row], unit: str) -> int:
    """Significant digits of a column of values; 0 for two decimals."""
    values = [row.value for row in rows if row.value is not None]
    return 0 if unit == "%" or not values else significant(values, least=4)


def _value(value: float | None, digits: int) -> str:
    if value is None:
        return "—"
    return f"{value:.{digits}g}" if digits else f"{value:.2f}" if abs(value) >= 1 else number(value)


def _searched(chart: Chart) -> list[str]:
    """What differs between runs: all but what is fixed."""
    return [*chart.free, *chart.open_choices]


def _first(chart: Chart) -> list[str]:
    """The first coordinate, unless it is a hyperparameter itself."""
    axis = chart.axes[0]
    return [axis.name] if len(axis.exponents) > 1 else []


def _value_name(unit: str) -> str:
    return {"%": "accuracy %", " loss": "loss", " edge of stability": "edge"}.get(unit, "value")
