"""What the page says of a surface and cannot know from rows: its best, how much of a box every target fills, its starts.

Worked out when a lattice is run and kept in surfaces.json beside the fit, so that drawing needs no fit. A volume is the
part of a box, log-uniform in its sides, where the noiseless value reaches a target: 2^15 points of a Sobol sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import qmc

from benchmarks import rows
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.runs_to_target import conditions, fitting
from benchmarks.runs_to_target.cells import Array
from benchmarks.runs_to_target.conditions import HERE
from benchmarks.runs_to_target.surface import PER_OCTAVE, Surface

POINTS = 15  # as a power of two
TIMESCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def note(ground: Surface, folder: Path = HERE, measured: Path = LATTICES) -> None:
    """Write the facts of a surface into its entry, unless they are there."""
    entry = fitting.known(ground.name, folder) or {}
    found = facts(ground, measured / "probes.csv")
    if entry.get("facts") != found:
        fitting.keep(ground.name, {**entry, "facts": found}, folder)


def facts(ground: Surface, probes: Path = LATTICES / "probes.csv") -> dict[str, Any]:
    """Best in percent, volumes in percent by box and target, accuracies of starts, epochs of a run, cost of the probes."""
    found = conditions.settings()
    group = found[ground.lattice.optimizer]
    spread = ground.cells.spread
    starts: dict[str, float] = {}
    cost = None
    for name in group["starts"]:
        try:
            begins = [conditions.start(ground.name, name, seed, probes) for seed in range(20)]
        except LookupError:
            continue
        starts[name] = round(float(np.median([ground.value(begin.hyperparameters) for begin in begins])), 2)
        cost = round(float(np.mean([begin.cost for begin in begins])), 3) if name == "auto" else cost
    return {
        "best": round(ground.best, 3),
        "level": round(ground.cells.level, 3),
        "noise": round(float(spread.deviations(np.array([ground.cells.level - ground.best]))[0, 0]), 3),
        "shared": [[round(part, 2), pairs] for part, pairs in zip(spread.shared, spread.pairs, strict=True)],
        "epochs": ground.epochs,
        "volumes": {name: volumes(ground, conditions.box(ground.name, name)) for name in group["boxes"]},
        "at_edge": {
            name: {f"{t:g}": at_edge(ground, conditions.box(ground.name, name), t) for t in found["targets"]}
            for name in group["boxes"]
        },
        "outside": {name: outside(ground, conditions.box(ground.name, name)) for name in group["boxes"]},
        "starts": starts,
        "probe_runs": cost,
        "timescales": timescales(ground, probes),
    }


def timescales(ground: Surface, probes: Path) -> dict[str, list[float]]:
    """By T·λα/(1−ρ): points that the automatic start then loses to the best, without noise; median and 90 % quantile."""
    from flatdirs.tuning.start import automatic_start

    found = [row for row in rows.read(probes) if row["lattice"] == ground.name and row["log_midpoint"]]
    momentum = conditions.settings()[ground.lattice.optimizer]["momentum"]
    lost: dict[str, list[float]] = {}
    for timescale in TIMESCALES if found else ():
        begins = [
            automatic_start(float(row["log_midpoint"]), int(row["run_steps"]), momentum, timescale=timescale)
            for row in found
        ]
        gaps = [ground.best - ground.value(begin) for begin in begins]
        lost[f"{timescale:g}"] = [round(float(np.quantile(gaps, part)), 2) for part in (0.5, 0.9)]
    return lost


def outside(ground: Surface, box: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    """Where the best place of the grid lies outside a box: by axis its value, and the box's two ends."""
    places = np.stack([edge.ravel() for edge in np.meshgrid(*_sides(ground), indexing="ij")], axis=1)
    best = 2.0 ** places[int(np.argmax(ground.values(places)))]
    found = zip(ground.lattice.axes, best.tolist(), strict=True)
    return {
        axis.name: [float(f"{value:.3g}"), *box[axis.name]]
        for axis, value in found
        if not box[axis.name][0] <= value <= box[axis.name][1]
    }


def _sides(ground: Surface) -> list[Any]:
    return [np.arange(axis.first, axis.last + 0.01, 1 / PER_OCTAVE) for axis in ground.lattice.axes]


def at_edge(ground: Surface, box: Mapping[str, tuple[float, float]], percent: float) -> float:
    """The part, in percent, of what reaches a target in a box that lies beyond an end of the lattice, or on it."""
    logs, values = _spread_over(ground, box)
    reached = logs[values >= ground.target(percent)]
    first, last = (np.array([getattr(axis, end) for axis in ground.lattice.axes]) for end in ("first", "last"))
    beyond = ((reached <= first) | (reached >= last)).any(axis=1)
    return round(100 * float(beyond.mean()), 1) if len(reached) else 0.0


def _spread_over(ground: Surface, box: Mapping[str, tuple[float, float]]) -> tuple[Array, Array]:
    """Places (2^15, 3) all over a box, as logarithms, and their values."""
    sides = np.log2(np.array([box[axis.name] for axis in ground.lattice.axes]))
    unit = qmc.Sobol(len(sides), scramble=True, seed=0).random_base2(POINTS)
    logs = sides[:, 0] + unit * (sides[:, 1] - sides[:, 0])
    return logs, ground.values(logs)


def volumes(ground: Surface, box: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """By target, in percent."""
    _, values = _spread_over(ground, box)
    return {
        f"{percent:g}": round(100 * float(np.mean(values >= ground.target(percent))), 2)
        for percent in conditions.settings()["targets"]
    }
