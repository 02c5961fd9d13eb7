"""A surface to search: a lattice's smooth fit, the noise between its seeds, and what a search is told of a run.

    surface = named("digits")
    surface.value({"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.002})      accuracy without noise
    surface.outcome(surface.observe(hyperparameters, numpy.random.default_rng(0)))     a run, as flatdirs' searches see it

The fit is laid out on a grid of half octaves and read off linearly. Outside the lattice the value is that of the nearest
edge: every axis is clipped to the lattice's ends, so nothing is extrapolated along a flat direction. A run's noise is the
residual of a real run, accuracy and both losses together, from a cell at a similar number of points below the level;
accuracies come in whole images, as real ones do. Where the fit diverges the run diverges, seed or no seed. Runs of one
training seed, which all points of a search have in common, share their `luck` as far as the lattice's do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.results import CHANCE
from benchmarks.runs_to_target import cells, fitting
from benchmarks.runs_to_target.cells import Array, Cells
from flatdirs.search import Outcome
from flatdirs.space.coordinates import Chart
from flatdirs.space.library import named_chart

PER_OCTAVE = 2
CLASSES = 10


@dataclass(frozen=True)
class Sample:
    """One run: accuracy in percent, last validation and training loss. A diverged one is at chance and has no losses."""

    accuracy: float
    loss: float | None
    train_loss: float | None
    diverged: bool
    relaxation: float | None = None  # T·λα/(1−ρ)


@dataclass(frozen=True)
class Surface:
    """`grid` (a, b, c, 4): warped accuracy, two log losses, the sign (positive: diverges), at half octaves of the axes."""

    cells: Cells
    grid: Array
    task: Mapping[str, Any]
    errors: Mapping[str, float]

    @property
    def lattice(self) -> Lattice:
        """Whose surface it is."""
        return self.cells.lattice

    @property
    def name(self) -> str:
        """The lattice's name."""
        return self.lattice.name

    @property
    def key(self) -> str:
        """What results depend on: the measured rows and the way to fit them."""
        return f"{self.cells.checksum}-{fitting.VERSION}"

    @cached_property
    def chart(self) -> Chart:
        """The chart that flatdirs' searches walk on here: conf/chart/ of the optimizer's name."""
        return named_chart(self.lattice.optimizer)

    @cached_property
    def best(self) -> float:
        """The highest value of the grid, percent; every target refers to it."""
        return float(np.max(np.where(self.grid[..., 3] > 0, CHANCE, fitting.unwarp(self.grid[..., 0]))))

    def target(self, percent: float) -> float:
        """The accuracy so many percent below the best."""
        return self.best * (1 - percent / 100)

    def value(self, hyperparameters: Mapping[str, float]) -> float:
        """Accuracy in percent without noise."""
        accuracy, _, _, diverged = self._at(hyperparameters)
        return CHANCE if diverged else accuracy

    def values(self, logs: Array) -> Array:
        """The same at (m, 3) places given as logarithms to base 2 along the lattice's axes."""
        found = _interpolate(self.grid, self._clipped(logs))
        return np.where(found[:, 3] > 0, CHANCE, fitting.unwarp(found[:, 0]))

    def observe(
        self, hyperparameters: Mapping[str, float], generator: np.random.Generator, luck: float | None = None
    ) -> Sample:
        """One run with its noise; takes two numbers from the generator, whatever happens.

        `luck` is standard normal and the training seed's: give the same to all runs of a seed. None draws one for this run.
        """
        own, drawn = generator.standard_normal(2).tolist()
        accuracy, loss, train_loss, diverged = self._at(hyperparameters)
        if diverged:
            return Sample(CHANCE, None, None, True, self.relaxation(hyperparameters))
        noise = self.cells.spread.draw(self.cells.level - accuracy, own, drawn if luck is None else luck)
        whole = 100.0 / self.task["validation_images"]
        noisy = min(max(round((accuracy + noise[0]) / whole) * whole, 0.0), 100.0)
        losses = (math.exp(loss + noise[1]), math.exp(train_loss + noise[2]))
        return Sample(noisy, *losses, False, self.relaxation(hyperparameters))

    def relaxation(self, hyperparameters: Mapping[str, float]) -> float:
        """How often the weights forget where they were in a run: T·λα/(1−ρ), with AdamW T·λα."""
        steps = self.epochs * (self.task["train_images"] // self.task["batch_size"])
        averaging = 1.0 - hyperparameters.get("momentum", 0.0)
        return steps * hyperparameters["learning_rate"] * hyperparameters["weight_decay"] / averaging

    def outcome(self, sample: Sample) -> Outcome:
        """What flatdirs' searches are told of a run, as flatdirs.objective has it."""
        if sample.diverged:
            return Outcome("diverged", sample.accuracy, None, True, sample.relaxation)
        guessing = sample.accuracy <= self.chance_ceiling
        return Outcome("finished", sample.accuracy, sample.loss, guessing, sample.relaxation)

    @cached_property
    def chance_ceiling(self) -> float:
        """Three binomial standard deviations above guessing, the trainer's own rule."""
        from flatdirs.training.loop import chance_ceiling

        return chance_ceiling(CLASSES, self.task["validation_images"])

    @property
    def epochs(self) -> int:
        """Epochs of one run."""
        return int(self.task["epochs"])

    def logs(self, hyperparameters: Mapping[str, float]) -> list[float]:
        """Logarithms to base 2 along the lattice's axes."""
        chart = self.chart
        names = [axis.hyperparameter for axis in self.lattice.axes]
        return [math.log2(max(chart.inner(name, hyperparameters[name]), 1e-300)) for name in names]

    def _at(self, hyperparameters: Mapping[str, float]) -> tuple[float, float, float, bool]:
        """Accuracy, both log losses, and whether it diverges: `_interpolate` for one place, without arrays of indices."""
        corner, weights = [], [1.0]
        for log, axis in zip(self.logs(hyperparameters), self.lattice.axes, strict=True):
            steps = (min(max(log, axis.first), axis.last) - axis.first) * PER_OCTAVE
            low = min(int(steps), (axis.last - axis.first) * PER_OCTAVE - 1)
            corner.append(low)
            weights = [weight * part for weight in weights for part in (1 - steps + low, steps - low)]
        a, b, c = corner
        block = self.grid[a : a + 2, b : b + 2, c : c + 2].reshape(8, -1)
        warped, loss, train_loss, sign = (np.array(weights) @ block).tolist()
        return float(fitting.unwarp(np.float64(warped))), loss, train_loss, sign > 0

    def _clipped(self, logs: Array) -> Array:
        """Steps of the grid from its first corner, inside it."""
        first = np.array([axis.first for axis in self.lattice.axes])
        last = np.array([axis.last for axis in self.lattice.axes])
        return (np.clip(logs, first, last) - first) * PER_OCTAVE


def _interpolate(grid: Array, steps: Array) -> Array:
    """Linear along all three axes at (m, 3) places counted in steps of the grid: (m, fields)."""
    low = np.minimum(steps.astype(int), np.array(grid.shape[:3]) - 2)
    part = steps - low
    found = np.zeros((len(steps), grid.shape[3]))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        index = low + corner
        found += weight[:, None] * grid[index[:, 0], index[:, 1], index[:, 2]]
    return found


def build(found: Cells, task: Mapping[str, Any], entry: Mapping[str, Any] | None = None) -> Surface:
    """The surface of measured cells; learns the fit where there is no entry of surfaces.json to go by."""
    entry = entry or fitting.learn(found)
    fit = fitting.fields(found, entry)
    sides = [np.arange(axis.first, axis.last + 0.01, 1 / PER_OCTAVE) for axis in found.lattice.axes]
    places = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
    grid = fit.predict(places.reshape(-1, 3)).reshape(*places.shape[:3], 4)
    return Surface(found, grid, task, entry["errors"])


@lru_cache
def named(name: str, folder: Path = fitting.HERE, measured: Path = LATTICES) -> Surface:
    """The surface of a lattice: learnt and noted in surfaces.json where its rows are new, else as noted there."""
    lattice = lattices.named(name)
    found = cells.read(lattice, measured)
    entry = fitting.known(name, folder)
    if entry is None or (entry["checksum"], entry["version"]) != (found.checksum, fitting.VERSION):
        entry = fitting.learn(found)
        fitting.keep(name, entry, folder)
    return build(found, lattice.recipe, entry)
