"""conditions.yaml, and every condition that follows from it: lattice, method, box, start. No search, no surface.

`key` is a checksum of all that the rows of a condition depend on, so that rows of another surface, box, start or version of a
search are recognised. Methods that take no start have "-" for one, flatdirs' own have "-" for a box.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.running import PROBE_SEEDS

HERE = Path(__file__).resolve().parent
PROBES = lattices.HERE / "probes.csv"
NONE, PLUS = "-", "+start"
SETTINGS: dict[str, Any] = yaml.safe_load((HERE / "conditions.yaml").read_text(encoding="utf-8"))
TARGETS: tuple[float, ...] = tuple(SETTINGS["targets"])
AFTER: tuple[int, ...] = tuple(SETTINGS["returned_after"])
BUDGET = int(SETTINGS["budget"])
VERSION = 2  # of the way methods are run; rows of another one are made again
AUTOMATIC = 2  # to raise when flatdirs' automatic start gives other numbers for the same probes

Box = Mapping[str, tuple[float, float]]  # by the names of the lattice's axes
named = lru_cache(lattices.named)
_read = lru_cache(rows.read)


class Start(NamedTuple):
    """Hyperparameters to begin at, and what finding them cost, in runs."""

    hyperparameters: Mapping[str, float]
    cost: float


class Condition(NamedTuple):
    """What a hundred repetitions have in common."""

    lattice: str
    method: str
    box: str
    start: str

    @property
    def base(self) -> str:
        """The method without its start."""
        return self.method.removesuffix(PLUS)

    @property
    def repetitions(self) -> int:
        """How many seeds it has."""
        return int(SETTINGS["gp_seeds" if self.base in SETTINGS["methods"]["slow"] else "seeds"])


def conditions(lattice: str) -> Iterator[Condition]:
    """Every condition of a lattice."""
    group, methods = SETTINGS[named(lattice).optimizer], SETTINGS["methods"]
    for method in methods["own"]:
        yield from (Condition(lattice, method, NONE, start) for start in group["starts"])
    for method in [*methods["box"], *methods["coordinates"], *methods["both"]]:
        for name in group["boxes"]:
            if method not in methods["both"]:
                yield Condition(lattice, method, name, NONE)
            if method not in methods["coordinates"]:
                with_start = f"{method}{PLUS}" if method in methods["box"] else method
                yield from (Condition(lattice, with_start, name, start) for start in group["starts"])


@lru_cache
def box(lattice: str, name: str) -> Box:
    """The ranges of a box by the names of the lattice's axes."""
    group = SETTINGS[named(lattice).optimizer]
    factor = scale(lattice) if name in group["scaled_boxes"] else 1.0
    ranges = {key: (float(low), float(high)) for key, (low, high) in group["boxes"][name].items()}
    low, high = ranges["lr"]
    return {**ranges, "lr": (low * factor, high * factor)}


def start(lattice: str, name: str, seed: int) -> Start:
    """A start of a repetition. The automatic one is that of probe (seed mod 20); where that has no answer the typical one, as dear."""
    group, price = SETTINGS[named(lattice).optimizer], 0.0
    if name == "auto":
        from flatdirs.tuning.start import automatic_start

        pick, _, steps = probe(lattice, seed)
        name, price = "typical", cost(lattice, seed)
        if pick:
            return Start(automatic_start(float(pick), int(steps), group["momentum"]), price)
    factor = scale(lattice) if name in group["scaled"] else 1.0
    entry = group["starts"][name]
    return Start({**entry, "lr": entry["lr"] * factor}, price)


def cost(lattice: str, seed: int) -> float:
    """What the probes of an automatic start cost, in runs."""
    _, steps, run_steps = probe(lattice, seed)
    return float(steps) / float(run_steps)


def probe(lattice: str, seed: int) -> list[str]:
    """Pick (empty where there is none), steps, and steps of a run, of a probe of the lattice's task."""
    found = sorted((row for row in _read(PROBES) if row["lattice"] == lattice), key=lambda row: int(row["seed"]))
    return [found[seed % len(found)][name] for name in ("log_midpoint", "cost_steps", "run_steps")]


def scale(lattice: str) -> float:
    """The linear scaling rule, from the reference batch to the lattice's."""
    return float(named(lattice).recipe["batch_size"]) / float(SETTINGS["reference_batch"])


def key(condition: Condition, surface: str) -> str:
    """A checksum of all that rows of this condition depend on."""
    about: dict[str, Any] = {"surface": surface, "versions": [VERSION, 0]}
    about["rules"] = [SETTINGS["targets"], SETTINGS["budget"], SETTINGS["returned_after"]]
    if condition.box == NONE:
        about["questions"] = SETTINGS["searches"][condition.base]
    else:
        about["box"] = {rows.column(name): ends for name, ends in box(condition.lattice, condition.box).items()}
    if condition.start == "auto":
        about["start"] = [AUTOMATIC, *(probe(condition.lattice, seed) for seed in range(PROBE_SEEDS))]
    elif condition.start != NONE:
        begin = start(condition.lattice, condition.start, 0).hyperparameters
        about["start"] = {rows.column(name): value for name, value in begin.items()}
    return hashlib.blake2s(json.dumps(about, sort_keys=True).encode(), digest_size=3).hexdigest()


NAMES = sorted({condition.method for lattice in SETTINGS["lattices"] for condition in conditions(lattice)})
