"""Simulate the searches with and without the loss at the peak of the rate, then draw README.md. Trains nothing.

    python -m benchmarks.signals                    all searches that are not on file
    python -m benchmarks.signals lattice=digits     one lattice's
    python -m benchmarks.signals draw=false         the page left as it is

Resumable: what is on file is not made again. About fifteen minutes in all on one core.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from benchmarks import pages
from benchmarks.arguments import settings_of
from benchmarks.signals import searching
from benchmarks.signals.signals import HERE
from flatdirs.errors import FlatdirsError

KEYS: dict[str, Any] = {"lattice": None, "draw": True}


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = read(arguments)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    try:
        searching.run(settings["lattice"] or searching.LATTICES, HERE, say)
    except KeyboardInterrupt:
        return 130
    if settings["draw"]:
        pages.write("signals")
    return 0


def read(arguments: list[str]) -> dict[str, Any]:
    """The keys given, over their defaults. Raises ConfigError."""
    return settings_of(arguments, KEYS, lists={"lattice": searching.LATTICES})


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
