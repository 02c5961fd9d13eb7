"""A surface to search: a lattice's smooth fit and the noise between its seeds.

    named("digits").value({"lr": 0.1, "momentum": 0.9, "wd": 0.002})      accuracy without noise

The fit is evaluated on a grid of half octaves, linear in between; outside the lattice the value is that of the nearest edge. A run's
noise is the residual of a real run, accuracy and loss together, from a cell at a similar number of points below the level. Where the fit
diverges the run diverges. Runs of one training seed share their `luck` as far as runs on the lattice do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.running import worst_of
from benchmarks.search import cells, fit
from benchmarks.search.cells import Array, Cells
from benchmarks.search.split import HERE

PER_OCTAVE = 2
FILE = "fits.json"


class Sample(NamedTuple):
    """One run: accuracy in percent, or a loss with its sign changed; last validation loss. A diverged one guesses and has no loss."""

    value: float
    loss: float | None
    diverged: bool


@dataclass(frozen=True)
class Surface:
    """`grid` (a, b, c, 3): warped value, log loss, the sign (positive: diverges), at half octaves of the axes."""

    cells: Cells
    grid: Array

    @property
    def lattice(self) -> Lattice:
        return self.cells.lattice

    @property
    def key(self) -> str:
        """What results depend on: the measured rows and the way to fit them."""
        return f"{self.cells.checksum}-{fit.VERSION}"

    @cached_property
    def warp(self) -> fit.Warp:
        """Between values and the scale of the fit."""
        return fit.warp_of(self.cells)

    @cached_property
    def chance(self) -> float:
        """The value of guessing."""
        return worst_of(self.lattice)

    @cached_property
    def best(self) -> float:
        """The highest value of the grid."""
        return float(np.where(self.grid[..., 2] > 0, self.chance, self.warp.unwarp(self.grid[..., 0])).max())

    def value(self, hyperparameters: Mapping[str, float]) -> float:
        """The value without noise."""
        return self.value_at(self.lattice.sides(hyperparameters))

    def value_at(self, sides: Iterable[float]) -> float:
        """The value without noise, at sides in the order of the lattice's axes."""
        value, _, diverged = self._at(sides)
        return self.chance if diverged else value

    def observe(self, hyperparameters: Mapping[str, float], generator: np.random.Generator, luck: float) -> Sample:
        """One run with its noise; `luck`, standard normal, is that of the training seed."""
        own, _ = generator.standard_normal(2).tolist()  # rows were made with two numbers a run
        value, loss, diverged = self._at(self.lattice.sides(hyperparameters))
        if diverged:
            return Sample(self.chance, None, True)
        noise = self.cells.spread.draw(self.cells.level - value, own, luck)
        if self.lattice.metric == "loss":
            noisy = max(value + float(noise[0]), self.chance)
            return Sample(noisy, -noisy, False)
        image = 100.0 / self.lattice.recipe["validation_images"]
        noisy = min(max(round((value + noise[0]) / image) * image, 0.0), 100.0)
        return Sample(noisy, math.exp(loss + noise[1]), False)

    def guesses(self, sample: Sample) -> bool:
        """Whether a run is within three binomial standard deviations of guessing, the trainer's rule; of a loss, at chance."""
        if self.lattice.metric == "loss":
            return sample.value <= self.chance
        ceiling = 10 + 300 * math.sqrt(0.1 * 0.9 / self.lattice.recipe["validation_images"])
        return sample.diverged or sample.value <= ceiling

    def timescales(self, hyperparameters: Mapping[str, float]) -> float | None:
        """Weight-decay timescales in a run, T·lr·wd/(1−momentum), with AdamW T·lr·wd; None where the recipe has no images."""
        task, averaging = self.lattice.recipe, 1.0 - hyperparameters.get("momentum", 0.0)
        if "train_images" not in task:
            return None
        steps = int(task["epochs"]) * (task["train_images"] // task["batch_size"])
        return float(steps * hyperparameters["lr"] * hyperparameters["wd"] / averaging)

    def _at(self, sides: Iterable[float]) -> tuple[float, float, bool]:
        """Value, log loss, and whether it diverges: linear interpolation."""
        corner, weights = [], [1.0]
        for (first, last), side in zip(self.lattice.axes.values(), sides, strict=True):
            steps = (min(max(math.log2(max(side, 1e-300)), first), last) - first) * PER_OCTAVE
            low = min(int(steps), (last - first) * PER_OCTAVE - 1)
            corner.append(slice(low, low + 2))
            weights = [weight * part for weight in weights for part in (1 - steps + low, steps - low)]
        warped, loss, sign = (np.array(weights) @ self.grid[tuple(corner)].reshape(8, -1)).tolist()
        return float(self.warp.unwarp(np.float64(warped))), loss, sign > 0


def build(found: Cells, metrics: Mapping[str, Any] | None = None) -> Surface:
    """The surface of measured cells; learns the fit where there are no metrics of fits.json."""
    sides = [np.arange(first, last + 0.01, 1 / PER_OCTAVE) for first, last in found.lattice.axes.values()]
    places = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
    fields = [field.predict(places.reshape(-1, 3)) for field in fit.processes(found, metrics).values()]
    return Surface(found, np.stack(fields, axis=1).reshape(*places.shape[:3], -1))


@lru_cache
def named(name: str, folder: Path = HERE, measured: Path = lattices.HERE) -> Surface:
    """The surface of a lattice; its fit is learnt and noted in fits.json where its rows are new."""
    found = cells.from_rows(lattices.named(name), rows.read(measured / f"{name}.csv"))
    entry = known(folder).get(name)
    if entry is None or (entry["checksum"], entry["version"]) != (found.checksum, fit.VERSION):
        fields = fit.processes(found)
        metrics = {n: {k: np.round(v, 9).tolist() for k, v in field.metric.items()} for n, field in fields.items()}
        errors = {n: round(value, 4) for n, value in fit.errors(found, fields).items()}
        entry = {"checksum": found.checksum, "version": fit.VERSION, "metrics": metrics, "errors": errors}
        keep(name, entry, folder)
    return build(found, entry["metrics"])


def known(folder: Path) -> dict[str, Any]:
    """What fits.json has."""
    path = folder / FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep(name: str, entry: Mapping[str, Any], folder: Path) -> None:
    """Write more of a lattice's entry, if it is new."""
    with rows.locked(folder / FILE):
        found = known(folder)
        if (new := {**found, name: {**found.get(name, {}), **entry}}) != found:
            draft = folder / f"{FILE}.part"
            draft.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            draft.replace(folder / FILE)
