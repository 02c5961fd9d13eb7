"""Train the scouts that are not on file: a row each, on disk before the next one begins. Reuses the lattices' trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import rows
from benchmarks.lattice import __main__ as lattice_command
from benchmarks.lattice import lattices, running
from benchmarks.lattice.lattices import HERE as WHOLE
from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.results import row, run_of
from benchmarks.scouts import plan

Say = Callable[[str], None]


def train(name: str, folder: Path, budget: int | None, say: Say) -> int:
    """Every scout of a lattice, at most `budget` of them; how many this process trained."""
    lattice, path = lattices.named(name), folder / f"{name}.csv"
    objective = lattice_command.objective_of(lattice, {"data.path": None, "device": "cpu"})
    objective = replace(objective, task=replace(objective.task, epochs=objective.task.epochs // plan.SHORTER))
    about, trainer, made = lattice_command.made_with(objective), running.trainer(lattice, objective), 0
    key = running.noted(folder, about)
    with path.with_name(f"{path.name}.claims.lock").open("a") as claims:
        while left := left_of(lattice, path):
            before = made
            for number, run in enumerate(left, 1):
                if made == budget:
                    return made
                with running.claimed(claims, lattice.number(run)) as mine:
                    if not mine or run in {run_of(lattice, old) for old in rows.read(path)}:
                        continue
                    found = trainer(run)
                    with running.locked(path):
                        rows.append(path, short(row(lattice, run, found, key)))
                made += 1
                say(f"{name} {number}/{len(left)} {run.cell} seed {run.seed}: {found.value}, {found.seconds:.1f} s")
            if made == before:
                return made  # the rest is with other processes
    return made


def left_of(lattice: Lattice, path: Path) -> list[lattices.Run]:
    """The scouts that are not on file."""
    done = rows.read(path)
    known = {run_of(lattice, old) for old in done}
    return [run for run in plan.wanted(lattice, rows.read(WHOLE / f"{lattice.name}.csv"), done) if run not in known]


def short(whole: dict[str, object]) -> dict[str, object]:
    """A row of the lattices' kind without curves: the last training loss is kept, by the curve's name."""
    last = str(whole["train_loss_curve"]).rpartition(";")[2]
    return {**{key: value for key, value in whole.items() if not key.endswith("_curve")}, "train_loss_curve": last}
