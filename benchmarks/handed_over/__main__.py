"""What a search hands over, judged with seeds that neither it nor its race saw. Needs the data set of the part.

    python -m benchmarks.handed_over part=digits workers=2
    python -m benchmarks.handed_over part=cifar10 data.path=cifar10.npz
    python -m benchmarks.handed_over part=lattices
    python -m benchmarks.handed_over part=chance            the rule on normal draws; a minute

parts.yaml says what is searched and from where. A row is a whole search, on disk before the next; the same command goes
on, in several shells at once. Without a part the page is filled in only.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.handed_over import chance, searches
from benchmarks.rows import number_text, text_of
from flatdirs.errors import ConfigError, FlatdirsError
from flatdirs.objectives.provenance import provenance

HERE = Path(__file__).resolve().parent
ABOUT: dict[str, Any] = yaml.safe_load((HERE / "parts.yaml").read_text(encoding="utf-8"))
PARTS = (*ABOUT["parts"], "lattices", "chance")
KEYS: dict[str, Any] = {"part": None, "workers": 1, "searches": None, "data.path": None, "folder": HERE}


class Question(NamedTuple):
    """One search: on what, from which start, the how manieth from there."""

    surface: str
    start: str
    repetition: int


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS)
        part, folder = settings["part"], Path(settings["folder"])
        if part not in (None, *PARTS):
            raise ConfigError(f"part={part} must be one of {', '.join(PARTS)}; change part", key="part")
        if part is not None:
            work = partial(fill, part, folder, settings["searches"], settings["data.path"])
            if settings["workers"] == 1:
                work(0)
            else:
                with ProcessPoolExecutor(settings["workers"]) as pool:
                    list(pool.map(work, range(settings["workers"])))
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    pages.write("handed_over", folder)
    return 0


def fill(part: str, folder: Path, most: int | None, data: str | None, _: int) -> None:
    """Make the rows that a part lacks, at most `most` of them."""
    about = {key: value for key, value in provenance().items() if key != "host"}
    if part == "chance":
        rules, asked = ABOUT["chance"], chance.questions(ABOUT["chance"])
        make: Any = partial(chance.row, rules["races"])
    else:
        asked = questions(part)
        make = partial(row, part, data)

    def wanted(table: list[dict[str, str]]) -> list[Any]:
        known = {tuple(old[name] for name in asked[0]._fields) for old in table}
        return [one for one in asked if tuple(map(str, one)) not in known]

    rows.fill(folder / f"{part}.csv", wanted, make, about, most)


def questions(part: str) -> list[Question]:
    """Every search of a part; one from every start before the second from any."""
    about = ABOUT["lattices"] if part == "lattices" else ABOUT["parts"][part]
    named = (
        {name: ABOUT[kind] for name, kind in about["names"].items()} if part == "lattices" else {part: about["starts"]}
    )
    return [
        Question(surface, start, repetition)
        for repetition in range(about["searches"])
        for surface, starts in named.items()
        for start in starts
    ]


def row(part: str, data: str | None, asked: Question) -> dict[str, Any]:
    """One search, its race, and what the judging seeds say of start and of what is handed over.

    `noise`: the standard deviation of the start's fresh runs; `gain`: on a lattice what is handed over is better by,
    without noise, and `level` the noise of a run there, the smaller of both ends.
    """
    began = time.monotonic()
    limits = {key: int(ABOUT[key]) for key in ("budget", "confirm")}
    with tempfile.TemporaryDirectory() as folder:
        if part == "lattices":
            start = ABOUT[ABOUT["lattices"]["names"][asked.surface]][asked.start]
            ended = searches.replayed(asked.surface, start, asked.repetition, limits, Path(folder))
        else:
            about = ABOUT["parts"][part]
            words = about["words"] if data is None else [*about["words"], f"data.path={data}"]
            seed = searches.APART * asked.repetition
            ended = searches.trained(words, about["starts"][asked.start], seed, limits, Path(folder))
    fresh = [value for value in ended.fresh.get("start", []) if value is not None]
    kept = ended.verdict.keeps_start
    judging = range(ABOUT["judging"])
    pairs = [] if kept else [(ended.judge(ended.given, number), ended.judge(ended.start, number)) for number in judging]
    return {
        **asked._asdict(),
        "handed_over": ended.verdict.handed_over,
        "basis": ended.verdict.basis,
        "maximize": int(ended.maximize),
        "start_at": text_of(ended.start),
        "given": text_of(ended.given),
        "given_values": ";".join(number_text(pair[0]) for pair in pairs),
        "start_values": ";".join(number_text(pair[1]) for pair in pairs),
        "noise": number_text(statistics.stdev(fresh) if len(fresh) > 1 else None),
        "gain": number_text(ended.gain),
        "level": number_text(ended.level),
        "race_runs": sum(map(len, ended.fresh.values())),
        "seconds": f"{time.monotonic() - began:.0f}",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
