"""What the Bayesian search has learnt, as lines to print."""

from __future__ import annotations

from itertools import groupby

from flatdirs.search.flatness import Findings, Flatness
from flatdirs.tuning.formatting import value_text

LIKELY = 0.5  # probability of a product of hyperparameters from which on it is told
SURE = 0.99  # the highest that is told: the products that were compared are not all there are


def finding_lines(findings: Findings, unit: str, replicated: bool) -> list[str]:
    """How flat each axis is around the incumbent, and which product of hyperparameters counts.

    `replicated`: whether some setting was run more than once. All first runs have the same training seed, so nothing
    else shows what another seed changes, and without that no axis is called flat.
    """
    if findings.even:
        return ["all runs gave the same value: nothing that was tried has an effect"]
    lines = []
    for axis, group in groupby(findings.flatness, key=lambda one: one.axis):
        sides = list(group)
        changes = ", ".join(_change(one, unit) for one in sides)
        lines.append(f"along {axis}: {changes}{_in_a_word(sides) if replicated else ''}")
    if replicated and findings.flatness and (noise := findings.flatness[0].noise):
        lines.append(
            f"seed noise: runs of the same settings have a standard deviation of about {value_text(noise, unit, 2)} "
            f"(estimated from replicates and from how smoothly values change)"
        )
    if findings.steep and findings.steep[0][1] >= LIKELY:
        name, probability = findings.steep[0]
        told = f"{name} is what counts" if name else "each hyperparameter counts for itself"
        lines.append(f"{told} (probability {min(probability, SURE):.2g})")
    return lines


def _in_a_word(sides: list[Flatness]) -> str:
    """Whether an axis is flat, if that can be said of both of its sides."""
    if all(one.flat for one in sides):
        return "; flat, no more than seed noise"
    if all(one.flat or one.unclear for one in sides):
        return "; not distinguishable from seed noise"
    return ""


def _change(one: Flatness, unit: str) -> str:
    """What one side does, such as "×4 is 0.12% worse (90 %: 0.6% worse to 0.31% better)"."""
    return f"{one.change} is {_gain(one.mean, unit)} (90 %: {_gain(one.low, unit)} to {_gain(one.high, unit)})"


def _gain(gain: float, unit: str) -> str:
    return f"{value_text(abs(gain), unit, 2)} {'better' if gain > 0 else 'worse'}"
