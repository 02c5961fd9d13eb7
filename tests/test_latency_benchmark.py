"""benchmarks/latency: samplers are timed on the same trials, restarts on copies of one store; a page says so."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from benchmarks.latency import page, thinking
from benchmarks.latency.page import CHARTS, COUNTS, SAMPLERS


def timed(chart: str, storage: str, trials: int, sampler: str, milliseconds: float) -> dict[str, object]:
    """A line of search.json."""
    values = [milliseconds] * 4
    return {"chart": chart, "storage": storage, "trials": trials, "sampler": sampler, "wall": values, "process": values}


def test_the_page_says_whether_the_bar_is_met_chart_by_chart(tmp_path: Path) -> None:
    found = [
        timed(chart, storage, count, name, 30.0 if chart == "sgd_batch" else 10.0)
        for chart in CHARTS
        for storage in ("memory", "sqlite")
        for count in COUNTS
        for name in SAMPLERS
    ]
    found += [timed(chart, "restart", max(COUNTS), SAMPLERS[1], 900.0) for chart in CHARTS]
    (tmp_path / "search.json").write_text(json.dumps({"versions": {"date": "today"}, "rows": found}), encoding="utf-8")
    text = str(page.results(tmp_path)["result.md"])
    assert (
        "Bar on chart `sgd`, in memory with 200 trials: at most 20 ms of process time; the median is 10.0 ms, **met**."
        in text
    )
    assert "the median is 30.0 ms, **missed**." in text
    assert "| sgd_batch | 200 | 4 | 900.00 (900.00 – 900.00), 900.0 |" in text


def test_what_nobody_measured_is_said(tmp_path: Path) -> None:
    assert "Not measured yet" in str(page.results(tmp_path)["result.md"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_take_turns_on_copies_and_a_restart_asks_once(tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    history = thinking.make_history("sgd_batch", 8)
    assert {"batch_size", "lr", "momentum", "wd"} == set(history[0].params)
    stored = thinking.stores(tmp_path, history, (4, 8))
    opened = {name: thinking.reopened(stored[4], name, "sgd_batch") for name in SAMPLERS}
    rows = thinking.turns("sgd_batch", "sqlite", opened, rounds=1)
    assert [row["sampler"] for row in rows] == list(SAMPLERS)
    assert {row["trials"] for row in rows} == {4}
    assert all(len(row["wall"]) == len(row["process"]) == 1 for row in rows)
    again = thinking.restart("sgd_batch", stored[8], 8, count=2)
    assert len(again["wall"]) == 2
    assert min(again["process"]) > 0
