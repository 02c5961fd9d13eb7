"""A toy model of why tuners that follow the sharpness lose: two numbers and a sharpness that the dynamics move.

    x' = −(1 + y)x        s' = s + η(a − b x²)        y = ηs − 2

x is the distance along the top mode, s = λmax, y how far the rate is beyond the edge of stability. With a constant η
the sharpness rises by ηa a step until y > 0; then x grows, pulls it down again, and y passes 0 to and fro. These cycles
do not last: steps are no flow, each cycle is wider than the one before, and in the end x is so large that one step
throws s below 0 (at step 777 with η = 0.38 and the constants below). A tuner with η = c/s and c < 2 keeps y = c − 2 for
ever: x dies out, nothing holds the sharpness, and s_T = √(s₀² + 2acT).

Source: after Damian, Nichani and Lee, arXiv 2209.15594; these equations are derived.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Toy:
    """The constants: progressive sharpening `a`, self-stabilisation `b`, and where x and s begin."""

    a: float = 0.05
    b: float = 5.0
    sharpness: float = 5.0
    x: float = 0.02

    def run(self, rate: Callable[[float], float], steps: int) -> list[tuple[float, float, float]]:
        """(x, s, η) before each step and after the last, for a rate that is a function of the sharpness.

        Where step n leaves no sharpness above 0, or nothing finite, the run is lost and its path has n entries.
        """
        x, s = self.x, self.sharpness
        path = []
        for _ in range(steps):
            eta = rate(s)
            path.append((x, s, eta))
            x, s = self.step(x, s, eta)
            if not alive(x, s):
                return path
        path.append((x, s, rate(s)))
        return path

    def step(self, x: float, s: float, eta: float) -> tuple[float, float]:
        """x and s after a step of the rate η."""
        return -(eta * s - 1.0) * x, s + eta * (self.a - self.b * x * x)

    def followed(self, c: float, steps: int) -> float:
        """The sharpness that a tuner η = c/s, c < 2, ends at, once x has died out: √(s₀² + 2acT)."""
        return math.sqrt(self.sharpness**2 + 2.0 * self.a * c * steps)


def alive(x: float, s: float) -> bool:
    """Whether a run goes on: both finite, and sharpness left."""
    return math.isfinite(x) and 0.0 < s < math.inf


def extremes(beyond: Sequence[float]) -> list[float]:
    """How far y goes in each of its stays on one side of 0 that began with passing it, in order."""
    found: list[float] = []
    for before, here in pairwise(beyond):
        if (before > 0) != (here > 0):
            found.append(0.0)
        if found:
            found[-1] = max(found[-1], abs(here))
    return found
