"""`flatdirs charts`: the charts that come with flatdirs, or which of them fits a training command and why."""

from __future__ import annotations

from typing import Any, NoReturn

from flatdirs.cli import run_command


def run(settings: dict[str, Any], _: list[str]) -> int:
    """Print a line a chart, or the chart that fits the command of `for`."""
    from flatdirs.config.command import read_template
    from flatdirs.objectives.command.fitting_chart import fitting_chart
    from flatdirs.report.charts import print_charts, print_fitting
    from flatdirs.report.console import Output
    from flatdirs.space.shipped_charts import shipped_charts

    if settings["for"] is None:
        print_charts(Output(), shipped_charts())
    else:
        print_fitting(Output(), fitting_chart(read_template(settings["for"])))
    return 0


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("charts", run, arguments)
