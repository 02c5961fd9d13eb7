"""Stochastic gradient descent with Nesterov momentum and coupled weight decay, in PyTorch's convention.

    g = ∇(mean loss over the batch) + α·w        v = ρ·v + g        w −= λ·(g + ρ·v)

This is the source's optimizer (reference/004), λ and α as it quotes them. All parameters decay, batch norm's included.

The fused kernel does the whole update in one call. At width 8 on two cores it was never slower than `foreach`, and both
beat the loop over parameters; with fp16 it lets a gradient scaler skip a step without asking the device.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter],
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    device: torch.device,
) -> torch.optim.SGD:
    """SGD for `parameters` living on `device`; Nesterov only where there is momentum, as torch demands.

    Velocities begin as zeros, not as torch makes them at the first step: a fused first step that gradient scaling skips
    would leave them uninitialised.
    """
    parameters = list(parameters)
    optimizer = torch.optim.SGD(
        parameters,
        lr=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=momentum > 0,
        fused=True if device.type in ("cpu", "cuda") else None,
    )
    if momentum > 0:
        for parameter in parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every parameter group the rate for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
