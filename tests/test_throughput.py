"""The throughput page: what it says before there is a result, and what may be gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.throughput import page
from benchmarks.throughput.__main__ import refuse_others

CASE = {
    "name": "width 64",
    "width": 64,
    "size": 32,
    "batch": 512,
    "load": 0.0,
    "steps": 2,
    "images": 1024,
    "judged": 1,
    "seconds": {
        "plain": [8.0, 9.0, 10.0],
        "flatdirs": [2.0, 3.0, 4.0],
        "floor": [1.0, 1.5, 2.0],
        "torch.compile": [4.0, 3.0, 4.0],
    },
    "profile": {"convolutions": 75.0, "rest": 25.0},
    "peak_megabytes": {"plain": 10.0, "flatdirs": 5.0},
}
VERSIONS = {"date": "a day", "torch": "2", "processor": "a", "cores": 2, "amx_bf16": True}


def result() -> dict[str, object]:
    """A made-up raw file."""
    return {"versions": VERSIONS, "images": "Images: none", "cases": [CASE]}


def test_a_page_without_a_result_says_so(tmp_path: Path) -> None:
    assert "Not measured yet" in str(page.results(tmp_path)["result.md"])


def test_ratios_are_taken_within_a_round_and_bars_where_they_apply(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result()), encoding="utf-8")
    text = str(page.results(tmp_path)["result.md"])
    assert "| 3.00 (2.50 – 4.00) | 0.50 (0.50 – 0.50) |" in text
    assert "- width 64: b/a = 3.00, bar 3: met" in text
    assert "- width 64: c/b = 0.50, bar 0.6: MISSED" in text
    assert "| width 64 | 1.00 (1.00 – 2.00) |" in text
    assert "| convolutions | 75.00 (75%) |" in text


def test_a_result_of_another_machine_is_not_gone_on_with() -> None:
    refuse_others(result(), {**result(), "versions": {**VERSIONS, "date": "another"}})
    for other in ({"images": "others"}, {"versions": {**VERSIONS, "processor": "b"}}):
        with pytest.raises(SystemExit, match="leave --resume out"):
            refuse_others(result(), {**result(), **other})
