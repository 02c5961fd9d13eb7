"""Surfaces that are simulated: public tables, the fits of our lattices, and a synthetic language model.

Values are higher-is-better. The repetitions with one seed have the same stream of noise, whatever the method; runs on a lattice share a
part of it by their training seed, as its cells do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from benchmarks.search import split
from benchmarks.search.split import HERE, Hyperparameters

SHORT = {"learning_rate": "lr", "weight_decay": "wd"}
REPLICATES = 1000  # noise terms drawn for a repetition: one for its training seed, the others for replicates
Array = np.ndarray[Any, np.dtype[np.float64]]


class Absent(Exception):
    """A surface whose data are not at hand."""


class Told(NamedTuple):
    """A run. `true`: its value without noise, which no method sees. A diverged run has the value of guessing."""

    hyperparameters: Hyperparameters  # what was run
    value: float
    true: float
    diverged: bool = False
    loss: float | None = None
    at_chance: bool | None = None
    timescales: float | None = None


Run = Callable[[Hyperparameters, int], Told]


class Surface(Protocol):
    """`noise`: standard deviation of a run near the best; `best`: the highest value; `key`: what results depend on."""

    name: str

    @property
    def noise(self) -> float: ...
    @property
    def best(self) -> float: ...
    @property
    def key(self) -> str: ...
    def values(self, logs: Array) -> Array:
        """Values without noise at log₂ of the sides (n, d)."""

    def begin(self, seed: int) -> Run:
        """What makes the runs of a repetition."""


def value(surface: Surface, hyperparameters: Hyperparameters) -> float:
    """The value of a point without noise."""
    return float(surface.values(split.logs(hyperparameters, split.names_of(surface.name))[None])[0])


def noisy(surface: Surface, seed: int, worst: float | None = None) -> Run:
    """Runs with independent normal noise; those with the `worst` value diverge, and have none."""
    generator = np.random.default_rng([seed, 1])

    def run(hyperparameters: Hyperparameters, _: int) -> Told:
        true, noise = value(surface, hyperparameters), surface.noise * float(generator.standard_normal())
        diverged = worst is not None and true <= worst
        return Told(hyperparameters, true if diverged else true + noise, true, diverged)

    return run


@dataclass(frozen=True, eq=False)
class Table:
    """A public table, `cells` at log₂ of the sides along `axes`: multilinear; outside it, the nearest edge less the slope there.

    The slope is that of the last step of the table on the way out, whichever its sign, so walking out never pays.
    """

    name: str
    axes: tuple[Array, ...]
    cells: Array
    noise: float
    key: str

    @property
    def best(self) -> float:
        """The highest cell: between cells nothing is higher."""
        return float(self.cells.max())

    @cached_property
    def inside(self) -> RegularGridInterpolator:
        """The table itself, multilinear."""
        return RegularGridInterpolator(self.axes, self.cells)

    def values(self, logs: Array) -> Array:
        """Values without noise at log₂ of the sides (n, d)."""
        edge = np.stack([np.clip(x, axis[0], axis[-1]) for x, axis in zip(logs.T, self.axes, strict=True)], axis=1)
        found: Array = self.inside(edge)
        at_edge = found.copy()
        for number, axis in enumerate(self.axes):
            out = logs[:, number] - edge[:, number]
            if (beyond := out != 0).any():
                inner = edge[beyond].copy()
                inner[:, number] = np.where(out[beyond] > 0, axis[-2], axis[1])
                slope = (at_edge[beyond] - self.inside(inner)) / np.abs(edge[beyond, number] - inner[:, number])
                found[beyond] -= np.abs(slope * out[beyond])
        return found

    def begin(self, seed: int) -> Run:
        """Runs with independent normal noise."""
        return noisy(self, seed)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """−loss of the synthetic language model, lr × batch size in tokens."""

    model: Any  # the module with `loss`, `lowest_loss`, `NOISE` and `UNTRAINED`
    name: str = "language_model"

    @property
    def noise(self) -> float:
        """Standard deviation of a run, nats."""
        return float(self.model.NOISE)

    @property
    def best(self) -> float:
        """The value at the optimum."""
        return -float(self.model.lowest_loss())

    @cached_property
    def key(self) -> str:
        """A checksum of the module."""
        return hashlib.blake2s((HERE / "language_model.py").read_bytes(), digest_size=4).hexdigest()

    def values(self, logs: Array) -> Array:
        """Values without noise at log₂ of lr and batch size (n, 2); where a run diverges, that of guessing."""
        losses = [self.model.loss(2.0**lr, 2.0**batch) for lr, batch in logs.tolist()]
        return -np.minimum(losses, self.model.UNTRAINED)

    def begin(self, seed: int) -> Run:
        """Runs with independent normal noise."""
        return noisy(self, seed, -self.model.UNTRAINED)


@dataclass(frozen=True, eq=False)
class OurLattice:
    """The fit of a lattice (lattice_surface.py), with its noise and its divergence."""

    name: str
    fitted: Any

    @property
    def noise(self) -> float:
        """Between the seeds of the best cells."""
        cells = self.fitted.cells
        return float(cells.spread.deviations(np.array([cells.level - self.best]))[0, 0])

    @property
    def best(self) -> float:
        """The highest value of the fit."""
        return float(self.fitted.best)

    @property
    def key(self) -> str:
        """The measured rows and the way to fit them."""
        return str(self.fitted.key)

    def values(self, logs: Array) -> Array:
        """Values without noise at log₂ of the sides (n, 3)."""
        names = split.names_of(self.name)
        order = [names.index(name) for name in self.fitted.lattice.names]
        return np.array([self.fitted.value_at(2.0 ** row[order]) for row in logs])

    def begin(self, seed: int) -> Run:
        """Runs with the noise of the lattice, whose first replicates share one training seed."""
        noise, other = (np.random.default_rng([seed, number]) for number in (1, 2))
        luck, fitted = other.standard_normal(REPLICATES).tolist(), self.fitted

        def run(hyperparameters: Hyperparameters, replicate: int) -> Told:
            sample = fitted.observe(hyperparameters, noise, luck[replicate % REPLICATES])
            guess = fitted.guesses(sample)
            told = hyperparameters, sample.value, fitted.value(hyperparameters), sample.diverged, sample.loss
            return Told(*told, guess, fitted.timescales(hyperparameters))

        return run


def read_table(name: str, path: Path) -> Table:
    """A public table from its file."""
    with np.load(path, allow_pickle=False) as stored:
        names = [SHORT.get(str(told), str(told)) for told in stored["names"]]
        axes, cells = [stored[f"axis{number}"] for number in range(len(names))], stored["table"]
        noise, order = float(stored["sd"]), [names.index(one) for one in split.names_of(name)]
    checksum = hashlib.blake2s(path.read_bytes(), digest_size=4).hexdigest()
    return Table(name, tuple(axes[i] for i in order), np.transpose(cells, order), noise, checksum)
