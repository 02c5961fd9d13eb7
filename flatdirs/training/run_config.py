"""The settings of a run and its result, as frozen dataclasses.

Apart from loop.py, so that a configuration is read and checked without importing torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flatdirs.errors import ConfigError
from flatdirs.setting_checks import require_boolean, require_integer, require_number, wrong
from flatdirs.training.muon import Muon, no_matrices
from flatdirs.training.optimizer import Optimizer, Sgd
from flatdirs.training.schedule import Planned, Schedule, Triangle
from flatdirs.training.task import DataConfig, ImageTask, Task, TextTask

if TYPE_CHECKING:
    from torch import nn

    from flatdirs.curvature.log_record import CurvatureRecord

USUAL_ALPHA = 16.0  # lora_alpha
FURTHER = ("beta2", "adamw_lr")  # hyperparameters that are fields of an optimizer


@dataclass(frozen=True)
class CurvatureConfig:
    """Measure the curvature every `every` steps (None or 0: never) on at most `images` training images."""

    every: int | None = None
    images: int = 512

    def __post_init__(self) -> None:
        if self.every is not None:
            require_integer("curvature.every", self.every, 0)
        require_integer("curvature.images", self.images, 2)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on.

    lr and wd are in the convention of PyTorch (optimizer.py). `momentum` is for SGD and Muon, `beta1` for the others;
    the other one is None. `beta2` and `adamw_lr` take the place of the optimizer's own where they are given. `lr` and
    `sigma` are None if the schedule does not use them (self_tuning.py). `batch_size` and `threads` None: those of the
    task, then torch's choice of threads. `evaluate_every`: steps between evaluations, None for an epoch.
    `clip_gradient`: the largest gradient norm of a step, None for no limit. `ema`: the decay per step of an average of
    the weights (weight_average.py), on which the run is evaluated; None for the weights themselves. `record_steps`:
    keep the learning rate and gradient norm of every step. `base`: a file of weights from which a text's network
    begins; with `lora_rank` only products of that rank beside them are trained (lora.py), at `lora_alpha` (None:
    USUAL_ALPHA).

    Raises:
        ConfigError: a value out of range, or settings that do not go together.
    """

    task: Task
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
    ema: float | None = None
    beta2: float | None = None
    adamw_lr: float | None = None
    base: str | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None

    def __post_init__(self) -> None:
        self._check_given(f"schedule={self.schedule.name}", self.schedule.rate_name, ("lr", "sigma"))
        self._check_given(f"optimizer={self.optimizer.name}", self.optimizer.momentum_name, ("momentum", "beta1"))
        self._check_optimizer()
        self._check_lora()
        for name in ("lr", "sigma", "clip_gradient"):
            if (value := getattr(self, name)) is not None:
                require_number(name, value, 0, above=True)
        require_number(self.optimizer.momentum_name, self.momentum_in_force, 0, 1, below=True)
        require_number("wd", self.wd, 0)
        if self.ema is not None:
            require_number("ema", self.ema, 0, 1, below=True)
        require_integer("seed", self.seed, 0, 2**62)
        if self.threads is not None:
            require_integer("threads", self.threads, 1, 1024)
        require_boolean("compile", self.compile)
        key = "task.batch_size" if self.batch_size is None else "batch_size"
        require_integer(key, self.images_per_step, 1, self.training_images)
        if self.images_per_step == 1 and isinstance(self.task, ImageTask) and self.task.image_size < 16:
            problem = f"leaves batch norm one value per channel at task.image_size={self.task.image_size}"
            raise wrong(key, 1, problem, remedy=f"set {key} to 2 or more")
        self.schedule.check(self.task.epochs)
        self._check_evaluations()
        if not isinstance(self.schedule, Planned):
            self._check_tuner()

    def _check_optimizer(self) -> None:
        """Raise for settings that do not go with the optimizer."""
        user = f"optimizer={self.optimizer.name}"
        for name in FURTHER:
            if getattr(self, name) is not None and name not in self.optimizer.further:
                raise ConfigError(f"{name} has no effect with {user}; remove it", key=name)
        self.rule.check(self.schedule)
        if isinstance(self.optimizer, Muon) and isinstance(self.task, ImageTask):
            raise no_matrices()
        if self.ema is not None and self.optimizer.averages:
            raise ConfigError(f"ema has no effect with {user}, which averages the weights itself; remove it", key="ema")
        if self.curvature.every and not self.optimizer.known_edge:
            problem = f"does not work with {user}, whose edge of stability is not known"
            raise wrong("curvature.every", self.curvature.every, problem, remedy="set it to null")

    def _check_lora(self) -> None:
        """Raise unless base, rank and alpha go together and with the task."""
        if self.base is not None and not isinstance(self.task, TextTask):
            problem = f"is for a text, and task={self.task.name} has images"
            raise wrong("base", self.base, problem, remedy="remove it, or choose task=text")
        for key, needed in (("lora_rank", "base"), ("lora_alpha", "lora_rank")):
            if getattr(self, key) is not None and getattr(self, needed) is None:
                raise ConfigError(f"{key} has no effect without {needed}; set {needed}, or remove {key}", key=key)
        if self.lora_rank is not None:
            require_integer("lora_rank", self.lora_rank, 1)
        if self.lora_alpha is not None:
            require_number("lora_alpha", self.lora_alpha, 0, above=True)

    def _check_given(self, user: str, used: str | None, names: tuple[str, ...]) -> None:
        """Raise unless the setting called `used` is given and the others of `names` are not."""
        for name in names:
            given = getattr(self, name) is not None
            if given and name != used:
                raise ConfigError(f"{name} has no effect with {user}; remove it", key=name)
            if not given and name == used:
                raise ConfigError(f"{user} needs {name}; set {name}", key=name)

    def _check_evaluations(self) -> None:
        if self.evaluate_every is None:
            return
        require_integer("evaluate_every", self.evaluate_every, 1, self.total_steps)
        returned = self.schedule.returned_epoch(self.task.epochs)
        if returned < self.task.epochs and returned * self.steps_per_epoch % self.evaluate_every:
            problem = f"gives no evaluation at the end of epoch {returned}, which schedule={self.schedule.name} returns"
            remedy = f"change evaluate_every to a divisor of {self.steps_per_epoch}, the steps of an epoch"
            raise wrong("evaluate_every", self.evaluate_every, problem, remedy=remedy)

    def _check_tuner(self) -> None:
        """Raise for settings that do not work with a schedule that chooses the learning rate."""
        does_not_work = f"does not work with schedule={self.schedule.name}, which chooses the learning rate"
        if self.compile:
            raise wrong("compile", "true", does_not_work, remedy="set compile=false")
        check_precision(self.precision, self.schedule)
        for key, value in {
            "clip_gradient": self.clip_gradient,
            "optimizer.rate_per_images": self.optimizer.rate_per_images,
        }.items():
            if value is not None:
                raise wrong(key, value, does_not_work, remedy=f"set {key}=null")

    @property
    def lora_alpha_in_force(self) -> float:
        return USUAL_ALPHA if self.lora_alpha is None else self.lora_alpha

    @property
    def rule(self) -> Optimizer:
        """The optimizer with the hyperparameters that take the place of its own."""
        given = {name: getattr(self, name) for name in FURTHER if getattr(self, name) is not None}
        return replace(self.optimizer, **given)

    @property
    def momentum_in_force(self) -> float:
        """momentum or beta1, whichever the optimizer uses."""
        value: float = getattr(self, self.optimizer.momentum_name)
        return value

    @property
    def peak_rate(self) -> float:
        """The learning rate at the schedule's multiplier 1; nan if the schedule chooses the rate step by step."""
        if self.lr is None:
            return math.nan
        return self.optimizer.peak_rate(self.lr, self.images_per_step)

    @property
    def images_per_step(self) -> int:
        """The batch size in force."""
        return self.task.batch_size if self.batch_size is None else self.batch_size

    @property
    def cpu_threads(self) -> int | None:
        """The number of CPU threads in force, None for torch's choice."""
        return self.task.threads if self.threads is None else self.threads

    @property
    def training_images(self) -> int:
        """The number of training examples, with data.evaluate=test including the validation set."""
        return self.task.examples(self.data.evaluate)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; an incomplete last batch is dropped."""
        return self.training_images // self.images_per_step

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.task.epochs

    @property
    def steps_per_evaluation(self) -> int:
        """Steps from one evaluation to the next; there may be fewer before the last."""
        return self.steps_per_epoch if self.evaluate_every is None else self.evaluate_every

    @property
    def evaluations(self) -> int:
        """Evaluations of a complete run, including the one at its end."""
        return -(-self.total_steps // self.steps_per_evaluation)

    @property
    def returned_evaluation(self) -> int:
        """The number of the evaluation that gives the result: the last one, except for schedules with restarts."""
        returned = self.schedule.returned_epoch(self.task.epochs)
        if returned == self.task.epochs:
            return self.evaluations
        return returned * self.steps_per_epoch // self.steps_per_evaluation

    @property
    def decay_timescales(self) -> float | None:
        """Weight-decay timescales in a run, T·lr·wd, with SGD T·lr·wd/(1−momentum), at the peak lr; None without lr."""
        if self.lr is None or self.optimizer.finds_rate:
            return None
        averaging = 1.0 - self.momentum_in_force if self.optimizer.accumulates else 1.0
        return self.total_steps * self.peak_rate * self.wd / averaging


def check_precision(precision: str, schedule: Schedule) -> None:
    """Raise ConfigError if `schedule` needs second derivatives and `precision` is fp16, which cannot hold them."""
    if precision == "fp16" and not isinstance(schedule, Planned):
        problem = f"does not work with schedule={schedule.name}"
        raise wrong("precision", "fp16", problem, remedy="set precision=bf16 or precision=fp32")


@dataclass(frozen=True)
class ProbeConfig:
    """How the learning-rate finder probes a task: arguments of `flatdirs.find_learning_rate`."""

    steps: int = 20
    budget: int | None = 14
    threshold: float = 0.1
    seeds: int = 1
    lowest: float = 1e-6
    highest: float = 10.0
    validation_steps: int = 16


@dataclass(frozen=True)
class Epoch:
    """The steps from one evaluation to the next, usually an epoch, and the evaluation.

    Losses are means per image, or per character, in nats (nan or infinite if the run diverged), `accuracy` is in
    percent. `lr`: learning rate of the last step; `seconds`: wall time, evaluation included; `steps`: number of steps.
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
    """The learning rate of every step, and its gradient norm before and after clipping; empty if not recorded."""

    lr: tuple[float, ...] = ()
    gradient_norm: tuple[float, ...] = ()
    clipped_norm: tuple[float, ...] = ()


@dataclass(frozen=True)
class TrainResult:
    """The result of a run.

    `epochs` has one entry per evaluation; `returned_epoch` is the number of the one that `accuracy` (percent), `loss`
    and `model` are of: the last, but with restarts the end of the last complete phase. `stopped`: `on_epoch` ended the
    run early. A diverged run has accuracy 0.0 and loss infinity; its `epochs` hold what was measured. `at_chance`: at
    most three binomial standard deviations above guessing. `seconds` is the time from building the network to the last
    evaluation, without loading data and without `compile_seconds`. `steps` counts optimizer steps. `found_rate`: the
    last estimate of a learning rate by an optimizer that finds it.
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
    found_rate: float | None = None

    @property
    def returned(self) -> Epoch:
        """The evaluation that gives the result."""
        return self.epochs[self.returned_epoch - 1]
