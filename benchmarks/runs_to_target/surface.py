"""A surface to search: a lattice's smooth fit and the noise between its seeds.

    named("digits").value({"lr": 0.1, "momentum": 0.9, "wd": 0.002})      accuracy without noise

The fit is evaluated on a grid of half octaves, linear in between; outside the lattice the value is that of the nearest edge. A run's
noise is the residual of a real run, accuracy and loss together, from a cell at a similar number of points below the level. Where the fit
diverges the run diverges. Runs of one training seed share their `luck` as far as runs on the lattice do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.stats import qmc

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.running import CHANCE, PROBE_SEEDS
from benchmarks.runs_to_target import cells, conditions, fit
from benchmarks.runs_to_target.cells import Array, Cells
from benchmarks.runs_to_target.conditions import HERE, SETTINGS, TARGETS, Box

PER_OCTAVE = 2
FILE = "surfaces.json"
TIMESCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class Sample(NamedTuple):
    """One run: accuracy in percent, last validation loss. A diverged one is at chance and has no loss."""

    accuracy: float
    loss: float | None
    diverged: bool


def percent(fields: Array) -> Array:
    """Accuracy from fields (…, 3) as those of a grid."""
    return np.where(fields[..., 2] > 0, CHANCE, fit.unwarp(fields[..., 0]))


@dataclass(frozen=True)
class Surface:
    """`grid` (a, b, c, 3): warped accuracy, log loss, the sign (positive: diverges), at half octaves of the axes."""

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
    def values(self) -> Array:
        """Accuracy in percent at every place of the grid (a, b, c)."""
        return percent(self.grid)

    @cached_property
    def best(self) -> float:
        """The highest value of the grid, to which every target refers."""
        return float(self.values.max())

    def target(self, below: float) -> float:
        """The accuracy so many percent below the best."""
        return self.best * (1 - below / 100)

    def value(self, hyperparameters: Mapping[str, float]) -> float:
        """Accuracy in percent without noise."""
        accuracy, _, diverged = self._at(hyperparameters)
        return CHANCE if diverged else accuracy

    def observe(self, hyperparameters: Mapping[str, float], generator: np.random.Generator, luck: float) -> Sample:
        """One run with its noise; `luck`, standard normal, is that of the training seed."""
        own, _ = generator.standard_normal(2).tolist()  # rows on file were made with two numbers a run
        accuracy, loss, diverged = self._at(hyperparameters)
        if diverged:
            return Sample(CHANCE, None, True)
        noise = self.cells.spread.draw(self.cells.level - accuracy, own, luck)
        image = 100.0 / self.lattice.recipe["validation_images"]
        noisy = min(max(round((accuracy + noise[0]) / image) * image, 0.0), 100.0)
        return Sample(noisy, math.exp(loss + noise[1]), False)

    def timescales(self, hyperparameters: Mapping[str, float]) -> float:
        """Weight-decay timescales in a run, T·lr·wd/(1−momentum), with AdamW T·lr·wd."""
        task, averaging = self.lattice.recipe, 1.0 - hyperparameters.get("momentum", 0.0)
        steps = int(task["epochs"]) * (task["train_images"] // task["batch_size"])
        return steps * hyperparameters["lr"] * hyperparameters["wd"] / averaging

    def _at(self, hyperparameters: Mapping[str, float]) -> tuple[float, float, bool]:
        """Accuracy, log loss, and whether it diverges: linear interpolation."""
        corner, weights = [], [1.0]
        for (first, last), side in zip(self.lattice.axes.values(), self.lattice.sides(hyperparameters), strict=True):
            steps = (min(max(math.log2(max(side, 1e-300)), first), last) - first) * PER_OCTAVE
            low = min(int(steps), (last - first) * PER_OCTAVE - 1)
            corner.append(slice(low, low + 2))
            weights = [weight * part for weight in weights for part in (1 - steps + low, steps - low)]
        warped, loss, sign = (np.array(weights) @ self.grid[tuple(corner)].reshape(8, -1)).tolist()
        return float(fit.unwarp(np.float64(warped))), loss, sign > 0


def build(found: Cells, metrics: Mapping[str, Any] | None = None) -> Surface:
    """The surface of measured cells; learns the fit where there are no metrics of surfaces.json."""
    sides = [np.arange(first, last + 0.01, 1 / PER_OCTAVE) for first, last in found.lattice.axes.values()]
    places = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
    fields = [field.predict(places.reshape(-1, 3)) for field in fit.processes(found, metrics).values()]
    return Surface(found, np.stack(fields, axis=1).reshape(*places.shape[:3], -1))


@lru_cache
def named(name: str, folder: Path = HERE, measured: Path = lattices.HERE) -> Surface:
    """The surface of a lattice; its fit is learnt and noted in surfaces.json where its rows are new."""
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
    """What surfaces.json has."""
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


def facts(ground: Surface) -> dict[str, Any]:
    """What the pages say of a surface; `outside`: by axis the best place, where it lies outside a box, and the ends of the box.

    `timescales`: points that the automatic start loses by its constant, median and 90 % quantile over the probes.
    """
    from flatdirs.tuning.start import automatic_start

    name, axes, spread = ground.lattice.name, ground.lattice.axes, ground.cells.spread
    group, seeds = SETTINGS[ground.lattice.optimizer], range(PROBE_SEEDS)
    starts = {start: [conditions.start(name, start, seed) for seed in seeds] for start in group["starts"]}
    picks = [(float(pick), int(steps)) for pick, _, steps in (conditions.probe(name, seed) for seed in seeds) if pick]
    lost = {}
    for timescale in TIMESCALES:
        begins = [automatic_start(*pick, group["momentum"], timescale=timescale) for pick in picks]
        gaps = [ground.best - ground.value(begin) for begin in begins]
        lost[f"{timescale:g}"] = [round(float(np.quantile(gaps, part)), 2) for part in (0.5, 0.9)]
    place = np.unravel_index(int(ground.values.argmax()), ground.values.shape)
    best = {axis: 2.0 ** (axes[axis][0] + steps / PER_OCTAVE) for axis, steps in zip(axes, place, strict=True)}
    values = {start: [ground.value(begin.hyperparameters) for begin in each] for start, each in starts.items()}
    found: dict[str, Any] = {"volumes": {}, "at_edge": {}, "outside": {}, "timescales": lost}
    for box in group["boxes"]:
        ends = conditions.box(name, box)
        out = {a: [float(f"{x:.3g}"), *ends[a]] for a, x in best.items() if not ends[a][0] <= x <= ends[a][1]}
        found["outside"][box], filled = out, {f"{t:g}": _filled(ground, ends, t) for t in TARGETS}
        found["volumes"][box], found["at_edge"][box] = ({t: part[i] for t, part in filled.items()} for i in (0, 1))
    return found | {
        "best": round(ground.best, 3),
        "noise": round(float(spread.deviations(np.array([ground.cells.level - ground.best]))[0, 0]), 3),
        "shared": [[round(part, 2), pairs] for part, pairs in zip(spread.shared, spread.pairs, strict=True)],
        "starts": {start: round(float(np.median(each)), 2) for start, each in values.items()},
        "probe_runs": round(float(np.mean([begin.cost for begin in starts["auto"]])), 3),
    }


def _filled(ground: Surface, box: Box, below: float) -> tuple[float, float]:
    """Percent of a box, log-uniform in its sides, that reaches a target; percent of that on an end of the lattice or beyond."""
    first, last = np.array(list(ground.lattice.axes.values())).T
    low, high = np.log2(np.array([box[axis] for axis in ground.lattice.axes])).T
    logs = low + qmc.Sobol(3, scramble=True, seed=0).random_base2(15) * (high - low)
    fields = RegularGridInterpolator([np.arange(size) for size in ground.values.shape], ground.grid)
    reached = logs[percent(fields((np.clip(logs, first, last) - first) * PER_OCTAVE)) >= ground.target(below)]
    beyond = ((reached <= first) | (reached >= last)).any(axis=1)
    return round(100 * len(reached) / len(logs), 2), round(100 * float(beyond.mean()), 1) if len(reached) else 0.0
