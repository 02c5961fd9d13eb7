"""A pool of real runs to replay: 512 runs of AlexNet on ImageNet, made by random search, each with its top-1 accuracy.

A search chooses among the runs not yet taken: the one nearest to what it asks for, in log₂ of lr, 1 − momentum, wd and batch size, each
divided by its standard deviation over the pool, counts as what was run, and every method is told that place. Epochs, label smoothing
and the peak's epoch differ between the runs and are seen by no method: to a search they are noise. A value without noise is that of
the run itself; where a training loss was not a number the run counts as diverged, with the accuracy of guessing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.search import split
from benchmarks.search.simulated import Run, Told
from benchmarks.search.split import Hyperparameters

CHANCE = 0.1  # percent: one of a thousand classes
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Pool:
    """Runs: their `points`, `top_1` (n,) in percent, which of them `diverged` (n,). `noise` is assumed."""

    name: str
    points: Sequence[Hyperparameters]
    top_1: Array
    diverged: np.ndarray[Any, np.dtype[np.bool_]]
    noise: float
    key: str

    @cached_property
    def logs(self) -> Array:
        """log₂ of the sides of every run (n, 4)."""
        return np.array([split.logs(point, split.names_of(self.name)) for point in self.points])

    @property
    def best(self) -> float:
        """The best run of the pool."""
        return float(self.top_1.max())

    def distances(self, logs: Array) -> Array:
        """Distances (n,) of all runs from one place (4,), in standard deviations of the pool."""
        return np.linalg.norm((self.logs - logs) / self.logs.std(axis=0), axis=1)

    def values(self, logs: Array) -> Array:
        """The value of the run nearest to each place (m, 4); of all runs where no place is given."""
        if not len(logs):
            return self.top_1
        return np.array([self.top_1[int(self.distances(place).argmin())] for place in logs])

    def begin(self, seed: int) -> Run:
        """Runs without replacement; there is nothing random in them."""
        left = np.ones(len(self.points), dtype=bool)

        def run(hyperparameters: Hyperparameters, _: int) -> Told:
            far = self.distances(split.logs(hyperparameters, split.names_of(self.name)))
            nearest = int(np.where(left, far, np.inf).argmin())
            left[nearest] = False
            found = float(self.top_1[nearest])
            return Told(self.points[nearest], found, found, bool(self.diverged[nearest]))

        return run


def read(path: Path, noise: float) -> Pool:
    """The pool of a file."""
    table = pd.read_csv(path).rename(columns={"learning_rate": "lr", "weight_decay": "wd"})
    diverged = table["nan_train_loss"].to_numpy(dtype=bool)
    names = split.names_of("alexnet")
    values = np.where(diverged, CHANCE, table["top_1"].fillna(CHANCE).to_numpy(dtype=float))
    points = [dict(zip(names, row, strict=True)) for row in table[names].itertuples(index=False, name=None)]
    checksum = hashlib.blake2s(path.read_bytes(), digest_size=4).hexdigest()
    return Pool("alexnet", points, values, diverged, noise, checksum)
