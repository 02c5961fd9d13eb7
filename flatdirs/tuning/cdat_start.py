"""`start=cdat`: the peak learning rate and the warm-up of an ordinary schedule from a short run of CDAT.

    CDAT with σ = SIGMA on the task's optimizer and batches, STEPS steps → its learning rates → peak, warm-up

The peak is the median learning rate of the second half of the run; the warm-up ends at the first step at which the
median of the last SMOOTH learning rates reaches the peak. The method is flatdirs' own; benchmarks/cdat compares it
with step sampling and chose σ. CDAT: https://arxiv.org/abs/2407.06183. Imports torch only when it runs.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from flatdirs.training.run_config import TrainConfig
from flatdirs.training.self_tuning import MINI_BATCH_EMA, Tuner

STEPS = 60
SIGMA = 0.25  # benchmarks/cdat/README.md
EMA, CAP = MINI_BATCH_EMA, Tuner.max_learning_rate
SMOOTH = 5
STEP_PRICE = 3.25  # the time of one step of CDAT in plain steps; benchmarks/cdat


@dataclass(frozen=True)
class EdgeStart:
    """The peak learning rate of a schedule, and the steps of its warm-up."""

    learning_rate: float
    warmup_steps: int


def from_rates(rates: Sequence[float]) -> EdgeStart | None:
    """The peak and the warm-up from the learning rates of all steps; None if none is above 0."""
    peak = statistics.median(rates[len(rates) // 2 :]) if rates else 0.0
    if not peak > 0:
        return None
    smooth = [statistics.median(rates[max(0, i - SMOOTH + 1) : i + 1]) for i in range(len(rates))]
    reached = next((i + 1 for i, rate in enumerate(smooth) if rate >= peak), len(rates))
    return EdgeStart(float(f"{peak:.6g}"), reached)


def edge_run(config: TrainConfig, steps: int = STEPS, sigma: float = SIGMA) -> tuple[list[float], list[float]]:
    """Learning rates and losses of every step of a short run of CDAT; `config.lr` is not used.

    In float32 whatever the precision of training, as second derivatives in 16 bits are noise.

    Raises:
        ConfigError: there is no such device.
        DataError: images or text are missing or broken.
    """
    import torch

    from flatdirs.curvature.cdat import CDAT
    from flatdirs.training.data import load
    from flatdirs.training.dataset import mean_loss
    from flatdirs.training.device import cpu_threads, resolve_device
    from flatdirs.training.lora import build_network
    from flatdirs.tuning.probing import TaskBatches

    device = resolve_device(config.device)
    with cpu_threads(config.cpu_threads):
        dataset = load(config.task, config.data, device, config.base)
        model = build_network(config, dataset, device).train()
        base, settings = config.rule.base(config.momentum_in_force)
        optimizer = CDAT(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            base,
            sigma=sigma,
            ema=EMA,
            max_learning_rate=CAP,
            weight_decay=config.wd,
            **settings,
        )
        rates, losses = list[torch.Tensor](), list[torch.Tensor]()
        batches = TaskBatches(config.task, dataset, config.seed, config.images_per_step)
        for images, labels in itertools.islice(batches, steps):
            losses.append(optimizer.step(lambda x=images, y=labels: mean_loss(model(x), y)))  # type: ignore[misc]
            rates.append(optimizer.learning_rate)
        return torch.stack(rates).tolist(), torch.stack(losses).tolist()
