"""Averages of the weights of a run, which are what its evaluations judge and what it hands over.

`WeightAverage` is an exponential moving average. After t steps with weights w₁ … w_t and decay d it is
Σ dᵗ⁻ⁱ·wᵢ / Σ dᵗ⁻ⁱ (arXiv 2307.13813, its start corrected): the initial weights have no part in it, and a run much
shorter than 1/(1 − d) steps is averaged evenly. Running statistics of batch norm are averaged alike. Not
torch.optim.swa_utils.AveragedModel, in which the weights after the first step keep the weight dᵗ⁻¹, and the host waits
for the device in every step.

`ScheduleFreeAverage` is the x of Schedule-Free (arXiv 2405.15682), of which the trained weights are y.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase


class Average(ABC):
    """Weights of `model` apart from those that are trained: all trainable ones and all floating-point buffers."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._trained = {name: own.detach() for name, own in model.named_parameters() if own.requires_grad}
        self._buffers = {name: own for name, own in model.named_buffers() if own.is_floating_point()}
        self.weights = {name: own.clone() for name, own in (self._trained | self._buffers).items()}

    @abstractmethod
    def see(self) -> None:
        """Take the current weights into the average; call after every step."""

    @abstractmethod
    def settle(self) -> None:
        """Make `weights` what is to be judged; call before every evaluation."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """What the model gives with these weights."""
        output: Tensor = functional_call(self._model, self.weights, (inputs,))
        return output


class WeightAverage(Average):
    """The exponential moving average with `decay` per step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay, self._steps = decay, 0
        self._live = list((self._trained | self._buffers).values())

    @torch.no_grad()
    def see(self) -> None:
        self._steps += 1
        share = (1.0 - self._decay) / (1.0 - self._decay**self._steps)
        torch._foreach_lerp_(list(self.weights.values()), self._live, share)

    def settle(self) -> None:
        pass


class ScheduleFreeAverage(Average):
    """The average in an AdamWScheduleFree: x = y + (1 − 1/beta1)·(z − y) for the trained weights y and its state z.

    The statistics of batch norm are those of y; `calibrate(self)` runs the model in training mode to replace them.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, calibrate: Callable[[Average], None]
    ) -> None:
        super().__init__(model)
        self._optimizer = optimizer
        self._beta1 = float(optimizer.param_groups[0]["betas"][0])
        self._parameters = dict(model.named_parameters())
        normalising = any(isinstance(part, _NormBase) and part.track_running_stats for part in model.modules())
        self._calibrate = calibrate if normalising else None

    def see(self) -> None:
        pass

    @torch.no_grad()
    def settle(self) -> None:
        for name, weights in self._trained.items():
            state = self._optimizer.state.get(self._parameters[name])
            moved = weights if not state else weights.lerp(state["z"], 1.0 - 1.0 / self._beta1)
            self.weights[name].copy_(moved)
        if self._calibrate is not None:
            self._calibrate(self)
