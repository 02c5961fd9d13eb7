"""The gradient norm of every step before and after clipping, kept on the device until the next evaluation.

The host fetches all norms in the one transfer that brings the sums of an evaluation, so recording costs a few small
kernels and no synchronisation. Clipping uses the same norm and also runs on the device.

The norm is that of all parameters together, in float32, unscaled with fp16; a step that gradient scaling skips has a
norm that is not finite.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm


class GradientLog:
    """Measures and clips gradients. `clip`: the largest norm of a step, None for no limit. `record`: keep the norms."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], clip: float | None, record: bool) -> None:
        self._parameters = list(parameters)
        self._clip, self._record = clip, record
        self._waiting_norms: list[Tensor] = []
        self._waiting_rates: list[Tensor] = []
        self.norms: list[float] = []
        self.rates: list[float] = []  # of optimizers that choose their learning rate

    @torch.no_grad()
    def see(self, rate: Tensor | None = None) -> None:
        """Call between backward pass and update, or after the update with the `rate` (0-d) that the optimizer chose."""
        if self._clip is None and not self._record:
            return
        norm = get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self._record:
            self._waiting_norms.append(norm)
            if rate is not None:
                self._waiting_rates.append(rate.to(norm))
        if self._clip is not None:
            clip_grads_with_norm_(self._parameters, self._clip, norm)

    def fetch(self, sums: Iterable[Tensor]) -> list[float]:
        """Transfer `sums` from the device, and with them the waiting norms, which are appended to `norms`."""
        sums = list(sums)
        values: list[float] = torch.stack([*sums, *self._waiting_norms, *self._waiting_rates]).tolist()
        ends = len(sums), len(sums) + len(self._waiting_norms)
        self.norms += values[ends[0] : ends[1]]
        self.rates += values[ends[1] :]
        self._waiting_norms.clear()
        self._waiting_rates.clear()
        return values[: ends[0]]

    def clipped(self) -> list[float]:
        """The norms after clipping."""
        return self.norms if self._clip is None else [min(norm, self._clip) for norm in self.norms]
