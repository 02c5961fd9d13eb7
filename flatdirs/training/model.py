"""Myrtle's nine-layer residual network, which trains to 94 % on CIFAR-10 in 24 epochs at width 64.

    prep    conv-BN-ReLU w
    layer1  conv-BN-ReLU 2w, max-pool 2, x + two conv-BN-ReLU
    layer2  conv-BN-ReLU 4w, max-pool 2
    layer3  conv-BN-ReLU 8w, max-pool 2, x + two conv-BN-ReLU
    head    global max-pool, linear without bias, × 0.125

From https://myrtle.ai/learn/how-to-train-your-resnet/. Images have 8 × 8 pixels or more. Weights are drawn on the CPU
from a generator of the run: the same on every device, and the global random state does not change.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LOGIT_SCALE = 0.125


class ConvolutionBlock(nn.Module):
    """3 × 3 convolution, batch norm, ReLU: (n, in, h, w) → (n, out, h, w)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        # the counter serves cumulative averages, which are not used, and costs one small kernel per layer and step
        self.norm.num_batches_tracked = None

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu_(self.norm(self.convolution(images)))


class Residual(nn.Module):
    """x + two convolution blocks of x, the shape unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvolutionBlock(channels, channels)
        self.second = ConvolutionBlock(channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.second(self.first(images))
        return images + found


class ResidualNetwork(nn.Module):
    """Images (n, in_channels, h, w), h and w at least 8 → logits (n, classes)."""

    def __init__(self, in_channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvolutionBlock(in_channels, width),
            ConvolutionBlock(width, 2 * width),
            nn.MaxPool2d(2),
            Residual(2 * width),
            ConvolutionBlock(2 * width, 4 * width),
            nn.MaxPool2d(2),
            ConvolutionBlock(4 * width, 8 * width),
            nn.MaxPool2d(2),
            Residual(8 * width),
        )
        self.head = nn.Linear(8 * width, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        pooled: Tensor = self.features(images).amax(dim=(2, 3))
        logits: Tensor = self.head(pooled)
        return logits * LOGIT_SCALE


def build_model(in_channels: int, classes: int, width: int, seed: int, device: torch.device) -> ResidualNetwork:
    """Build a network on `device`, channels-last; its weights depend on `seed` only."""
    with torch.device("meta"):
        model = ResidualNetwork(in_channels, classes, width)
    initialise(model, torch.Generator().manual_seed(seed))
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Initialise every weight on the CPU: uniform in ±1/√fan_in, torch's default; batch norm is the identity."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            size = module.num_features
            module.weight, module.bias = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
            module.running_mean, module.running_var = torch.zeros(size), torch.ones(size)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            bound = 1.0 / math.sqrt(module.weight[0].numel())
            module.weight = nn.Parameter(torch.empty(module.weight.shape).uniform_(-bound, bound, generator=generator))
