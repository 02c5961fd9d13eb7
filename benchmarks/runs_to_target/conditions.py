"""conditions.yaml, and every condition it spells out: lattice, method, box, start. No search, no surface's fit.

A condition's name is what its rows carry. `key` is a checksum of all that its rows depend on, the surface included, so
that rows of another surface, box or start are no rows of this one. Methods that take no start have "-" for one, flatdirs'
own have "-" for a box.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.lattice.lattices import Lattice

HERE = Path(__file__).resolve().parent
NONE = "-"
TO_THE_END = (NONE, "typical", "auto")  # the starts from which it is told what a method returns
PLUS = "+start"
VERSION = 2  # of the way methods are run; rows of another one are made anew
AUTOMATIC = 2  # to raise when flatdirs.starting.automatic_start gives other numbers for the same probes
METHODS_VERSION: Mapping[str, int] = {}  # the same for single methods, where one changed alone

Box = Mapping[str, tuple[float, float]]  # by the names of the lattice's axes


@dataclass(frozen=True)
class Start:
    """Hyperparameters to begin at, and what finding them cost, in runs."""

    hyperparameters: Mapping[str, float]
    cost: float = 0.0


@dataclass(frozen=True, order=True)
class Condition:
    """What a hundred repetitions have in common."""

    lattice: str
    method: str
    box: str
    start: str

    @property
    def base(self) -> str:
        """The method without its start."""
        return self.method.removesuffix(PLUS)


@lru_cache
def settings(path: Path = HERE / "conditions.yaml") -> dict[str, Any]:
    """The file."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@lru_cache
def named(lattice: str) -> Lattice:
    """The lattice of this name; read once."""
    return lattices.named(lattice)


def conditions(lattice: str) -> Iterator[Condition]:
    """Every condition of a lattice, the quick ones first."""
    found = settings()
    group, methods = found[named(lattice).optimizer], found["methods"]
    starts, boxes = list(group["starts"]), list(group["boxes"])
    for method in methods["own"]:
        yield from (Condition(lattice, method, NONE, start) for start in starts)
    for method in sorted([*methods["both"], *methods["box"], *methods["coordinates"]], key=_price):
        for box in boxes:
            if method not in methods["both"]:
                yield Condition(lattice, method, box, NONE)
            if method not in methods["coordinates"]:
                name = f"{method}{PLUS}" if method in methods["box"] else method
                yield from (Condition(lattice, name, box, start) for start in starts)


def names() -> list[str]:
    """All methods, as conditions have them, and those that have a start beside it without one too."""
    methods = settings()["methods"]
    every = [name for group in ("own", "both", "coordinates", "box") for name in methods[group]]
    return [*every, *(f"{name}{PLUS}" for name in methods["box"])]


def _price(method: str) -> int:
    return ("random", "qmc", "cfo", "cmaes", "tpe_chart", "tpe", "gp").index(method)


def repetitions(condition: Condition) -> int:
    """How many seeds it has."""
    return int(settings()["gp_seeds" if condition.base in settings()["methods"]["slow"] else "seeds"])


@lru_cache
def box(lattice: str, name: str) -> Box:
    """A box's ranges by the names of the lattice's axes; λ follows the linear rule where it should."""
    found = named(lattice)
    group = settings()[found.optimizer]
    factor = scale(found) if name in group["scaled_boxes"] else 1.0
    ranges = {key: (float(low), float(high)) for key, (low, high) in group["boxes"][name].items()}
    low, high = ranges["learning_rate"]
    return {**ranges, "learning_rate": (low * factor, high * factor)}


def start(lattice: str, name: str, seed: int, probes: Path = LATTICES / "probes.csv") -> Start:
    """A start of a repetition. Only the automatic one depends on the seed."""
    found = named(lattice)
    group = settings()[found.optimizer]
    entry = group["starts"][name]
    if entry == "step_sampling":
        return automatic(found, seed, probes)
    factor = scale(found) if name in group["scaled"] else 1.0
    return Start({**entry, "learning_rate": entry["learning_rate"] * factor})


def automatic(lattice: Lattice, seed: int, probes: Path = LATTICES / "probes.csv") -> Start:
    """What step sampling gave with probe seed (seed mod 20); the typical start where it had no answer, paid all the same.

    Raises LookupError where the lattice was not probed.
    """
    found = _probes(lattice.name, probes)
    if not found:
        raise LookupError(f"{lattice.name} has no probes on file")
    probe = found[seed % len(found)]
    cost = float(probe["cost_steps"]) / float(probe["run_steps"])
    group = settings()[lattice.optimizer]
    if not probe["log_midpoint"]:
        return Start(group["starts"]["typical"], cost)
    from flatdirs.tuning.start import automatic_start

    begin = automatic_start(float(probe["log_midpoint"]), int(probe["run_steps"]), group["momentum"])
    return Start(begin, cost)


@lru_cache
def _probes(lattice: str, path: Path) -> tuple[Mapping[str, str], ...]:
    found = [row for row in rows.read(path) if row["lattice"] == lattice]
    return tuple(sorted(found, key=lambda row: int(row["seed"])))


def scale(lattice: Lattice) -> float:
    """The linear rule from the source's batch to the lattice's."""
    return float(lattice.recipe["batch_size"]) / float(settings()["reference_batch"])


def key(condition: Condition, surface: str, probes: Path = LATTICES / "probes.csv", version: int | None = None) -> str:
    """A checksum of all that rows of this condition depend on. Raises LookupError as `automatic` does.

    `version`: of flatdirs' own search, None for the present one; rows of an earlier one are known by it.
    """
    found = settings()
    about: dict[str, Any] = {
        "surface": surface,
        "versions": [VERSION, METHODS_VERSION.get(condition.base, 0)],
        "rules": [found["targets"], found["budget"], found["returned_after"]],
    }
    if condition.box == NONE:
        from flatdirs.search import VERSIONS

        about["questions"] = VERSIONS[condition.base] if version is None else version
    else:
        about["box"] = box(condition.lattice, condition.box)
    if condition.start != NONE:
        about["start"] = _about_start(condition, probes)
    text = json.dumps(about, sort_keys=True)
    return hashlib.blake2s(text.encode(), digest_size=3).hexdigest()


def _about_start(condition: Condition, probes: Path) -> Any:
    """What a start is made of; of the automatic one the probes, without flatdirs.starting, which brings Optuna along."""
    if condition.start != "auto":
        return dict(start(condition.lattice, condition.start, 0, probes).hyperparameters)
    found = _probes(condition.lattice, probes)
    if not found:
        raise LookupError(f"{condition.lattice} has no probes on file")
    return [AUTOMATIC, *([probe["log_midpoint"], probe["cost_steps"], probe["run_steps"]] for probe in found)]
