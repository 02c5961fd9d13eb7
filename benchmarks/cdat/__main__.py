"""The evidence on CDAT and its rivals: train what is missing of the plan, then draw the page.

    python -m benchmarks.cdat                              digits alone
    python -m benchmarks.cdat data.path=cifar10.npz        CIFAR-10 too
    python -m benchmarks.cdat part=draw                    draw only

    python -m benchmarks.cdat part=thin                    take what nothing asks for out of the rows on file, draw

Resumable: whatever is on file is not made again. Give the command in as many shells as there are cores and they share
the work. `part=` full_batch, mini_batch, sensitivity, toy, start, start_runs or sigma_start does that part alone; `budget=100` (rows
of this process) and `device=cuda` narrow and move it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.cdat import plan, running, sigma_start, start, thinning, toy_runs
from benchmarks.cdat.running import HERE
from flatdirs.config.values import read_choice, read_integer, read_value
from flatdirs.errors import FlatdirsError

KEYS: dict[str, Any] = {"part": "all", "data.path": None, "device": "auto", "budget": None}
PARTS = ("all", "draw", "thin", "toy", "start", "start_runs", "sigma_start", *plan.PARTS)


def main(arguments: list[str], folder: Path = HERE) -> int:
    """The command line; the exit code."""
    try:
        settings = read(arguments)
        if settings["part"] == "thin":
            thinning.thin(folder / "runs.csv")
        elif settings["part"] != "draw":
            make(settings, folder)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    pages.write("cdat", None if folder == HERE else folder)
    return 0


def read(arguments: list[str]) -> dict[str, Any]:
    """The keys given, over their defaults. Raises ConfigError."""
    settings = settings_of(arguments, KEYS)
    read_choice("part", settings["part"], PARTS)
    if settings["budget"] is not None:
        read_integer(settings, "budget", 1)
    return settings


def make(settings: Mapping[str, Any], folder: Path) -> None:
    """What is asked for and not on file: seed 0's first problem, the starts, the rest of seed 0, the other seeds."""
    from flatdirs.training.device import cpu_threads

    part, about, budget = settings["part"], made_with(settings), settings["budget"]
    with cpu_threads(1):
        if part in ("all", "toy"):
            table = toy_runs.rows()
            rows.write(folder / "toy.csv", list(table[0]), table)
        if part == "all" and budget is None:
            trainings(settings, folder, about, None, first=True)
        if part in ("all", "start"):
            starts(settings, folder, about, budget)
        if part == "all" and budget is None:
            trainings(settings, folder, about, None, seeds=1)
        if part in ("all", "start_runs"):
            start_runs(settings, folder, about, budget)
        if part in ("all", "sigma_start"):
            sigma_starts(settings, folder, about, budget)
        if part in ("all", *plan.PARTS):
            trainings(settings, folder, about, budget)


def trainings(
    settings: Mapping[str, Any],
    folder: Path,
    about: Mapping[str, Any],
    budget: int | None,
    first: bool = False,
    seeds: int = plan.SEEDS,
) -> None:
    """Parts 1 to 4, of so many seeds; `first`: the full batch of the first problem and seed alone."""
    from benchmarks.cdat.training import train
    from flatdirs.training.device import keep_freed_memory, resolve_device
    from flatdirs.training.task import DataConfig

    device, data = resolve_device(read_value(str, settings["device"], "device")), DataConfig(path=settings["data.path"])
    only = settings["part"] if settings["part"] in plan.PARTS else None
    if device.type == "cpu":
        keep_freed_memory()

    def wanted(table: running.Table) -> list[plan.Run]:
        losses = plan.end_losses(table)
        if first:
            problem = next(iter(plan.PROBLEMS))
            return list(plan.full_batch(problem, 0, losses))
        return plan.wanted(losses, data.path is not None, only, seeds)

    def make_row(run: plan.Run) -> dict[str, Any]:
        return {**run.cells(), **train(run, data, device)}

    running.fill(folder / "runs.csv", wanted, make_row, about, say, budget)


def starts(settings: Mapping[str, Any], folder: Path, about: Mapping[str, Any], budget: int | None) -> None:
    """Part 6: the short runs on the edge."""

    names = [name for name in start.SURFACES if settings["data.path"] is not None or not name.startswith("cifar10")]

    def wanted(table: running.Table) -> list[tuple[str, float, int]]:
        known = {(row["lattice"], float(row["sigma"]), int(row["seed"])) for row in table}
        every = itertools.product(names, start.SIGMAS, range(start.SEEDS))
        return [question for question in every if question not in known]

    def make_row(question: tuple[str, float, int]) -> dict[str, Any]:
        return start.edge_row(question, objective_of(question[0], settings))

    running.fill(folder / "start.csv", wanted, make_row, about, say, budget)


def start_runs(settings: Mapping[str, Any], folder: Path, about: Mapping[str, Any], budget: int | None) -> None:
    """Part 6: whole runs of digits from the starts, once these are there."""
    table = [row for row in running.read(folder / "start.csv") if row["lattice"] == "digits"]
    found = {(row["sigma"], int(row["seed"])): row for row in table}

    def wanted(table: running.Table) -> list[tuple[str, str, int]]:
        known = {(row["way"], row["sigma"], int(row["seed"])) for row in table}
        every = start.trained_questions(found)
        return [question for question in every if question not in known]

    def make_row(question: tuple[str, str, int]) -> dict[str, Any]:
        return start.trained_row(question, found, objective_of("digits", settings))

    running.fill(folder / "start_runs.csv", wanted, make_row, about, say, budget)


def sigma_starts(settings: Mapping[str, Any], folder: Path, about: Mapping[str, Any], budget: int | None) -> None:
    """Part 7: at which σ a search with schedule=cdat should begin."""
    path = settings["data.path"]

    def wanted(table: running.Table) -> list[sigma_start.Question]:
        known = {sigma_start.question_of(row) for row in table}
        return [question for question in sigma_start.questions(path is not None) if question not in known]

    running.fill(
        folder / "sigma_start.csv", wanted, lambda question: sigma_start.row(question, path), about, say, budget
    )


def objective_of(name: str, settings: Mapping[str, Any]) -> Any:
    """The trainer as the lattice of that name has it."""
    from benchmarks.lattice import lattices
    from benchmarks.lattice.__main__ import objective_of as of_lattice

    path = settings["data.path"] if name.startswith("cifar10") else None
    return of_lattice(lattices.named(name), {**settings, "data.path": path})


def made_with(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Versions and device behind a row."""
    from flatdirs.objectives.provenance import provenance
    from flatdirs.training.device import device_name, resolve_device

    device = resolve_device(read_value(str, settings["device"], "device"))
    wanted = ("python", "torch", "numpy", "scikit-learn")
    versions = {key: version for key, version in provenance().items() if key in wanted}
    return {**versions, "device": f"{device} ({device_name(device)})", "threads": 1}


def say(line: str) -> None:
    """Progress, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
