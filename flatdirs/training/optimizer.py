"""The update rules of a run; each class is a file of conf/optimizer/, read without torch.

    sgd     g = ∇(mean loss of the batch) + wd·w   v = momentum·v + g   w −= lr·(g + momentum·v), nesterov=false: lr·v
    adamw   m = beta1·m + (1−beta1)·g   s = beta2·s + (1−beta2)·g²   w −= lr·(m̂/(√ŝ + epsilon) + wd·w)

SGD is Myrtle's, with lr and wd in the convention of PyTorch; its weight decay is part of the gradient. AdamW's is
decoupled (arXiv 1711.05101). All parameters decay, including those of batch norm, unless `no_decay` excludes biases and
norms. The fused kernels do the whole update in one call, and with fp16 let the gradient scaler skip a step without
asking the device. Muon: muon.py; Schedule-Free AdamW and Prodigy, of packages of their own: packaged_optimizers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flatdirs.setting_checks import require_boolean, require_number
from flatdirs.training.muon import Muon
from flatdirs.training.optimizer_base import Groups, Optimizer, fused, set_learning_rate
from flatdirs.training.packaged_optimizers import Prodigy, ScheduleFree

if TYPE_CHECKING:
    import torch

__all__ = ["OPTIMIZERS", "AdamW", "Optimizer", "Sgd", "build_optimizer", "set_learning_rate"]


@dataclass(frozen=True)
class Sgd(Optimizer):
    """SGD with momentum and coupled weight decay; `nesterov` False: heavy ball."""

    name: ClassVar[str] = "sgd"
    momentum_name: ClassVar[str] = "momentum"
    usual_lr: ClassVar[float] = 0.4
    accumulates: ClassVar[bool] = True
    known_edge: ClassVar[bool] = True
    nesterov: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_boolean("optimizer.nesterov", self.nesterov)

    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        """Velocities start as zeros; torch leaves them uninitialised if gradient scaling skips a fused first step."""
        import torch

        optimizer = torch.optim.SGD(
            groups, lr=lr, momentum=momentum, nesterov=self.nesterov and momentum > 0, fused=fused(device)
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
    usual_lr: ClassVar[float] = 0.004
    further: ClassVar[tuple[str, ...]] = ("beta2",)
    known_edge: ClassVar[bool] = True
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("optimizer.beta2", self.beta2, 0, 1, below=True)
        require_number("optimizer.epsilon", self.epsilon, 0)

    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        import torch

        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, self.beta2), eps=self.epsilon, fused=fused(device))

    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        return "adamw", {"betas": (momentum, self.beta2), "eps": self.epsilon}


OPTIMIZERS: Mapping[str, type[Optimizer]] = {kind.name: kind for kind in (Sgd, AdamW, Muon, ScheduleFree, Prodigy)}


def build_optimizer(
    model: torch.nn.Module,
    lr: float,
    momentum: float,
    wd: float,
    device: torch.device,
    optimizer: Optimizer | None = None,
) -> torch.optim.Optimizer:
    """Build `optimizer` (None: SGD with Nesterov momentum) for a model; `momentum` is beta1 for rules like AdamW.

    Raises:
        ConfigError: the model has no parameters for this rule, or torch is too old.
        MissingExtra: its package is not installed.
    """
    optimizer = Sgd() if optimizer is None else optimizer
    return optimizer.build(optimizer.groups(model, wd), lr, momentum, device)
