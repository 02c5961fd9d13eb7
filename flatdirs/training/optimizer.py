"""The update rule of a run: SGD with momentum, or AdamW; each a small class, one file of conf/optimizer/.

    sgd     g = ∇(mean loss over the batch) + wd·w      v = momentum·v + g      w −= lr·(g + momentum·v)      (lr·v without nesterov)
    adamw   m = beta1·m + (1−beta1)·g      s = β₂·s + (1−β₂)·g²      w −= lr·(m̂/(√ŝ + ε) + wd·w)

SGD is the source's (reference/004), lr and wd as it quotes them and PyTorch has them: the decay is part of the gradient.
AdamW's is decoupled from it (Loshchilov and Hutter, arXiv 1711.05101). All parameters decay, batch norm's included,
unless `no_decay` spares biases and norms.

The classes know nothing of torch; it is imported where an optimizer is built. The fused kernel does the whole update in
one call. At width 8 on two cores it was never slower than `foreach`, and both beat the loop over parameters; with fp16
it lets a gradient scaler skip a step without asking the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flatdirs.errors import ConfigError
from flatdirs.training.task import require_boolean, require_integer, require_number

if TYPE_CHECKING:
    import torch

ParameterGroup = dict[str, Any]  # torch's: "params" and what holds for them


@dataclass(frozen=True)
class Optimizer(ABC):
    """What the update rules share.

    `no_decay`: biases and norms (parameters of one dimension) do not decay. `rate_per_images`: the learning rate is
    meant per so many images instead of per batch, the linear scaling rule (reference/002). `momentum_name` is what the
    rule calls its momentum: that key of a TrainConfig is its own, the other stays None.

    Raises:
        ConfigError: a value that no run could use; the sentence names the key.
    """

    name: ClassVar[str]
    momentum_name: ClassVar[str]
    no_decay: bool = False
    rate_per_images: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        require_boolean("optimizer.no_decay", self.no_decay)
        if self.rate_per_images is not None:
            require_integer("optimizer.rate_per_images", self.rate_per_images, 1)

    def peak_rate(self, lr: float, images_per_step: int) -> float:
        """The highest rate of a run with batches of N = `images_per_step`: lr, or lr·N/rate_per_images."""
        return lr if self.rate_per_images is None else lr * images_per_step / self.rate_per_images

    @abstractmethod
    def build(
        self, groups: list[ParameterGroup], lr: float, momentum: float, device: torch.device
    ) -> torch.optim.Optimizer:
        """Torch's optimizer for `groups`, which bring their own weight decay."""

    @abstractmethod
    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        """The rule's name and settings as the optimizers of flatdirs.curvature know them."""


@dataclass(frozen=True)
class Sgd(Optimizer):
    """Stochastic gradient descent with coupled decay; `nesterov` False: the plain heavy ball."""

    name: ClassVar[str] = "sgd"
    momentum_name: ClassVar[str] = "momentum"
    nesterov: bool = True

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        super().__post_init__()
        require_boolean("optimizer.nesterov", self.nesterov)

    def build(
        self, groups: list[ParameterGroup], lr: float, momentum: float, device: torch.device
    ) -> torch.optim.Optimizer:
        """Nesterov only where there is momentum, as torch demands.

        Velocities begin as zeros, not as torch makes them at the first step: a fused first step that gradient scaling
        skips would leave them uninitialised.
        """
        import torch

        optimizer = torch.optim.SGD(
            groups, lr=lr, momentum=momentum, nesterov=self.nesterov and momentum > 0, fused=_fused(device)
        )
        if momentum > 0:
            for parameter in (parameter for group in groups for parameter in group["params"]):
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer

    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        """Gradient descent where there is no momentum."""
        return ("gd" if momentum == 0 else "nesterov" if self.nesterov else "momentum"), {"momentum": momentum}


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled decay: each step takes the part lr·wd off a weight, whatever its gradient."""

    name: ClassVar[str] = "adamw"
    momentum_name: ClassVar[str] = "beta1"
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        super().__post_init__()
        require_number("optimizer.beta2", self.beta2, 0, 1)
        if self.beta2 == 1:
            raise ConfigError("optimizer.beta2=1 never forgets and never learns; change optimizer.beta2")
        require_number("optimizer.epsilon", self.epsilon, 0)

    def build(
        self, groups: list[ParameterGroup], lr: float, momentum: float, device: torch.device
    ) -> torch.optim.Optimizer:
        """`momentum` is beta1."""
        import torch

        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, self.beta2), eps=self.epsilon, fused=_fused(device))

    def base(self, momentum: float) -> tuple[str, dict[str, Any]]:
        """`momentum` is beta1."""
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
    """The update rule `optimizer` (None: SGD with Nesterov momentum) for `parameters` living on `device`.

    `momentum` is momentum, or beta1 where the rule calls it so.
    """
    optimizer = Sgd() if optimizer is None else optimizer
    return optimizer.build(parameter_groups(parameters, wd, optimizer), lr, momentum, device)


def parameter_groups(parameters: Iterable[torch.nn.Parameter], wd: float, optimizer: Optimizer) -> list[ParameterGroup]:
    """Torch's groups: those that decay, and those that `optimizer.no_decay` spares; none that is empty."""
    decaying: list[torch.nn.Parameter] = []
    spared: list[torch.nn.Parameter] = []
    for parameter in parameters:
        (spared if optimizer.no_decay and parameter.ndim <= 1 else decaying).append(parameter)
    groups = [{"params": decaying, "weight_decay": wd}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the rate for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """The plain mapping that a file of conf/optimizer/ holds, for a study and for best.yaml to keep."""
    return {"name": optimizer.name, **asdict(optimizer)}


def _fused(device: torch.device) -> bool | None:
    """Whether torch has the one-call kernel for `device`; None leaves the choice to torch."""
    return True if device.type in ("cpu", "cuda") else None
