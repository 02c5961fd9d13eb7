"""The bars: what `flatdirs` promised to reach, line by line, met or missed. conditions.yaml has the numbers.

Medians count those that never arrive as one run more than the budget. TPE has no start; CMA-ES begins where flatdirs
does, clipped to the box. A bar whose rows are not there yet is neither met nor missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.findings import BUDGET, TARGETS, Evidence

OURS = "flatdirs"


@dataclass(frozen=True)
class Bar:
    """One promise: `met` is None where it was not measured."""

    lattice: str
    target: float
    start: str
    claim: str
    measured: str
    met: bool | None


def bars(evidence: Evidence) -> Iterator[Bar]:
    """Every bar of a lattice, over the targets that count there."""
    if evidence.entry is None:
        return
    found = conditions.settings()["bars"]
    for target in evidence.counted:
        for start in found["good_starts"]:
            for rival, ratios in (("tpe", found["tpe_ratio"]), ("cmaes", found["cmaes_ratio"])):
                for box, ratio in ratios.items():
                    yield _ratio(evidence, target, start, rival, box, ratio)
            if start == "auto":
                yield _at_most(evidence, target, start, found["auto_runs"])
        for start in found["careless_starts"]:
            yield _at_most(evidence, target, start, found["careless_runs"])
            yield _fewer(evidence, target, start)
        yield _arrives(evidence, target, found)


def at_target(evidence: Evidence) -> list[tuple[float, str]]:
    """Targets that a start (of `auto` the median one) reaches by itself."""
    best, starts = evidence.facts["best"], evidence.facts["starts"]
    return [(t, name) for t in TARGETS for name, value in starts.items() if value >= best * (1 - t / 100)]


def never(evidence: Evidence, target: float) -> list[tuple[str, list[int]]]:
    """The repetitions of flatdirs that did not arrive: start, seeds."""
    found = []
    for condition in evidence.conditions:
        if condition.method == OURS:
            seeds = [seed for seed, runs in sorted(evidence.runs(condition, target).items()) if runs > BUDGET]
            found += [(condition.start, seeds)] if seeds else []
    return found


def _ratio(evidence: Evidence, target: float, start: str, rival: str, box: str, ratio: float) -> Bar:
    own = evidence.summary(evidence.of(OURS, start=start), target)
    there = evidence.of(rival, box) if rival == "tpe" else evidence.of(rival, box, start)
    other = evidence.summary(there, target)
    claim = f"median ≤ {_part(ratio)} of {rival}'s, {box} box"
    if own is None or other is None:
        return Bar(evidence.lattice, target, start, claim, "not measured", None)
    text = f"{own.median:.3g} against {other.median:.3g}"
    return Bar(evidence.lattice, target, start, claim, text, own.median <= ratio * other.median)


def _at_most(evidence: Evidence, target: float, start: str, runs: float) -> Bar:
    own = evidence.summary(evidence.of(OURS, start=start), target)
    claim = f"median ≤ {runs:g}"
    if own is None:
        return Bar(evidence.lattice, target, start, claim, "not measured", None)
    return Bar(evidence.lattice, target, start, claim, f"{own.median:.3g}", own.median <= runs)


def _fewer(evidence: Evidence, target: float, start: str) -> Bar:
    own = evidence.summary(evidence.of(OURS, start=start), target)
    other = evidence.summary(evidence.of("tpe", "ignorant"), target)
    claim = "median < tpe's, ignorant box"
    if own is None or other is None:
        return Bar(evidence.lattice, target, start, claim, "not measured", None)
    text = f"{own.median:.3g} against {other.median:.3g}"
    return Bar(evidence.lattice, target, start, claim, text, own.median < other.median)


def _arrives(evidence: Evidence, target: float, found: dict[str, Any]) -> Bar:
    own = [evidence.runs(c, target) for c in evidence.conditions if c.method == OURS]
    every = [runs for some in own for runs in some.values()]
    claim = f"not arrived within {BUDGET}: ≤ {found['never_share']:g} % of repetitions"
    if not every:
        return Bar(evidence.lattice, target, "all", claim, "not measured", None)
    lost = sum(runs > BUDGET for runs in every)
    met = 100 * lost <= found["never_share"] * len(every)
    return Bar(evidence.lattice, target, "all", claim, f"{lost} of {len(every)}", met)


def _part(ratio: float) -> str:
    return "the whole" if ratio == 1 else f"1/{round(1 / ratio)}"
