"""What a scout is, how its setting is carried over to a whole run, and which scouts are trained. No torch.

A scout is a run of a quarter of the epochs, its schedule shrunk alike, and costs a quarter of a run. With c₁ = λα/(1−ρ)
(AdamW: λα) and T steps in a run, a scout's T·c₁ is a quarter of a whole run's at the same setting. Three ways to carry a
setting over were fixed before the first scout was trained: the same numbers, or T·c₁ kept, by λ or by α.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lattice.lattices import Cell, Lattice, Run
from benchmarks.lattice.results import by_cell, level, results

HERE = Path(__file__).resolve().parent
LATTICES = ("digits", "digits_adamw")
SHORTER = 4  # times: a scout's epochs, steps and cost
OCTAVES = SHORTER.bit_length() - 1
EIGHT = 8  # scouts of the plans that do not end with the line
BAND = 5.0  # points below the level of whole runs: cells whose carried-over settings are trained as scouts too


@dataclass(frozen=True)
class Transfer:
    """A whole run's setting as a scout: these hyperparameters are `SHORTER` times as large; and back. Ours."""

    name: str
    moved: tuple[str, ...]

    def to_scout(self, hyperparameters: Mapping[str, float]) -> dict[str, float]:
        """The scout that stands for a whole run."""
        return {name: value * SHORTER if name in self.moved else value for name, value in hyperparameters.items()}

    def to_whole(self, hyperparameters: Mapping[str, float]) -> dict[str, float]:
        """The whole run that a scout stands for."""
        return {name: value / SHORTER if name in self.moved else value for name, value in hyperparameters.items()}

    def cell(self, lattice: Lattice, cell: Cell) -> Cell | None:
        """The scout's cell for a cell of whole runs; None outside the lattice."""
        steps = zip(lattice.axes, cell, strict=True)
        moved = tuple(power + OCTAVES * (axis.hyperparameter in self.moved) for axis, power in steps)
        inside = all(power in axis.steps for axis, power in zip(lattice.axes, moved, strict=True))
        return moved if inside else None


TRANSFERS = (Transfer("same", ()), Transfer("rate", ("learning_rate",)), Transfer("decay", ("weight_decay",)))
CHOSEN = TRANSFERS[2]  # the one that was to be judged


@dataclass(frozen=True)
class Plan:
    """What precedes the whole runs. `most` scouts, or the line's; without a transfer, none.

    `back`: the scouts begin where the transfer takes the start to, so that with nothing learnt the whole runs begin at the
    start; else they begin at the start itself.
    """

    name: str
    transfer: str | None = None
    most: int | None = None
    back: bool = True


PLAIN = Plan("plain")
PLANS = (
    PLAIN,
    *(Plan(f"line, {found.name}", found.name) for found in TRANSFERS),
    *(Plan(f"line from the start, {found.name}", found.name, back=False) for found in TRANSFERS if found.moved),
    *(Plan(f"eight, {found.name}", found.name, most=EIGHT) for found in TRANSFERS),
)
MAIN = next(kind for kind in PLANS if kind.transfer == CHOSEN.name)  # the plan of the page's first table


def transfer(name: str) -> Transfer:
    """The transfer of this name."""
    return next(found for found in TRANSFERS if found.name == name)


def cost(scouts: int, runs: int = 0) -> float:
    """What so many scouts and whole runs cost, in whole runs."""
    return runs + scouts / SHORTER


def wanted(lattice: Lattice, whole: Sequence[Mapping[str, str]], scouts: Sequence[Mapping[str, str]]) -> list[Run]:
    """Every scout to train, in order, given the rows of whole runs and the scouts so far.

    The cells of the whole runs; what their ridge is carried over to; then more seeds: those that the whole runs' ridge
    has, and a second one on the scouts' own ridge, once the rest is there to say where that is.
    """
    whole_cells = by_cell(results(lattice, whole))
    runs = list(_first(lattice, whole_cells))
    runs += [run for run in sorted(results(lattice, whole)) if run.seed == 1]
    found = results(lattice, scouts)
    if set(runs) <= set(found):
        means = {cell: statistics.fmean(values) for cell, values in by_cell(found).items()}
        top = level(list(means.values()))
        runs += [Run(cell, 1) for cell, mean in sorted(means.items()) if mean >= top - lattice.near]
    return list(dict.fromkeys(runs))


def _first(lattice: Lattice, whole: Mapping[Cell, Sequence[float]]) -> Iterator[Run]:
    """Seed 0 of the whole runs' cells and of what their ridge is carried over to."""
    means = {cell: statistics.fmean(values) for cell, values in whole.items()}
    near = [cell for cell, mean in means.items() if mean >= level(list(means.values())) - BAND]
    yield from (Run(cell, 0) for cell in means)
    for carried in TRANSFERS:
        yield from (Run(there, 0) for cell in near if (there := carried.cell(lattice, cell)) is not None)
