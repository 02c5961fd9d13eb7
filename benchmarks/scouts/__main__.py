"""Scouts: train them, compare their ridge with the whole runs', search with them; then draw the page.

    python -m benchmarks.scouts                       all that is not on file
    python -m benchmarks.scouts lattice=digits        one lattice
    python -m benchmarks.scouts draw=false budget=50  at most so many scouts trained, the page left as it is

Resumable: what is on file is not made again. Half a second a scout, some minutes for the fits and the searches.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.lattice import lattices
from benchmarks.scouts import grounds, plan, ridges, searching, training
from flatdirs.config.values import read_integer
from flatdirs.errors import FlatdirsError

KEYS: dict[str, Any] = {"lattice": None, "budget": None, "draw": True}


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = read(arguments)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    try:
        for name in settings["lattice"] or plan.LATTICES:
            make(name, settings["budget"])
    except KeyboardInterrupt:
        return 130
    if settings["draw"]:
        pages.write("scouts")
    return 0


def read(arguments: list[str]) -> dict[str, Any]:
    """The keys given, over their defaults. Raises ConfigError."""
    settings = settings_of(arguments, KEYS, lists={"lattice": plan.LATTICES})
    if settings["budget"] is not None:
        read_integer(settings, "budget", 1)
    return settings


def make(name: str, budget: int | None) -> None:
    """One lattice: scouts, and once they are all there, what they say."""
    training.train(name, plan.HERE, budget, say)
    if training.left_of(lattices.named(name), plan.HERE / f"{name}.csv"):
        say(f"{name}: {len(rows.read(plan.HERE / f'{name}.csv'))} scouts so far; the same command goes on")
        return
    both = grounds.named(name)
    ridges.note(name, plan.HERE, both)
    searching.run(name, plan.HERE, both, say)


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
