"""Raw rows in a CSV file, each on disk before the next is measured, so that a killed command loses the run in progress only.

Any number of processes share the work: each claims what it measures by locking a byte of a file. A lock ends with its process.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

csv.field_size_limit(10**7)  # a row may hold curves
Row = Mapping[str, Any]
LONG = {"lr": "learning_rate", "wd": "weight_decay"}  # what the columns of rows on file are called


def column(name: str) -> str:
    """The column of a hyperparameter, or of an axis of a lattice."""
    return LONG.get(name, name)


def read(path: Path) -> list[dict[str, str]]:
    """All whole rows, oldest first; none where there is no file. A last line that a kill cut off is no row."""
    if not path.exists():
        return []
    whole, end, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return list(csv.DictReader(io.StringIO(whole + end, newline="")))


def append(path: Path, row: Row) -> None:
    """Write one row behind those on file, where a cut-off last line makes room for it."""
    write(path, list(row), [*read(path), row])


def write(path: Path, fields: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a whole file at once: it is the old one or the new one, whatever happens in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    with draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fields, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def text_of(hyperparameters: Mapping[str, Any]) -> str:
    """Hyperparameters in one cell."""
    return " ".join(f"{name}={value:.6g}" for name, value in hyperparameters.items())


def number_text(value: float | None) -> str:
    """A number in one cell; empty for none, or a run that diverged."""
    return "" if value is None or not math.isfinite(value) else f"{value:.7g}"


def fill(
    path: Path, wanted: Callable[[Any], Any], make: Callable[[Any], Row], about: Row, budget: int | None = None
) -> None:
    """Make a row, `make(question)`, for each question that `wanted(rows)` gives, in order, at most `budget` of them.

    A process that finds every question claimed waits for the others' rows. `about`: what the rows are made with.
    """
    made = 0
    with path.with_name(f"{path.name}.claims.lock").open("a") as claims:
        while made != budget and (asked := wanted(read(path))):
            for question in asked:
                number = int.from_bytes(hashlib.blake2s(repr(question).encode(), digest_size=4).digest(), "big")
                with claimed(claims, number) as mine:
                    if mine and question in wanted(read(path)):
                        row = make(question)
                        with locked(path):
                            append(path, {**row, "made": noted(path.parent, about)})
                        made += 1
                        print(path.stem, *(value for value in row.values() if len(str(value)) < 20), flush=True)
                        break
            else:
                time.sleep(1)


def noted(folder: Path, about: Row) -> str:
    """The key of `about` in provenance.json, where it is added if it is new."""
    path = folder / "provenance.json"
    key = hashlib.blake2s(json.dumps(about, sort_keys=True).encode(), digest_size=3).hexdigest()
    with locked(path):
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if key not in known:
            draft, text = path.with_name(f"{path.name}.part"), {**known, key: dict(about)}
            draft.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            draft.replace(path)
    return key


@contextmanager
def claimed(claims: IO[str], number: int) -> Iterator[bool]:
    """Whether thing `number` is this process's now, to the end of the block: one byte of the file is locked."""
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(claims, fcntl.LOCK_UN, 1, number)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time writes `path`; the lock is a file beside it."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
