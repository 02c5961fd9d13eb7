"""The benchmark of what is handed over: a replayed search, chance, and the page's numbers from rows."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import rows
from benchmarks.handed_over import __main__ as command
from benchmarks.handed_over import chance, page

ROW = {
    "surface": "digits", "start": "usual", "repetition": "0", "handed_over": "incumbent", "basis": "race",
    "maximize": "1", "start_at": "lr=0.1", "given": "lr=0.2", "given_values": "", "start_values": "", "noise": "2",
    "gain": "", "level": "", "race_runs": "18", "seconds": "1", "made": "abc",
}  # fmt: skip


def test_every_search_is_asked_once_and_in_the_numbers_that_were_promised() -> None:
    asked = {part: command.questions(part) for part in ("digits", "text", "cifar10", "lattices")}
    assert {part: len(set(found)) for part, found in asked.items()} == {
        "digits": 60, "text": 60, "cifar10": 20, "lattices": 200,
    }  # fmt: skip


@pytest.mark.slow
def test_a_replayed_search_is_a_row_and_is_not_made_again(tmp_path: Path) -> None:
    words = ["part=lattices", f"folder={tmp_path}"]
    assert command.main([*words, "searches=1"]) == 0
    (made,) = rows.read(tmp_path / "lattices.csv")
    assert (made["surface"], made["start"], made["basis"]) == ("digits", "usual", "race")
    assert 9 <= int(made["race_runs"]) <= 18
    assert (made["given"] == made["start_at"]) == (made["handed_over"] == "start") == (float(made["gain"]) == 0.0)
    assert command.main([*words, "searches=0"]) == 0
    assert len(rows.read(tmp_path / "lattices.csv")) == 1
    assert command.main(["part=nothing"]) == 2


def test_the_page_counts_what_the_judging_seeds_say(tmp_path: Path) -> None:
    worse = {"given_values": "90;91;90;91", "start_values": "92;93;93;92"}
    better = {"given_values": "94;95;96;95", "start_values": "92;93;92;92", "repetition": "1"}
    lost = {"given_values": "94;;96;95", "start_values": "92;93;92;92", "repetition": "2"}
    kept = {"handed_over": "start", "repetition": "3"}
    path = tmp_path / "digits.csv"
    rows.write(path, list(ROW), [{**ROW, **own} for own in (worse, better, lost, kept)])
    far, near = (
        {"gain": gain, "level": "1", "surface": "cifar10_tiny", "repetition": gain} for gain in ("-0.6", "-0.4")
    )
    rows.write(
        tmp_path / "lattices.csv", list(ROW), [{**ROW, **own, **better, "repetition": "0"} for own in (far, near)]
    )
    found = page.values(tmp_path)
    assert found["searches"] == "6"
    assert found["worse"].startswith("2 of 6")
    assert found["far"].startswith("1 of 2")
    told = page.judged("digits", pd.read_csv(path))
    assert told["gain"].tolist()[0] == pytest.approx(-2.0 / 2)
    assert told["gain"].tolist()[3] == 0.0


def test_a_losing_candidate_is_dropped_and_a_winning_one_takes_every_seed() -> None:
    assert chance.race(chance.Race(6, -50.0), random.Random(0), False) == (False, 9)
    replaced, runs = chance.race(chance.Race(6, 50.0), random.Random(0), False)
    assert replaced
    assert runs >= 12
    assert chance.race(chance.Race(6, 50.0), random.Random(0), True)[1] <= 12
