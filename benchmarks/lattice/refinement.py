"""Which runs a lattice still wants: a pure function of those it has.

Rounds: first the spread cells, then, again and again, new cells beside the best ones and more seeds on the ridge. A
round is decided by the results of the rounds before it and by nothing else, whatever else is on file; so every process
that looks decides alike, and a lattice that was interrupted ends as one that was not. The rule is ours:

- the ridge is every cell whose mean lies at most `near` points below the level of the ten best; it wants a second
  seed, and a third where it lies at most half as far;
- an untried cell is as promising as the mean of the two best of its neighbours, diagonal ones included. Two, because
  one may have been lucky (a guess stands for the one that is missing); the best, because beside a cliff half of the
  neighbours have diverged.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from benchmarks.lattice.lattices import MOST_SEEDS, Cell, Lattice, Run
from benchmarks.lattice.results import CHANCE, Result, by_cell, level


def runs_left(lattice: Lattice, found: Mapping[Run, Result]) -> list[Run]:
    """What the first unfinished round lacks, in the order to make it; nothing when the lattice is whole."""
    for planned in rounds(lattice, found):
        if missing := [run for run in planned if run not in found]:
            return missing
    return []


def rounds(lattice: Lattice, found: Mapping[Run, Result]) -> Iterator[list[Run]]:
    """Every round up to the first that is not whole."""
    done: dict[Run, Result] = {}
    planned = first_round(lattice)
    while planned:
        yield planned
        done |= {run: found[run] for run in planned}
        planned = next_round(lattice, done)


def first_round(lattice: Lattice) -> list[Run]:
    """The spread cells, then a second seed for some of them."""
    order = lattice.order
    return [Run(cell, 0) for cell in order] + [Run(cell, 1) for cell in order[: lattice.repeated]]


def next_round(lattice: Lattice, done: Mapping[Run, Result]) -> list[Run]:
    """New cells while there are too few, and the ridge's next seeds."""
    means = {cell: statistics.fmean(values) for cell, values in by_cell(done).items()}
    wanted = max(0, min(lattice.round, lattice.cells - len(means)))
    fresh = [Run(cell, 0) for cell in promising(lattice, means)[:wanted]]
    best = level(list(means.values()))
    again = []
    for cell, mean in sorted(means.items()):
        seeds = sum(mean >= best - points for points in (lattice.near, lattice.near / 2)) + 1
        again += [Run(cell, seed) for seed in range(min(seeds, MOST_SEEDS)) if Run(cell, seed) not in done]
    return fresh + again


def promising(lattice: Lattice, means: Mapping[Cell, float]) -> list[Cell]:
    """The untried cells that have tried neighbours, the most promising first."""
    beside: dict[Cell, list[float]] = {}
    for cell, mean in means.items():
        for other in lattice.around(cell):
            if other not in means:
                beside.setdefault(other, []).append(mean)
    hopes = {cell: statistics.fmean(sorted([CHANCE, *values])[-2:]) for cell, values in beside.items()}
    return sorted(hopes, key=lambda cell: (-hopes[cell], cell))
