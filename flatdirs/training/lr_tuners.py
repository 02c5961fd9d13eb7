"""Schedules that are none: the learning rate is found at every step, by the curvature or by trying.

    cdat        η = σ·n/d (curvature/cdat.py); σ, the hyperparameter `sigma`, takes the place of lr
    greedy      the same with σ = 1
    linesearch  backtracking after Armijo (curvature/line_search.py)

Each is a file of conf/schedule/ and builds the optimizer that goes with it, on the base that optimizer= names: SGD's
heavy ball or Nesterov, or AdamW. With greedy and linesearch nothing is left in lr's place. Source: reference/003.

Torch is imported where an optimizer is built, so that a configuration can be read without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flatdirs.errors import ConfigError
from flatdirs.training.schedule import Schedule
from flatdirs.training.task import require_integer, require_number

if TYPE_CHECKING:
    from flatdirs.curvature.lr_tuner import TunedOptimizer

USUAL_SIGMA = 0.25  # where a search or a run begins: digits, `python -m benchmarks.cdat part=sigma_start`
MINI_BATCH_EMA = 0.9  # ours: what is kept of the averages of slope and curvature where a step is no full batch


@dataclass(frozen=True)
class Tuner(Schedule):
    """What the three share: a cap on the rate, null for none.

    Raises:
        ConfigError: a value that no run could use; the sentence names the key.
    """

    strength_name: ClassVar[str | None] = None
    max_learning_rate: float | None = 1.0

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        if self.max_learning_rate is not None:
            require_number("schedule.max_learning_rate", self.max_learning_rate, 0)
            if self.max_learning_rate == 0:
                raise ConfigError("schedule.max_learning_rate=0 trains nothing; change schedule.max_learning_rate")

    @abstractmethod
    def build(
        self, groups: list[dict[str, Any]], base: str, settings: Mapping[str, Any], sigma: float | None, full: bool
    ) -> TunedOptimizer:
        """The optimizer for `groups`, which bring their own weight decay; `settings` are the base's own.

        `sigma`: σ where that is a hyperparameter; `full`: every step sees all training images.
        """


@dataclass(frozen=True)
class Curved(Tuner):
    """What cdat and greedy share. `ema` None: 0.9, and 0 where every step sees all training images."""

    ema: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        super().__post_init__()
        if self.ema is not None:
            require_number("schedule.ema", self.ema, 0, 1)
            if self.ema == 1:
                raise ConfigError("schedule.ema=1 never learns; change schedule.ema")
        require_integer("schedule.every", self.every, 1)

    def build(
        self, groups: list[dict[str, Any]], base: str, settings: Mapping[str, Any], sigma: float | None, full: bool
    ) -> TunedOptimizer:
        """CDAT, with σ = 1 where that is no hyperparameter."""
        from flatdirs.curvature.cdat import CDAT

        ema = (0.0 if full else MINI_BATCH_EMA) if self.ema is None else self.ema
        return CDAT(
            groups,
            base,
            sigma=1.0 if sigma is None else sigma,
            ema=ema,
            every=self.every,
            max_learning_rate=self.max_learning_rate,
            **settings,
        )


@dataclass(frozen=True)
class Cdat(Curved):
    """σ times the rate that the curvature asks for."""

    name: ClassVar[str] = "cdat"
    strength_name: ClassVar[str | None] = "sigma"


@dataclass(frozen=True)
class Greedy(Curved):
    """The rate that the curvature asks for."""

    name: ClassVar[str] = "greedy"


@dataclass(frozen=True)
class LineSearch(Tuner):
    """The first rate, from above, that decreases the batch's loss enough."""

    name: ClassVar[str] = "linesearch"

    def build(
        self, groups: list[dict[str, Any]], base: str, settings: Mapping[str, Any], sigma: float | None, full: bool
    ) -> TunedOptimizer:
        """ArmijoLineSearch; σ and the batch play no part."""
        from flatdirs.curvature.line_search import ArmijoLineSearch

        return ArmijoLineSearch(groups, base, max_learning_rate=self.max_learning_rate, **settings)


TUNERS: Mapping[str, type[Tuner]] = {kind.name: kind for kind in (Cdat, Greedy, LineSearch)}
