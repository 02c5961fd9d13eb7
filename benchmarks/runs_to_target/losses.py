"""Where `flatdirs` does not win, from rows alone: every case in which another method needs fewer runs, and in a few sentences.

A case is a lattice, a target and a start. Against it stand all methods from the same start, clipped to a box where they
have one, and all methods that take no start. Behind is who has the higher median, those that never arrive counted as one
run more than the budget; `sure` where the sign test by seed says so too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.runs_to_target.bars import OURS, Bar, at_target
from benchmarks.runs_to_target.conditions import NONE, Condition
from benchmarks.runs_to_target.duels import raw_sentence
from benchmarks.runs_to_target.findings import BUDGET, LEVEL, TARGETS, Evidence, versus
from benchmarks.runs_to_target.real_table import real_losses
from benchmarks.runs_to_target.tables import starts_of

PAGE = "benchmarks/runs_to_target/README.md"
TITLE = "Where another method needs fewer runs"
WORST = 3  # cases that the short list names


@dataclass(frozen=True)
class Rival:
    """A condition with a lower median than flatdirs' in the same case."""

    condition: Condition
    median: float
    sure: bool

    @property
    def name(self) -> str:
        """As sentences have it."""
        box = "" if self.condition.box == NONE else f", {self.condition.box} box"
        return f"`{self.condition.method}`{box}"


@dataclass(frozen=True)
class Behind:
    """A case in which there are rivals, the quickest first."""

    lattice: str
    target: float
    start: str
    own: float
    rivals: tuple[Rival, ...]

    @property
    def runs(self) -> float:
        """How many runs the quickest rival saves."""
        return self.own - self.rivals[0].median

    @property
    def clipped(self) -> bool:
        """Whether the quickest rival's first run, the start clipped to its box, is at the target."""
        first = self.rivals[0]
        return NONE not in (first.condition.start, first.condition.box) and first.median <= 1


def cases(evidence: Evidence) -> list[tuple[float, str]]:
    """Targets and starts that flatdirs was run on."""
    return [
        (t, start)
        for t in TARGETS
        for start in starts_of(evidence)
        if evidence.of(OURS, start=start) in evidence.groups
    ]


def behind(evidence: Evidence) -> list[Behind]:
    """The cases of a lattice in which another method needs fewer runs."""
    found = []
    for target, start in cases(evidence):
        own = evidence.of(OURS, start=start)
        middle = _median(evidence, own, target)
        rivals = [
            Rival(other, _median(evidence, other, target), _surely_less(evidence, other, own, target))
            for other in evidence.groups
            if other.method != OURS and other.start in (start, NONE) and _median(evidence, other, target) < middle
        ]
        if rivals:
            ranked = sorted(rivals, key=lambda rival: (rival.median, rival.condition))
            found.append(Behind(evidence.lattice, target, start, middle, tuple(ranked)))
    return found


def _median(evidence: Evidence, condition: Condition, target: float) -> float:
    found = evidence.summary(condition, target)
    assert found is not None
    return found.median


def _surely_less(evidence: Evidence, one: Condition, other: Condition, target: float) -> bool:
    against = versus(evidence.runs(one, target), evidence.runs(other, target))
    return against is not None and against.fewer > against.more and against.p < LEVEL


def behind_table(every: Sequence[Evidence]) -> list[str]:
    """The page's section: every case, every rival."""
    count, found = sum(len(cases(evidence)) for evidence in every), [one for e in every for one in behind(e)]
    if not count:
        return []
    lines = [
        f"## {TITLE}",
        "",
        f"In {len(found)} of {count} cases (lattice, target, start) another method's median is lower than `{OURS}`'s: from the same start, clipped to the box",
        f"where it has one, or without a start. Every such method with its median; * where the sign test by seed says so too (p < {LEVEL:g}). In {sum(one.clipped for one in found)} of them the",
        "quickest is at the target with its first run, which is the start as its box clips it.",
        "",
    ]
    if not found:
        return lines
    lines += ["| lattice | target | start | flatdirs | who needs fewer |", "|---|---|---|---|---|"]
    for one in found:
        rivals = "; ".join(f"{rival.name} {rival.median:.3g}{'*' if rival.sure else ''}" for rival in one.rivals)
        lines.append(f"| {one.lattice} | {one.target:g} % | {one.start} | {_runs(one.own)} | {rivals} |")
    return [*lines, ""]


def _runs(median: float) -> str:
    return "never" if median > BUDGET else f"{median:.3g}"


def losses(every: Sequence[Evidence], found: Sequence[Bar]) -> list[str]:
    """Where flatdirs does not win, for the project's README."""
    points = [
        *fewer_elsewhere(every),
        *late(found),
        *real_losses(every),
        *returned_later(every),
        *begun_there(every, found),
        *handicapped(every),
        *unsure(every),
        *random_as_quick(every),
        *raw_sentence(every),
    ]
    return (
        ["", "Where it loses, or wins for another reason:", "", *(f"- {point}" for point in points)] if points else []
    )


def fewer_elsewhere(every: Sequence[Evidence]) -> list[str]:
    """In how many cases another method is quicker, where most of all."""
    found = [one for evidence in every for one in behind(evidence)]
    counts = {e.lattice: (sum(one.lattice == e.lattice for one in found), len(cases(e))) for e in every if cases(e)}
    total = sum(count for _, count in counts.values())
    if not found:
        return (
            [f"In none of {total} cases (lattice, target, start) does another method need fewer runs."] if total else []
        )
    each = ", ".join(f"{some} of {count} on {name}" for name, (some, count) in counts.items())
    clipped = sum(one.clipped for one in found)
    worst = "; ".join(
        f"{_runs(one.own)} runs against {one.rivals[0].median:.3g} ({one.rivals[0].name}) from {one.start} on `{one.lattice}` to {one.target:g} %"
        for one in sorted(found, key=lambda one: -one.runs)[:WORST]
    )
    return [
        f"In {len(found)} of {total} cases (lattice, target, start; {each}) another method needs fewer runs from the same start or from none; in {clipped} of them "
        f"because its box clips the start to a point at the target. Furthest behind: {worst}. [All of them]({PAGE}#{TITLE.lower().replace(' ', '-')})."
    ]


def late(found: Sequence[Bar]) -> list[str]:
    """The promises of a number of runs that were not kept."""
    missed = [bar for bar in found if bar.met is False and bar.claim.startswith("median ≤") and " of " not in bar.claim]
    return [
        f"From {bar.start} on `{bar.lattice}` it needs {bar.measured} runs to come within {bar.target:g} %; {bar.claim.split()[-1]} were promised."
        for bar in missed
    ]


def begun_there(every: Sequence[Evidence], found: Sequence[Bar]) -> list[str]:
    """How many promises the start alone keeps."""
    there = {(e.lattice, target, start) for e in every if e.entry is not None for target, start in at_target(e)}
    begun = sum((bar.lattice, bar.target, bar.start) in there for bar in found)
    if not begun:
        return []
    return [
        f"On {begun} of the {len(found)} lines of what was promised the start is at the target already: every search from there arrives at once, and what is "
        "compared is where searches begin."
    ]


def handicapped(every: Sequence[Evidence]) -> list[str]:
    """Lattices whose best lies outside the expert's box, against which half of the promises are."""
    outside = {e.lattice: e.facts["outside"]["expert"] for e in every if e.groups and e.facts["outside"].get("expert")}
    if not outside:
        return []
    each = "; ".join(
        f"{name}: {', '.join(f'{axis} {value:g}, the box ends at {high if value > high else low:.3g}' for axis, (value, low, high) in found.items())}"
        for name, found in outside.items()
    )
    return [
        f"The best of the fit lies outside the expert's box on {' and '.join(outside)} ({each}), so that methods in it are handicapped there, TPE among them, half of whose "
        "runs in that box is what was promised."
    ]


def unsure(every: Sequence[Evidence]) -> list[str]:
    """Lattices whose fit may be wrong by more than what lies between its best and a target that counts."""
    found = []
    for evidence in every:
        if evidence.entry is None:
            continue
        errors, best = evidence.entry["errors"], evidence.facts["best"]
        own = math.sqrt(max(0.0, errors["near"] ** 2 - errors["near_noise"] ** 2))
        close = [percent for percent in evidence.counted if best * percent / 100 < own]
        if close:
            gaps = " and ".join(f"{best * percent / 100:.2f} for {percent:g} %" for percent in close)
            found.append(
                f"On {evidence.lattice} the fit is off by {own:.2f} points near the top (cross-validated, the cells' noise taken out), more than what "
                f"lies between its best and a target that counts ({gaps}): who arrives there is not that sure."
            )
    return found


def random_as_quick(every: Sequence[Evidence]) -> list[str]:
    """Where random search needs no more runs than flatdirs from its automatic start."""
    found = []
    for evidence in every:
        for target in TARGETS:
            own = evidence.summary(evidence.of(OURS, start="auto"), target)
            for box in ("expert", "ignorant"):
                other = evidence.summary(evidence.of("random", box), target)
                if own is not None and other is not None and other.median <= min(own.median, BUDGET):
                    found.append(
                        f"`{evidence.lattice}` to {target:g} % in the {box} box ({other.median:.3g} against {own.median:.3g})"
                    )
    return [f"Random search needs no more runs than it from `auto` on {', '.join(found)}."] if found else []


def returned_later(every: Sequence[Evidence]) -> list[str]:
    """What flatdirs and myrtle return after 20 runs from the automatic start."""
    pairs = {evidence.lattice: after_twenty(evidence) for evidence in every}
    known = {name: (own, other) for name, (own, other) in pairs.items() if own is not None and other is not None}
    told = ", ".join(f"{own:.2f} against {other:.2f} on {name}" for name, (own, other) in known.items())
    if not told:
        return []
    if all(own > other for own, other in known.values()):
        return [
            f"What it returns after 20 runs from `auto` lies further below the best than what `myrtle` returns: {told} (points, medians)."
        ]
    return [
        f"What it returns after 20 runs from `auto`, beside what `myrtle` returns: {told} (points below the best, medians)."
    ]


def after_twenty(evidence: Evidence) -> tuple[float | None, float | None]:
    """Points below the best of what flatdirs and myrtle return after 20 runs from the automatic start; None: not measured."""
    found: list[float | None] = []
    for name in (OURS, "myrtle"):
        values = evidence.returned(evidence.of(name, NONE, "auto"), 20)
        found.append(evidence.facts["best"] - statistics.median(values) if values else None)
    return found[0], found[1]
