"""What AdamW's start takes from the size of a language model and its batches: the weight decay, and a word on beta2.

    T·lr·wd = 4.5·(tokens per parameter/20)^0.527      beta2 → beta2^κ at κ times the tokens of a step

T·lr·wd is the number of weight-decay timescales in a run. The exponent of its optimum is that of arXiv 2505.13738,
which finds 4 to 5 at 20 tokens per parameter; ours: it never falls below 1, the number of other models. beta2 keeps its
half-life in tokens at small batches (arXiv 2507.07101).
"""

from __future__ import annotations

import math

from flatdirs.training.optimizer import AdamW
from flatdirs.training.recipes import TEXT
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.task import TextTask

LEAST = 1.0  # T·lr·wd of other models
OPTIMUM, MEASURED_AT, EXPONENT = 4.5, 20.0, 0.527
BETA2_CHARACTERS = 1024  # in a step of task=text, for which its recipe has its beta2
SMALL = 4  # steps of so many times fewer are small


def timescales(tokens_per_parameter: float) -> float:
    """T·lr·wd at the optimum of a language model with AdamW."""
    return max(LEAST, OPTIMUM * math.pow(tokens_per_parameter / MEASURED_AT, EXPONENT))


def tokens_per_parameter(config: TrainConfig) -> float | None:
    """Characters that a run of a text with AdamW sees, per parameter; None for any other run. Raises DataError."""
    task = config.task
    if not (isinstance(task, TextTask) and isinstance(config.optimizer, AdamW)):
        return None
    import torch

    from flatdirs.training.data import load

    device = torch.device("cpu")
    model = load(task, config.data, device).model(task, 0, device)
    tokens = config.total_steps * config.images_per_step * task.context
    return tokens / sum(parameter.numel() for parameter in model.parameters())


def beta2_for_small_batches(config: TrainConfig) -> float | None:
    """The beta2 that holds the half-life of a text's recipe in characters; None where batches are not small.

    None as well where beta2 is not the recipe's.
    """
    task, optimizer = config.task, config.optimizer
    if not (isinstance(task, TextTask) and isinstance(optimizer, AdamW) and optimizer.beta2 == TEXT["optimizer.beta2"]):
        return None
    share = config.images_per_step * task.context / BETA2_CHARACTERS
    return float(f"{optimizer.beta2**share:.4g}") if share * SMALL <= 1 else None
