"""Runs to target: every search on the surfaces of real lattices; then draw the page.

    python -m benchmarks.runs_to_target                              all but the slow methods, up to the tightest target
    python -m benchmarks.runs_to_target full=true                    all, to the end: returned values, and the Gaussian process
    python -m benchmarks.runs_to_target only=myrtle,tpe lattice=digits seeds=20 draw=false

Resumable: what is on file is not made again, unless `again=true`. `only` takes methods by their names in
conditions.yaml, `lattice` one lattice or several, `workers` how many processes share the work. Prints the median of runs
to every target for what it was asked; `draw=false` leaves the page as it is. CFO wants `pip install flaml==2.7.0`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import Any

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.lattice import lattices
from benchmarks.lattice.refinement import runs_left
from benchmarks.lattice.results import results
from benchmarks.runs_to_target import conditions, repeating
from benchmarks.runs_to_target.repeating import TARGETS, Job
from flatdirs.errors import FlatdirsError

KEYS: dict[str, Any] = {
    "only": None,
    "lattice": None,
    "seeds": None,
    "workers": 1,
    "full": False,
    "again": False,
    "draw": True,
}


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = read(arguments)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    helpers = [helper(arguments) for _ in range(settings["workers"] - 1)]
    try:
        for job in jobs(settings):
            repeating.run(job, say)
    except KeyboardInterrupt:
        return 130
    codes = [process.wait() for process in helpers]
    if settings["workers"]:  # helpers have 0 and leave the rest to who started them
        for job in jobs(settings):
            print("\n".join(medians(job)))
        if settings["draw"]:
            pages.write("runs_to_target")
    return max([0, *codes])


def read(arguments: list[str]) -> dict[str, Any]:
    """The keys given, over their defaults. Raises ConfigError."""
    return settings_of(
        arguments, KEYS, lists={"only": conditions.names(), "lattice": conditions.settings()["lattices"]}
    )


def jobs(settings: dict[str, Any]) -> list[Job]:
    """One a lattice; those that are not whole yet are left out, for the best of a sparse fit is nobody's best.

    Helpers begin at the other end, so that two lattices are learnt at a time.
    """
    names = settings["lattice"] or conditions.settings()["lattices"]
    whole = [name for name in names if is_whole(name)]
    for name in names if settings["workers"] else ():
        if name not in whole:
            say(f"{name}: the lattice is not whole yet; python -m benchmarks.lattice task={name} goes on with it")
    return [
        Job(
            lattice,
            only=tuple(settings["only"] or ()),
            slow=settings["full"],
            complete=settings["full"],
            again=settings["again"],
            seeds=settings["seeds"],
        )
        for lattice in (whole if settings["workers"] else reversed(whole))
    ]


def is_whole(name: str) -> bool:
    """Whether a lattice has every run that it wants."""
    lattice = lattices.named(name)
    return not runs_left(lattice, results(lattice, rows.read(lattices.HERE / f"{name}.csv")))


def helper(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Another process of the same command."""
    kept = [argument for argument in arguments if not argument.startswith("workers=")]
    command = [sys.executable, "-m", "benchmarks.runs_to_target", *kept, "workers=0"]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def medians(job: Job) -> list[str]:
    """A line a condition: the median of runs to every target, those that never arrive counted beyond the budget."""
    budget = conditions.settings()["budget"]
    found: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in rows.read(job.path):
        found.setdefault(repeating.named(row), []).append(row)
    lines = []
    for _, condition in job.wanted():
        some = found.get((condition.method, condition.box, condition.start), [])
        if some:
            counts = [[float(row[f"runs_{target:g}"] or budget + 1) for row in some] for target in TARGETS]
            each = "  ".join(
                f"{target:g} %: {statistics.median(runs):5.1f} ({sum(n > budget for n in runs) / len(runs):4.0%} never)"
                for target, runs in zip(TARGETS, counts, strict=True)
            )
            lines.append(f"{job.lattice:13} {condition.method:16} {condition.box:8} {condition.start:13} {each}")
    return lines


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
