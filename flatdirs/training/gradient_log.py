"""What every step did: its gradient's norm before and after clipping, kept on the device until somebody waits for it.

A norm is a number on the device; the host fetches all that have gathered in the one transfer that brings an
evaluation's sums, so recording costs its few small kernels and no synchronisation. Clipping needs the same norm and
scales on the device too (torch.nn.utils.clip_grads_with_norm_).

The norm is over all parameters together, in float32, unscaled with fp16; a step that gradient scaling skips has a norm
that is not finite.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm


class GradientLog:
    """Measures and clips gradients. `clip`: the largest norm a step may have, None for any. `record`: keep them."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], clip: float | None, record: bool) -> None:
        self._parameters = list(parameters)
        self._clip, self._record = clip, record
        self._waiting: list[Tensor] = []
        self._waiting_rates: list[Tensor] = []
        self.norms: list[float] = []
        self.rates: list[float] = []  # of optimizers that find their own

    @torch.no_grad()
    def see(self, rate: Tensor | None = None) -> None:
        """Between a step's backward pass and its update; behind the update, with the `rate` (0-d) that it found."""
        if self._clip is None and not self._record:
            return
        norm = get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self._record:
            self._waiting.append(norm)
            if rate is not None:
                self._waiting_rates.append(rate.to(norm))
        if self._clip is not None:
            clip_grads_with_norm_(self._parameters, self._clip, norm)

    def fetch(self, sums: Iterable[Tensor]) -> list[float]:
        """These numbers from the device, and in the same transfer the norms that wait there, which `norms` then has."""
        sums = list(sums)
        values: list[float] = torch.stack([*sums, *self._waiting, *self._waiting_rates]).tolist()
        ends = len(sums), len(sums) + len(self._waiting)
        self.norms += values[ends[0] : ends[1]]
        self.rates += values[ends[1] :]
        self._waiting.clear()
        self._waiting_rates.clear()
        return values[: ends[0]]

    def clipped(self) -> list[float]:
        """The norms that the updates were made with."""
        return self.norms if self._clip is None else [min(norm, self._clip) for norm in self.norms]
