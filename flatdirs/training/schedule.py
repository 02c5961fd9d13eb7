"""Learning-rate schedules: pure functions of the step, read without torch. Each class is a file of conf/schedule/.

`multiplier(step, total_steps, steps_per_epoch)`, in [0, 1], multiplies the highest learning rate, so a run needs no
scheduler object and no scheduler state.

Every schedule begins with the same linear warm-up from 0 to 1. The warm-up and the triangle are read at the middle of a
step, step + ½, so that neither the first nor the last step has rate 0 and the multipliers of the triangle sum to half
the number of steps. Everything after a warm-up is read at the beginning of a step, so that its first step has the full
rate and the numbers are those of torch.optim.lr_scheduler, stepped once per iteration.

The triangle (0 → 5 → 24 epochs) is Myrtle's: https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from flatdirs.setting_checks import require_number, wrong


@dataclass(frozen=True)
class Schedule(ABC):
    """What a run needs to know of every schedule, including those that choose the rate step by step (self_tuning.py).

    `rate_name`: the hyperparameter that sets the size of the steps, lr or sigma; None if there is none.
    """

    name: ClassVar[str]
    rate_name: ClassVar[str | None] = "lr"

    def warmup(self, epochs: int) -> float:
        """The length of the warm-up in a run of `epochs`, in epochs."""
        return 0.0

    def check(self, epochs: int) -> None:
        """Raise ConfigError if a run of `epochs` is too short for this schedule."""
        del epochs

    def returned_epoch(self, epochs: int) -> int:
        """The epoch at whose end a run of `epochs` takes its weights, accuracy and loss."""
        return epochs


@dataclass(frozen=True)
class Planned(Schedule):
    """A schedule that is known in advance, with a linear warm-up over `warmup_epochs`, which may be a fraction.

    Raises:
        ConfigError: a value out of range.
    """

    warmup_epochs: float | None = 0.0

    def __post_init__(self) -> None:
        require_number("schedule.warmup_epochs", self.warmup_epochs, 0)

    def warmup(self, epochs: int) -> float:
        return float(self.warmup_epochs or 0.0)

    def check(self, epochs: int) -> None:
        if self.warmup(epochs) > epochs:
            problem = f"is longer than the run, task.epochs={epochs}"
            raise wrong("schedule.warmup_epochs", self.warmup_epochs, problem)

    @abstractmethod
    def multiplier(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The multiplier at `step` (0 … total_steps − 1), in [0, 1]."""


@dataclass(frozen=True)
class WarmedUp(Planned):
    """A schedule that starts at the full rate after the warm-up: all but the triangle."""

    def multiplier(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        rising = self.warmup(total_steps // steps_per_epoch) * steps_per_epoch
        if step + 0.5 < rising:
            return (step + 0.5) / rising
        return self.after_warmup(max(step, rising), rising, total_steps, steps_per_epoch)

    @abstractmethod
    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """The multiplier at a `step` in [rising, total_steps), after `rising` steps of warm-up."""


def triangle(step: int, total_steps: int, warmup_fraction: float = 5 / 24) -> float:
    """The multiplier of the maximal learning rate at `step`, in [0, 1].

    It rises linearly from 0 over the first `warmup_fraction` (in [0, 1]) of all steps, then falls linearly to 0. It is
    read at the middle of the step; a `step` outside [0, total_steps) gives 0.
    """
    done = (step + 0.5) / total_steps
    if not 0.0 < done < 1.0:
        return 0.0
    if done < warmup_fraction:
        return done / warmup_fraction
    return (1.0 - done) / (1.0 - warmup_fraction)


@dataclass(frozen=True)
class Triangle(Planned):
    """A straight line up, then one down to 0. `warmup_epochs` None: 5/24 of the run."""

    name: ClassVar[str] = "triangle"
    warmup_epochs: float | None = None

    def __post_init__(self) -> None:
        if self.warmup_epochs is not None:
            super().__post_init__()

    def warmup(self, epochs: int) -> float:
        return 5 / 24 * epochs if self.warmup_epochs is None else float(self.warmup_epochs)

    def multiplier(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        epochs = total_steps // steps_per_epoch
        return triangle(step, total_steps, 5 / 24 if self.warmup_epochs is None else self.warmup_epochs / epochs)


@dataclass(frozen=True)
class Constant(WarmedUp):
    """The full rate from the end of the warm-up on."""

    name: ClassVar[str] = "constant"

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine(WarmedUp):
    """Half a cosine wave from 1 down to `final`, like torch's CosineAnnealingLR."""

    name: ClassVar[str] = "cosine"
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("schedule.final", self.final, 0, 1)

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """final + (1 − final)·(1 + cos πt)/2 at the fraction t of the steps after the warm-up."""
        return _half_wave((step - rising) / (total_steps - rising), 1.0, self.final)


@dataclass(frozen=True)
class CosineRestarts(WarmedUp):
    """Half cosine waves one after another (SGDR, arXiv 1608.03983), `phases` epochs long, each over one of `ranges`.

    The last phase is repeated until the run ends, and the last range holds for all later phases. A run that ends inside
    a phase returns the weights at the end of the last complete phase; phases and warm-up are whole epochs, so that
    there is an evaluation of these weights.
    """

    name: ClassVar[str] = "cosine_restarts"
    phases: tuple[int, ...] = (1, 1, 2)
    ranges: tuple[tuple[float, float], ...] = ((1.0, 0.0),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup_epochs != int(self.warmup_epochs or 0):
            raise wrong("schedule.warmup_epochs", self.warmup_epochs, "must be a whole number of epochs with restarts")
        phases, ranges = list(self.phases), [list(pair) for pair in self.ranges]
        if not phases or not all(isinstance(length, int) and length >= 1 for length in phases):
            raise wrong("schedule.phases", phases, "must be whole epochs, each 1 or more")
        if not 1 <= len(ranges) <= len(phases):
            raise wrong("schedule.ranges", ranges, f"must hold 1 to {len(phases)} pairs, at most one per phase")
        if not all(0 <= low <= high <= 1 and high > 0 for high, low in ranges):
            raise wrong(
                "schedule.ranges", ranges, "must be pairs [highest, lowest] of numbers in [0, 1], highest above 0"
            )

    def check(self, epochs: int) -> None:
        super().check(epochs)
        if (first := int(self.warmup(epochs)) + self.phases[0]) > epochs:
            problem = f"has no phase that ends within task.epochs={epochs}, as the first ends after {first} epochs"
            raise wrong("schedule.phases", list(self.phases), problem)

    def returned_epoch(self, epochs: int) -> int:
        """The end of the last complete phase."""
        elapsed = epochs - self.warmup(epochs)
        number, done = self._place(elapsed)
        return epochs - round(done * self.phases[min(number, len(self.phases) - 1)])

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """The place of `step` in its phase, read like torch's CosineAnnealingWarmRestarts."""
        number, done = self._place(step / steps_per_epoch - self.warmup(total_steps // steps_per_epoch))
        return _half_wave(done, *self.ranges[min(number, len(self.ranges) - 1)])

    def _place(self, elapsed: float) -> tuple[int, float]:
        """The number of the phase and the fraction of it that is done, `elapsed` epochs after the warm-up."""
        for number, length in enumerate(self.phases[:-1]):
            if elapsed < length:
                return number, elapsed / length
            elapsed -= length
        return len(self.phases) - 1, elapsed % self.phases[-1] / self.phases[-1]


@dataclass(frozen=True)
class Step(WarmedUp):
    """The rate times `factor` at each of `milestones` (epochs, fractions allowed), like torch's MultiStepLR.

    `milestones` None: after 1/2 and 3/4 of the epochs after the warm-up.
    """

    name: ClassVar[str] = "step"
    milestones: tuple[float, ...] | None = None
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("schedule.factor", self.factor, 0, 1, above=True)
        marks = list(self.milestones or ())
        for mark in marks:
            require_number("schedule.milestones", mark, 0)
        if any(later <= earlier for earlier, later in pairwise(marks)):
            raise wrong("schedule.milestones", marks, "must increase")

    def check(self, epochs: int) -> None:
        super().check(epochs)
        marks = list(self.milestones or ())
        if any(not self.warmup(epochs) <= mark < epochs for mark in marks):
            limits = f"the end of the warm-up, {self.warmup(epochs):g}, and task.epochs={epochs}"
            raise wrong("schedule.milestones", marks, f"must be between {limits}")

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        if self.milestones is None:
            done = (step - rising) / (total_steps - rising)
            return self.factor ** ((done >= 0.5) + (done >= 0.75))
        return self.factor ** sum(step / steps_per_epoch >= mark for mark in self.milestones)


@dataclass(frozen=True)
class Wsd(WarmedUp):
    """Warm-up, stable, decay (arXiv 2404.06395): the full rate, then in the last part of the run a straight line to 0.

    With T steps in the run and the fraction d = `decay` of them, the multiplier at step t after the warm-up is
    min(1, (T − t)/(d·T)); a linear decay over the last fifth is that of arXiv 2405.18392.
    """

    name: ClassVar[str] = "wsd"
    decay: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("schedule.decay", self.decay, 0, 1, above=True)

    def check(self, epochs: int) -> None:
        super().check(epochs)
        if self.warmup(epochs) + self.decay * epochs > epochs * (1 + 1e-9):
            problem = f"leaves no room for a warm-up of {self.warmup(epochs):g} of {epochs} epochs"
            raise wrong("schedule.decay", self.decay, problem)

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        return min(1.0, (total_steps - step) / (self.decay * total_steps))


@dataclass(frozen=True)
class Exponential(WarmedUp):
    """The same factor at every step, from 1 to `final` at the end of the run, like torch's ExponentialLR."""

    name: ClassVar[str] = "exponential"
    final: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("schedule.final", self.final, 0, 1, above=True)

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """final^t at the fraction t of the steps after the warm-up."""
        return float(self.final ** ((step - rising) / (total_steps - rising)))


@dataclass(frozen=True)
class InverseSquareRoot(WarmedUp):
    """∝ 1/√step: √(W/step) after a warm-up of W steps, 1/√(step + 1) without one."""

    name: ClassVar[str] = "inverse_sqrt"

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """√(a/(a + s)), s steps after a warm-up of a steps; a is at least 1."""
        scale = max(rising, 1.0)
        return math.sqrt(scale / (scale + step - rising))


def _half_wave(done: float, high: float, low: float) -> float:
    return low + (high - low) * (1.0 + math.cos(math.pi * done)) / 2.0


SCHEDULES: Mapping[str, type[Planned]] = {
    kind.name: kind for kind in (Triangle, Cosine, CosineRestarts, Wsd, Step, Exponential, InverseSquareRoot, Constant)
}
