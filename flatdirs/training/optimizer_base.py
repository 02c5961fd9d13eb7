"""What a run needs of every update rule, and the parameter groups that all of them build on; read without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flatdirs.setting_checks import require_boolean, require_integer, wrong
from flatdirs.training.schedule import Planned, Schedule

if TYPE_CHECKING:
    import torch

Groups = list[dict[str, Any]]  # torch's parameter groups: "params" and their settings
RULE = "rule"  # in a group of Muon: "muon" or "adamw"
RATIO = "ratio_to_lr"  # in a group: its learning rate over that of the run, 1 where it is absent


@dataclass(frozen=True)
class Optimizer(ABC):
    """An update rule.

    `no_decay`: biases and norms (parameters of one dimension) do not decay. `rate_per_images`: lr holds per so many
    images instead of per batch (linear scaling, arXiv 1706.02677). `momentum_name`: momentum or beta1, the key of a
    TrainConfig that this rule uses; the other one stays None. `further`: fields that a search may set as well.
    `usual_lr`, `usual_momentum`: of a run that is told nothing. `accumulates`: a gradient enters the weights with the
    total weight lr/(1 − momentum). `finds_rate`: lr only multiplies a rate that the rule finds. `averages`: runs are
    judged by an average of the weights that is part of the rule. `known_edge`: flatdirs.curvature knows it, as `base`.

    Raises:
        ConfigError: a value out of range.
    """

    name: ClassVar[str]
    momentum_name: ClassVar[str]
    usual_lr: ClassVar[float]
    usual_momentum: ClassVar[float] = 0.9
    further: ClassVar[tuple[str, ...]] = ()
    accumulates: ClassVar[bool] = False
    finds_rate: ClassVar[bool] = False
    averages: ClassVar[bool] = False
    known_edge: ClassVar[bool] = False
    no_decay: bool = False
    rate_per_images: int | None = None

    def __post_init__(self) -> None:
        require_boolean("optimizer.no_decay", self.no_decay)
        if self.rate_per_images is not None:
            require_integer("optimizer.rate_per_images", self.rate_per_images, 1)

    def peak_rate(self, lr: float, images_per_step: int) -> float:
        """The highest learning rate of a run with batches of N = `images_per_step`: lr, or lr·N/rate_per_images."""
        return lr if self.rate_per_images is None else lr * images_per_step / self.rate_per_images

    def check(self, schedule: Schedule) -> None:
        """Raise ConfigError if `schedule` does not go with this rule."""
        if not self.known_edge and not isinstance(schedule, Planned):
            raise wrong("schedule", schedule.name, f"does not know optimizer={self.name}")

    def groups(self, model: torch.nn.Module, wd: float) -> Groups:
        """The parameter groups of a model, with their weight decay. Raises ConfigError if the model does not fit."""
        return parameter_groups(model.parameters(), wd, self.no_decay)

    @abstractmethod
    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        """Build torch's optimizer for the parameter groups of `groups`, at the highest rate of a run."""

    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        """The name and settings of this rule as a base optimizer of flatdirs.curvature, if that knows it."""
        raise wrong("optimizer", self.name, "has no CDAT", remedy="choose optimizer=sgd or adamw")


def parameter_groups(parameters: Iterable[torch.nn.Parameter], wd: float, no_decay: bool) -> Groups:
    """The trainable parameters that decay, and those that `no_decay` excludes; no empty group."""
    decaying: list[torch.nn.Parameter] = []
    spared: list[torch.nn.Parameter] = []
    for parameter in parameters:
        if parameter.requires_grad:
            (spared if no_decay and parameter.ndim <= 1 else decaying).append(parameter)
    groups = [{"params": decaying, "weight_decay": wd}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of a step, in groups with a rate of their own in proportion."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get(RATIO, 1.0)


def fused(device: torch.device) -> bool | None:
    """True if torch has a fused kernel for `device`; None leaves the choice to torch."""
    return True if device.type in ("cpu", "cuda") else None
