"""The charts that come with flatdirs as a table, and the one that fits a command with its reasons."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flatdirs.objectives.command.fitting_chart import Fitting
from flatdirs.space.shipped_charts import About

MARGIN = 4  # characters around and between two columns


def print_charts(console: Console, charts: Sequence[About]) -> None:
    """One line a chart: in a terminal a table, its lines shortened to the width."""
    width = max(len(one.name) for one in charts)
    if not console.is_terminal:
        for one in charts:
            console.print(Text(f"{one.name:<{width}}  {one.coordinates}: {one.purpose}"), soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("chart", "coordinates, and what they are for"):
        table.add_column(head, no_wrap=True)
    for one in charts:
        line = Text(f"{one.coordinates}: {one.purpose}")
        line.truncate(max(1, console.width - width - MARGIN), overflow="ellipsis")
        table.add_row(one.name, line)
    console.print(table)


def print_fitting(console: Console, fit: Fitting) -> None:
    """The chart that fits a command, why, and what the command does not say."""
    lines = [f"chart {fit.about.name} ({fit.about.purpose}): {', '.join(axis.name for axis in fit.chart.axes)}"]
    lines += [f"why: {fit.because}"]
    lines += [f"formula: {fit.about.formula}", f"source: {fit.about.source}"]
    if fit.further:
        lines += [f"an axis or a choice each: {', '.join(fit.further)}"]
    if fit.held:
        lines += [f"held: {', '.join(f'{name} ({why})' for name, why in fit.held.items())}"]
    lines += [f"not known: {one}" for one in fit.unknown]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
