"""LoRA (arXiv 2106.09685): fine-tuning of a text network through products of two narrow matrices.

    w·x + (alpha/rank)·B·(A·x)      A (rank, in) uniform in ±1/√in, B (out, rank) zero at first; w does not change

Every linear layer of the blocks is adapted; embeddings, positions, biases and norms stay as they are. A file of
weights that `train save=` has written holds w + (alpha/rank)·B·A, so that it is a base again.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from flatdirs.training.gpt import Gpt

if TYPE_CHECKING:
    from flatdirs.training.dataset import Dataset
    from flatdirs.training.run_config import TrainConfig


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained product beside it: (…, in) → (…, out)."""

    def __init__(self, frozen: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.frozen, self.scale = frozen, alpha / rank
        bound = 1.0 / math.sqrt(frozen.in_features)
        down = torch.empty(rank, frozen.in_features).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down.to(frozen.weight.device))
        self.up = nn.Parameter(frozen.weight.new_zeros(frozen.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.frozen(x)
        return found + self.scale * linear(linear(x, self.down), self.up)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with the product added to its weights."""
        layer = deepcopy(self.frozen)
        layer.weight += self.scale * self.up @ self.down
        return layer


def build_network(config: TrainConfig, dataset: Dataset, device: torch.device) -> nn.Module:
    """The network of a run on `device`, from the base if there is one, adapted if it has a rank."""
    model = dataset.model(config.task, 2 * config.seed, device)
    if config.lora_rank is not None:
        generator = torch.Generator().manual_seed(2 * config.seed)
        model.requires_grad_(False)
        for parent, name, layer in _linear_layers(model):
            setattr(parent, name, LoraLinear(layer, config.lora_rank, config.lora_alpha_in_force, generator))
    return model


def _linear_layers(model: nn.Module) -> list[tuple[nn.Module, str, nn.Linear]]:
    """Every linear layer in the blocks, with the module that has it and its name there."""
    assert isinstance(model, Gpt)
    parents = model.blocks.modules()
    named = ((parent, name, child) for parent in parents for name, child in parent.named_children())
    return [(parent, name, child) for parent, name, child in named if isinstance(child, nn.Linear)]


def merged_state(model: nn.Module) -> dict[str, Any]:
    """The weights of a network as a state dict, LoRA's products added to those that they adapt."""
    if any(isinstance(part, LoraLinear) for part in model.modules()):
        model = deepcopy(model)
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, LoraLinear):
                    setattr(parent, name, child.merged())
    return model.state_dict()
