"""A toy model of why tuners that follow the sharpness lose: two numbers and a sharpness that the dynamics move.

    x' = −(1 + y)x        s' = s + η(a − b x²)        y = ηs − 2

x is the distance along the top mode, s = λmax, y how far the rate is beyond the edge of stability. With a constant η
the sharpness rises by ηa a step until y > 0; then x grows, pulls it down again, and y cycles around 0. A tuner with
η = c/s and c < 2 keeps y = c − 2 for ever: x dies out, nothing holds the sharpness, and s_T = √(s₀² + 2acT).

Source: after Damian, Nichani and Lee, arXiv 2209.15594; these equations are derived.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Toy:
    """The constants: progressive sharpening `a`, self-stabilisation `b`, and where x and s begin."""

    a: float = 0.05
    b: float = 5.0
    sharpness: float = 5.0
    x: float = 0.02

    def run(self, rate: Callable[[float], float], steps: int) -> list[tuple[float, float, float]]:
        """(x, s, η) before each step and after the last, for a rate that is a function of the sharpness."""
        x, s = self.x, self.sharpness
        path = []
        for _ in range(steps):
            eta = rate(s)
            path.append((x, s, eta))
            x, s = -(eta * s - 1.0) * x, s + eta * (self.a - self.b * x * x)
        path.append((x, s, rate(s)))
        return path

    def followed(self, c: float, steps: int) -> float:
        """The sharpness that a tuner η = c/s, c < 2, ends at, once x has died out: √(s₀² + 2acT)."""
        return math.sqrt(self.sharpness**2 + 2.0 * self.a * c * steps)
