"""Runs and their rows: what was tried, every evaluation's loss, and what a rung is shown of it. Neither torch nor Optuna."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.edge_sweep.setting import EVALUATIONS, LOSS, Point, metric, rates
from flatdirs.training.edge_metric import Running, edge_metric

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Curve:
    """One run: `losses`, one an evaluation, as many as it came to; `diverged`: it blew up, and its last may be nan."""

    point: Point
    seed: int
    losses: tuple[float, ...]
    diverged: bool = False
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether it went to its end."""
        return not self.diverged and len(self.losses) == EVALUATIONS

    @property
    def final(self) -> float:
        """The loss at the last evaluation; infinite where the run has none that counts."""
        return self.losses[-1] if self.finished else math.inf

    @cached_property
    def rates(self) -> list[float]:
        """The learning rate at every evaluation."""
        return rates(self.point.learning_rate)[: len(self.losses)]

    def seen(self, what: str) -> Numbers:
        """What a rung sees at each evaluation: the loss itself, or a metric so far (nan where it has none yet)."""
        if what == LOSS:
            return np.array(self.losses)
        return edge_metric(self.losses, self.rates, metric(what))


def row(curve: Curve) -> dict[str, str]:
    """A run as a file has it."""
    return {
        **{name: f"{value:.6g}" for name, value in asdict(curve.point).items()},
        "seed": str(curve.seed),
        "evaluations": str(len(curve.losses)),
        "loss": short(curve.losses[-1]),
        "diverged": str(int(curve.diverged)),
        "seconds": f"{curve.seconds:.1f}",
        "losses": ";".join(short(loss) for loss in curve.losses),
    }


def curve_of(row: Mapping[str, str]) -> Curve:
    """The run that a row is of."""
    point = Point(*(float(row[name]) for name in ("learning_rate", "one_minus_beta1", "weight_decay")))
    losses = tuple(float(loss) for loss in row["losses"].split(";"))
    return Curve(point, int(row["seed"]), losses, row["diverged"] == "1", float(row["seconds"]))


def short(loss: float) -> str:
    """Five digits, whatever was not finite as nan; what is judged is what is on file."""
    return f"{loss if math.isfinite(loss) else math.nan:.5g}"


def shown(what: str) -> Callable[[float, float], float]:
    """The same as `Curve.seen` while a run goes: (loss, rate) of each evaluation in order → the value; nan for none."""
    if what == LOSS:
        return lambda loss, _: loss
    running = Running(metric(what))

    def value(loss: float, rate: float) -> float:
        known = running.add(loss, rate)
        return math.nan if known is None else known

    return value
