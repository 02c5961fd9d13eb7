"""Muon (https://kellerjordan.github.io/posts/muon/): orthogonal updates of the hidden matrices, AdamW for the rest.

    m = momentum·m + (1−momentum)·g   O ≈ UVᵀ of g + momentum·(m − g) = USVᵀ   w ← (1 − lr·wd)·w − lr·s·O

The update has no scale, so momentum does not multiply it. s: "original" √max(1, rows/columns), "match_rms_adamw"
0.2·√max(rows, columns), at which an lr of AdamW may be kept (arXiv 2502.16982). Embeddings, the head, biases and norms
are AdamW's, at a rate `adamw_lr` of their own that follows the same schedule, with the same wd. The class of torch is
torch.optim.Muon; torch is imported when an optimizer is built, so that a configuration is read without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flatdirs.errors import ConfigError
from flatdirs.setting_checks import require_boolean, require_choice, require_number, wrong
from flatdirs.training.optimizer_base import RATIO, RULE, Groups, Optimizer, parameter_groups

if TYPE_CHECKING:
    import torch

SCALES = ("original", "match_rms_adamw")
HEAD = "head."  # what the names of the parameters of a last layer begin with


@dataclass(frozen=True)
class Muon(Optimizer):
    """Muon with `nesterov` momentum; `beta1`, `beta2` and `epsilon` are those of its AdamW part."""

    name: ClassVar[str] = "muon"
    momentum_name: ClassVar[str] = "momentum"
    usual_lr: ClassVar[float] = 0.02
    usual_momentum: ClassVar[float] = 0.95
    further: ClassVar[tuple[str, ...]] = ("adamw_lr",)
    nesterov: bool = True
    scale: str = "original"
    adamw_lr: float = 3e-3
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_boolean("optimizer.nesterov", self.nesterov)
        require_choice("optimizer.scale", self.scale, SCALES)
        require_number("optimizer.adamw_lr", self.adamw_lr, 0, above=True)
        require_number("optimizer.beta1", self.beta1, 0, 1, below=True)
        require_number("optimizer.beta2", self.beta2, 0, 1, below=True)
        require_number("optimizer.epsilon", self.epsilon, 0)
        if self.rate_per_images is not None:
            key, problem = "optimizer.rate_per_images", "is a rule for SGD, and none is known for Muon"
            raise wrong(key, self.rate_per_images, problem, remedy=f"set {key}=null")

    def groups(self, model: torch.nn.Module, wd: float) -> Groups:
        """Hidden matrices first, then what AdamW takes, each with its rule."""
        hidden = hidden_matrices(model)
        if not hidden:
            raise no_matrices()
        known = {id(matrix) for matrix in hidden}
        rest = parameter_groups((one for one in model.parameters() if id(one) not in known), wd, self.no_decay)
        return [{"params": hidden, "weight_decay": wd, RULE: "muon"}, *({**group, RULE: "adamw"} for group in rest)]

    def build(self, groups: Groups, lr: float, momentum: float, device: torch.device) -> torch.optim.Optimizer:
        import torch

        if not hasattr(torch.optim, "Muon"):
            problem = f"needs torch 2.9 or newer, and this is {torch.__version__}"
            raise wrong("optimizer", self.name, problem, remedy="update torch, or choose optimizer=adamw")
        from flatdirs.training.muon_with_adamw import MuonWithAdamW

        for group in groups:
            group[RATIO] = 1.0 if group[RULE] == "muon" else self.adamw_lr / lr
            group["lr"] = lr * group[RATIO]
        muon = {"momentum": momentum, "nesterov": self.nesterov, "adjust_lr_fn": self.scale}
        return MuonWithAdamW(groups, muon, {"betas": (self.beta1, self.beta2), "eps": self.epsilon}, device)


def hidden_matrices(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The trainable matrices of a model, without embeddings and the head."""
    from torch import nn

    known = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    named = ((name, one) for name, one in model.named_parameters() if one.ndim == 2 and one.requires_grad)
    return [one for name, one in named if not (id(one) in known or name.startswith(HEAD))]


def no_matrices() -> ConfigError:
    """The error of a model whose weights Muon cannot take."""
    problem = "has no matrix to work on in this network, whose hidden layers are convolutions"
    return ConfigError(f"optimizer=muon {problem}; choose optimizer=sgd or adamw, or task=text", key="optimizer")
