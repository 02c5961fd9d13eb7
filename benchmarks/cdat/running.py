"""Make what the plan lacks: any number of processes, each run once, its row on disk before the next.

A process claims a run by locking one byte of a file, which ends with the process, so that a killed one leaves nothing
to clean up. What a run wants may depend on rows (a tuned rate), so the plan is asked again after every run; a process
that finds all of it claimed waits for the others' rows.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import rows
from benchmarks.lattice.running import claimed, locked, noted

HERE = Path(__file__).resolve().parent
WAIT_SECONDS = 1.0
LONG = 20  # characters: a cell that is not told
Asked = TypeVar("Asked", bound=Hashable)
Table = Sequence[Mapping[str, str]]


def fill(
    path: Path,
    wanted: Callable[[Table], Sequence[Asked]],
    make: Callable[[Asked], Mapping[str, Any]],
    about: Mapping[str, Any],
    say: Callable[[str], None],
    budget: int | None = None,
) -> int:
    """Make the rows that are missing from `path`, at most `budget` of them, in order; how many this process made.

    `wanted(rows)` are the questions still open, first things first; `make(question)` is the row that answers one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = 0
    with path.with_name(f"{path.name}.claims.lock").open("a") as claims:
        while open_questions := wanted(read(path)):
            before = made
            for question in open_questions:
                if made == budget:
                    return made
                with claimed(claims, number(question)) as mine:
                    if not mine or question not in wanted(read(path)):
                        continue
                    row = make(question)
                    with locked(path):
                        rows.append(path, {**row, "made": noted(path.parent, about)})
                made += 1
                say(f"{path.stem}: {', '.join(str(value) for value in row.values() if len(str(value)) < LONG)}")
                break
            if made == before:
                time.sleep(WAIT_SECONDS)
    return made


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file whose cells may be long."""
    csv.field_size_limit(10**7)
    return rows.read(path)


def number(question: Hashable) -> int:
    """A byte of the claims file for a question, the same in every process."""
    return int.from_bytes(hashlib.blake2s(repr(question).encode(), digest_size=4).digest(), "big")
