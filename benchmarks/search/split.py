"""split.yaml, and every condition that follows from it: surface, method, box, start. No search, no surface.

A box is by sides: one_minus_momentum for momentum. `key` is a checksum of all that the rows of a condition depend on, so that rows of
another surface, box, start, setting or version of our search are recognised.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

import flatdirs
from flatdirs.errors import ConfigError
from flatdirs.space.grid import complement, significant

HERE = Path(__file__).resolve().parent
SPLIT: dict[str, Any] = yaml.safe_load((HERE / "split.yaml").read_text(encoding="utf-8"))
AFTER: tuple[int, ...] = tuple(SPLIT["after"])
BUDGET = int(SPLIT["budget"])
FROZEN: Mapping[str, Any] = SPLIT["frozen"]
OURS: Mapping[str, Mapping[str, Any]] = SPLIT["ours"]
TASKS: dict[str, Sequence[str]] = {**SPLIT["development"], **SPLIT["validation"]}
TASK_OF = {surface: task for task, surfaces in TASKS.items() for surface in surfaces}
NONE = "none"
LARGE = 8.0  # times the usual lr
RANDOM = "random_"  # before the name of a box: a start drawn from it
VERSION = 1  # of the way methods are run; rows of another one are made again

Hyperparameters = Mapping[str, float]
Box = Mapping[str, tuple[float, float]]


class Condition(NamedTuple):
    """What the repetitions of a method on a surface have in common."""

    surface: str
    method: str
    box: str
    start: str


def sides(names: Sequence[str]) -> dict[str, str]:
    """The name of each hyperparameter as a side of a box."""
    return {name: f"one_minus_{name}" if name in ("momentum", "beta1") else name for name in names}


def to_sides(hyperparameters: Hyperparameters, names: Sequence[str]) -> dict[str, float]:
    """A point by sides."""
    values = {side: hyperparameters[name] for name, side in sides(names).items()}
    return {s: v if s in names else round(1.0 - v, 12) for s, v in values.items()}


def from_sides(place: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """The hyperparameters of a point by sides; the batch size whole."""
    found = {n: float(place[s]) if s == n else 1.0 - place[s] for n, s in sides(names).items()}
    return {n: max(1, math.floor(v + 0.5)) if n == "batch_size" else v for n, v in found.items()}


def logs(hyperparameters: Hyperparameters, names: Sequence[str]) -> np.ndarray[Any, Any]:
    """log₂ of a point's sides, (names,)."""
    return np.log2([max(value, 1e-300) for value in to_sides(hyperparameters, names).values()])


@lru_cache
def family(surface: str) -> Mapping[str, Any]:
    """The entry of a surface's family. Raises ConfigError."""
    for name, entry in SPLIT["families"].items():
        if surface in entry["surfaces"]:
            return {"name": name, **entry}
    raise ConfigError(f"surface={surface} must be one of {', '.join(TASK_OF)}; change surface", key="surface")


def names_of(surface: str) -> list[str]:
    """The hyperparameters of a surface: those of its family's usual start; the tables with three axes have no batch size."""
    found = list(family(surface)["usual"])
    return [name for name in found if name != "batch_size"] if surface.endswith("_3d") else found


def limits(surface: str) -> dict[str, tuple[float, float]]:
    """The hard limits of a surface by sides, infinite where there is none."""
    told = family(surface)["limits"]
    pairs = {side: told.get(side, [None, None]) for side in sides(names_of(surface)).values()}
    return {s: (0.0 if low is None else low, math.inf if high is None else high) for s, (low, high) in pairs.items()}


def box(surface: str, name: str) -> Box:
    """A box: so many times as wide as the expert's in log, about its centre, cut at the hard limits."""
    width, found = SPLIT["widths"][name], {}
    for side, (least, most) in limits(surface).items():
        low, high = family(surface)["expert"][side]
        centre, half = math.sqrt(low * high), math.sqrt(high / low) ** width
        low, high = (low, high) if width == 1 else (significant(centre / half), significant(centre * half))
        if side == "batch_size":
            low, high = max(1, round(low)), round(high)
        found[side] = (max(low, least), min(high, most))
    return found


def start(surface: str, name: str, seed: int = 0) -> dict[str, float]:
    """A start, cut at the hard limits; a random one is drawn for the seed, log-uniform in its box."""
    entry, names = family(surface), names_of(surface)
    if name.startswith(RANDOM):
        ends = box(surface, name.removeprefix(RANDOM))
        parts = np.random.default_rng([seed, 3]).random(len(ends)).tolist()
        pairs = zip(parts, ends.items(), strict=True)
        place = {side: significant(low * (high / low) ** u) for u, (side, (low, high)) in pairs}
        place |= {side: float(round(value)) for side, value in place.items() if side == "batch_size"}
    else:
        told = {n: float(v) for n, v in entry["usual" if name == "large" else name].items() if n in names}
        place = to_sides({**told, "lr": told["lr"] * LARGE} if name == "large" else told, names)
    cut = {side: min(max(place[side], low), high) for side, (low, high) in limits(surface).items()}
    return {n: complement(cut[s]) if s != n else cut[s] for n, s in sides(names).items()}


def conditions(surface: str, full: bool = True) -> Iterator[tuple[Condition, int]]:
    """Every condition of a surface and the number of its seeds; those of the long form only if `full`."""
    for line in SPLIT["conditions"]:
        if not full and line.get("long"):
            continue
        for method in line["methods"]:
            for name in line["boxes"]:
                for begin in line["starts"]:
                    same = begin == "large" and start(surface, begin) == start(surface, "usual")
                    beyond = family(surface)["name"] == "alexnet" and (
                        name in ("twice", "four") or begin == "random_four"
                    )
                    right = method.startswith("chart_") and method not in family(surface)["wrong"]
                    if not same and not beyond and not right:
                        yield Condition(surface, method, name, begin), int(line.get("seeds", SPLIT["seeds"]))


def is_ours(method: str) -> bool:
    """Whether a method is flatdirs, in any form or version."""
    return method in OURS or method in FROZEN


@lru_cache
def source() -> str:
    """A checksum of the source of our search, flatdirs/search and flatdirs/space."""
    root, digest = Path(flatdirs.__file__).parent, hashlib.blake2s(digest_size=4)
    for path in sorted([*(root / "search").glob("*.py"), *(root / "space").glob("*.py")]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def key(condition: Condition, surface_key: str, version: str) -> str:
    """A checksum of what rows of this condition depend on; `version`: the source of our search, empty for rivals."""
    about: dict[str, Any] = {"surface": surface_key, "versions": [VERSION, version]}
    about["rules"] = [AFTER, BUDGET, SPLIT["percentile"]]
    about["settings"] = OURS.get(condition.method, {})
    about["limits"] = limits(condition.surface)
    about["box"] = box(condition.surface, condition.box) if condition.box != NONE else {}
    about["start"] = [start(condition.surface, condition.start, seed) for seed in range(2)]
    return hashlib.blake2s(json.dumps(about, sort_keys=True).encode(), digest_size=4).hexdigest()
