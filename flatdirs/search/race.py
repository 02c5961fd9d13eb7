"""The race that ends a search: candidates against the start, all with the same fresh seeds. Pure: values in, names out.

With gain d_i of a candidate over the start with seed i = 1 … n, its lead is the mean d̄ with standard error SE = s_d/√n.

    a candidate replaces the start    d̄ > 2·SE after the last seed, n ≥ 3 (n ≥ 4 where at most six seeds were allowed)
    it is dropped after a seed        d̄ ≤ 0 with n ≥ 3; or another candidate leads it by more than 2·SE with n ≥ 3;
                                      or it has diverged more often than the start

The rule is applied once, after the last seed. What is dropped earlier can no longer replace the start, so the looks in
between never add a false replacement; stopping at the first look with d̄ > 2·SE would about double them.
Where only one of the two diverged, d_i is the largest gain or loss of that candidate. Rates: benchmarks/handed_over.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flatdirs.search.score_warping import ROUNDING

START = "start"
ERRORS = 2.0  # standard errors by which a candidate must lead
FEWEST = 3  # pairs before anything is dropped or replaced
FEW_SEEDS, FEWEST_OF_FEW = 6, 4  # up to so many seeds, so many pairs: a variance of three is too uncertain

Values = Sequence[float | None]  # one a seed, in the same order for all; None for a run that diverged


@dataclass(frozen=True)
class Lead:
    """The paired gains (above 0: better) over what it is compared with; where one diverged, the largest of them.

    `lost`, `won`: pairs in which only the candidate, or only the other, diverged. Pairs in which both did are left out.
    """

    gains: tuple[float, ...] = ()
    lost: int = 0
    won: int = 0

    @property
    def pairs(self) -> int:
        """How many pairs say something."""
        return len(self.gains)

    @property
    def valued(self) -> bool:
        """Whether both had a value in some pair, without which mean and error have no unit."""
        return self.pairs > self.lost + self.won

    @property
    def mean(self) -> float:
        """The mean gain; nan without pairs."""
        return math.fsum(gain / self.pairs for gain in self.gains) if self.gains else math.nan

    @property
    def error(self) -> float:
        """The standard error of the mean; infinite below two pairs."""
        if self.pairs < 2:
            return math.inf
        scale = max(map(abs, self.gains)) or 1.0  # squares of very large gains would overflow
        return scale * statistics.stdev(gain / scale for gain in self.gains) / math.sqrt(self.pairs)

    @property
    def clear(self) -> bool:
        """Whether the mean is above zero by more than ERRORS standard errors, in FEWEST pairs or more."""
        return self.pairs >= FEWEST and self.mean > ERRORS * self.error

    def replaces(self, seeds: int) -> bool:
        """Whether a candidate with this lead over the start replaces it. `seeds`: how many were allowed."""
        return self.clear and self.pairs >= needed_pairs(seeds) and self.lost <= self.won


def needed_pairs(seeds: int) -> int:
    """The pairs without which nothing replaces the start, where so many seeds are allowed."""
    return FEWEST_OF_FEW if seeds <= FEW_SEEDS else FEWEST


def lead(candidate: Values, other: Values, maximize: bool) -> Lead:
    """The lead of a candidate over another (the start), over the seeds that both have."""
    sign, gains, lost, won = 1.0 if maximize else -1.0, list[float](), 0, 0
    for mine, its in zip(candidate, other, strict=False):
        if mine is not None and its is not None:
            gains.append(0.0 if math.isclose(mine, its, rel_tol=ROUNDING) else sign * (mine - its))
        lost += mine is None and its is not None
        won += mine is not None and its is None
    largest = max(map(abs, gains), default=0.0) or 1.0
    return Lead((*gains, *[-largest] * lost, *[largest] * won), lost, won)


def still_racing(values: Mapping[str, Values], racing: Sequence[str], maximize: bool) -> list[str]:
    """Those of the candidates in the race that are not dropped by these values, which include those of the start."""
    leads = {name: lead(values[name], values[START], maximize) for name in racing}
    left = [name for name, own in leads.items() if own.lost <= own.won and (own.pairs < FEWEST or own.mean > 0)]
    return [name for name in left if not any(lead(values[o], values[name], maximize).clear for o in left if o != name)]


def handed_over(values: Mapping[str, Values], racing: Sequence[str], seeds: int, maximize: bool) -> str:
    """The candidate that replaces the start, the one with the larger lead where both may; START where none does.

    `racing`: the candidates that were not dropped; `seeds`: how many were allowed.
    """
    leads = {name: lead(values[name], values[START], maximize) for name in racing}
    able = [name for name, own in leads.items() if own.replaces(seeds)]
    return max(able, key=lambda name: leads[name].mean, default=START)
