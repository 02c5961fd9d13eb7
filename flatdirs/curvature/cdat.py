"""CDAT, the curvature dynamics aware tuner (arXiv 2407.06183): σ times the learning rate of a local parabola.

    n = max(−g·u, 0)        d = |uᵀHu| + 10⁻⁶|u|²        η = σ·n/d, at most max_learning_rate        w += ηu

u: update direction of the base optimizer; g, H: gradient and exact Hessian of one loss on one batch, from one run of
the closure. σ = 1 goes to the minimum of the parabola; σ = 2 to where it is as high as at the start, which holds every
base optimizer at its edge of stability on a quadratic (n/d = η/2). On mini-batches n and d are averaged before the
division (`ema` 0.9; 0 on full batches). Ours: 10⁻⁶, the cap, `every`, and weight decay (coupled: in g, and α|u|² in
uᵀHu; decoupled: in neither, scaled by η). With `every` above 1, the first SETTLING steps all measure, and between two
measurements η is at most the last one: n grows after a step that was too long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from flatdirs.curvature.hessian_products import refuse_dead_ends, twice_differentiable
from flatdirs.curvature.quadratic_form import QuadraticForm
from flatdirs.curvature.self_tuning_optimizer import Closure, LearningRateTuner, Part, Record
from flatdirs.errors import CurvatureError
from flatdirs.setting_checks import require_boolean, require_integer, require_number

RELATIVE_FLOOR = 1e-6  # of |u|², added to |uᵀHu|
SETTLING = 10  # first steps, which measure the curvature whatever `every` is


class CDAT(LearningRateTuner):
    """A base optimizer at σ times the learning rate that the curvature along its update direction gives.

        optimizer = CDAT(model.parameters(), base="momentum", sigma=2.0)
        loss = optimizer.step(lambda: cross_entropy(model(x), y))

    The closure returns the loss and does not call backward. After a step `.grad` holds the gradient; parameters that
    the loss does not depend on do not change.

    Args:
        params: parameters or groups; momentum to weight_decay may differ between groups, η does not.
        base: gd, momentum, nesterov, rmsprop, adam or adamw, with torch's update at the rate η.
        sigma: factor of n/d; 2 is the edge of stability, 1 is greedy.
        ema: decay of the averages of n and d, in [0, 1); 0 for full batches, 0.9 for mini-batches.
        max_learning_rate: cap of η; None for no cap. n/d has a pole where uᵀHu changes sign, and without cap and ema
            one such step can make a run diverge. If `learning_rate` is at the cap in most steps, try a higher one.
        momentum: of momentum and nesterov.
        betas: of adam and adamw.
        alpha: decay of rmsprop's average of squared gradients.
        eps: added to the root of the squared gradient.
        weight_decay: coupled, except for adamw; None for 0, for adamw 0.01.
        every: measure the curvature at every so many steps after the first ten; in between d/|u|² is kept.
        quick: False computes second derivatives by torch alone, which is slower: for closures with a gradient penalty
            or activation checkpointing. η is the same.

    Raises:
        CurvatureError: a setting out of range, a sparse gradient, or an operation without a second derivative. (A
            custom backward pass marked `once_differentiable` is not detected if the gradient it gets is constant.)
    """

    settings: ClassVar[tuple[str, ...]] = ("sigma", "ema", "every", "max_learning_rate")

    def __init__(
        self,
        params: Any,
        base: str = "gd",
        sigma: float = 2.0,
        ema: float = 0.0,
        max_learning_rate: float | None = 1.0,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999),
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float | None = None,
        every: int = 1,
        quick: bool = True,
    ) -> None:
        require_number("sigma", sigma, 0, above=True, error=CurvatureError)
        require_number("ema", ema, 0, 1, below=True, error=CurvatureError)
        require_integer("every", every, 1, error=CurvatureError)
        require_boolean("quick", quick, CurvatureError)
        super().__init__(params, base, max_learning_rate, momentum, betas, alpha, eps, weight_decay)
        self.sigma, self.ema, self.every = float(sigma), float(ema), every
        self.quick = quick
        self._steps = 0
        self._checked = False  # whether second derivatives were seen to exist
        self._slope_average, self._curvature_average = self._scalar(0.0), self._scalar(0.0)
        self._relative_curvature = self._scalar(0.0)  # d/|u|² at the last measurement
        self._most = self._scalar(math.inf)  # η at the last measurement

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """Take one step; the loss before it, detached, on the device. Raises CurvatureError."""
        measure = self._steps < SETTLING or self._steps % self.every == 0
        form = QuadraticForm()
        with torch.enable_grad(), twice_differentiable():
            with self._recording(form) if measure else nullcontext():
                loss = closure()
            parts = self._parts(loss, create_graph=measure)
            if measure and not self._checked:
                refuse_dead_ends([gradient for part in parts for gradient in part.gradients])
                self._checked = True
        loss = loss.detach()
        slope = (-self._slope(parts)).clamp_min(0.0)
        size, curvature = self._curvature(parts, form if measure else None)
        usable = torch.isfinite(loss) & torch.isfinite(slope) & torch.isfinite(curvature)
        self._steps += 1
        if measure:
            self._relative_curvature = torch.where(usable & (size > 0), curvature / size, self._relative_curvature)
        rate = self._next_rate(slope, curvature, usable)
        if measure:
            self._most = torch.where(usable & (rate > 0), rate, self._most)
        else:
            rate = torch.minimum(rate, self._most)
        self._advance(parts, rate, usable)
        self._rate = torch.where(usable, rate, self._rate)
        self.last = Record(self._rate, slope, curvature)
        self._publish()
        return loss

    @contextmanager
    def _recording(self, form: QuadraticForm) -> Iterator[None]:
        """The forward pass of a step that measures the curvature; fused attention has no second derivative."""
        with sdpa_kernel(SDPBackend.MATH), form if self.quick else nullcontext():
            yield

    def _curvature(self, parts: list[Part], form: QuadraticForm | None) -> tuple[Tensor, Tensor]:
        """|u|² and d, from uᵀHu if it is measured, else with the last d/|u|²."""
        sizes = [torch.dot(part.row, part.row) for part in parts]
        size = sum(sizes, start=self._scalar(0.0))
        if form is None:
            return size, self._relative_curvature * size
        if not parts:
            return size, size
        rows = [[*zip(part.gradients, part.parameters, part.directions, strict=True)] for part in parts]
        with twice_differentiable():
            along = form.along(*zip(*(row for own in rows for row in own), strict=True))
        for part, own in zip(parts, sizes, strict=True):
            if part.coupled:
                along = along + part.coupled * own
        return size, along.abs() + RELATIVE_FLOOR * size

    def _next_rate(self, slope: Tensor, curvature: Tensor, usable: Tensor) -> Tensor:
        """σ·n/d of the averages, which include this step's n and d if they are usable; 0 without curvature."""
        kept = self.ema
        averages = (self._slope_average, slope), (self._curvature_average, curvature)
        self._slope_average, self._curvature_average = (
            torch.where(usable, kept * average + (1.0 - kept) * new, average) for average, new in averages
        )
        positive = self._curvature_average > 0
        rate = torch.where(positive, self.sigma * self._slope_average / self._curvature_average, 0.0)
        return rate if self.max_learning_rate is None else rate.clamp_max(self.max_learning_rate)

    def _extra_state(self) -> dict[str, Any]:
        return {
            "steps": self._steps,
            "slope": self._slope_average.clone(),
            "curvature": self._curvature_average.clone(),
            "relative_curvature": self._relative_curvature.clone(),
            "most": self._most.clone(),
        }

    def _load_extra_state(self, extra: dict[str, Any]) -> None:
        self._steps = extra["steps"]
        self._slope_average, self._curvature_average = extra["slope"], extra["curvature"]
        self._relative_curvature, self._most = extra["relative_curvature"], extra["most"]


class QuadraticallyGreedy(CDAT):
    """CDAT with σ = 1: every step goes to the minimum of the parabola along u.

        optimizer = QuadraticallyGreedy(model.parameters(), base="momentum")
        loss = optimizer.step(lambda: cross_entropy(model(x), y))

    Args:
        params, base: as for CDAT.
        settings: CDAT's other keywords.

    Raises:
        CurvatureError: sigma is given, or as CDAT.
    """

    def __init__(self, params: Any, base: str = "gd", **settings: Any) -> None:
        if "sigma" in settings:
            raise CurvatureError("sigma has no effect with QuadraticallyGreedy; remove it, or use CDAT", key="sigma")
        super().__init__(params, base, sigma=1.0, **settings)
