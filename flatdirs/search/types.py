"""What goes into a search and what comes out: runs in, a suggestion out. No storage, no training.

Values are higher-is-better whichever way the study optimises; −inf stands for no value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flatdirs.errors import ConfigError
from flatdirs.space.chart import Point

State = Literal["finished", "diverged", "pruned"]
RunId = tuple[Point, int]  # a point and the number of the replicate, each with a training seed of its own


@dataclass(frozen=True)
class Run:
    """One run that has ended.

    `value`: the objective value, higher is better; of a diverged run what it left, of a pruned one its last partial
    value. `loss`: on validation data. `at_chance`: whether the accuracy lies within three binomial standard deviations
    of guessing, None where that is not known. `timescales`: weight-decay timescales in a run, T·lr·wd/(1−momentum).
    """

    point: Point
    value: float = -math.inf
    state: State = "finished"
    replicate: int = 0
    loss: float | None = None
    at_chance: bool | None = None
    timescales: float | None = None

    @property
    def id(self) -> RunId:
        """The point and the number of the replicate."""
        return self.point, self.replicate

    @property
    def guesses(self) -> bool:
        """Whether a run that ended as it should did no better than guessing."""
        return self.at_chance is True and self.state == "finished" and self.value > -math.inf


@dataclass(frozen=True)
class EarlierRun:
    """A run of an earlier study: `hyperparameters` as they would be here (carried over), `value` higher is better."""

    hyperparameters: Mapping[str, Any]
    value: float


@dataclass(frozen=True)
class Suggestion:
    """A point to run next and why.

    `replicate`: the first number that no run of the point has, finished or pending. `incumbent`: the best point when
    this was suggested, None for the start; `incumbent_value`: the mean of its runs then. `move`: what leads from the
    incumbent to the point. `axis`: the one axis that a line search moves along, None otherwise.
    """

    point: Point
    replicate: int
    reason: str
    move: str
    incumbent: Point | None
    axis: int | None = None
    incumbent_value: float | None = None

    @property
    def id(self) -> RunId:
        """The point and the number of the replicate."""
        return self.point, self.replicate


def usable_value(run: Run, diverged: str) -> float:
    """The value that a search counts: −inf for pruned runs, and for diverged ones unless `diverged` is "value"."""
    rule = {"finished": "value", "diverged": diverged, "pruned": "worst"}[run.state]
    return run.value if rule == "value" and not math.isnan(run.value) else -math.inf


def check_settings(diverged: str, plateau_limit: int) -> None:
    """Raise ConfigError for settings that no search can work with."""
    if diverged not in ("worst", "value"):
        raise ConfigError(f"search.diverged={diverged} must be worst or value; change it", key="search.diverged")
    if plateau_limit < 0:
        raise ConfigError(
            f"search.plateau_limit={plateau_limit} must be 0 or more; change it", key="search.plateau_limit"
        )
