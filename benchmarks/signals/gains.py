"""What the simulated searches say: gains by seed with bootstrap intervals, and the page's section about them.

A gain is positive where looking at the loss at the peak is better: runs saved, or points of accuracy gained. A search that
never arrives counts as one run more than the budget. Where several cases are taken together, a seed's gain is its mean
over them, and seeds are drawn: their noise is the same in all cases. Nothing is simulated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.runs_to_target.cells import Array
from benchmarks.runs_to_target.repeating import TARGETS
from benchmarks.signals import searching
from benchmarks.signals.searching import AFTER, BUDGET, FILE, LATTICES, LOOKS, MEASURES, SEEDS, STARTS, Case
from benchmarks.signals.signals import HERE

NEVER = BUDGET + 1.0
ALONE, *OTHERS = LOOKS
TOGETHER = 0.05 / (
    len(OTHERS) * len(MEASURES)
)  # left out by each interval, so that all together miss in 5 % (Bonferroni)
DRAWS = 4000
Place = tuple[str, str]  # lattice, start
PLACES: tuple[Place, ...] = tuple((name, start) for name in LATTICES for start in STARTS)
HEADS = (*(f"runs to {percent:g} %" for percent in TARGETS), *(f"after {count} runs" for count in AFTER))


@dataclass(frozen=True)
class Gain:
    """A mean gain with the middle 95 % of its bootstrap over seeds; `sure`, its `sign` by the wider interval of TOGETHER."""

    value: float
    low: float
    high: float
    sure: int

    @property
    def sign(self) -> int:
        """1 or −1 where the whole interval is on one side of nothing, else 0."""
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True)
class Searches:
    """The searches on file."""

    folder: Path = HERE

    @cached_property
    def cases(self) -> dict[Case, dict[int, Array]]:
        """Every measure (len(MEASURES),) of every search, by case and seed."""
        found: dict[Case, dict[int, Array]] = {}
        for row in self._rows:
            numbers = np.array([float(row[measure] or NEVER) for measure in MEASURES])
            found.setdefault(searching.case_of(row), {})[int(row["seed"])] = numbers
        return found

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        return rows.read(self.folder / FILE)

    @property
    def places(self) -> list[Place]:
        """Lattices and starts with every look."""
        return [place for place in PLACES if all((*place, look) in self.cases for look in LOOKS)]

    @cached_property
    def stale(self) -> int:
        """How many rows depend on something that is another one now: lattice, start, version of the search."""
        keys = {case: searching.key_of(case) for case in searching.cases(LATTICES)}
        return sum(row["key"] != keys.get(searching.case_of(row)) for row in self._rows)

    def means(self, place: Place) -> tuple[Array, Array]:
        """Of the search that looks at the score alone: means of every measure, and the share that never arrives at each target."""
        by_look = [self.cases[(*place, look)] for look in LOOKS]
        found = np.array([by_look[0][seed] for seed in sorted(set.intersection(*map(set, by_look)))])
        return found.mean(axis=0), (found[:, : len(TARGETS)] > BUDGET).mean(axis=0)

    def gains(self, places: Sequence[Place], look: str) -> list[Gain]:
        """A look against the score alone, by measure, over the seeds that all of these places have."""
        pairs = [(self.cases[(*place, ALONE)], self.cases[(*place, look)]) for place in places]
        seeds = sorted(set.intersection(*(alone.keys() & other.keys() for alone, other in pairs)))
        off = np.array([[other[seed] - alone[seed] for seed in seeds] for alone, other in pairs]).mean(axis=0)
        return gains(off * np.where(np.arange(len(MEASURES)) < len(TARGETS), -1.0, 1.0))


def gains(off: Array) -> list[Gain]:
    """Of gains by seed and measure (n, measures)."""
    drawn = np.random.default_rng(0).integers(0, len(off), (DRAWS, len(off)))
    ends = (0.025, 0.975, TOGETHER / 2, 1 - TOGETHER / 2)
    low, high, lowest, highest = np.quantile(off[drawn].mean(axis=1), ends, axis=0)
    sure = (lowest > 0).astype(int) - (highest < 0)
    return [Gain(*map(float, ends), int(sign)) for *ends, sign in zip(off.mean(axis=0), low, high, sure, strict=True)]


def verdict(found: Sequence[Gain]) -> str:
    """What the gains over all searches say, their number allowed for."""
    signs = {gain.sure for gain in found} - {0}
    if not signs:
        return "neither gains nor loses"
    return "gains at some counts and loses at others" if len(signs) > 1 else "gains" if 1 in signs else "loses"


def conclusion(searches: Searches) -> list[str]:
    """Whether the search gains, and a sentence for every look: by all searches together. There must be some."""
    gaining = [look for look in OTHERS if verdict(searches.gains(searches.places, look)) == "gains"]
    said = f"Yes, the search gains: {' and '.join(gaining)}" if gaining else "No, the search does not gain"
    lines = [f"**{said}.**", ""]
    for look in OTHERS:
        found = searches.gains(searches.places, look)
        single = [gain.sign for place in searches.places for gain in searches.gains([place], look)]
        runs = ", ".join(shown(gain, 2) for gain in found[: len(TARGETS)])
        points = ", ".join(shown(gain, 3) for gain in found[len(TARGETS) :])
        lines += [
            f"- With {WORDS[look]} the search **{verdict(found)}**. Over {len(searches.places)} pairs of lattice and start it saves {runs}",
            f"  runs to {_and(TARGETS)} %; what it would return after {_and(AFTER)} runs is better by {points} points.",
            f"  Of {len(single)} intervals of single pairs {single.count(1)} lie wholly on the better side, {single.count(-1)} on the worse; chance alone puts {len(single) * 0.025:.1f} on each at most.",
        ]
    return lines


WORDS: Mapping[str, str] = {
    "evidence": f"r from {{{', '.join(f'{r:g}' for r in LOOKS['evidence'] or ())}}}, as the evidence has it (*evidence*),",
    "fixed": f"r = {(LOOKS['fixed'] or (0.0,))[0]:g} (*fixed*)",
}


def shown(gain: Gain, digits: int) -> str:
    """With its interval."""
    value, low, high = (f"{round(number, digits) + 0.0:+.{digits}f}" for number in (gain.value, gain.low, gain.high))
    return f"{value} [{low}, {high}]"


def _and(numbers: Sequence[float]) -> str:
    return f"{', '.join(f'{number:g}' for number in numbers[:-1])} and {numbers[-1]:g}"


def section(searches: Searches) -> list[str]:
    """From the heading to the last table; says so where nothing was simulated."""
    lines = ["## Does the search gain from the loss at the peak?", ""]
    if not searches.places:
        return [*lines, "Not simulated yet: `python -m benchmarks.signals`.", ""]
    return [*lines, *conclusion(searches), "", *_state(searches), *_method(), *_table(searches)]


def _state(searches: Searches) -> list[str]:
    """What is missing or stale, if anything."""
    count, whole = sum(map(len, searches.cases.values())), len(PLACES) * len(LOOKS) * SEEDS
    lines = [f"{count} of {whole} searches so far; the same command goes on."] if count < whole else []
    if searches.stale:
        lines += [
            f"{searches.stale} of the {count} rows are of an earlier search, start or lattice; the same command makes them anew."
        ]
    return [*lines, ""] if lines else []


def _method() -> list[str]:
    """How it was done."""
    starts = ", ".join(f"`{start}`" for start in STARTS)
    return [
        f"`{FILE}` has a row for each search: {len(LATTICES)} lattices, the starts {starts}, {SEEDS} seeds, {BUDGET} runs, fixed before the first row, on the surfaces of",
        "[runs_to_target](../runs_to_target/README.md), whose targets and noise these are. The loss at the peak is fitted to the cells as the last one is; a run's residual in it",
        "is that of the real run which its accuracy's comes from. The search's model gets a second process for it, with the same kernel, scale and noise and correlation r with the",
        "score's; its values are warped as scores are. The rest of the search is as it is. Seeds are paired: same start, noise and training seed.",
        "",
        "A gain is positive where it helps: runs saved, or points of accuracy gained, without noise; in brackets 95 % of a bootstrap over seeds, of their means over the cases of a line;",
        f"the verdicts above take {100 * (1 - TOGETHER):.1f} % each, so that all {len(OTHERS) * len(MEASURES)} together hold in 95 %.",
        f"**A search that does not arrive within {BUDGET} runs counts as {NEVER:g}**, so means say too little of how long it would have taken; the share of such searches stands in brackets.",
        "*score* is the search as it is, with means in place of gains. Intervals are over noise at these starts and lattices, which are no sample of any.",
        "",
    ]


def _table(searches: Searches) -> list[str]:
    lines = [f"| lattice | start | looks at | {' | '.join(HEADS)} |", "|---" * (3 + len(HEADS)) + "|"]
    groups = {("all", "all"): searches.places}
    groups |= {(name, "all"): [place for place in searches.places if place[0] == name] for name in LATTICES}
    groups |= {place: [place] for place in searches.places}
    for (name, start), places in groups.items():
        if len(places) == 1:
            lines.append(f"| {name} | {start} | score | {' | '.join(_plain(searches, places[0]))} |")
        for look in OTHERS if places else ():
            found = searches.gains(places, look)
            cells = [shown(gain, 2 if number < len(TARGETS) else 3) for number, gain in enumerate(found)]
            lines.append(f"| {name} | {start} | {look} | {' | '.join(cells)} |")
    return [*lines, ""]


def _plain(searches: Searches, place: Place) -> list[str]:
    means, never = searches.means(place)
    runs = [f"{mean:.2f} ({share:.0%} never)" for mean, share in zip(means, never, strict=False)]
    return [*runs, *(f"{mean:.2f} %" for mean in means[len(TARGETS) :])]
