"""The rivals' rules: a ramp's curve in, one rate out, each from its published definition; numpy alone.

    torch_lr_finder     steepest drop from one step to the next (torch-lr-finder 0.2.2; the library itself is asked)
    fastai_valley       half of the way down the longest fall (fastai.callback.schedule.valley, ESRI's)
    fastai_steep        steepest slope by log rate (fastai.callback.schedule.steep)
    fastai_minimum_10   a tenth of the minimum's rate (fastai.callback.schedule.minimum)
    fastai_slide        where the slope settles, seen from the end (fastai.callback.schedule.slide)
    lightning           steepest drop from one step to the next (lightning.pytorch.tuner.lr_finder up to 2025)
    lightning_by_rate   the same file since pull request 21055 of August 2025: steepest slope by rate itself

fastai and Lightning are not installed: one rule of theirs each is a few lines, the libraries hundreds of megabytes. The
lines below are written anew from what those files say and keep what they do where the curve is odd: fastai cuts a curve
at its first loss that is not a number, Lightning leaves such losses out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FASTAI_SKIPPED = (10, 5)  # points left out at the beginning and at the end: num_it // 10 and 5
LIGHTNING_SKIPPED = (10, 1)
SLIDE_POINTS, SLIDE_THRESHOLD = 15, 0.005


@dataclass(frozen=True)
class Curve:
    """What a ramp saw: the rate of every step and the loss as its finder smooths it."""

    rates: Values
    losses: Values


class NoPick(ValueError):
    """A rule that gives nothing on this curve; the reason in words."""


def valley(curve: Curve) -> float:
    """The rate half of the way down the longest fall, counted in points.

    The longest run of ever smaller losses, not necessarily neighbours, of L points that ends at point e: the rate at
    point e − L + ⌊L/3⌋ + ⌊L/6⌋. Where nothing falls, the first rate.
    """
    length = np.ones(len(curve.losses), dtype=int)
    for point, loss in enumerate(curve.losses):
        higher = curve.losses[:point] > loss
        if higher.any():
            length[point] = 1 + length[:point][higher].max()
    end = int(length.argmax())
    longest = int(length[end]) if end else 0
    return float(curve.rates[end - longest + longest // 3 + longest // 6])


def steep(curve: Curve) -> float:
    """The left end of the interval with the most negative slope by log rate."""
    slopes = np.diff(curve.losses) / np.diff(np.log(curve.rates))
    return float(curve.rates[slopes.argmin()])


def minimum_tenth(curve: Curve) -> float:
    """A tenth of the rate with the lowest loss."""
    return float(curve.rates[curve.losses.argmin()]) / 10


def slide(curve: Curve) -> float:
    """From the end leftwards, the first rate whose slope by step is that of fifteen points on, to 0.005."""
    slopes = np.gradient(curve.losses)
    left = len(slopes) - 1 - SLIDE_POINTS
    picked = left
    while left >= 0 and abs(slopes[left + SLIDE_POINTS] - slopes[left]) > SLIDE_THRESHOLD:
        picked = left
        left -= 1
    return float(curve.rates[picked])


def steepest_step(curve: Curve) -> float:
    """The rate with the most negative central difference from step to step."""
    return float(curve.rates[np.gradient(curve.losses).argmin()])


def steepest_by_rate(curve: Curve) -> float:
    """The rate with the most negative slope by rate, which is not by log rate and so prefers small rates."""
    return float(curve.rates[np.gradient(curve.losses, curve.rates).argmin()])


def fastai(rule: Callable[[Curve], float], least: int = 2) -> Callable[[Curve], float]:
    """`rule` on the part of a curve that fastai shows it."""

    def picked(curve: Curve) -> float:
        first, last = FASTAI_SKIPPED
        rates, losses = curve.rates[first:-last], curve.losses[first:-last]
        bad = np.flatnonzero(np.isnan(losses))
        stop = int(bad[0]) if len(bad) else len(losses)
        return rule(_long_enough(rates[:stop], losses[:stop], least))

    return picked


def lightning(rule: Callable[[Curve], float]) -> Callable[[Curve], float]:
    """`rule` on the part of a curve that Lightning shows it."""

    def picked(curve: Curve) -> float:
        first, last = LIGHTNING_SKIPPED
        rates, losses = curve.rates[first:-last], curve.losses[first:-last]
        finite = np.isfinite(losses)
        return rule(_long_enough(rates[finite], losses[finite], 2))

    return picked


def _long_enough(rates: Values, losses: Values, least: int) -> Curve:
    """A curve, or NoPick where too little of it is left."""
    if len(losses) < least:
        raise NoPick(f"only {len(losses)} points are left to judge")
    return Curve(rates, losses)


FASTAI: Mapping[str, Callable[[Curve], float]] = {
    "fastai_valley": fastai(valley),
    "fastai_steep": fastai(steep),
    "fastai_minimum_10": fastai(minimum_tenth),
    "fastai_slide": fastai(slide, SLIDE_POINTS + 1),
}
LIGHTNING: Mapping[str, Callable[[Curve], float]] = {
    "lightning": lightning(steepest_step),
    "lightning_by_rate": lightning(steepest_by_rate),
}
