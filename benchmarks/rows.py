"""Raw rows in a CSV file, each on disk before the next is measured, so that a killed command loses the run in progress only."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, str]


def read(path: Path) -> list[dict[str, str]]:
    """All whole rows, oldest first; none where there is no file. A last line that a kill cut off is no row."""
    if not path.exists():
        return []
    whole, end, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return list(csv.DictReader(io.StringIO(whole + end, newline="")))


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Write one row behind those on file, where a cut-off last line makes room for it."""
    write(path, list(row), [*read(path), row])


def write(path: Path, fields: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
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
