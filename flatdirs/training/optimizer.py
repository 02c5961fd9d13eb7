"""The update rule of a run, SGD with momentum or AdamW; each class is a file of conf/optimizer/, read without torch.

    sgd     g = ∇(mean loss of the batch) + wd·w   v = momentum·v + g   w −= lr·(g + momentum·v), nesterov=false: lr·v
    adamw   m = beta1·m + (1−beta1)·g   s = beta2·s + (1−beta2)·g²   w −= lr·(m̂/(√ŝ + epsilon) + wd·w)

SGD is Myrtle's, with lr and wd in the convention of PyTorch; its weight decay is part of the gradient. AdamW's is
decoupled (arXiv 1711.05101). All parameters decay, including those of batch norm, unless `no_decay` excludes biases and
norms. The fused kernels do the whole update in one call, and with fp16 let the gradient scaler skip a step without
asking the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flatdirs.setting_checks import require_boolean, require_integer, require_number

if TYPE_CHECKING:
    import torch

Groups = list[dict[str, Any]]  # torch's parameter groups: "params" and their settings


@dataclass(frozen=True)
class Optimizer(ABC):
    """An update rule.

    `no_decay`: biases and norms (parameters of one dimension) do not decay. `rate_per_images`: lr holds per so many
    images instead of per batch (linear scaling, arXiv 1706.02677). `momentum_name`: momentum or beta1, the key of a
    TrainConfig that this rule uses; the other one stays None.

    Raises:
        ConfigError: a value out of range.
    """

    name: ClassVar[str]
    momentum_name: ClassVar[str]
    no_decay: bool = False
    rate_per_images: int | None = None

    def __post_init__(self) -> None:
        require_boolean("optimizer.no_decay", self.no_decay)
        if self.rate_per_images is not None:
            require_integer("optimizer.rate_per_images", self.rate_per_images, 1)

    def peak_rate(self, lr: float, images_per_step: int) -> float:
        """The highest learning rate of a run with batches of N = `images_per_step`: lr, or lr·N/rate_per_images."""
        return lr if self.rate_per_images is None else lr * images_per_step / self.rate_per_images

    @abstractmethod
    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        """Build torch's optimizer for parameter `groups` that hold their weight decay."""

    @abstractmethod
    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        """The name and settings of this rule as a base optimizer of flatdirs.curvature."""


@dataclass(frozen=True)
class Sgd(Optimizer):
    """SGD with momentum and coupled weight decay; `nesterov` False: heavy ball."""

    name: ClassVar[str] = "sgd"
    momentum_name: ClassVar[str] = "momentum"
    nesterov: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_boolean("optimizer.nesterov", self.nesterov)

    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        """Velocities start as zeros; torch leaves them uninitialised if gradient scaling skips a fused first step."""
        import torch

        optimizer = torch.optim.SGD(
            groups, lr=lr, momentum=momentum, nesterov=self.nesterov and momentum > 0, fused=_fused(device)
        )
        if momentum > 0:
            for parameter in (parameter for group in groups for parameter in group["params"]):
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer

    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        return ("gd" if momentum == 0 else "nesterov" if self.nesterov else "momentum"), {"momentum": momentum}


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay; its momentum is beta1."""

    name: ClassVar[str] = "adamw"
    momentum_name: ClassVar[str] = "beta1"
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("optimizer.beta2", self.beta2, 0, 1, below=True)
        require_number("optimizer.epsilon", self.epsilon, 0)

    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        import torch

        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, self.beta2), eps=self.epsilon, fused=_fused(device))

    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        return "adamw", {"betas": (momentum, self.beta2), "eps": self.epsilon}


OPTIMIZERS: Mapping[str, type[Optimizer]] = {kind.name: kind for kind in (Sgd, AdamW)}


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter],
    lr: float,
    momentum: float,
    wd: float,
    device: torch.device,
    optimizer: Optimizer | None = None,
) -> torch.optim.Optimizer:
    """Build `optimizer` (None: SGD with Nesterov momentum) for `parameters`; `momentum` is beta1 for AdamW."""
    optimizer = Sgd() if optimizer is None else optimizer
    return optimizer.build(parameter_groups(parameters, wd, optimizer), lr, momentum, device)


def parameter_groups(parameters: Iterable[torch.nn.Parameter], wd: float, optimizer: Optimizer) -> Groups:
    """The parameters that decay, and those that `optimizer.no_decay` excludes; no empty group."""
    decaying: list[torch.nn.Parameter] = []
    spared: list[torch.nn.Parameter] = []
    for parameter in parameters:
        (spared if optimizer.no_decay and parameter.ndim <= 1 else decaying).append(parameter)
    groups = [{"params": decaying, "weight_decay": wd}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def _fused(device: torch.device) -> bool | None:
    """True if torch has a fused kernel for `device`; None leaves the choice to torch."""
    return True if device.type in ("cpu", "cuda") else None
