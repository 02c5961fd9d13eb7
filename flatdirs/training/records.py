"""What a run is given and what it gives back, as frozen records.

Kept apart from loop.py, which imports them on, so that a configuration can be built and refused without loading torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flatdirs.errors import ConfigError
from flatdirs.training.optimizer import Optimizer, Sgd
from flatdirs.training.schedule import Planned, Schedule, Triangle
from flatdirs.training.task import DataConfig, ImageTask, require_boolean, require_integer

if TYPE_CHECKING:
    from torch import nn

    from flatdirs.curvature.record import CurvatureRecord


@dataclass(frozen=True)
class CurvatureConfig:
    """When the curvature is looked at: every so many steps (None or 0: never), on so many training images at most.

    Raises:
        ConfigError: a value that no run could use; the sentence names the key.
    """

    every: int | None = None
    images: int = 512

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        if self.every is not None:
            require_integer("curvature.every", self.every, 0)
        require_integer("curvature.images", self.images, 2)


@dataclass(frozen=True)
class TrainConfig:
    """All that a run depends on.

    Rates in PyTorch's convention (optimizer.py). `momentum` is SGD's, `beta1` AdamW's; the one that the optimizer does
    not have stays None; so do `lr` and `sigma` where the schedule finds the rate without them (tuners.py).
    `batch_size` None takes the task's, `threads` None the task's, and where that has none either, torch's own choice.
    `compile` lets torch.compile have the network (compiled.py). `evaluate_every`: steps between evaluations, None for
    an epoch. `clip_gradient`: the largest norm of a step's gradient, None for any. `record_steps`: keep every step's
    learning rate and gradient norm.

    Raises:
        ConfigError: a value that no run could use; the sentence names the key.
    """

    task: ImageTask
    data: DataConfig
    lr: float | None
    momentum: float | None
    wd: float
    seed: int = 0
    batch_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    compile: bool = False
    beta1: float | None = None
    schedule: Schedule = field(default_factory=Triangle)
    optimizer: Optimizer = field(default_factory=Sgd)
    curvature: CurvatureConfig = field(default_factory=CurvatureConfig)
    evaluate_every: int | None = None
    clip_gradient: float | None = None
    record_steps: bool = False
    sigma: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no run could use; whether the device exists is asked when the run starts."""
        self._check_strength()
        self._check_momentum()
        if not (math.isfinite(self.wd) and self.wd >= 0):
            raise ConfigError(f"wd={self.wd} must be finite and at least 0; change wd")
        require_integer("seed", self.seed, 0, 2**62)
        if self.threads is not None:
            require_integer("threads", self.threads, 1, 1024)
        require_boolean("compile", self.compile)
        key = "task.batch_size" if self.batch_size is None else "batch_size"
        require_integer(key, self.images_per_step, 1, self.training_images)
        if self.images_per_step == 1 and self.task.image_size < 16:
            raise ConfigError(
                f"{key}=1 leaves batch norm a single value per channel at task.image_size={self.task.image_size}; set "
                f"{key} to 2 or more"
            )
        self.schedule.check(self.task.epochs)
        self._check_evaluations()
        if self.clip_gradient is not None and not (math.isfinite(self.clip_gradient) and self.clip_gradient > 0):
            raise ConfigError(
                f"clip_gradient={self.clip_gradient} must be a norm above 0 or null; change clip_gradient"
            )

    def _check_evaluations(self) -> None:
        """Whole steps, at least one evaluation, and one where the schedule says that a run ends."""
        if self.evaluate_every is None:
            return
        require_integer("evaluate_every", self.evaluate_every, 1, self.total_steps)
        returned = self.schedule.returned_epoch(self.task.epochs)
        if returned < self.task.epochs and returned * self.steps_per_epoch % self.evaluate_every:
            raise ConfigError(
                f"evaluate_every={self.evaluate_every} does not come to the end of epoch {returned}, where "
                f"schedule={self.schedule.name} takes its result; change evaluate_every to a divisor of "
                f"{self.steps_per_epoch}, the steps of an epoch"
            )

    def _check_strength(self) -> None:
        """What sets the size of the steps must be there and in range, and nothing else; some things need a plan."""
        own = self.schedule.strength_name
        for name in ("lr", "sigma"):
            value = getattr(self, name)
            if name != own and value is not None:
                raise ConfigError(f"schedule={self.schedule.name} has no {name}; leave {name} out or change schedule")
            if name == own and value is None:
                raise ConfigError(f"schedule={self.schedule.name} needs {name}; set {name}=…")
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name}={value} must be finite and above 0; change {name}")
        if isinstance(self.schedule, Planned):
            return
        if self.compile:
            raise ConfigError(
                f"compile=true leaves no graph that schedule={self.schedule.name} could differentiate again or replay; "
                f"set compile=false"
            )
        check_precision(self.precision, self.schedule)
        if self.clip_gradient is not None:
            raise ConfigError(
                f"clip_gradient={self.clip_gradient} changes a gradient that schedule={self.schedule.name} has already "
                f"found a rate for; set clip_gradient=null"
            )
        if (images := self.optimizer.rate_per_images) is not None:
            raise ConfigError(
                f"optimizer.rate_per_images={images} scales a rate that schedule={self.schedule.name} finds by itself; "
                f"set optimizer.rate_per_images=null"
            )

    def _check_momentum(self) -> None:
        """The optimizer's own momentum must be there and in range; another optimizer's must not."""
        own = self.optimizer.momentum_name
        for name in ("momentum", "beta1"):
            value = getattr(self, name)
            if name != own and value is not None:
                raise ConfigError(
                    f"optimizer={self.optimizer.name} has no {name}; leave {name} out or change optimizer"
                )
            if name == own and value is None:
                raise ConfigError(f"optimizer={self.optimizer.name} needs {name}; set {name}=…")
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"{name}={value} must lie in [0, 1); change {name}")

    @property
    def momentum_in_force(self) -> float:
        """The optimizer's own momentum, momentum or beta1."""
        value: float = getattr(self, self.optimizer.momentum_name)
        return value

    @property
    def peak_rate(self) -> float:
        """The learning rate where the schedule's multiplier is 1; nan where the rate is found step by step."""
        if self.lr is None:
            return math.nan
        return self.optimizer.peak_rate(self.lr, self.images_per_step)

    @property
    def images_per_step(self) -> int:
        """The batch size in force."""
        return self.task.batch_size if self.batch_size is None else self.batch_size

    @property
    def cpu_threads(self) -> int | None:
        """The number of CPU threads asked for, None for torch's own choice."""
        return self.task.threads if self.threads is None else self.threads

    @property
    def training_images(self) -> int:
        """How many images are trained on: under data.evaluate=test the validation images too."""
        held_out = self.task.validation_images if self.data.evaluate == "test" else 0
        return self.task.train_images + held_out

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; what is left over waits for the next epoch's order."""
        return self.training_images // self.images_per_step

    @property
    def total_steps(self) -> int:
        """Optimizer steps of a run that does not diverge."""
        return self.steps_per_epoch * self.task.epochs

    @property
    def steps_per_evaluation(self) -> int:
        """Steps from one evaluation to the next; the last may come after fewer."""
        return self.steps_per_epoch if self.evaluate_every is None else self.evaluate_every

    @property
    def evaluations(self) -> int:
        """Evaluations of a run that goes to its end, the one at the end included."""
        return -(-self.total_steps // self.steps_per_evaluation)

    @property
    def returned_evaluation(self) -> int:
        """The number of the evaluation that the result is taken from: the last, but for schedules that restart."""
        returned = self.schedule.returned_epoch(self.task.epochs)
        if returned == self.task.epochs:
            return self.evaluations
        return returned * self.steps_per_epoch // self.steps_per_evaluation

    @property
    def timescales(self) -> float | None:
        """T·lr·wd/(1−momentum) (AdamW: T·lr·wd) at the schedule's highest rate: how often the weights forget where they were.

        None where the rate is found step by step.
        """
        if self.lr is None:
            return None
        averaging = 1.0 - self.momentum_in_force if self.optimizer.momentum_name == "momentum" else 1.0
        return self.total_steps * self.peak_rate * self.wd / averaging


def check_precision(precision: str, schedule: Schedule) -> None:
    """Raise ConfigError where `schedule` wants second derivatives, which float16 and its scaler cannot hold."""
    if precision == "fp16" and not isinstance(schedule, Planned):
        raise ConfigError(
            f"precision=fp16 cannot hold what schedule={schedule.name} computes; set precision=bf16 or precision=fp32"
        )


@dataclass(frozen=True)
class ProbeConfig:
    """How a task's learning rate is looked for: the arguments of `flatdirs.find_learning_rate` of the same names."""

    steps: int = 20
    budget: int | None = 14
    threshold: float = 0.1
    seeds: int = 1
    lowest: float = 1e-6
    highest: float = 10.0
    validation_steps: int = 16


@dataclass(frozen=True)
class Epoch:
    """One epoch, or the steps from one evaluation to the next where they are counted in steps.

    Losses are means per image, `accuracy` is percent of the held-out images. `lr` is the rate of the last
    step, `seconds` the wall time, evaluation included, `steps` how many there were. Losses of a diverged epoch may be
    nan or infinite.
    """

    number: int
    train_loss: float
    loss: float
    accuracy: float
    lr: float
    seconds: float
    steps: int


@dataclass(frozen=True)
class Steps:
    """Every step's learning rate, and its gradient's norm before and after clipping; empty where not recorded."""

    lr: tuple[float, ...] = ()
    gradient_norm: tuple[float, ...] = ()
    clipped_norm: tuple[float, ...] = ()


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    `accuracy` (percent), `loss` and `model` are those at the end of epoch number `returned_epoch`: the last one, but
    with a schedule that restarts the end of the last finished phase. With `evaluate_every`, `epochs` holds an entry an
    evaluation. `stopped`: whoever watched ended the run before its last. A diverged run, whenever it blew up, has 0.0
    and infinity, never nan, and its epochs show what was measured. `at_chance`: no more than three binomial standard
    deviations above guessing. `seconds` runs from building the network to the last evaluation, without loading data
    and without `compile_seconds`, which the first compiled run of a process pays for all later ones. `steps` counts
    the optimizer steps taken. `model` is None unless asked for. `curvature` holds what config.curvature asked for; the
    time that took is in `seconds`.
    """

    diverged: bool
    stopped: bool
    epochs: tuple[Epoch, ...]
    returned_epoch: int
    accuracy: float
    loss: float
    at_chance: bool
    seconds: float
    device: str
    precision: str
    threads: int
    steps: int
    compile_seconds: float
    recorded: Steps
    model: nn.Module | None
    curvature: tuple[CurvatureRecord, ...] = ()

    @property
    def returned(self) -> Epoch:
        """What was measured at the end of `returned_epoch`."""
        return self.epochs[self.returned_epoch - 1]
