"""The surfaces of whole runs and of scouts: the same smooth fit for both, as benchmarks/runs_to_target makes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from benchmarks import rows
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.runs_to_target import cells, fitting, surface
from benchmarks.runs_to_target.surface import Surface
from benchmarks.scouts import plan


@dataclass(frozen=True)
class Grounds:
    """One lattice's two surfaces."""

    whole: Surface
    scout: Surface

    @property
    def key(self) -> str:
        """What results depend on."""
        return f"{self.whole.key} {self.scout.key}"


@lru_cache
def named(name: str, folder: Path = plan.HERE) -> Grounds:
    """Both surfaces of a lattice; the scouts' fit is learnt and noted in surfaces.json where their rows are new."""
    scout = surface.named(name, folder, folder)
    task = {**scout.task, "epochs": scout.epochs // plan.SHORTER}
    return Grounds(surface.named(name), replace(scout, task=task))


def key_on_file(name: str, folder: Path = plan.HERE, measured: Path = LATTICES) -> str:
    """`Grounds.key` of the rows on file, without a fit."""
    found = (cells.checksum(rows.read(place / f"{name}.csv")) for place in (measured, folder))
    return " ".join(f"{checksum}-{fitting.VERSION}" for checksum in found)
