"""A table of the searches of `make tune`, one line a seed, and what the judging seeds say beside the lattice's best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks import rows
from benchmarks.drawing import MISSING, number, spread, table
from benchmarks.handed_over.page import cells
from benchmarks.lattice import lattices
from benchmarks.lattice import page as lattice_page
from benchmarks.rows import text_of
from flatdirs.search.race import START, Lead, lead

HERE = Path(__file__).resolve().parent
ABOUT: dict[str, Any] = yaml.safe_load((HERE / "demo.yaml").read_text(encoding="utf-8"))


def values(folder: Path) -> dict[str, str]:
    """The table and the numbers in sentences; dashes where there are no rows yet."""
    searches = sorted(rows.read(folder / "searches.csv"), key=lambda row: int(row["seed"]))
    judged = {row["setting"]: found(row["values"]) for row in rows.read(folder / "judged.csv")}
    start, best = (judged.get(text_of(ABOUT[name]), []) for name in ("start", "lattice"))
    given = [judged[row["given"]] for row in searches if row["given"] in judged]
    replaced = sum(row["handed_over"] != START for row in searches)
    means = [sum(own) / len(own) for own in given if own]
    return {
        "searches": table(pd.DataFrame([line(row, judged) for row in searches])) if searches else MISSING,
        "replaced": f"{replaced} of {len(searches)}" if searches else MISSING,
        "start": percent(spread(start, 1)),
        "given": percent(number(sum(means) / len(means), 1)) if means else MISSING,
        "given_range": f"{min(means):.1f} % to {max(means):.1f} %" if means else MISSING,
        "best": percent(spread(best, 1)),
        "level": percent(number(lattice_level(), 1)),
        "cpu": number(max(int(row["cpu_seconds"]) for row in searches)) if searches else MISSING,
        "runs": number(max(int(row["race_runs"]) for row in searches) + ABOUT["budget"]) if searches else MISSING,
    }


def line(row: dict[str, str], judged: dict[str, list[float]]) -> dict[str, str]:
    """One search; the lead is that of what is handed over, of the incumbent where the start is kept."""
    ahead = lead(cells(row["values"]), cells(row["start_values"]), maximize=True)
    return {
        "seed": row["seed"],
        "handed over": row["handed_over"],
        "setting": row["given"],
        "lead in the race": lead_cell(ahead),
        "with judging seeds": spread(judged.get(row["given"], []), 1),
        "runs": number(ABOUT["budget"] + int(row["race_runs"])),
        "CPU s": row["cpu_seconds"],
        "s": row["seconds"],
    }


def lead_cell(ahead: Lead) -> str:
    """Mean ± standard error of the paired differences, in points, and how many there were."""
    return f"{ahead.mean:+.2f} ± {ahead.error:.2f} ({ahead.pairs})" if ahead.pairs > 1 else MISSING


def found(text: str) -> list[float]:
    """The values of a cell; a diverged run counts as guessing."""
    return [10.0 if value is None else value for value in cells(text)]


def percent(text: str) -> str:
    """With the unit, unless there is nothing."""
    return text if text == MISSING else f"{text} %"


def lattice_level() -> float:
    """The level of the lattice of this task, on validation images; see benchmarks/lattice."""
    return float(lattice_page.cells(lattices.HERE)[1].groupby("lattice")["level"].first()["digits_adamw"])
