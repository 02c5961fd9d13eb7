"""benchmarks/throughput and benchmarks/latency: tables come from raw rows, samplers take turns, one machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.latency.__main__ import measure_search, measure_storages
from benchmarks.latency.page import CHARTS, COUNTS, PARTS, SAMPLERS
from benchmarks.throughput.__main__ import main, resumed
from flatdirs.errors import ConfigError

TIMES = {"plain": [8.0, 9.0, 10.0], "flatdirs": [2.0, 3.0, 4.0], "floor": [1.0, 1.5, 2.0], "torch.compile": [4.0, 3, 4]}
CASE = {
    **{"name": "width 64", "size": 32, "batch": 512, "load": 0.0, "images": 1024, "seconds": TIMES},
    **{"profile": {"convolutions": 75.0, "rest": 25.0}, "peak_megabytes": {"plain": 10.0, "flatdirs": 5.0}},
}
VERSIONS = {"date": "a day", "torch": "2", "processor": "a", "cores": 2}
RESULT = {
    **{"versions": VERSIONS, "images": "Images: none", "cases": [CASE]},
    **{"pairs": {"seconds": {"together": [1.0, 3.0, 2.0]}}},
}


def cells(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_ratios_are_taken_within_a_round(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(RESULT), encoding="utf-8")
    known = pages.values("throughput", tmp_path)
    ((_, plain, _, ratio, floor, peak, rounds, _),) = cells(known["images"])
    assert plain == "114 (102 – 128)"
    assert (ratio, floor, peak, rounds) == ("3.00 (2.50 – 4.00)", "0.50 (0.50 – 0.50)", "10, 5", "3")
    assert cells(known["levers"]) == [["width 64", "1.00 (1.00 – 2.00)"]]
    assert cells(known["profile"])[0] == ["convolutions", "75.00 (75%)"]
    assert cells(known["pairs"]) == [["together", "2.00 (1.00 – 3.00)"]]


@pytest.mark.slow
def test_a_text_is_measured_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["throughput", "--task", "text", "--device", "cpu", "--quick", "--output", str(tmp_path)]
    )
    main()
    (case,) = json.loads((tmp_path / "text.json").read_text(encoding="utf-8"))["cases"]
    assert {name: len(seconds) for name, seconds in case["seconds"].items()} == {"plain": 2, "flatdirs": 2, "floor": 2}
    assert case["characters"] == 2048
    assert case["profile"]["matrix products"] > 0
    known = pages.values("throughput", tmp_path)
    ((network, *_, rounds, _),) = cells(known["text"])
    assert (network, rounds) == ("text, width 8, context 64, batch 4", "2")
    assert known["text"] in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_result_of_another_machine_is_not_gone_on_with() -> None:
    assert resumed(RESULT, {**RESULT, "versions": {**VERSIONS, "date": "another"}})["cases"] == [CASE]
    for other in ({"images": "others"}, {"versions": {**VERSIONS, "processor": "b"}}):
        with pytest.raises(ConfigError, match="resume"):
            resumed(RESULT, {**RESULT, **other})


def test_the_bar_of_a_proposal_is_compared_chart_by_chart(tmp_path: Path) -> None:
    kept = [("memory", count, name) for count in COUNTS for name in SAMPLERS] + [("restart", max(COUNTS), SAMPLERS[1])]
    search = [
        {**dict(zip(("storage", "trials", "sampler"), row, strict=True)), "chart": chart, "wall": [ms], "process": [ms]}
        for chart, ms in zip(CHARTS, (10.0, 30.0), strict=True)
        for row in kept
    ]
    about = {"storage": "memory", "history": "own", "trials": 8}
    storage = [{**about, "sampler": name, "milliseconds": [1.0 + n]} for n, name in enumerate(SAMPLERS)]
    for part, found in (("storage", storage), ("search", search)):
        (tmp_path / PARTS[part]).write_text(json.dumps({"versions": {}, "rows": found}), encoding="utf-8")
    known = pages.values("latency", tmp_path)
    assert (known["bar_sgd"], known["bar_sgd_batch"]) == ("10.0 ms, met", "30.0 ms, missed")
    shown = [f"{ms} ({ms} – {ms}), {ms[:4]}" for ms in ("10.00", "30.00")]
    assert [line[3] for line in cells(known["restart"])] == shown
    assert [cell[:4] for cell in cells(known["storages"])[0][4:]] == ["1.00", "1.00", "2.00"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_take_turns_and_a_new_process_asks_once() -> None:
    found = measure_search(1, counts=(4,), restarts=1)
    assert [row["sampler"] for row in found[:3]] == list(SAMPLERS)
    assert [row["storage"] for row in found] == 2 * (3 * ["memory"] + 3 * ["sqlite"] + ["restart"])
    assert all(len(row["wall"]) == len(row["process"]) == 1 and row["process"][0] > 0 for row in found)
    found = measure_storages({"memory": (3, 1), "journal": (3, 1)})
    assert [row["history"] for row in found] == 2 * (3 * ["own"] + 3 * ["foreign"])
