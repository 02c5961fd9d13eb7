"""One probe: from the same state, a few steps at one constant learning rate, then the loss on the validation batches.

Source of the procedure: reference/001. Ours: batch norm is judged with the statistics of the validation batch, since
its running ones lag after so few steps, while dropout is off; parameter groups keep the ratio of their rates; a probe
that diverges stops at once and counts as infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from flatdirs.errors import FinderError
from flatdirs.lr_finder.batches import Closure, moved
from flatdirs.lr_finder.snapshot import Snapshot
from flatdirs.random_state import reseed

HUGE = 1e18  # a weight beyond this has left all that could be trained


@dataclass
class Cost:
    """What the probes have cost so far: optimizer steps, batches trained on, batches run forward alone."""

    steps: int = 0
    trained_batches: int = 0
    judged_batches: int = 0


@dataclass(frozen=True)
class Prober:
    """Probes a model. `snapshot` is the state that each begins from; `stretches` has the training batches of each seed.

    `accumulate` batches make a step. `cost` counts what was done.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    closure: Closure
    stretches: Sequence[Sequence[Any]]
    judged: Sequence[Any] | None
    snapshot: Snapshot
    device: torch.device
    accumulate: int = 1
    scaler: Any = None
    clip_norm: float | None = None
    cost: Cost = field(default_factory=Cost)

    def initial_losses(self) -> list[float]:
        """The losses at rate 0, one a seed. Raises FinderError where one is not finite."""
        losses = []
        for seed in range(len(self.stretches)):
            self._begin(seed)
            losses.append(self._judge(seed))
        if not all(map(math.isfinite, losses)):
            raise FinderError(
                f"the loss is {losses[0]} before any training; mend the model, the loss or the batches first"
            )
        return losses

    def losses(self, learning_rate: float) -> list[float]:
        """The losses after the steps at `learning_rate`, one a seed; inf where a probe diverged."""
        return [self._probe(learning_rate, seed) for seed in range(len(self.stretches))]

    def _begin(self, seed: int) -> None:
        """The state that every probe begins from, ready to learn; seeds after the first draw other random numbers."""
        self.snapshot.restore()
        for parameter in _parameters(self.optimizer):
            parameter.grad = None
        if not self.model.training:
            self.model.train()
        if seed:
            reseed(seed)

    def _probe(self, learning_rate: float, seed: int) -> float:
        self._begin(seed)
        _set_rate(self.optimizer, learning_rate)
        try:
            loss = self._train_and_judge(seed)
        except (ValueError, RuntimeError, AssertionError):
            if self._is_finite():
                raise
            return math.inf  # a model or a loss that refuses nan
        return loss if math.isfinite(loss) else math.inf

    def _train_and_judge(self, seed: int) -> float:
        batches = self.stretches[seed]
        for first in range(0, len(batches), self.accumulate):
            if not self._step(batches[first : first + self.accumulate]):
                return math.inf
        return self._judge(seed)

    def _is_finite(self) -> bool:
        """Whether all weights and buffers are numbers, and none so large that the next product is none."""
        state = [*self.model.parameters(), *self.model.buffers()]
        return all(bool((part.detach().abs() < HUGE).all()) for part in state if part.is_floating_point())

    def _step(self, batches: Sequence[Any]) -> bool:
        """One optimizer step over the mean of a few batches; whether their losses were finite."""
        self.cost.steps += 1
        losses = []
        for batch in batches:
            loss = self.closure(self.model, moved(batch, self.device)) / len(batches)
            if not loss.requires_grad:
                raise FinderError("the loss depends on no parameter that learns; let loss use what the model returns")
            losses.append(loss.detach())
            self.cost.trained_batches += 1
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        if not bool(torch.isfinite(torch.stack(losses)).all()):
            return False
        if self.clip_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(list(_parameters(self.optimizer)), self.clip_norm)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        for parameter in _parameters(self.optimizer):
            parameter.grad = None
        return True

    @torch.no_grad()
    def _judge(self, seed: int) -> float:
        """The mean loss over the validation batches, or over the training batches of this seed where there are none."""
        normalising = [part for part in self.model.modules() if isinstance(part, _NormBase) and part.training]
        self.model.eval()
        for part in normalising:
            part.train()
        batches = self.stretches[seed] if self.judged is None else self.judged
        self.cost.judged_batches += len(batches)
        losses = [self.closure(self.model, moved(batch, self.device)).detach() for batch in batches]
        return float(torch.stack(losses).cpu().double().mean())


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _set_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give the group with the highest rate `learning_rate` and the others their share of it.

    Where a warm-up begins with 0 for all, the rates it leads to tell.
    """
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if max(rates) == 0:
        rates = [float(group.get("initial_lr", 0.0)) for group in optimizer.param_groups]
    highest = max(rates)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        own = learning_rate * (rate / highest if highest > 0 else 1.0)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own
