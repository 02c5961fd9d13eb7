"""`CurvatureLog`: sharpness, edge of stability and alignment at every k-th step of any training loop.

    log = CurvatureLog(model, optimizer, loss, probe, every=10)
    …                                   # the training loop, unchanged
    log.figure().savefig("curvature.png")

It uses torch's step hooks, so the loop, schedulers, gradient scalers and closures need no change. At the logged steps
it copies the weights and afterwards makes some 6 to 20 Hessian-vector products on the probe, a fixed batch. Weights,
statistics, gradients and random numbers are not changed, so training continues exactly as without the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from flatdirs.curvature.hessian_products import Closure
from flatdirs.curvature.log_record import CurvatureRecord
from flatdirs.curvature.sharpness import NotFoundError, Sharpness, alignment, sharpness
from flatdirs.curvature.stability import coupled_decay, edge_of_stability, preconditioner
from flatdirs.errors import CurvatureError
from flatdirs.setting_checks import require_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CurvatureLog:
    """Appends to `records` at every `every`-th step of an optimizer; also a context manager."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Any, Any], Tensor] | None,
        probe: Any,
        *,
        every: int = 1,
        tolerance: float | None = None,
        piece_size: int | None = None,
        closure: Closure | None = None,
    ) -> None:
        """Start to log.

        Args:
            model: measured in its mode at the step (training or evaluation).
            optimizer: of all parameters of the model that require gradients.
            loss: (output, targets) → mean over the batch.
            probe: the batch (inputs, targets) for all measurements.
            every: steps from one record to the next.
            tolerance: see `sharpness`, also for `piece_size` and `closure`.

        Raises:
            CurvatureError: `every` is not a positive integer, the edge of stability of the optimizer is not known, or
                the model has trainable parameters that the optimizer does not have.
        """
        require_integer("every", every, 1, error=CurvatureError)
        edge_of_stability(optimizer)
        moved = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        if left := sum(parameter.requires_grad and parameter not in moved for parameter in model.parameters()):
            raise CurvatureError(
                f"the optimizer lacks {left} trainable parameters of the model; give them to it, or freeze them with "
                f"requires_grad_(False)",
                key="optimizer",
            )
        self.records: list[CurvatureRecord] = []
        self.every, self._model, self._step = every, model, 0
        self._problem = {"loss": loss, "batch": probe, "closure": closure, "piece_size": piece_size}
        self._tolerance = tolerance
        self._before: dict[Tensor, Tensor] = {}
        self._last: Sharpness | None = None
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]

    def close(self) -> None:
        """Stop logging; the records stay."""
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> CurvatureLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def figure(self) -> Figure:
        """The loss and all logged quantities against the steps."""
        from flatdirs.curvature.figure import curvature_figure

        return curvature_figure(self.records)

    def _before_step(self, *_: Any) -> None:
        self._step += 1
        if self._step % self.every == 0:
            self._before = {p: p.detach().clone() for p in self._model.parameters() if p.requires_grad}

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if not self._before:
            return
        with torch.no_grad():
            update = {parameter: parameter - old for parameter, old in self._before.items()}
            gradients = [p.grad.norm() for p in self._before if p.grad is not None]
            length = float(torch.stack(gradients).norm()) if gradients else math.nan
        self._before = {}
        self.records.append(self._measure(optimizer, update, length))

    def _measure(
        self, optimizer: torch.optim.Optimizer, update: dict[Tensor, Tensor], gradient_norm: float
    ) -> CurvatureRecord:
        """The record of the last step, with nan for a curvature that is not finite."""
        diagonal, threshold = preconditioner(optimizer), edge_of_stability(optimizer)
        found: Sharpness | None = None
        with suppress(NotFoundError):
            found = sharpness(
                self._model,
                preconditioner=diagonal,
                weight_decay=coupled_decay(optimizer),
                start=self._last,
                tolerance=self._tolerance,
                **self._problem,
            )
        self._last = found
        value = math.nan if found is None else found.value
        return CurvatureRecord(
            step=self._step,
            lr=float(optimizer.param_groups[0]["lr"]),
            loss=math.nan if found is None else found.loss,
            gradient_norm=gradient_norm,
            sharpness=value,
            threshold=threshold,
            ratio=value / threshold,
            alignment=math.nan if found is None else alignment(update, found, diagonal),
            residual=math.nan if found is None else found.residual,
            products=0 if found is None else found.products,
        )
