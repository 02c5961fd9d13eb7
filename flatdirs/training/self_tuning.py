"""Schedules that choose the learning rate at every step, from the curvature or by a line search.

    cdat        η = σ·n/d (curvature/cdat.py); σ is the hyperparameter `sigma`, in place of lr
    greedy      the same with σ = 1
    linesearch  Armijo backtracking (curvature/line_search.py)

Each is a file of conf/schedule/ and builds its optimizer on the update rule of optimizer=. With greedy and linesearch
there is neither lr nor sigma. Source: arXiv 2407.06183. Torch is imported when an optimizer is built, so that a
configuration is read without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flatdirs.setting_checks import require_integer, require_number
from flatdirs.training.schedule import Schedule

if TYPE_CHECKING:
    from flatdirs.curvature.self_tuning_optimizer import LearningRateTuner

Groups = list[dict[str, Any]]  # torch's parameter groups
Settings = Mapping[str, Any]

USUAL_SIGMA = 0.25  # start of a search or run, see benchmarks/cdat
MINI_BATCH_EMA = 0.9  # ours: decay of the averages of slope and curvature, for mini-batches


@dataclass(frozen=True)
class Tuner(Schedule):
    """A schedule whose optimizer chooses the rate, up to `max_learning_rate` (None: no cap).

    Raises:
        ConfigError: a value out of range.
    """

    rate_name: ClassVar[str | None] = None
    max_learning_rate: float | None = 1.0

    def __post_init__(self) -> None:
        if self.max_learning_rate is not None:
            require_number("schedule.max_learning_rate", self.max_learning_rate, 0, above=True)

    @abstractmethod
    def build(
        self, groups: Groups, base: str, settings: Settings, sigma: float | None, full: bool
    ) -> LearningRateTuner:
        """Build the optimizer for parameter `groups` that hold their weight decay.

        `base`, `settings`: the update rule and its settings; `sigma`: σ if it is a hyperparameter; `full`: every step
        uses all training images.
        """


@dataclass(frozen=True)
class CurvatureTuner(Tuner):
    """CDAT at any σ. `ema` None: 0.9, and 0 if every step uses all training images."""

    ema: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ema is not None:
            require_number("schedule.ema", self.ema, 0, 1, below=True)
        require_integer("schedule.every", self.every, 1)

    def build(
        self, groups: Groups, base: str, settings: Settings, sigma: float | None, full: bool
    ) -> LearningRateTuner:
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
class Cdat(CurvatureTuner):
    """CDAT; σ is the hyperparameter sigma."""

    name: ClassVar[str] = "cdat"
    rate_name: ClassVar[str | None] = "sigma"


@dataclass(frozen=True)
class Greedy(CurvatureTuner):
    """CDAT with σ = 1."""

    name: ClassVar[str] = "greedy"


@dataclass(frozen=True)
class LineSearch(Tuner):
    """Armijo backtracking on the batch."""

    name: ClassVar[str] = "linesearch"

    def build(
        self, groups: Groups, base: str, settings: Settings, sigma: float | None, full: bool
    ) -> LearningRateTuner:
        from flatdirs.curvature.line_search import ArmijoLineSearch

        return ArmijoLineSearch(groups, base, max_learning_rate=self.max_learning_rate, **settings)


TUNERS: Mapping[str, type[Tuner]] = {kind.name: kind for kind in (Cdat, Greedy, LineSearch)}
