"""What people see: the live table in a terminal, rows and lines, and numbers as they are read."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from flatdirs.backend.storages import open_storage
from flatdirs.backend.study import view_study
from flatdirs.backend.table_rows import Row, axis_lines, digits_of_mean, gap, rows
from flatdirs.config.tune import read_tune
from flatdirs.report.live import Report
from flatdirs.report.tables import number, plain_line
from flatdirs.space.further import Further, with_further
from flatdirs.space.shipped_charts import named_chart
from flatdirs.tuning.formatting import duration, value_text
from flatdirs.tuning.loop import tune
from tests.conftest import composed, module_of, printed_command


def settings(folder: Path, search: str = "myrtle", **changes: object) -> dict[str, object]:
    """A tune configuration of `workplace`'s hill, composed by Hydra as the command does it."""
    own = ["task=callable", f"task.function={module_of(folder)}:train", f"search={search}", "start=myrtle"]
    return composed("tune", *own, *(f"{key}={value}" for key, value in changes.items()))


@pytest.mark.slow
def test_in_a_terminal_the_table_is_live_and_the_end_is_whole(workplace: Path) -> None:
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=120, height=24, highlight=False)
    report = Report(live=True, console=console)
    result = tune(read_tune(settings(workplace, confirm=4, budget=60)), report)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "earlier rows not shown" in text, "the live table fits the screen"
    assert "at most" in text
    assert "double lr·wd/(1−momentum) again" in text
    closing = text[text.rindex("run  move") :]
    assert result.winner is not None
    for run in range(1, result.winner.run + 1):
        assert re.search(rf"^ *{run}  ", closing, re.MULTILINE)
    assert "recalled" in closing
    assert "confirmed, 4 fresh seeds: incumbent" in closing
    assert "handed over: the incumbent" in closing
    assert "start=studies/callable-myrtle/best.yaml" in printed_command(closing, "start from it")


@pytest.mark.slow
def test_rows_and_axis_lines_tell_the_same_story(workplace: Path) -> None:
    tune(read_tune(settings(workplace, confirm=0)), Report(live=False, console=Console(file=io.StringIO())))
    storage = open_storage("journal", workplace / "studies/callable-myrtle")
    study = view_study(storage, "callable-myrtle")
    table = rows(study)
    asked = [row for row in table if row.verdict != "recalled"]
    assert [row.run for row in asked] == list(range(1, len(asked) + 1))
    better = [row for row in table if row.verdict == "better"]
    assert all(row.change is not None and row.change > 0 for row in better)
    worse = [row for row in table if row.verdict == "worse"]
    assert worse
    assert all(row.change is not None and row.change <= 0 for row in worse)
    lines = axis_lines(study)
    assert lines[0].axis == "start"
    assert [line.row.value for line in lines] == sorted(line.row.value for line in lines if line.row.value is not None)
    assert lines[-1].row.run == max(better, key=lambda row: row.value or 0).run
    recalled = [row for row in table if row.verdict == "recalled"]
    assert recalled
    assert all(row.run in {other.run for other in asked} and row.seconds is None for row in recalled)


@pytest.mark.slow
def test_rows_of_a_search_by_model_say_what_moved_and_repeats_are_rows_of_their_own(workplace: Path) -> None:
    report = Report(live=False, console=Console(file=io.StringIO()))
    result = tune(read_tune(settings(workplace, "flatdirs", confirm=0, budget=20)), report)
    study = view_study(open_storage("journal", workplace / "studies/callable-flatdirs"), "callable-flatdirs")
    table = rows(study)
    assert [row.run for row in table] == list(range(1, 21))
    assert [row.axis for row in table] == ["start"] + [""] * 19
    for row in table[1:]:
        assert row.move == "replicate" or any(sign in row.move for sign in "×÷")
        assert row.reason
        assert row.change is not None
        assert row.verdict == ("better" if row.change > 0 else "worse" if row.change < 0 else "tie")
    assert {row.verdict for row in table} >= {"start", "better", "worse"}
    assert axis_lines(study) == [], "it does not go axis by axis"
    assert result.winner is not None
    assert result.winner.value == max(row.value for row in table if row.value is not None)
    assert study.plan.grid.chart.parts == 2


@pytest.mark.parametrize(("seconds", "text"), [(1.234, "1.2 s"), (45, "45 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rounding_is_no_gain() -> None:
    assert gap(97.7, 97.70000000000002) == 0
    assert gap(97.7, 97.8) == pytest.approx(0.1)
    assert gap(1e-15, 2e-15) == pytest.approx(1e-15)


def test_numbers() -> None:
    assert number(0.00125) == "0.00125"
    assert number(2e-05) == "2e-05"
    assert value_text(94.2, "%") == "94.20%"
    assert value_text(None, "%") == "—"
    assert value_text(0.5, " nats") == "0.5 nats"


def test_a_line_shows_the_numbers_that_were_run() -> None:
    place = {"lr": 0.192, "momentum": 0.98586, "wd": 1.282e-4, "batch_size": 16384}
    chart = named_chart("sgd_batch")
    row = Row(7, "", "wd ÷2", place, chart.coordinates(place), 94.25, None, None, "better")
    assert " lr=0.192 momentum=0.98586 wd=0.0001282 batch_size=16384 lr·wd/" in plain_line(chart, row, "%")
    further, start = with_further(named_chart("sgd"), [Further("dropout", 0.1, 0, 0.5)])
    place = {"lr": 0.192, "momentum": 0.98586, "wd": 1.282e-4, **start, "dropout": 0.31875}
    row = Row(7, "", "wd ÷2", place, further.coordinates(place), 94.25, None, None, "better")
    assert " dropout=0.31875 " in plain_line(further, row, "%")


@pytest.mark.parametrize(
    ("value", "change", "unit", "verdict", "told"),
    [
        (94.25, 4.0, "%", "better", "4.00 better"),
        (94.256, 0.002, "%", "better", "0.002 better"),
        (94.25, 0.004, "%", "better", "tie"),
        (2.0, 33.02, "", "worse", "33.02 worse"),
        (0.012345, -0.0012, "", "better", "0.0012 better"),
        (1.0, -1.9e-7, "", "better", "tie"),
        (1.0, 0.0, "", "tie", "tie"),
        (1.0, None, "", "start", "start"),
        (1.0, 0.5, "", "recalled", "recalled"),
    ],
)
def test_a_change_is_better_or_worse_and_vanishes_with_its_digits(
    value: float, change: float | None, unit: str, verdict: str, told: str
) -> None:
    place = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
    chart = named_chart("sgd")
    line = plain_line(chart, Row(7, "", "wd ÷2", place, chart.coordinates(place), value, change, None, verdict), unit)
    assert line.endswith(f"  {told}")


@pytest.mark.parametrize(
    ("mean", "error", "digits"),
    [
        (94.1902, 0.156, 4),
        (0.0012345, 0.00045, 3),
        (94.1902, 30.0, 2),
        (5.0, 0.0, 6),
        (94.1902, 1e-9, 6),
        (0.0, 1.0, 6),
    ],
)
def test_a_mean_has_the_digits_of_its_standard_error(mean: float, error: float, digits: int) -> None:
    assert digits_of_mean(mean, error, 6) == digits


def test_an_axis_that_is_still_searched_is_marked(workplace: Path) -> None:
    tune(read_tune(settings(workplace, confirm=0, budget=4)), Report(live=False, console=Console(file=io.StringIO())))
    study = view_study(open_storage("journal", workplace / "studies/callable-myrtle"), "callable-myrtle")
    assert [(line.runs, line.axis) for line in axis_lines(study)] == [(1, "start"), (4, "lr·wd/(1−momentum) …")]
