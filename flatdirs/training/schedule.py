"""The learning rate over a run: one small class per schedule, each a pure function of the step.

`multiplier(step, total_steps, steps_per_epoch)` is what the highest learning rate is multiplied by, in [0, 1]; so a run
needs no scheduler object, nothing to save and nothing to resume. A class is one file of conf/schedule/, its fields are
that file's keys; this module knows nothing of torch.

The warm-up, a straight line from 0 to 1, comes first and is the same for all. It and the triangle are read at the
middle of a step, (step + ½): neither the first nor the last step is spent at rate 0, and the triangle's multipliers sum
to total/2, its area, up to the one step that holds the peak. (Reading at the beginning or at the end of a step wastes
one.) Everything behind a warm-up is read at the beginning of a step, so that its first step has the full rate and the
numbers are torch.optim.lr_scheduler's, stepped once per iteration.

Sources: reference/004 for the triangle (0 → 5 → 24 epochs), reference/002 for the others and for the warm-up.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar

from flatdirs.errors import ConfigError
from flatdirs.training.task import require_number


@dataclass(frozen=True)
class Schedule(ABC):
    """What a run needs of every schedule, also of those that find the rate at each step (tuners.py).

    `strength_name`: the hyperparameter that says how large the steps are, None where nothing does.
    """

    name: ClassVar[str]
    strength_name: ClassVar[str | None] = "lr"

    def warmup(self, epochs: int) -> float:
        """The length of the warm-up in a run of `epochs`, in epochs: none."""
        return 0.0

    def check(self, epochs: int) -> None:
        """Raise ConfigError, naming the key, where a run of `epochs` is too short for this schedule: none is."""
        del epochs

    def returned_epoch(self, epochs: int) -> int:
        """The epoch at whose end a run of `epochs` takes its weights, accuracy and loss: the last one."""
        return epochs


@dataclass(frozen=True)
class Planned(Schedule):
    """A schedule known from the start, with a linear warm-up over `warmup_epochs`, which need not be a whole number.

    Raises:
        ConfigError: a value that no run could use; the sentence names the key.
    """

    warmup_epochs: float | None = 0.0

    def __post_init__(self) -> None:
        """Refuse what suits no run; what does not suit this run's length is refused by `check`."""
        require_number("schedule.warmup_epochs", self.warmup_epochs, 0)

    def warmup(self, epochs: int) -> float:
        """The length of the warm-up in a run of `epochs`, in epochs."""
        return float(self.warmup_epochs or 0.0)

    def check(self, epochs: int) -> None:
        """Raise ConfigError, naming the key, where a run of `epochs` is too short for this schedule."""
        if self.warmup(epochs) > epochs:
            raise ConfigError(
                f"schedule.warmup_epochs={self.warmup_epochs:g} is longer than the run, task.epochs={epochs}; change "
                f"schedule.warmup_epochs"
            )

    @abstractmethod
    def multiplier(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The multiplier at `step`, in [0, 1]; 0 is the first step, total_steps − 1 the last."""


@dataclass(frozen=True)
class WarmedUp(Planned):
    """A schedule that begins at its full rate, behind the warm-up: all but the triangle, which is one itself."""

    def multiplier(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The warm-up's line, then `after_warmup`."""
        rising = self.warmup(total_steps // steps_per_epoch) * steps_per_epoch
        if step + 0.5 < rising:
            return (step + 0.5) / rising
        return self.after_warmup(max(step, rising), rising, total_steps, steps_per_epoch)

    @abstractmethod
    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """The multiplier at a `step` in [rising, total_steps), where `rising` steps of warm-up lie behind."""


def triangle(step: int, total_steps: int, warmup_fraction: float = 5 / 24) -> float:
    """The multiplier of the maximal learning rate at `step`, in [0, 1].

    Rises linearly from 0 over the first `warmup_fraction` of all steps, then falls linearly to 0, read at the middle of
    the step. 0 warms up not at all, 1 never comes down. Source: reference/004; the midpoint is ours.

    Args:
        step: 0 for the first step; values outside [0, total_steps) give the nearest end's 0.
        total_steps: how many steps the run has.
        warmup_fraction: in [0, 1].
    """
    done = (step + 0.5) / total_steps
    if not 0.0 < done < 1.0:
        return 0.0
    if done < warmup_fraction:
        return done / warmup_fraction
    return (1.0 - done) / (1.0 - warmup_fraction)


@dataclass(frozen=True)
class Triangle(Planned):
    """Up along a straight line, then down along another to 0. `warmup_epochs` None: the source's 5/24 of the run."""

    name: ClassVar[str] = "triangle"
    warmup_epochs: float | None = None

    def __post_init__(self) -> None:
        """Nothing to refuse where nothing is said."""
        if self.warmup_epochs is not None:
            super().__post_init__()

    def warmup(self, epochs: int) -> float:
        """5 of 24 epochs unless told otherwise."""
        return 5 / 24 * epochs if self.warmup_epochs is None else float(self.warmup_epochs)

    def multiplier(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """`triangle`, its two sides both read at the middle of the step."""
        epochs = total_steps // steps_per_epoch
        return triangle(step, total_steps, 5 / 24 if self.warmup_epochs is None else self.warmup_epochs / epochs)


@dataclass(frozen=True)
class Constant(WarmedUp):
    """The full rate from the warm-up's end on."""

    name: ClassVar[str] = "constant"

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """One."""
        return 1.0


@dataclass(frozen=True)
class Cosine(WarmedUp):
    """Half a cosine wave from 1 down to `final`, as torch's CosineAnnealingLR."""

    name: ClassVar[str] = "cosine"
    final: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no multiplier."""
        super().__post_init__()
        require_number("schedule.final", self.final, 0, 1)

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """final + (1 − final)·(1 + cos πt)/2 for the part t of the way from the warm-up's end to the run's."""
        return _half_wave((step - rising) / (total_steps - rising), 1.0, self.final)


@dataclass(frozen=True)
class CosineRestarts(WarmedUp):
    """Half cosine waves one after another, each `phases` long (whole epochs) and from high to low of its `ranges`.

    The last phase comes again until the run ends, and the last range counts for all phases after it. A run that ends
    inside a phase, at a rate far above the phase's lowest, gives back the weights of the end of the last finished one
    (reference/002); so that these can be judged like any epoch's, phases and warm-up are whole epochs.
    """

    name: ClassVar[str] = "cosine_restarts"
    phases: tuple[int, ...] = (1, 1, 2)
    ranges: tuple[tuple[float, float], ...] = ((1.0, 0.0),)

    def __post_init__(self) -> None:
        """Refuse phases without length and ranges upside down."""
        super().__post_init__()
        if self.warmup_epochs != int(self.warmup_epochs or 0):
            raise ConfigError(
                f"schedule.warmup_epochs={self.warmup_epochs:g} must be whole epochs, since the phases of "
                f"schedule=cosine_restarts end with an epoch; change schedule.warmup_epochs"
            )
        phases, ranges = list(self.phases), [list(pair) for pair in self.ranges]
        if not phases or not all(isinstance(length, int) and length >= 1 for length in phases):
            raise ConfigError(
                f"schedule.phases={phases} must be lengths in whole epochs, each 1 or more; change schedule.phases"
            )
        if not 1 <= len(ranges) <= len(phases):
            raise ConfigError(
                f"schedule.ranges={ranges} must hold 1 to {len(phases)} pairs, as schedule.phases={phases} holds "
                f"{len(phases)}; change schedule.ranges"
            )
        if not all(0 <= low <= high <= 1 and high > 0 for high, low in ranges):
            raise ConfigError(
                f"schedule.ranges={ranges} must be pairs [highest, lowest] with 1 >= highest >= lowest >= 0 and "
                f"highest above 0; change schedule.ranges"
            )

    def check(self, epochs: int) -> None:
        """Also refuse a run in which no phase ends."""
        super().check(epochs)
        if (first := int(self.warmup(epochs)) + self.phases[0]) > epochs:
            raise ConfigError(
                f"schedule.phases={list(self.phases)}: no phase ends within task.epochs={epochs}, the first needs "
                f"{first} with its warm-up; change schedule.phases"
            )

    def returned_epoch(self, epochs: int) -> int:
        """The end of the last phase that ends within the run."""
        elapsed = epochs - self.warmup(epochs)
        number, done = self._place(elapsed)
        return epochs - round(done * self.phases[min(number, len(self.phases) - 1)])

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """The place in the phase that `step` falls into, read as torch's CosineAnnealingWarmRestarts reads it."""
        number, done = self._place(step / steps_per_epoch - self.warmup(total_steps // steps_per_epoch))
        return _half_wave(done, *self.ranges[min(number, len(self.ranges) - 1)])

    def _place(self, elapsed: float) -> tuple[int, float]:
        """The number of the phase, and the part of it that is done, `elapsed` epochs after the warm-up."""
        for number, length in enumerate(self.phases[:-1]):
            if elapsed < length:
                return number, elapsed / length
            elapsed -= length
        return len(self.phases) - 1, elapsed % self.phases[-1] / self.phases[-1]


@dataclass(frozen=True)
class Step(WarmedUp):
    """The rate times `factor` at each of `milestones` (epochs of the run, fractions allowed), as torch's MultiStepLR.

    `milestones` None: half and three quarters of the way from the warm-up's end to the run's.
    """

    name: ClassVar[str] = "step"
    milestones: tuple[float, ...] | None = None
    factor: float = 0.1

    def __post_init__(self) -> None:
        """Refuse milestones out of order."""
        super().__post_init__()
        require_number("schedule.factor", self.factor, 0, 1)
        if self.factor == 0:
            raise ConfigError("schedule.factor=0 would end the training at the first milestone; change schedule.factor")
        marks = list(self.milestones or ())
        for mark in marks:
            require_number("schedule.milestones", mark, 0)
        if any(later <= earlier for earlier, later in pairwise(marks)):
            raise ConfigError(f"schedule.milestones={marks} must increase; change schedule.milestones")

    def check(self, epochs: int) -> None:
        """Also refuse milestones in the warm-up and beyond the run."""
        super().check(epochs)
        marks = list(self.milestones or ())
        if any(not self.warmup(epochs) <= mark < epochs for mark in marks):
            raise ConfigError(
                f"schedule.milestones={marks} must lie between the warm-up's end, {self.warmup(epochs):g}, and the "
                f"run's, task.epochs={epochs}; change schedule.milestones"
            )

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """`factor` to the number of milestones reached."""
        if self.milestones is None:
            done = (step - rising) / (total_steps - rising)
            return self.factor ** ((done >= 0.5) + (done >= 0.75))
        return self.factor ** sum(step / steps_per_epoch >= mark for mark in self.milestones)


@dataclass(frozen=True)
class Exponential(WarmedUp):
    """The same factor at every step, from 1 to `final` at the run's end, as torch's ExponentialLR."""

    name: ClassVar[str] = "exponential"
    final: float = 0.01

    def __post_init__(self) -> None:
        """Refuse what no factor leads to."""
        super().__post_init__()
        require_number("schedule.final", self.final, 0, 1)
        if self.final == 0:
            raise ConfigError("schedule.final=0 is never reached by an exponential; change schedule.final")

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """final^t for the part t of the way from the warm-up's end to the run's."""
        return float(self.final ** ((step - rising) / (total_steps - rising)))


@dataclass(frozen=True)
class InverseSquareRoot(WarmedUp):
    """∝ 1/√step, 1 at the warm-up's end: √(W/step) after W steps of it. Without one, 1/√(step + 1)."""

    name: ClassVar[str] = "inverse_sqrt"

    def after_warmup(self, step: float, rising: float, total_steps: int, steps_per_epoch: int) -> float:
        """√(a/(a + s)), s steps after a warm-up of a; where that is shorter than a step, a is one."""
        scale = max(rising, 1.0)
        return math.sqrt(scale / (scale + step - rising))


def _half_wave(done: float, high: float, low: float) -> float:
    return low + (high - low) * (1.0 + math.cos(math.pi * done)) / 2.0


SCHEDULES: Mapping[str, type[Planned]] = {
    kind.name: kind for kind in (Triangle, Cosine, CosineRestarts, Step, Exponential, InverseSquareRoot, Constant)
}


def describe_schedule(schedule: Schedule) -> dict[str, Any]:
    """The plain mapping that a file of conf/schedule/ holds, for a study and for best.yaml to keep."""
    return {"name": schedule.name, **plain(asdict(schedule))}


def plain(value: Any) -> Any:
    """Tuples as lists, all the way down: what YAML and JSON give back."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value
