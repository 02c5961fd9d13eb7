"""An exponential moving average of the weights of a run, which is what its evaluations judge.

After t steps with weights w₁ … w_t and decay d it is Σ dᵗ⁻ⁱ·wᵢ / Σ dᵗ⁻ⁱ (arXiv 2307.13813, its start corrected):
the initial weights have no part in it, and a run much shorter than 1/(1 − d) steps is averaged
evenly. Running statistics of batch norm are averaged alike. Not torch.optim.swa_utils.AveragedModel, in which the
weights after the first step keep the weight dᵗ⁻¹, and the host waits for the device in every step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


class WeightAverage:
    """The average of all trainable weights and floating-point buffers of `model`, on its device."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay, self._steps = model, decay, 0
        trained = {name: own for name, own in model.named_parameters() if own.requires_grad}
        kept = trained | {name: own for name, own in model.named_buffers() if own.is_floating_point()}
        self._live = [own.detach() for own in kept.values()]
        self.weights = {name: own.clone() for name, own in zip(kept, self._live, strict=True)}

    @torch.no_grad()
    def see(self) -> None:
        """Take the current weights into the average; call after every step."""
        self._steps += 1
        share = (1.0 - self._decay) / (1.0 - self._decay**self._steps)
        torch._foreach_lerp_(list(self.weights.values()), self._live, share)

    def __call__(self, inputs: Tensor) -> Tensor:
        """What the model gives with the averaged weights."""
        output: Tensor = functional_call(self._model, self.weights, (inputs,))
        return output
