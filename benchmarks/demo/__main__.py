"""Whether the search of `make tune` pays: the same search with 20 seeds, and its settings judged with further ones.

    python -m benchmarks.demo seeds=20

demo.yaml says what is searched, from where, and what is expected. A row is a whole search, or 8 runs of one setting; it is on
disk before the next. The same command goes on; `seeds=0` fills in the page only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.handed_over import searches
from benchmarks.rows import number_text, text_of
from flatdirs.backend.verdict import INCUMBENT
from flatdirs.errors import FlatdirsError
from flatdirs.objectives.provenance import provenance
from flatdirs.search.race import START

HERE = Path(__file__).resolve().parent
ABOUT: dict[str, Any] = yaml.safe_load((HERE / "demo.yaml").read_text(encoding="utf-8"))
KEYS: dict[str, Any] = {"seeds": ABOUT["seeds"], "folder": HERE}


class Search(NamedTuple):
    """One search."""

    seed: int


class Judged(NamedTuple):
    """One setting, as text_of writes it."""

    setting: str


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS)
        folder = Path(settings["folder"])
        if settings["seeds"]:
            measure(folder, settings["seeds"])
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    pages.write("demo", folder)
    return 0


def measure(folder: Path, seeds: int) -> None:
    """Make the searches with the first seeds that are not on file, then judge what they handed over."""
    about = {key: value for key, value in provenance().items() if key != "host"}

    def searching(table: list[dict[str, str]]) -> list[Search]:
        known = {row["seed"] for row in table}
        return [Search(seed) for seed in range(seeds) if str(seed) not in known]

    def judging(table: list[dict[str, str]]) -> list[Judged]:
        known = {row["setting"] for row in table}
        given = [row["given"] for row in rows.read(folder / "searches.csv")]
        wanted = dict.fromkeys([text_of(ABOUT["start"]), text_of(ABOUT["lattice"]), *given])
        return [Judged(setting) for setting in wanted if setting not in known]

    rows.fill(folder / "searches.csv", searching, search_row, about)
    rows.fill(folder / "judged.csv", judging, judged_row, about)


def search_row(asked: Search) -> dict[str, Any]:
    """One search and its race.

    `start_values`, `values`: of the race, of the start and of what is handed over; where that is the start, of the incumbent.
    """
    began, cpu = time.monotonic(), time.process_time()
    limits = {key: int(ABOUT[key]) for key in ("budget", "confirm")}
    with tempfile.TemporaryDirectory() as folder:
        ended = searches.trained(ABOUT["words"], ABOUT["start"], asked.seed, limits, Path(folder))
    other = INCUMBENT if ended.verdict.keeps_start else ended.verdict.handed_over
    return {
        "seed": asked.seed,
        "handed_over": ended.verdict.handed_over,
        "basis": ended.verdict.basis,
        "given": text_of(ordered(ended.given)),
        "start_values": joined(ended.fresh.get(START, [])),
        "values": joined(ended.fresh.get(other, [])),
        "race_runs": sum(map(len, ended.fresh.values())),
        "seconds": f"{time.monotonic() - began:.0f}",
        "cpu_seconds": f"{time.process_time() - cpu:.0f}",
    }


def judged_row(asked: Judged) -> dict[str, Any]:
    """One setting with the judging seeds, evaluated on the test set."""
    setting = {name: float(value) for name, _, value in (word.partition("=") for word in asked.setting.split())}
    with tempfile.TemporaryDirectory() as folder:
        config = searches.configured(ABOUT["words"], ABOUT["start"], Path(folder))
    found = [searches.on_test(config, setting, number) for number in range(ABOUT["judging"])]
    return {"setting": asked.setting, "values": joined(found)}


def ordered(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting in the order of demo.yaml."""
    return {name: setting[name] for name in ABOUT["start"]}


def joined(values: list[float | None]) -> str:
    """Values in one cell."""
    return ";".join(map(number_text, values))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
