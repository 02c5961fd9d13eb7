"""What every run here has in common, fixed before the first one. Neither torch nor Optuna.

    AdamW, 1,000 steps, linear warm-up over the first 100, half a cosine wave down to 0, judged every 5 steps

so that a run has 200 evaluations, and rungs lie at 25, 50 and 100 of them. Learning rate, 1−β₁ and weight decay are
drawn log-uniformly in RANGES; β₂ and ε are torch's, gradients are not clipped, weight decay is decoupled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatdirs.training.edge_metric import EdgeOfStability
from flatdirs.training.schedule import Cosine

HERE = Path(__file__).resolve().parent
SUBJECTS = ("transformer", "resnet")
STEPS, WARMUP_STEPS, EVERY = 1000, 100, 5
EVALUATIONS = STEPS // EVERY
STEPS_PER_EPOCH = 25  # of the network on images; the schedule counts its warm-up in epochs
SCHEDULE = Cosine(warmup_epochs=WARMUP_STEPS / STEPS_PER_EPOCH)
BETA2 = 0.999
RANGES = {"learning_rate": (1e-4, 0.1), "one_minus_beta1": (0.01, 1.0), "weight_decay": (1e-4, 1.0)}
RUNS = 200  # recorded of each subject
RUNGS = (25, 50, 100)
KAPPAS = (1.01, 1.015, 1.02, 1.03, 1.05)
USUAL_KAPPA, WINDOW = EdgeOfStability().kappa, EdgeOfStability().window
VARIANTS = ("sign", "difference")
LOSS = "loss"
SEEN = (LOSS, *VARIANTS)  # what a pruner may be shown; the metrics with the usual κ
REPETITIONS, TRIALS = 5, 40  # of the sweeps that train
FRESH_SEEDS = (1001, 1002, 1003)  # that winners are trained anew with; no sweep has them
SEARCHES = 200  # that every margin of IncumbentPruner is tried on


@dataclass(frozen=True)
class Point:
    """The hyperparameters that a sweep moves."""

    learning_rate: float
    one_minus_beta1: float
    weight_decay: float

    @property
    def beta1(self) -> float:
        """AdamW's β₁."""
        return 1.0 - self.one_minus_beta1


def drawn(number: int) -> Point:
    """The point of recorded run `number`, the same for every subject."""
    draws = np.random.default_rng([0, number]).random(len(RANGES))
    values = (low * (high / low) ** draw for draw, (low, high) in zip(draws, RANGES.values(), strict=True))
    return rounded(values)


def rounded(values: Iterable[float]) -> Point:
    """A point in the six digits that rows have."""
    return Point(*(float(f"{value:.6g}") for value in values))


def multiplier(step: int) -> float:
    """What the highest learning rate is multiplied by at `step`, from 0."""
    return SCHEDULE.multiplier(step, STEPS, STEPS_PER_EPOCH)


def rates(highest: float) -> list[float]:
    """The learning rate of the last step before each evaluation; EVALUATIONS of them."""
    return [highest * multiplier(EVERY * number - 1) for number in range(1, EVALUATIONS + 1)]


def metric(seen: str) -> EdgeOfStability:
    """The metric that a word such as sign or sign@1.05 stands for."""
    variant, _, kappa = seen.partition("@")
    return EdgeOfStability(variant, float(kappa or USUAL_KAPPA))
