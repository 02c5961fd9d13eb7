"""Differences paired by repetition, and what so few of them can say.

Three looks, since none is good alone with five repetitions: Student's interval takes normal differences for granted, the
bootstrap's is too narrow with so few, and the sign test of five cannot go below p = 1/16, which is why it is taken over
both subjects together.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student

LEVEL = 0.95
DRAWS = 10_000


@dataclass(frozen=True)
class Paired:
    """Differences, one a repetition, lower is better; at least two of them, all finite.

    `blown`: repetitions besides, in which this side has no loss, as it diverged, and the other has one. They are in no
    mean, count as not lower, and forbid to call the whole lower. `spared`: the reverse, which count as lower and forbid
    to call the whole higher. Where both diverged nothing is compared.
    """

    differences: tuple[float, ...]
    blown: int = 0
    spared: int = 0

    @property
    def count(self) -> int:
        """All repetitions that can be compared."""
        return len(self.differences) + self.blown + self.spared

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.differences)

    @property
    def interval(self) -> tuple[float, float]:
        """Student's interval of the mean."""
        count = len(self.differences)
        error = statistics.stdev(self.differences) / count**0.5
        width = float(student.ppf((1 + LEVEL) / 2, count - 1)) * error
        return self.mean - width, self.mean + width

    @property
    def bootstrap(self) -> tuple[float, float]:
        """The percentile interval over repetitions drawn with replacement."""
        draws = np.random.default_rng(0).choice(np.array(self.differences), (DRAWS, len(self.differences)))
        low, high = np.percentile(draws.mean(axis=1), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        return float(low), float(high)

    @property
    def lower(self) -> int:
        """In how many repetitions the difference is below 0."""
        return sum(value < 0 for value in self.differences) + self.spared

    @property
    def sign(self) -> int:
        """−1 or 1 where Student's interval lies on one side of 0, else 0."""
        low, high = self.interval
        return 1 if low > 0 and not self.spared else -1 if high < 0 and not self.blown else 0

    @property
    def signed(self) -> tuple[float, ...]:
        """A difference for each repetition, infinite where one side diverged."""
        return self.differences + (math.inf,) * self.blown + (-math.inf,) * self.spared


def sign_test(differences: Sequence[float]) -> tuple[int, int, float]:
    """How many are below 0, of how many that are not 0, and the two-sided p-value of that."""
    told = [value for value in differences if value]
    lower = sum(value < 0 for value in told)
    return lower, len(told), float(binomtest(lower, len(told)).pvalue) if told else 1.0
