"""The curvature of one of our own runs: which images it is measured on, and in which precision.

The probe is the first images of the training part, as they are, without augmentation; batch norm takes their own
statistics, as in training. It runs in float32 whatever the precision of training: second derivatives in 16 bits would
be noise. Between the trainer's loop and curvature/recorder.py, which knows no task.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flatdirs.curvature.log import CurvatureLog
from flatdirs.training.data import Dataset
from flatdirs.training.records import CurvatureConfig


def watch(
    config: CurvatureConfig, model: nn.Module, optimizer: torch.optim.Optimizer, dataset: Dataset
) -> CurvatureLog | None:
    """A log that listens to `optimizer` from now on; None where nothing is to be logged.

    Raises:
        CurvatureError: the optimizer's edge of stability is not known.
    """
    if not config.every:
        return None
    split = dataset.train
    probe = split.images[: config.images], split.labels[: config.images]
    return CurvatureLog(model, optimizer, _loss, probe, every=config.every)


def _loss(logits: Tensor, labels: Any) -> Tensor:
    return cross_entropy(logits.float(), labels)
