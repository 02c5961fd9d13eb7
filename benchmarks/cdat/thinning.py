"""Rows hold as much of a loss curve as claims and figures ask for (`plan.Run.points`), and no more. No torch.

New rows are thinned as they are made; `python -m benchmarks.cdat part=thin` thins those on file, as often as one likes.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import rows
from benchmarks.cdat import running
from benchmarks.cdat.plan import Run, run_of
from benchmarks.lattice.running import locked


def curve(run: Run, cell: str) -> str:
    """The column `curve`, `step:loss:rate;…`, with at most `run.points` groups, the first and the last among them."""
    groups = cell.split(";")
    if len(groups) <= run.points:
        return cell
    last = len(groups) - 1
    return ";".join(groups[round(i * last / (run.points - 1))] for i in range(run.points))


def thin(path: Path) -> None:
    """Thin every row of a file; nothing else of it changes."""
    with locked(path):
        table = running.read(path)
        if table:
            thinned = [{**row, "curve": curve(run_of(row), row["curve"])} for row in table]
            rows.write(path, list(table[0]), thinned)
