"""CDAT, the curvature dynamics aware tuner: the learning rate that a local parabola asks for, times σ.

    n = max(−g·u, 0)        d = |uᵀHu| + 10⁻⁶|u|²        η = σ·n/d, at most max_learning_rate        w += ηu

u is the base optimizer's update direction (bases.py), g and H gradient and exact Hessian of the same loss on the same
batch: same augmentation, dropout and batch statistics, for uᵀHu comes from the graph that gave g (form.py), so the
closure runs once and batch norm's running statistics move once. σ = 1 goes to the parabola's minimum ("quadratically
greedy"); σ = 2 goes to where the parabola is as high as here, and so holds every base at its own edge of stability:
there ηu = −2(w − w*) along the top mode, and n/d = η/2. On an exact quadratic that is where it stays.

On mini-batches n and d are averaged, each by itself, before the division (`ema` 0.9). The averages begin at zero; what
that takes off is the same part of both and cancels in η. Full batch: `ema` 0.

Source: Roulet, Agarwala, Grill, Swirszcz, Blondel and Pedregosa, arXiv 2407.06183 (found); ours: the relative 10⁻⁶, the
cap, `every`, and decay: coupled decay is in g and H (Σ α|u|² a group), decoupled in neither and scaled by η.

With `every` above 1 the first SETTLING steps measure all the same, for there the curvature changes within a few; and
between two measurements η only falls below what the last one gave: n grows when a step was too long, and would make
the next one longer still (tried: Adam on full batches of digits ran away).

What a step costs beside a plain one: `python -m benchmarks.cdat.step_cost`.
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
from flatdirs.curvature.lr_tuner import Closure, Part, Record, TunedOptimizer, is_number
from flatdirs.curvature.quadratic_form import QuadraticForm
from flatdirs.errors import CurvatureError

RELATIVE_FLOOR = 1e-6  # of |u|², added to |uᵀHu|
SETTLING = 10  # first steps, at each of which the curvature is measured whatever `every` says


class CDAT(TunedOptimizer):
    """A base optimizer at σ times the learning rate that the curvature along its own direction asks for.

        optimizer = CDAT(model.parameters(), base="momentum", sigma=2.0)
        loss = optimizer.step(lambda: cross_entropy(model(x), y))

    The closure returns the loss and does not call backward. Afterwards `.grad` of the parameters holds its gradient;
    parameters that the loss does not depend on are left alone.

    Args:
        params: parameters or groups; the base's settings, momentum to weight_decay, may differ by group, η does not.
        base: gd, momentum, nesterov, rmsprop, adam or adamw; each with torch's update at the rate η.
        sigma: what n/d is multiplied by; 2 is the edge of stability, 1 greedy.
        ema: how much of the averages of n and d is kept at a step, in [0, 1); 0 for full batches, 0.9 for mini-batches.
        max_learning_rate: η is never above it; finite, None for no cap. Wherever uᵀHu passes through zero on its way to
            another sign, n/d has a pole, and without a cap or an ema one such step can end a run. Where most steps are
            at the cap (`learning_rate` says so), gd, momentum and nesterov may want more: benchmarks/cdat has 100.
        momentum: ρ of momentum and nesterov.
        betas: of adam and adamw.
        alpha: memory of rmsprop's squared gradient.
        eps: added to the root of the squared gradient.
        weight_decay: α, coupled except in adamw; None for torch's 0, for adamw 0.01.
        every: steps from one measurement of the curvature to the next, after the first ten; between them n is measured,
            d/|u|² kept, and η at most what it was. With rmsprop, full batches and no ema, more than 1 may end a run.
        quick: False leaves second derivatives to torch alone, at a higher price: for closures with a gradient penalty
            or activation checkpointing, which form.py cannot follow. The rate is the same.

    Raises:
        CurvatureError: a setting that no step could use, a sparse gradient, or a part without a second derivative. Of a
            custom backward pass that is `once_differentiable` torch tells nothing where what arrives there is constant.
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
        if not (is_number(sigma) and 0 < sigma < math.inf):
            raise CurvatureError(f"sigma={sigma} must be finite and above 0; change sigma")
        if not (is_number(ema) and 0 <= ema < 1):
            raise CurvatureError(f"ema={ema} must lie in [0, 1); change ema")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise CurvatureError(f"every={every} must be a whole number of 1 or more; change every")
        if not isinstance(quick, bool):
            raise CurvatureError(f"quick={quick!r} must be True or False; change quick")
        super().__init__(params, base, max_learning_rate, momentum, betas, alpha, eps, weight_decay)
        self.sigma, self.ema, self.every = float(sigma), float(ema), every
        self.quick = quick
        self._steps = 0
        self._checked = False  # whether everything was seen to have a second derivative
        self._slope_average, self._curvature_average = self._scalar(0.0), self._scalar(0.0)
        self._relative_curvature = self._scalar(0.0)  # d/|u|² when it was last measured
        self._most = self._scalar(math.inf)  # η then

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; the loss before it, detached, on the device. Raises CurvatureError."""
        measure = self._steps < SETTLING or self._steps % self.every == 0
        form = QuadraticForm()
        with torch.enable_grad(), twice_differentiable():
            with self._watching(form) if measure else nullcontext():
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
    def _watching(self, form: QuadraticForm) -> Iterator[None]:
        """The forward pass of a step at which the curvature is measured: attention by a kernel that has one."""
        with sdpa_kernel(SDPBackend.MATH), form if self.quick else nullcontext():
            yield

    def _curvature(self, parts: list[Part], form: QuadraticForm | None) -> tuple[Tensor, Tensor]:
        """|u|² and d: |uᵀHu| + 10⁻⁶|u|² where it is measured, else as large a part of |u|² as it last was."""
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
        """σ·n/d of the averages, which take up this step's n and d where they are usable; 0 where there is no slope."""
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
    """CDAT with σ = 1: every step to the minimum of the parabola along u, what a line search would find on it.

        optimizer = QuadraticallyGreedy(model.parameters(), base="momentum")
        loss = optimizer.step(lambda: cross_entropy(model(x), y))

    Args:
        params, base: CDAT's.
        settings: any of CDAT's other keywords, which mean what they mean there, with the same defaults: ema,
            max_learning_rate, momentum, betas, alpha, eps, weight_decay, every, quick.

    Raises:
        CurvatureError: sigma is among them, or what CDAT raises.
    """

    def __init__(self, params: Any, base: str = "gd", **settings: Any) -> None:
        if "sigma" in settings:
            raise CurvatureError("QuadraticallyGreedy is CDAT with sigma=1; drop sigma, or use CDAT")
        super().__init__(params, base, sigma=1.0, **settings)
