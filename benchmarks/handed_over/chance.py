"""The rule of the race on normal draws: how often chance replaces the start, what a gain needs, and what it costs.

Compared with a rule that looks after every seed and stops at the first lead of more than two standard errors.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from flatdirs.search.race import START, handed_over, still_racing

NAMES = ("incumbent", "runner-up")


class Race(NamedTuple):
    """Fresh seeds at most, and by how many standard deviations of a run both candidates are better than the start."""

    seeds: int
    gain: float


def questions(about: Mapping[str, Any]) -> list[Race]:
    """Every combination."""
    return [Race(seeds, gain) for seeds in about["seeds"] for gain in about["gains"]]


def row(races: int, asked: Race) -> dict[str, Any]:
    """The share of races that replace the start, by the rule and with a look after every seed, and runs per race."""
    draw, totals = random.Random(repr(asked)), {"replaced": 0, "runs": 0, "replaced_by_looks": 0, "runs_by_looks": 0}
    for _ in range(races):
        for way, looks in (("", False), ("_by_looks", True)):
            replaced, runs = race(asked, draw, looks)
            totals[f"replaced{way}"] += replaced
            totals[f"runs{way}"] += runs
    return {**asked._asdict(), "races": races, **{key: f"{value / races:.4f}" for key, value in totals.items()}}


def race(asked: Race, draw: random.Random, looks: bool) -> tuple[bool, int]:
    """Whether the start is replaced, and after how many runs."""
    values: dict[str, list[float | None]] = {name: [] for name in (START, *NAMES)}
    racing = list(NAMES)
    for _ in range(asked.seeds):
        for name in (START, *racing):
            values[name].append(draw.gauss(0.0 if name == START else asked.gain, 1.0))
        if looks and handed_over(values, racing, asked.seeds, True) != START:
            break
        racing = still_racing(values, racing, True)
        if not racing:
            break
    return handed_over(values, racing, asked.seeds, True) != START, sum(map(len, values.values()))
