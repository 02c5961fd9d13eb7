"""One probe: from the same state, a few steps at a constant learning rate, then the validation loss.

The procedure is that of https://openreview.net/forum?id=Q1XWSM8ftl. Ours: batch norm uses the statistics of the
validation batch, as its running ones lag after so few steps, while dropout is off; parameter groups keep the ratios of
their rates; a probe that diverges stops at once and counts as infinite.
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

HUGE = 1e18  # weights beyond this count as diverged


@dataclass
class Cost:
    """Optimizer steps, training batches and evaluated batches (forward passes only) so far."""

    steps: int = 0
    trained_batches: int = 0
    evaluated_batches: int = 0


@dataclass(frozen=True)
class Prober:
    """Probes a model, always from the state in `snapshot`.

    `batches` has the training batches of each seed, `accumulate` of which make a step. `validation` None: the loss of
    the training batches counts. `cost` is updated.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    closure: Closure
    batches: Sequence[Sequence[Any]]
    validation: Sequence[Any] | None
    snapshot: Snapshot
    device: torch.device
    accumulate: int = 1
    scaler: Any = None
    clip_norm: float | None = None
    cost: Cost = field(default_factory=Cost)

    def initial_losses(self) -> list[float]:
        """The losses at rate 0, one per seed. Raises FinderError if one is not finite."""
        losses = []
        for seed in range(len(self.batches)):
            self._begin(seed)
            losses.append(self._evaluate(seed))
        if not all(map(math.isfinite, losses)):
            raise FinderError(
                f"the loss is {losses[0]} before any training; correct the model, the loss or the batches", key="loss"
            )
        return losses

    def losses(self, learning_rate: float) -> list[float]:
        """The losses after the steps at `learning_rate`, one per seed; infinity if a probe diverged."""
        return [self._probe(learning_rate, seed) for seed in range(len(self.batches))]

    def _begin(self, seed: int) -> None:
        """Restore the initial state in training mode; seeds after the first draw other random numbers."""
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
            loss = self._train_and_evaluate(seed)
        except (ValueError, RuntimeError, AssertionError):
            if self._is_finite():
                raise
            return math.inf  # a model or loss that raises for nan
        return loss if math.isfinite(loss) else math.inf

    def _train_and_evaluate(self, seed: int) -> float:
        batches = self.batches[seed]
        for first in range(0, len(batches), self.accumulate):
            if not self._step(batches[first : first + self.accumulate]):
                return math.inf
        return self._evaluate(seed)

    def _is_finite(self) -> bool:
        """Whether all weights and buffers are finite and below HUGE."""
        state = [*self.model.parameters(), *self.model.buffers()]
        return all(bool((part.detach().abs() < HUGE).all()) for part in state if part.is_floating_point())

    def _step(self, batches: Sequence[Any]) -> bool:
        """One optimizer step on the mean of a few batches; returns whether their losses were finite."""
        self.cost.steps += 1
        losses = []
        for batch in batches:
            loss = self.closure(self.model, moved(batch, self.device)) / len(batches)
            if not loss.requires_grad:
                raise FinderError("the loss does not depend on a trainable parameter; change loss", key="loss")
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
    def _evaluate(self, seed: int) -> float:
        """The mean loss over the validation batches or, without any, the training batches of this seed."""
        normalising = [part for part in self.model.modules() if isinstance(part, _NormBase) and part.training]
        self.model.eval()
        for part in normalising:
            part.train()
        batches = self.batches[seed] if self.validation is None else self.validation
        self.cost.evaluated_batches += len(batches)
        losses = [self.closure(self.model, moved(batch, self.device)).detach() for batch in batches]
        return float(torch.stack(losses).cpu().double().mean())


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _set_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set `learning_rate` in the group with the highest rate, and keep the ratios of the others to it.

    If a warm-up scheduler has set all rates to 0, the ratios are those of initial_lr.
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
