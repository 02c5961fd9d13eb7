"""What a short run of CDAT says of an ordinary schedule: a peak rate and a warm-up length.

    CDAT, σ = 0.25, ema 0.9, the task's own optimizer and batches, STEPS steps → its rates → peak, warm-up

The peak is the median rate of the run's second half; the warm-up ends at the first step whose rate, as the median of
SMOOTH steps, has reached the peak. For `start=cdat`. Source: ours. benchmarks/cdat holds it against step sampling and
chose σ: with the 2 of a full batch the rates of SGD run into their cap on digits and cifar10_small and AdamW's, which
do not, are far too high as well; with 0.25 the peaks are about as good as step sampling's, on digits with SGD a little
worse, with AdamW better. An option. Torch is imported where the run is made.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from flatdirs.training.lr_tuners import MINI_BATCH_EMA, Tuner
from flatdirs.training.records import TrainConfig

STEPS = 60
SIGMA = 0.25  # of 2 and 0.25, the one whose worst shortfall on our tasks is least: benchmarks/cdat/README.md
EMA, CAP = MINI_BATCH_EMA, Tuner.max_learning_rate
SMOOTH = 5
STEP_PRICE = 3.25  # plain steps for one of CDAT's: digits in `python -m benchmarks.cdat.step_cost`; cifar10_small 2.7


@dataclass(frozen=True)
class EdgeStart:
    """What the rates of such a run give: `lr`, the peak of a schedule; `warmup_steps`."""

    learning_rate: float
    warmup_steps: int


def from_rates(rates: Sequence[float]) -> EdgeStart | None:
    """The two numbers; None where the run has no rate above 0."""
    peak = statistics.median(rates[len(rates) // 2 :]) if rates else 0.0
    if not peak > 0:
        return None
    smooth = [statistics.median(rates[max(0, i - SMOOTH + 1) : i + 1]) for i in range(len(rates))]
    reached = next((i + 1 for i, rate in enumerate(smooth) if rate >= peak), len(rates))
    return EdgeStart(float(f"{peak:.6g}"), reached)


def edge_run(config: TrainConfig, steps: int = STEPS, sigma: float = SIGMA) -> tuple[list[float], list[float]]:
    """Rates and losses of a short run of CDAT: the network, batches and optimizer of `config`, its rate unused.

    In float32, whatever the precision of training: second derivatives in 16 bits would be noise.

    Raises:
        ConfigError: the device is not there.
        DataError: the images are missing or broken.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from flatdirs.curvature.cdat import CDAT
    from flatdirs.training.data import load
    from flatdirs.training.device import cpu_threads, resolve_device
    from flatdirs.training.model import build_model
    from flatdirs.tuning.probing import TaskBatches

    device = resolve_device(config.device)
    with cpu_threads(config.cpu_threads):
        dataset = load(config.task, config.data, device)
        model = build_model(dataset.channels, dataset.classes, config.task.width, 2 * config.seed, device).train()
        base, settings = config.optimizer.base(config.momentum_in_force)
        optimizer = CDAT(
            model.parameters(),
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
            losses.append(optimizer.step(lambda x=images, y=labels: cross_entropy(model(x), y)))  # type: ignore[misc]
            rates.append(optimizer.learning_rate)
        return torch.stack(rates).tolist(), torch.stack(losses).tolist()
