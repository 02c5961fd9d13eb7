"""The edge-of-stability metric: rises of the loss are rewarded while the learning rate rises, a high loss is not after.

Evaluations are counted t = 1 … T. With a window w, L̄_t is the mean of the losses t−w+1 … t, and the terms are

    sign         m_t = −L̄_t              while η rises, else L̄_t
    difference   m_t = −(L̄_t − L̄_{t−1})  while η rises, else L̄_t

each for t > w, so the first w evaluations give none: one L̄ must lie before the first term, for a rise of it as for the
rate's (η rises at t where the rate recorded there is above the one at t−1). The metric is the mean of the terms with
weights κ^t, to be minimised:

    M_T = Σ κ^t·m_t / Σ κ^t        for 200 evaluations and w = 5, κ^194 from the first term to the last

A loss that is not finite makes M infinite from there on, whatever the rate does: an explosion in the warm-up must not
count as a reward.

Source: reference/000 describes it, its exact formula is lost; both variants are ours. The mean of w losses rises and
falls without bound in warm-up, and so does the reward of `sign`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flatdirs.errors import ConfigError

VARIANTS = ("sign", "difference")


@dataclass(frozen=True)
class EdgeOfStability:
    """The metric's settings: which `variant`, the weight's growth `kappa` (κ) per evaluation, the `window` averaged.

    Raises:
        ConfigError: a value that no metric could use; the sentence names the key.
    """

    variant: str = "sign"
    kappa: float = 1.02
    window: int = 5

    def __post_init__(self) -> None:
        """Refuse what gives no metric."""
        if self.variant not in VARIANTS:
            raise ConfigError(f"metric.variant={self.variant} must be one of {', '.join(VARIANTS)}; change it")
        if not (math.isfinite(self.kappa) and self.kappa > 0):
            raise ConfigError(f"metric.kappa={self.kappa} must be a number above 0; change metric.kappa")
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 1:
            raise ConfigError(f"metric.window={self.window} must be a whole number of 1 or more; change metric.window")

    @property
    def first(self) -> int:
        """The number of the first evaluation that has a value, counted from 1."""
        return self.window + 1


@dataclass
class Running:
    """The metric of a run as it goes: `add` each evaluation's loss and rate, get M so far.

    No power of κ is formed: with W_t = 1 + W_{t−1}/κ, M_t = M_{t−1}·(1 − 1/W_t) + m_t/W_t. So neither κ^1000 nor
    κ^−1000 overflows.
    """

    settings: EdgeOfStability
    value: float | None = None
    _losses: deque[float] = field(default_factory=deque)
    _mean: float | None = None
    _rate: float = math.nan
    _weight: float = 0.0

    def add(self, loss: float, learning_rate: float) -> float | None:
        """M after one more evaluation; None while there is none, infinity once a loss was not finite."""
        before, rises = self._mean, learning_rate > self._rate
        self._rate = learning_rate
        if self.value == math.inf or not math.isfinite(loss):
            self.value = math.inf
            return self.value
        self._losses.append(loss)
        if len(self._losses) > self.settings.window:
            self._losses.popleft()
        if len(self._losses) == self.settings.window:
            self._mean = math.fsum(value / self.settings.window for value in self._losses)
        if before is not None and self._mean is not None:
            self._weigh(_term(self.settings.variant, before, self._mean, rises))
        return self.value

    def _weigh(self, term: float) -> None:
        self._weight = 1.0 + self._weight / self.settings.kappa
        share = 1.0 / self._weight
        self.value = term if self.value is None else self.value * (1.0 - share) + term * share


def _term(variant: str, before: float, mean: float, rises: bool) -> float:
    if not rises:
        return mean
    return -mean if variant == "sign" else before - mean


def edge_metric(
    losses: Sequence[float], learning_rates: Sequence[float], settings: EdgeOfStability | None = None
) -> NDArray[np.float64]:
    """M_t at every evaluation t of a finished run, nan where there is none yet.

    Args:
        losses: held-out losses, one an evaluation, in order; shape (T,).
        learning_rates: the rate of the last step before each evaluation; shape (T,).
        settings: variant, κ, window (None: the defaults).

    Returns:
        Shape (T,). The run's own metric is the last value.

    Raises:
        ValueError: not as many rates as losses.
    """
    settings = settings or EdgeOfStability()
    loss, rate = np.asarray(losses, dtype=float), np.asarray(learning_rates, dtype=float)
    if loss.shape != rate.shape or loss.ndim != 1:
        raise ValueError(f"losses have shape {loss.shape} and learning_rates {rate.shape}; both must be (T,)")
    values = np.full(len(loss), np.nan)
    broken = ~np.isfinite(loss)
    whole = int(np.argmax(broken)) if broken.any() else len(loss)
    values[whole:] = np.inf
    window = settings.window
    if whole <= window:
        return values
    means = np.lib.stride_tricks.sliding_window_view(loss[:whole] / window, window).sum(axis=1)
    rises = rate[window:whole] > rate[window - 1 : whole - 1]
    rewards = -means[1:] if settings.variant == "sign" else means[:-1] - means[1:]
    values[window:whole] = _weighted_means(np.where(rises, rewards, means[1:]), math.log(settings.kappa))
    return values


def _weighted_means(terms: NDArray[np.float64], log_kappa: float) -> NDArray[np.float64]:
    """Σ κ^t·m_t / Σ κ^t over the first n terms, for every n; weights relative to the largest of each sum."""
    count = len(terms)
    if log_kappa >= 0:  # the last weighs most
        ages = np.arange(count)
        weights = np.exp(-log_kappa * ages)
        return np.array([np.dot(weights[: n + 1][::-1], terms[: n + 1]) / weights[: n + 1].sum() for n in ages])
    weights = np.exp(log_kappa * np.arange(count))
    result: NDArray[np.float64] = np.cumsum(weights * terms) / np.cumsum(weights)
    return result
