"""What all runs of this benchmark share, fixed before the first one, and their rows. Neither torch nor Optuna.

AdamW, 1,000 steps, linear warm-up over 100, cosine decay to 0, evaluated every 5; points are log-uniform in RANGES.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flatdirs.training.edge_metric import EdgeOfStability, Running
from flatdirs.training.schedule import Cosine

HERE = Path(__file__).resolve().parent
SUBJECTS = ("transformer", "resnet")
STEPS, WARMUP_STEPS, EVERY, STEPS_PER_EPOCH = 1000, 100, 5, 25
EVALUATIONS = STEPS // EVERY
SCHEDULE = Cosine(warmup_epochs=WARMUP_STEPS / STEPS_PER_EPOCH)
MULTIPLIERS = [SCHEDULE.multiplier(step, STEPS, STEPS_PER_EPOCH) for step in range(STEPS)]
RANGES = {"learning_rate": (1e-4, 0.1), "one_minus_beta1": (0.01, 1.0), "weight_decay": (1e-4, 1.0)}
RUNGS = (25, 50, 100)
KAPPAS = (1.01, 1.015, 1.02, 1.03, 1.05)
LOSS, VARIANTS = "loss", ("sign", "difference")
SEEN = (LOSS, *VARIANTS)  # what pruner and sampler are shown; the metrics with the usual kappa
REPETITIONS, TRIALS = 5, 40  # of the sweeps
FRESH_SEEDS = (1001, 1002, 1003)  # for the winners; no sweep has them


class Point(NamedTuple):
    """The hyperparameters of a run."""

    lr: float
    one_minus_beta1: float
    wd: float


@dataclass(frozen=True)
class Curve:
    """One run: `losses`, one an evaluation, as many as it reached; the last may be nan where it diverged."""

    point: Point
    seed: int
    losses: tuple[float, ...]
    diverged: bool = False
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether it reached its last evaluation."""
        return not self.diverged and len(self.losses) == EVALUATIONS

    @property
    def final(self) -> float:
        """The last loss of a finished run, else infinity."""
        return self.losses[-1] if self.finished else math.inf

    @property
    def rates(self) -> list[float]:
        """The learning rate of the last step before each evaluation."""
        return [self.point.lr * part for part in MULTIPLIERS[EVERY - 1 :: EVERY]][: len(self.losses)]

    def seen(self, what: str) -> list[float]:
        """What a pruner is shown at each evaluation."""
        value = shown(what)
        return [value(loss, rate) for loss, rate in zip(self.losses, self.rates, strict=True)]


def drawn(number: int) -> Point:
    """The point of recorded run `number`, the same for every subject."""
    draws = np.random.default_rng([0, number]).random(len(RANGES))
    return rounded(low * (high / low) ** draw for draw, (low, high) in zip(draws, RANGES.values(), strict=True))


def rounded(values: Iterable[float]) -> Point:
    """A point in the six digits that rows have."""
    return Point(*(float(f"{value:.6g}") for value in values))


def short(loss: float) -> str:
    """Five digits; nan for whatever is not finite. What is compared is what is on file."""
    return f"{loss if math.isfinite(loss) else math.nan:.5g}"


def shown(what: str) -> Callable[[float, float], float]:
    """What a pruner is shown as a run goes, (loss, lr) → value, nan for none yet.

    `what`: loss, sign, difference, or a variant with its kappa, such as sign@1.05.
    """
    if what == LOSS:
        return lambda loss, _: loss
    variant, _, kappa = what.partition("@")
    running = Running(EdgeOfStability(variant, float(kappa or EdgeOfStability().kappa)))
    return lambda loss, rate: math.nan if (known := running.add(loss, rate)) is None else known


def row(curve: Curve) -> dict[str, Any]:
    """A run as a file has it."""
    point = {name: f"{value:.6g}" for name, value in zip(RANGES, curve.point, strict=True)}
    counts = {"seed": curve.seed, "evaluations": len(curve.losses), "loss": short(curve.losses[-1])}
    ended = {"diverged": int(curve.diverged), "seconds": f"{curve.seconds:.1f}"}
    return {**point, **counts, **ended, "losses": ";".join(map(short, curve.losses))}


def curve_of(row: Mapping[str, Any]) -> Curve:
    """The run that a row is of."""
    point, losses = Point(*(float(row[name]) for name in RANGES)), tuple(map(float, row["losses"].split(";")))
    return Curve(point, int(row["seed"]), losses, str(row["diverged"]) == "1", float(row["seconds"]))
