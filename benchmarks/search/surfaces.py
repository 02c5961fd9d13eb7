"""What is searched, by name: public tables, lattices of our own runs, a synthetic language model, and a pool of runs to replay.

    named("lc_168910_4d").begin(seed)({"lr": 0.1, ...}, replicate) -> Told

The tables and the pool lie in ../shared/surfaces and are read there; a surface that is not at hand raises `Absent`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import qmc

from benchmarks.lattice import lattices
from benchmarks.search import lattice_surface, pool, split
from benchmarks.search.simulated import Absent, LanguageModel, OurLattice, Surface, read_table, value
from benchmarks.search.split import HERE

SHARED = HERE.parents[2] / "shared" / "surfaces"
DRAWS = 15  # log₂ of the points that a percentile is taken over


@lru_cache
def named(name: str) -> Surface:
    """The surface of this name. Raises ConfigError for another name, Absent where its data are not at hand."""
    kind = split.family(name)["name"]
    if kind == "alexnet":
        return pool.read(file(f"{name}_imagenet.csv.gz"), float(split.family(name)["noise"]))
    if kind in ("lcbench", "adam"):
        return read_table(name, file(f"{name}.npz"))
    if kind == "language_model":
        try:
            from benchmarks.search import language_model
        except ImportError as error:
            raise Absent("language_model: benchmarks/search/language_model.py is not here; skipped") from error
        return LanguageModel(language_model)
    if name not in lattices.read() or not (lattices.HERE / f"{name}.csv").exists():
        raise Absent(f"{name}: the runs of this lattice are not in benchmarks/lattice; skipped")
    return OurLattice(name, lattice_surface.named(name))


def file(name: str) -> Path:
    """The path of a public file. Raises Absent."""
    if not (path := SHARED / name).exists():
        raise Absent(f"{name} is not in ../shared/surfaces; skipped")
    return path


def threshold(surface: Surface, box: str = "expert") -> float:
    """The value from which on a point is among the best 1 % of a box: the 99th percentile of uniform-in-log draws."""
    ends, names = split.box(surface.name, box), split.names_of(surface.name)
    if surface.name == "alexnet":
        return float(np.percentile(surface.values(np.empty((0, 0))), split.SPLIT["percentile"]))
    low, high = np.log2(np.array(list(ends.values()))).T
    logs = low + qmc.Sobol(len(names), scramble=True, seed=0).random_base2(DRAWS) * (high - low)
    if "batch_size" in names:
        place = names.index("batch_size")
        logs[:, place] = np.log2(np.rint(2.0 ** logs[:, place]))
    return float(np.percentile(surface.values(logs), split.SPLIT["percentile"]))


def facts(surface: Surface) -> dict[str, Any]:
    """What the pages say of a surface: its best, the best 1 % of each box, its noise, the values of its starts."""
    begins = {name: value(surface, split.start(surface.name, name)) for name in ("usual", "careless", "large")}
    finite = {name: found if math.isfinite(found) else None for name, found in begins.items()}
    told = {"best": surface.best, "threshold": threshold(surface), "noise": surface.noise, **finite}
    return {"key": surface.key, **{name: None if x is None else float(f"{x:.7g}") for name, x in told.items()}}
