"""torch.optim.Muon and torch.optim.AdamW as one optimizer, for schedules, gradient scalers and the finder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from flatdirs.training.optimizer_base import RULE, Groups, fused


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for `groups` whose rule is "muon", AdamW for the others; groups hold lr and weight_decay.

    `muon`, `adamw`: further arguments of the two classes.
    """

    def __init__(self, groups: Groups, muon: dict[str, Any], adamw: dict[str, Any], device: torch.device) -> None:
        own = {rule: [group for group in groups if group[RULE] == rule] for rule in ("muon", "adamw")}
        self._parts: dict[str, torch.optim.Optimizer] = {"muon": torch.optim.Muon(own["muon"], **muon)}
        if own["adamw"]:
            self._parts["adamw"] = torch.optim.AdamW(own["adamw"], fused=fused(device), **adamw)
        super().__init__([group for part in self._parts.values() for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both; groups and state are this optimizer's, also after load_state_dict."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for rule, part in self._parts.items():
            part.param_groups = [group for group in self.param_groups if group[RULE] == rule]
            part.state = self.state
            part.step()
        return loss
