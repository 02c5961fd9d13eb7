"""Lattices: axes in powers of two, cells, runs, and the cells that are tried first; conditions in lattices.yaml. No torch.

A cell is a tuple of whole powers of two, so every hyperparameter is exact in binary. The first cells are corners and middles of
sides, which show whether the ranges reach far enough, then a scrambled Sobol sequence.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from scipy.stats import qmc

from flatdirs.errors import ConfigError
from flatdirs.resources import conf_folder

HERE = Path(__file__).resolve().parent
Cell = tuple[int, ...]  # a power of two along each axis


class Run(NamedTuple):
    """One training run."""

    cell: Cell
    seed: int


@dataclass(frozen=True)
class Lattice:
    """The conditions of one lattice, key by key those of lattices.yaml.

    `axes`: first and last power of two, by hyperparameter or one_minus_… of one; `changes`: to keys of the task;
    `fixed`: hyperparameters that are no axis; `chance`: the metric of guessing, which a diverged run counts as;
    `probe`: None where step sampling is not tried.
    """

    name: str
    task: str
    optimizer: str
    axes: Mapping[str, tuple[int, int]]
    sobol_seed: int
    spread: int
    repeated: int
    cells: int
    round: int
    near: float
    probe: Mapping[str, float] | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "triangle"
    schedule_keys: Mapping[str, Any] = field(default_factory=dict)
    optimizer_keys: Mapping[str, Any] = field(default_factory=dict)
    clip_gradient: float | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    metric: str = "accuracy"
    chance: float = 10.0  # percent; every image task here has ten classes

    @cached_property
    def recipe(self) -> Mapping[str, Any]:
        """The keys of the task that is trained: conf/task/ with the changes of this lattice."""
        path = conf_folder() / "task" / f"{self.task}.yaml"
        return {**yaml.safe_load(path.read_text(encoding="utf-8")), **self.changes}

    @property
    def names(self) -> list[str]:
        """The hyperparameter of each axis: momentum for one_minus_momentum."""
        return [axis.removeprefix("one_minus_") for axis in self.axes]

    @property
    def powers(self) -> list[range]:
        """Every power of two along each axis."""
        return [range(first, last + 1) for first, last in self.axes.values()]

    def hyperparameters(self, cell: Cell) -> dict[str, float]:
        """What the trainer is given."""
        found = zip(self.axes, self.names, cell, strict=True)
        values = {name: 2.0**power if axis == name else 1.0 - 2.0**power for axis, name, power in found}
        return {name: int(value) if name == "batch_size" else value for name, value in {**values, **self.fixed}.items()}

    def sides(self, hyperparameters: Mapping[str, float]) -> list[float]:
        """Where they lie along the axes: 1 − momentum for momentum."""
        pairs = zip(self.axes, self.names, strict=True)
        return [hyperparameters[name] if axis == name else 1.0 - hyperparameters[name] for axis, name in pairs]

    def around(self, cell: Cell) -> list[Cell]:
        """The cells that differ by at most one step along every axis, diagonal ones included, without itself."""
        pairs = zip(self.powers, cell, strict=True)
        inside = [[power + step for step in (-1, 0, 1) if power + step in powers] for powers, power in pairs]
        return [other for other in itertools.product(*inside) if other != cell]

    @cached_property
    def order(self) -> tuple[Cell, ...]:
        """The `spread` cells that come first: corners, middles of sides, then the Sobol sequence, none twice."""
        ends, powers = list(self.axes.values()), self.powers
        middle = tuple(sum(pair) // 2 for pair in ends)
        sides = [(*middle[:i], end, *middle[i + 1 :]) for i, pair in enumerate(ends) for end in pair]
        points = qmc.Sobol(len(ends), scramble=True, seed=self.sobol_seed).random_base2(14).tolist()
        drawn = [tuple(axis[int(x * len(axis))] for axis, x in zip(powers, point, strict=True)) for point in points]
        return tuple(dict.fromkeys([*itertools.product(*ends), *sides, *drawn]))[: self.spread]


def read() -> dict[str, Lattice]:
    """Every lattice by its name."""
    found = yaml.safe_load((HERE / "lattices.yaml").read_text(encoding="utf-8"))
    return {name: Lattice(name=name, **keys) for name, keys in found.items()}


def named(name: str | None) -> Lattice:
    """The lattice of this name. Raises ConfigError."""
    every = read()
    if name not in every:
        raise ConfigError(f"task={name} must be one of {', '.join(every)}; change task")
    return every[name]
