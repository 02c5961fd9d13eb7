"""Rules without a schedule or without a rate, from packages of their own (`pip install 'flatdirs[optimizers]'`).

    schedulefree   Schedule-Free AdamW, arXiv 2405.15682: a constant rate, judged by an average of the weights
    prodigy        Prodigy, arXiv 2306.06101: AdamW whose rate is lr·d, d an estimate that grows during the run; lr is 1

Both have the moments of AdamW. The packages are imported when an optimizer is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

from flatdirs.errors import require
from flatdirs.setting_checks import require_number, wrong
from flatdirs.training.optimizer_base import Groups, Optimizer
from flatdirs.training.schedule import Constant, Schedule

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Packaged(Optimizer):
    """A rule of a package, with the decay rates and the epsilon of AdamW."""

    package: ClassVar[str]
    momentum_name: ClassVar[str] = "beta1"
    further: ClassVar[tuple[str, ...]] = ("beta2",)
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("optimizer.beta2", self.beta2, 0, 1, below=True)
        require_number("optimizer.epsilon", self.epsilon, 0, above=True)

    def imported(self) -> ModuleType:
        """The package. Raises MissingExtra if it is not installed."""
        require(self.package)
        return import_module(self.package)


@dataclass(frozen=True)
class ScheduleFree(Packaged):
    """Schedule-Free AdamW; the weights that are trained and those that are judged differ (weight_average.py)."""

    name: ClassVar[str] = "schedulefree"
    package: ClassVar[str] = "schedulefree"
    usual_lr: ClassVar[float] = 0.0025
    averages: ClassVar[bool] = True

    def check(self, schedule: Schedule) -> None:
        super().check(schedule)
        if not isinstance(schedule, Constant):
            problem = "does not go with optimizer=schedulefree, which does without one"
            raise wrong("schedule", schedule.name, problem, remedy="set schedule=constant")

    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        if momentum == 0:
            raise wrong("beta1", 0, "leaves optimizer=schedulefree no average; it must be above 0")
        betas = (momentum, self.beta2)
        optimizer = self.imported().AdamWScheduleFree(groups, lr=lr, betas=betas, eps=self.epsilon)
        optimizer.train()
        built: torch.optim.Optimizer = optimizer
        return built


@dataclass(frozen=True)
class Prodigy(Packaged):
    """Prodigy with decoupled weight decay, also behind a warm-up; `d_coef` multiplies its estimates."""

    name: ClassVar[str] = "prodigy"
    package: ClassVar[str] = "prodigyopt"
    usual_lr: ClassVar[float] = 1.0
    finds_rate: ClassVar[bool] = True
    d_coef: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("optimizer.d_coef", self.d_coef, 0, above=True)

    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        built: torch.optim.Optimizer = self.imported().Prodigy(
            groups, lr=lr, betas=(momentum, self.beta2), eps=self.epsilon, d_coef=self.d_coef, safeguard_warmup=True
        )
        return built
