"""Raw rows in CSV files beside this one, written as they come, so that a killed command loses its last row at most.

A row says first what was measured, then what came out; a row whose key columns are on file is not measured again. What
the rows were made with goes to provenance.json, one entry for every set of versions and code they were made with.
"""

from __future__ import annotations

import csv
import datetime
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flatdirs.objectives.provenance import provenance

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Table:
    """One CSV file: its name without ending, the columns that identify a row, the columns measured."""

    name: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    folder: Path = HERE

    @property
    def path(self) -> Path:
        """Where the rows lie."""
        return self.folder / f"{self.name}.csv"

    def read(self) -> list[dict[str, str]]:
        """All rows on file, as text; none where there is no file."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def done(self) -> set[tuple[str, ...]]:
        """The keys on file; what a kill cut off at the end is removed from the file first."""
        if self.path.exists():
            whole, _, rest = self.path.read_text(encoding="utf-8").rpartition("\n")
            if rest:
                self.path.write_text(whole + "\n" if whole else "", encoding="utf-8")
        return {tuple(row[key] for key in self.keys) for row in self.read()}

    def append(self, rows: list[tuple[Any, ...]]) -> None:
        """Write rows (key columns, then values) behind those on file, in one piece."""
        note_provenance(self.folder)
        new = not self.path.exists() or self.path.stat().st_size == 0
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(self.keys + self.values)
            writer.writerows([shown(value) for value in row] for row in rows)


def shown(value: Any) -> str:
    """Text of a value, as it stands in a file and in a key: six digits are more than any measurement here knows."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@cache
def note_provenance(folder: Path) -> None:
    """Add today's versions, code and device to provenance.json, unless they are there; looked up once a process."""
    from flatdirs.training.device import device_name, resolve_device

    path = folder / "provenance.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    about = {**provenance(), "device": device_name(resolve_device("auto")), "cores": os.cpu_count(), "threads": 1}
    if about not in [{key: value for key, value in entry.items() if key != "date"} for entry in entries]:
        entries.append({"date": datetime.date.today().isoformat(), **about})
        path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
