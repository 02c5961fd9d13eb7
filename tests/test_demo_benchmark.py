"""The benchmark of `make tune`: its start is torch's, the Makefile runs it, and the page counts the rows."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from benchmarks import rows
from benchmarks.demo import __main__ as command
from benchmarks.demo import page
from tests.conftest import ROOT

ROW = {
    "seed": "0", "handed_over": "incumbent", "basis": "race", "given": "lr=0.01 beta1=0.9 wd=0.01",
    "start_values": "90;92;91;91", "values": "94;95;96;95", "race_runs": "18", "seconds": "9", "cpu_seconds": "7",
    "made": "abc",
}  # fmt: skip


def test_the_start_is_what_torch_documents() -> None:
    torch = pytest.importorskip("torch")
    usual = {name: one.default for name, one in inspect.signature(torch.optim.AdamW).parameters.items()}
    assert command.ABOUT["start"] == {"lr": usual["lr"], "beta1": usual["betas"][0], "wd": usual["weight_decay"]}


def test_make_tune_runs_this_search() -> None:
    found = re.search(r"^TUNE \?= (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    words = dict(word.split("=") for word in found[1].split())
    start = {name: float(words.pop(f"start.{name}")) for name in command.ABOUT["start"]}
    assert start == command.ABOUT["start"]
    assert words == {**dict(word.split("=") for word in command.ABOUT["words"]), "study": "demo"}


def test_the_page_counts_replaced_starts_and_judges_what_is_on_file(tmp_path: Path) -> None:
    start = rows.text_of(command.ABOUT["start"])
    kept = {**ROW, "seed": "1", "handed_over": "start", "given": start}
    rows.write(tmp_path / "searches.csv", list(ROW), [kept, ROW])
    judged = [
        {"setting": setting, "values": values, "made": "abc"}
        for setting, values in ((ROW["given"], "96;98"), (start, "90;92"))
    ]
    rows.write(tmp_path / "judged.csv", list(judged[0]), judged)
    found = page.values(tmp_path)
    assert found["replaced"] == "1 of 2"
    assert found["given"] == "94.0 %"
    assert found["start"] == "91.0 ± 1.0 %"
    assert found["best"] == "–"
    first = found["searches"].splitlines()[2]
    assert first.split("|")[1].strip() == "0"
    assert "+4.00 ± 0.41 (4)" in first
