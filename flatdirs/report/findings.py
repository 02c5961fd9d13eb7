"""What a search by model has learnt, as lines to print."""

from __future__ import annotations

from itertools import groupby

from flatdirs.search.flatness import SHORT, Findings, Flatness
from flatdirs.tuning.formatting import value_text


def finding_lines(findings: Findings, unit: str, sign: int) -> list[str]:
    """How flat each axis is around the best, and whether runs are too short for weight decay. `sign`: -1 for losses."""
    if findings.even:
        return ["every run gave the same: nothing that was tried makes a difference"]
    lines = []
    for axis, group in groupby(findings.flatness, key=lambda one: one.axis):
        sides = list(group)
        changes = ", ".join(_change(one, unit, sign) for one in sides)
        lines.append(f"along {axis}: {changes}{_in_a_word(sides)}")
    if findings.flatness:
        lines.append(f"the noise of one run is taken to be ±{value_text(findings.flatness[0].noise, unit)}")
    if findings.short is not None and findings.short >= SHORT:
        lines.append(
            f"Weight decay hardly matters in runs this short: {findings.without_decay} is what counts "
            f"(probability {findings.short:.2f})."
        )
    return lines


def _in_a_word(sides: list[Flatness]) -> str:
    """Whether an axis is flat, if that can be said of both of its sides."""
    if all(one.flat for one in sides):
        return "; flat: no more than another seed changes"
    if all(one.flat or one.unclear for one in sides):
        return "; not told from a seed's spread by these runs"
    return ""


def _change(one: Flatness, unit: str, sign: int) -> str:
    """What one side does, such as ×4 changes it by -0.12% (-0.60 to 0.31)."""
    factor = f"×{one.factor:.3g}" if one.factor > 1 else f"÷{1 / one.factor:.3g}"
    low, high = sorted((sign * one.low, sign * one.high))
    return f"{factor} changes it by {value_text(sign * one.mean, unit)} ({low:.2g} to {high:.2g})"
