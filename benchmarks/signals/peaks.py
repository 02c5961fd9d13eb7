"""A lattice's surface on which a run tells its validation loss at the peak of the rate as well.

The loss at the peak is a second surface of the same cells: that loss where a run's last one stands, fitted and
interpolated alike. Both surfaces are asked with the same noise, so accuracy and loss at the peak have the residual of
one real run. What a search is not told of, it meets as it does on the plain surface: same values, same noise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.runs_to_target import cells, fitting, surface
from benchmarks.runs_to_target.surface import Sample, Surface
from benchmarks.signals.signals import HERE, peak_epoch
from flatdirs.search import Outcome


@dataclass(frozen=True)
class PeakSample(Sample):
    """A run whose validation loss at the peak of the rate is known; None where it diverged."""

    peak_loss: float | None = None


@dataclass(frozen=True)
class PeakOutcome(Outcome):
    """What the search is told: `peak`, minus the logarithm of that loss, is better the higher it is."""

    peak: float | None = None


@dataclass(frozen=True)
class PeakSurface(Surface):
    """A surface, and `early`, the same one with the loss at the peak in place of the last loss."""

    early: Surface

    def observe(
        self, hyperparameters: Mapping[str, float], generator: np.random.Generator, luck: float | None = None
    ) -> PeakSample:
        """One run with its noise, as `Surface.observe`."""
        same = copy.deepcopy(generator)
        sample = super().observe(hyperparameters, generator, luck)
        early = None if sample.diverged else self.early.observe(hyperparameters, same, luck).loss
        return PeakSample(**vars(sample), peak_loss=early)

    def outcome(self, sample: Sample) -> PeakOutcome:
        """What the search is told of a run."""
        loss = sample.peak_loss if isinstance(sample, PeakSample) else None
        told = super().outcome(sample)
        return PeakOutcome(**vars(told), peak=None if loss is None else -math.log(loss))


@lru_cache
def named(name: str, folder: Path = HERE) -> PeakSurface:
    """A lattice's surface; the fit of the loss at the peak is learnt and noted in surfaces.json where its rows are new."""
    whole, lattice = surface.named(name), lattices.named(name)
    found = cells.from_rows(lattice, [early_row(row) for row in rows.read(LATTICES / f"{name}.csv")])
    entry = fitting.known(name, folder)
    if entry is None or (entry["checksum"], entry["version"]) != (found.checksum, fitting.VERSION):
        entry = fitting.learn(found)
        fitting.keep(name, entry, folder)
    return with_peaks(whole, surface.build(found, lattice.recipe, entry))


def early_row(row: Mapping[str, str]) -> Mapping[str, str]:
    """A lattice's row with the loss at the peak in place of the last one."""
    losses = row["loss_curve"].split(";")
    return row if row["diverged"] == "1" else {**row, "loss": losses[peak_epoch(len(losses))]}


def with_peaks(whole: Surface, early: Surface) -> PeakSurface:
    """Two surfaces of the same runs as one."""
    return PeakSurface(**{field.name: getattr(whole, field.name) for field in fields(Surface)}, early=early)
