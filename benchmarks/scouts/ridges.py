"""Where the ridges of scouts and of whole runs lie, on the smooth fits: worked out once and kept in facts.json.

Along an axis, with the other two hyperparameters fixed, every line has a best and two edges, where it has fallen `FALL`
points below its own best. A line is in where whole runs come within `TOP` points of the best of the fit, and a mark is
in where it lies inside the axis for both. Shifts are the scout's less the whole run's, in octaves, the median over lines.
Then all settings at once: whole runs against scouts at every shift in λ and α, Spearman's correlation over the settings
within `TOP` points of the best. Intervals: cells drawn again with replacement, both surfaces fitted again to those, with
the metric learnt from all (a drawn cell's noise shrinks with how often it was drawn; the cliff stays).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.results import CHANCE
from benchmarks.runs_to_target import fitting
from benchmarks.runs_to_target.cells import Array
from benchmarks.runs_to_target.smoothing import Process
from benchmarks.runs_to_target.surface import PER_OCTAVE, Surface
from benchmarks.scouts import plan
from benchmarks.scouts.grounds import Grounds
from benchmarks.scouts.ranking import spearman

FILE = "facts.json"
VERSION = 3  # of what is in it
FALL, TOP = 2.0, plan.BAND
RESAMPLES = 100
MARKS = ("lower edge", "best", "upper edge")
RATE_SHIFTS, DECAY_SHIFTS = range(-2, 4), range(-4, 5)  # octaves
SHOWN = (-3, (-10, -7, -4))  # log₂(1−ρ) and log₂ α of the lines in the figure, SGD
SHOWN_ADAMW = (-3, (-4, -1, 2))


@dataclass(frozen=True)
class Ridge:
    """What one pair of surfaces says: `shifts` (axes, marks) in octaves, how many lines, and `ranks` by shift in λ and α."""

    shifts: Array
    lines: Array
    ranks: Array

    @property
    def nearest(self) -> tuple[int, int]:
        """The octaves in λ and in α at which scouts rank the settings most as whole runs do."""
        rate, decay = np.unravel_index(int(np.argmax(self.ranks)), self.ranks.shape)
        return RATE_SHIFTS[int(rate)], DECAY_SHIFTS[int(decay)]


def ridge(whole: Surface, scout: Surface) -> Ridge:
    """Compare two surfaces of one lattice."""
    first, second = heights(whole), heights(scout)
    shifts, lines = np.full((3, len(MARKS)), np.nan), np.zeros((3, len(MARKS)))
    for axis in range(3):
        off = marks(np.moveaxis(second, axis, -1)) - marks(np.moveaxis(first, axis, -1))
        good = first.max(axis=axis) >= first.max() - TOP
        for mark in range(len(MARKS)):
            kept = off[..., mark][good & np.isfinite(off[..., mark])]
            lines[axis, mark] = len(kept)
            shifts[axis, mark] = np.median(kept) / PER_OCTAVE if len(kept) else np.nan
    return Ridge(shifts, lines, ranks(first, second, whole.lattice))


def heights(ground: Surface) -> Array:
    """Accuracies of a surface's grid, in percent."""
    return np.where(ground.grid[..., 3] > 0, CHANCE, fitting.unwarp(ground.grid[..., 0]))


def marks(lines: Array) -> Array:
    """Lower edge, best and upper edge of every line (…, n) in steps of the grid, between its places: (…, 3).

    nan where a line does not have it: a best at an end, an edge beyond one.
    """
    flat = lines.reshape(-1, lines.shape[-1])
    return np.array([_marks(line) for line in flat]).reshape(*lines.shape[:-1], len(MARKS))


def _marks(line: Array) -> tuple[float, float, float]:
    top, last = int(np.argmax(line)), len(line) - 1
    low = _edge(line[top::-1])
    high = _edge(line[top:])
    best = np.nan
    if 0 < top < last:
        bend = line[top - 1] - 2 * line[top] + line[top + 1]
        best = top + (0.5 * (line[top - 1] - line[top + 1]) / bend if bend < 0 else 0.0)
    return top - low, best, top + high


def _edge(falling: Array) -> float:
    """Steps from a line's best until it is `FALL` points lower; nan if it is not."""
    below = np.nonzero(falling < falling[0] - FALL)[0]
    if not len(below):
        return float("nan")
    after = int(below[0])
    return after - 1 + float((falling[after - 1] - falling[0] + FALL) / (falling[after - 1] - falling[after]))


def ranks(whole: Array, scout: Array, lattice: Lattice) -> Array:
    """Spearman's correlation at every shift in λ and α (in that order), settings beyond the scouts' grid at its edge."""
    near = whole >= whole.max() - TOP
    places, ranked = np.array(np.nonzero(near)).T, rankdata(whole[near])
    names = [axis.hyperparameter for axis in lattice.axes]
    moved = [names.index("learning_rate"), names.index("weight_decay")]
    found = np.zeros((len(RATE_SHIFTS), len(DECAY_SHIFTS)))
    for one, other in itertools.product(*map(range, found.shape)):
        there = places.copy()
        there[:, moved] += PER_OCTAVE * np.array([RATE_SHIFTS[one], DECAY_SHIFTS[other]])
        there = np.minimum(np.maximum(there, 0), np.array(whole.shape) - 1)
        found[one, other] = np.corrcoef(ranked, rankdata(scout[tuple(there.T)]))[0, 1]
    return found


def redrawn(ground: Surface, process: Process, generator: np.random.Generator) -> Surface:
    """The surface of its cells drawn again with replacement."""
    often = np.bincount(generator.integers(0, len(process.values), len(process.values)), minlength=len(process.values))
    kept = often > 0
    again = Process(
        process.places[kept], process.values[kept], process.variances[kept] / often[kept], process.metric
    ).predict(grid_places(ground).reshape(-1, 3))
    return replace(
        ground, grid=np.concatenate([again.reshape(*ground.grid.shape[:3], 1), ground.grid[..., 1:]], axis=3)
    )


def grid_places(ground: Surface) -> Array:
    """The grid's places in octaves, (a, b, c, 3)."""
    sizes = zip(ground.lattice.axes, ground.grid.shape[:3], strict=True)
    sides = [axis.first + np.arange(size) / PER_OCTAVE for axis, size in sizes]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)


def facts(name: str, grounds: Grounds, folder: Path, resamples: int = RESAMPLES) -> dict[str, Any]:
    """What facts.json has of a lattice."""
    entries = fitting.known(name), fitting.known(name, folder)
    pairs = [
        (ground, fitting.fields(ground.cells, entry).accuracy)
        for ground, entry in zip((grounds.whole, grounds.scout), entries, strict=True)
    ]
    generator = np.random.default_rng(0)
    found = ridge(grounds.whole, grounds.scout)
    again = [ridge(*(redrawn(ground, process, generator) for ground, process in pairs)) for _ in range(resamples)]
    low, high = (np.nanquantile([one.shifts for one in again], part, axis=0) for part in (0.025, 0.975))
    tops = [one.nearest for one in again]
    return {
        "key": grounds.key,
        "version": VERSION,
        "best": [round(ground.best, 2) for ground in (grounds.whole, grounds.scout)],
        "level": [round(ground.cells.level, 2) for ground in (grounds.whole, grounds.scout)],
        "errors": [entry["errors"] for entry in entries if entry],
        "shifts": np.stack([found.shifts, low, high], axis=-1).round(2).tolist(),
        "lines": found.lines.astype(int).tolist(),
        "ranks": found.ranks.round(3).tolist(),
        "nearest": {f"{rate:+d} {decay:+d}": tops.count((rate, decay)) for rate, decay in sorted(set(tops))},
        "fitted": {carried.name: fitted(carried, grounds) for carried in plan.TRANSFERS},
        "curves": curves(grounds),
    }


def fitted(carried: plan.Transfer, grounds: Grounds) -> list[float]:
    """Spearman's correlation between all cells of whole runs and the scouts' fit where they are carried over; how many."""
    found = grounds.whole.cells
    finished = {
        tuple(place): mean for place, mean in zip(found.places.tolist(), found.means[:, 0].tolist(), strict=True)
    }
    off = [plan.OCTAVES * (axis.hyperparameter in carried.moved) for axis in grounds.whole.lattice.axes]
    scouts = grounds.scout.values(found.every + np.array(off))
    whole = [
        CHANCE if part >= 0.5 else finished[tuple(place)]
        for place, part in zip(found.every.tolist(), found.diverged.tolist(), strict=True)
    ]
    one = spearman(list(zip(whole, scouts.tolist(), strict=True)))
    return [*(round(value, 3) for value in (one.value, one.low, one.high)), one.count]


def curves(grounds: Grounds) -> dict[str, Any]:
    """The lines of the figure: accuracies along λ by log₂ α, whole runs' and scouts'."""
    averaging, decays = SHOWN if grounds.whole.lattice.optimizer == "sgd" else SHOWN_ADAMW
    rate = grounds.whole.lattice.axes[0]
    across = np.arange(rate.first, rate.last + 0.01, 1 / PER_OCTAVE)
    found: dict[str, Any] = {"rates": across.tolist(), "averaging": averaging}
    for power in decays:
        logs = np.stack([across, np.full(len(across), averaging), np.full(len(across), power)], axis=1)
        found[str(power)] = [ground.values(logs).round(2).tolist() for ground in (grounds.whole, grounds.scout)]
    return found


def known(folder: Path) -> dict[str, Any]:
    """The file; empty where there is none."""
    path = folder / FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def note(name: str, folder: Path, grounds: Grounds) -> None:
    """Work out a lattice's facts and keep them, unless they are there."""
    old: Mapping[str, Any] = known(folder).get(name, {})
    if (old.get("key"), old.get("version")) != (grounds.key, VERSION):
        found = {**known(folder), name: facts(name, grounds, folder)}
        draft = folder / f"{FILE}.part"
        draft.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(folder / FILE)
