"""What a lattice is: axes in powers of two, a cell, a run, and the order in which cells are first tried. No torch.

lattices.yaml holds the conditions. A cell is a tuple of whole powers of two, so cells are equal or not, never nearly,
and every hyperparameter is exact in binary. The order begins with corners and middles of sides, which show whether
the ranges reach far enough, and goes on with a scrambled Sobol sequence dropped into the cells, repeats left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flatdirs.errors import ConfigError
from flatdirs.resources import conf_folder

HERE = Path(__file__).resolve().parent
SOBOL_POINTS = 14  # as a power of two: enough to meet nearly every cell
MOST_SEEDS = 3

Cell = tuple[int, ...]  # a power of two along each axis


class Run(NamedTuple):
    """One training run."""

    cell: Cell
    seed: int


@dataclass(frozen=True)
class Axis:
    """A hyperparameter, or one_minus_… of one, from 2^first to 2^last."""

    name: str
    first: int
    last: int

    @property
    def steps(self) -> range:
        """Every power, ascending."""
        return range(self.first, self.last + 1)

    @property
    def hyperparameter(self) -> str:
        """What a run is given: momentum for one_minus_momentum."""
        return self.name.removeprefix("one_minus_")

    def setting(self, power: int) -> float:
        """The hyperparameter's value at a power of the axis; exact."""
        return 1.0 - 2.0**power if self.hyperparameter != self.name else 2.0**power


@dataclass(frozen=True)
class Lattice:
    """One lattice's conditions, key by key those of lattices.yaml; `changes` to keys of the task, which has its own file."""

    name: str
    task: str
    optimizer: str
    axes: tuple[Axis, ...]
    sobol_seed: int
    spread: int
    repeated: int
    cells: int
    round: int
    near: float
    probe: Mapping[str, float]
    changes: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "triangle"

    @cached_property
    def recipe(self) -> Mapping[str, Any]:
        """The keys of the task that is trained: conf/task/ with this lattice's changes."""
        path = conf_folder() / "task" / f"{self.task}.yaml"
        return {**yaml.safe_load(path.read_text(encoding="utf-8")), **self.changes}

    @property
    def size(self) -> int:
        """How many cells there are."""
        return len(list(self.all_cells()))

    def all_cells(self) -> itertools.product[Cell]:
        """Every cell, in a fixed order."""
        return itertools.product(*(axis.steps for axis in self.axes))

    def number(self, run: Run) -> int:
        """A number of the run's own, from 1."""
        found = run.seed
        for axis, power in zip(self.axes, run.cell, strict=True):
            found = found * len(axis.steps) + power - axis.first
        return 1 + found

    def hyperparameters(self, cell: Cell) -> dict[str, float]:
        """What the trainer is given."""
        return {axis.hyperparameter: axis.setting(power) for axis, power in zip(self.axes, cell, strict=True)}

    def around(self, cell: Cell) -> list[Cell]:
        """The cells that differ by at most one step along every axis, diagonal ones included, without itself."""
        sides = [
            [power + step for step in (-1, 0, 1) if axis.first <= power + step <= axis.last]
            for axis, power in zip(self.axes, cell, strict=True)
        ]
        return [other for other in itertools.product(*sides) if other != cell]

    @cached_property
    def order(self) -> tuple[Cell, ...]:
        """The `spread` cells that come first: corners, middles of sides, then Sobol's, none twice."""
        return tuple(dict.fromkeys([*self.corners, *self.middles, *self._sobol()]))[: self.spread]

    @property
    def corners(self) -> list[Cell]:
        """Where every axis is at an end."""
        return list(itertools.product(*((axis.first, axis.last) for axis in self.axes)))

    @property
    def middles(self) -> list[Cell]:
        """One axis at an end, the others half-way."""
        middle = [(axis.first + axis.last) // 2 for axis in self.axes]
        return [
            (*middle[:place], end, *middle[place + 1 :])
            for place, axis in enumerate(self.axes)
            for end in (axis.first, axis.last)
        ]

    def _sobol(self) -> list[Cell]:
        from scipy.stats import qmc

        points = qmc.Sobol(len(self.axes), scramble=True, seed=self.sobol_seed).random_base2(SOBOL_POINTS)
        return [
            tuple(axis.first + int(part * len(axis.steps)) for axis, part in zip(self.axes, point, strict=True))
            for point in points
        ]


def read(path: Path = HERE / "lattices.yaml") -> dict[str, Lattice]:
    """Every lattice by its name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: Lattice(name=name, **{**keys, "axes": tuple(Axis(axis, *ends) for axis, ends in keys["axes"].items())})
        for name, keys in found.items()
    }


def named(name: str | None) -> Lattice:
    """The lattice of this name. Raises ConfigError."""
    every = read()
    if name not in every:
        raise ConfigError(f"task={name} must be one of {', '.join(every)}; change task")
    return every[name]
