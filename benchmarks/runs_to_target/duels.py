"""The same descent on flat coordinates and on raw ones, `myrtle` against `raw`: case by case, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.runs_to_target.findings import LEVEL, TARGETS, Evidence, Versus, versus
from benchmarks.runs_to_target.tables import brief, starts_of


@dataclass(frozen=True)
class Duel:
    """One lattice, target and start; `against` counts seeds in which myrtle needs fewer runs than raw, and more."""

    lattice: str
    target: float
    start: str
    against: Versus

    @property
    def winner(self) -> str | None:
        """Who needs fewer runs by the sign test; None where it cannot tell."""
        if self.against.p >= LEVEL:
            return None
        return "myrtle" if self.against.fewer > self.against.more else "raw"


def duels(evidence: Evidence) -> list[Duel]:
    """Every case of a lattice that both were run on."""
    found = []
    for target in TARGETS:
        for start in starts_of(evidence):
            pair = (evidence.runs(evidence.of(name, start=start), target) for name in ("myrtle", "raw"))
            if (against := versus(*pair)) is not None:
                found.append(Duel(evidence.lattice, target, start, against))
    return found


def duel_table(evidence: Evidence) -> list[str]:
    """The page's table of a lattice."""
    lines = [
        "The same descent on flat coordinates and on raw ones (`myrtle`, `raw`), by start, seeds with fewer and with more runs:",
        "",
        "| target | start | myrtle | raw | fewer, more | p |",
        "|---|---|---|---|---|---|",
    ]
    found = duels(evidence)
    for one in found:
        medians = (evidence.summary(evidence.of(name, start=one.start), one.target) for name in ("myrtle", "raw"))
        counts = f"{one.against.fewer}, {one.against.more}"
        each = " | ".join(brief(summary) for summary in medians)
        lines.append(f"| {one.target:g} % | {one.start} | {each} | {counts} | {one.against.p:.2g} |")
    return [*lines, ""] if found else []


def raw_sentence(every: Sequence[Evidence]) -> list[str]:
    """Whether raw does worse than myrtle, as the source says it should, and where it does better."""
    found = [one for evidence in every for one in duels(evidence)]
    if not found:
        return []
    better = [one for one in found if one.winner == "raw"]
    worse = sum(one.winner == "myrtle" for one in found)
    places = ", ".join(f"{one.lattice} to {one.target:g} % from {one.start}" for one in better)
    where = f" ({places})" if better else ""
    return [
        f"The source's search on raw λ, ρ, α (`raw`) should do worse than on flat coordinates (`myrtle`). By the sign test (p < {LEVEL:g}, seeds paired) it needs more runs in "
        f"{worse} of {len(found)} cases, fewer in {len(better)}{where}, and cannot be told apart in {len(found) - worse - len(better)}; chance alone puts "
        f"{LEVEL / 2 * len(found):.1f} on each side at most."
    ]
