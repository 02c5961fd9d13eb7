"""Every number of a run that a search could look at, beside what its cell is worth by the other cells alone.

A cell's worth is the prediction of the lattice's smooth fit with the cell's fold of ten held out, so the noise of the
run that is judged is not in it. Signals are those of one run (seed 0), as a search would have it, turned so that more
should be better. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.results import run_of
from benchmarks.runs_to_target import cells, fitting
from benchmarks.runs_to_target.cells import Array
from benchmarks.runs_to_target.surface import PER_OCTAVE, build

HERE = Path(__file__).resolve().parent
SIGNALS = {
    "accuracy": "validation accuracy at the end, which a search has anyway",
    "late accuracy": "mean validation accuracy of the last tenth of the epochs, at least two",
    "loss": "minus the logarithm of the validation loss at the end",
    "training loss": "minus the logarithm of the training loss at the end",
    "gap": "training less validation loss at the end",
    "loss at the peak": "minus the logarithm of the validation loss after the epoch that ends at or after the peak of the rate",
    "training loss at the peak": "the same of that epoch's training loss",
    "relaxation": "minus the distance of log2 T·λα/(1−ρ) (AdamW: T·λα) from the fit's best",
}
WARMUP = 5 / 24  # the triangle's rise, as a part of the run
DRAWS, CONFIDENCE = 400, 95


@dataclass(frozen=True)
class Runs:
    """`signals` (n, len(SIGNALS)) of n runs and the `worth` (n,) of their cells, percent."""

    signals: Array
    worth: Array


@dataclass(frozen=True)
class Ground:
    """A lattice as this page needs it: the finished runs of seed 0, the `worth` of every cell, the best of the fit, where it is."""

    lattice: Lattice
    runs: tuple[Mapping[str, str], ...]
    worth: Mapping[tuple[int, ...], float]
    best: float
    settled: float


@lru_cache
def ground(name: str) -> Ground:
    """Fit a lattice without and with every fold."""
    lattice = lattices.named(name)
    found = rows.read(LATTICES / f"{name}.csv")
    measured, entry = cells.from_rows(lattice, found), fitting.known(name)
    known = entry if entry and entry["checksum"] == measured.checksum else fitting.learn(measured)
    surface = build(measured, lattice.recipe, known)
    grid = np.where(surface.grid[..., 3] > 0, -np.inf, surface.grid[..., 0])
    top = np.unravel_index(np.argmax(grid), grid.shape)
    places = [axis.first + step / PER_OCTAVE for axis, step in zip(lattice.axes, top, strict=True)]
    fold = np.random.default_rng(0).permutation(len(measured.places)) % fitting.FOLDS
    worth = fitting.unwarp(fitting.held_out(fitting.fields(measured, known).accuracy, fold))
    return Ground(
        lattice,
        tuple(row for row in found if row["seed"] == "0" and row["diverged"] == "0"),
        dict(zip(map(tuple, measured.places.astype(int).tolist()), worth.tolist(), strict=True)),
        surface.best,
        _relaxation(places, lattice.optimizer),
    )


def near_the_top(name: str, points: float) -> Runs:
    """The finished seed-0 runs of a lattice in cells whose worth lies within so many points of the fit's best."""
    found = ground(name)
    lattice, task = found.lattice, found.lattice.recipe
    signals, worths = [], []
    for row in found.runs:
        cell = run_of(lattice, row).cell
        if (worth := found.worth[cell]) >= found.best - points:
            signals.append(_signals(row, task, _relaxation(cell, lattice.optimizer) - found.settled))
            worths.append(worth)
    return Runs(np.array(signals), np.array(worths))


def peak_epoch(epochs: int) -> int:
    """The epoch, from 0, that ends at or after the peak of the rate."""
    return math.ceil(WARMUP * epochs) - 1


def _relaxation(powers: Sequence[float], optimizer: str) -> float:
    """Log2 of λα/(1−ρ), with AdamW of λα."""
    return powers[0] + powers[2] - (powers[1] if optimizer == "sgd" else 0)


def _signals(row: Mapping[str, str], task: Mapping[str, float], off: float) -> list[float]:
    """In the order of SIGNALS."""
    train, loss, accuracy = (
        [float(x) for x in row[f"{key}_curve"].split(";")] for key in ("train_loss", "loss", "accuracy")
    )
    peak = peak_epoch(len(loss))
    late = accuracy[-max(2, round(task["epochs"] / 10)) :]
    return [
        float(row["accuracy"]),
        float(np.mean(late)),
        -math.log(loss[-1]),
        -math.log(train[-1]),
        train[-1] - loss[-1],
        -math.log(loss[peak]),
        -math.log(train[peak]),
        -abs(off),
    ]


def rank_correlations(runs: Runs) -> Array:
    """Spearman's coefficient of every signal with the worth: (signals,)."""
    return _correlations(runs, np.arange(len(runs.worth)))


def added(runs: Runs) -> Array:
    """The partial rank correlation of every signal with the worth, given the accuracy: (signals,); nan for itself."""
    return _added(runs, np.arange(len(runs.worth)))


def intervals(runs: Runs) -> tuple[Array, Array]:
    """Bootstrapped intervals over cells of both: each (2, signals)."""
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(runs.worth), len(runs.worth)) for _ in range(DRAWS)]
    ends = [(100 - CONFIDENCE) / 2, (100 + CONFIDENCE) / 2]
    plain = np.percentile([_correlations(runs, draw) for draw in draws], ends, axis=0)
    return plain, np.percentile([_added(runs, draw) for draw in draws], ends, axis=0)


def _ranks(runs: Runs, draw: Array) -> tuple[Array, Array]:
    signals = rankdata(runs.signals[draw], axis=0)
    return signals - signals.mean(axis=0), (worth := rankdata(runs.worth[draw])) - worth.mean()


def _correlations(runs: Runs, draw: Array) -> Array:
    signals, worth = _ranks(runs, draw)
    found: Array = signals.T @ worth / (np.linalg.norm(signals, axis=0) * np.linalg.norm(worth))
    return found


def _added(runs: Runs, draw: Array) -> Array:
    signals, worth = _ranks(runs, draw)
    accuracy = signals[:, 0] / np.linalg.norm(signals[:, 0])
    signals, worth = signals - np.outer(accuracy, accuracy @ signals), worth - accuracy * (accuracy @ worth)
    sizes = np.linalg.norm(signals, axis=0)
    sizes[0] = math.nan
    found: Array = signals.T @ worth / (sizes * np.linalg.norm(worth))
    return found


def transferred(learnt: Runs, used: Runs, chosen: list[int]) -> float:
    """Spearman's coefficient on `used` of the weighted sum of `chosen` signals, its weights a regression on `learnt`."""

    def standardised(runs: Runs) -> Array:
        values = runs.signals[:, chosen]
        scaled: Array = (values - values.mean(axis=0)) / values.std(axis=0)
        return scaled

    weights, *_ = np.linalg.lstsq(standardised(learnt), learnt.worth - learnt.worth.mean(), rcond=None)
    mixed = Runs((standardised(used) @ weights)[:, None], used.worth)
    return float(rank_correlations(mixed)[0])
