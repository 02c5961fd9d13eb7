"""The places that the Bayesian search compares, (n, free) in octaves from the start, on the grid or on a bound.

Around the points of highest posterior mean: steps along the steep coordinates of the likely kernels, steps of the other
hyperparameters that keep these coordinates (the flat directions), and clouds of points that move everything at once; a
wide cloud between start and usual settings, or over a range that has two ends. Their number grows linearly with the
hyperparameters. Tried places come first: a run of one is a replicate. Ours; the numbers are those of the prototype of
gp.py.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import qmc

from flatdirs.search.gp import Model
from flatdirs.space.log_grid import Array, LogGrid, among

CENTRES = 3  # points of highest posterior mean around which there are candidates
DIRECTIONS = 3  # steep coordinates along which steps are taken
STEEP_STEPS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # octaves along them
FLAT_STEPS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # octaves of another hyperparameter, the coordinate held …
BESIDE = (0.0, -1.0, 1.0)  # … or moved by an octave
CLOUD, RADII, RADIUS = 128, (1.0, 2.5, 6.0), 2.5  # points of a cloud; octaves, around the best centre and the others
FLATTER = 1.5  # clouds are this much wider along the flat directions
WIDE, REACH = 256, 10.0  # points of the wide cloud, octaves


def candidates(log_grid: LogGrid, model: Model, tried: Array, expected: Array) -> Array:
    """Tried places (n, free) first, then new ones. `expected` (n,): posterior means at the tried ones."""
    centres = tried[np.argsort(-expected, kind="stable")[:CENTRES]]
    powers = list(dict.fromkeys(one.kernel.exponents for one in model.hypotheses))[:DIRECTIONS]
    shifts = np.concatenate([_steps(one) for one in powers])
    cloud = sobol(len(log_grid.names), CLOUD)
    found = []
    for number, centre in enumerate(centres):
        found.append(centre + shifts)
        found += [centre + _flattened(cloud * radius, powers[0]) for radius in (RADII if number == 0 else (RADIUS,))]
    found.append(_wide(log_grid, model.structure.usual))
    new = log_grid.snapped(np.concatenate(found))
    return np.concatenate([tried, new[~among(new, tried)]])


@lru_cache
def sobol(dimensions: int, count: int) -> Array:
    """A scrambled Sobol sequence (count, dimensions) in [−1, 1]; the same on every machine."""
    found: Array = qmc.Sobol(dimensions, scramble=True, seed=7).random(count) * 2.0 - 1.0
    return found


@lru_cache
def _steps(powers: tuple[float, ...]) -> Array:
    """Steps (m, free) of the first hyperparameter alone, and of each other one at the same steep coordinate or near."""
    found = []
    for size in STEEP_STEPS:
        found += [(side * size, *[0.0] * (len(powers) - 1)) for side in (-1.0, 1.0)]
    for axis in range(1, len(powers)):
        for size in (side * size for size in FLAT_STEPS for side in (-1.0, 1.0)):
            for beside in BESIDE:
                shift = [0.0] * len(powers)
                shift[0], shift[axis] = beside - powers[axis] * size, size
                found.append(tuple(shift))
    return np.array(found)


def _flattened(shifts: Array, powers: tuple[float, ...]) -> Array:
    """A cloud of shifts (m, free), wider along the flat directions of a steep coordinate."""
    found: Array = shifts.copy()
    found[:, 1:] *= FLATTER
    found[:, 0] = shifts[:, 0] / FLATTER - found[:, 1:] @ np.array(powers[1:])
    return found


def _wide(log_grid: LogGrid, usual: Array) -> Array:
    """Points everywhere: over a range with two ends, and REACH octaves around start and usual settings otherwise."""
    cloud = sobol(len(log_grid.names), WIDE)
    low = np.where(np.isfinite(log_grid.low), log_grid.low, usual / 2 - REACH)
    high = np.where(np.isfinite(log_grid.high), log_grid.high, usual / 2 + REACH)
    low, high = np.maximum(low, usual / 2 - REACH), np.minimum(high, usual / 2 + REACH)
    found: Array = low + (cloud + 1.0) / 2.0 * (high - low)
    return found
