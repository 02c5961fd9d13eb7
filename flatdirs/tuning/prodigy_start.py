"""`start=prodigy`: the peak learning rate of AdamW from one run of Prodigy (https://arxiv.org/abs/2306.06101).

The run has the task's own schedule, batches, weight decay and decay rates; its last estimate d, which multiplies an
update like AdamW's, is the learning rate. The package prodigyopt is an extra, flatdirs[optimizers].
"""

from __future__ import annotations

from dataclasses import replace

from flatdirs.errors import FinderError
from flatdirs.setting_checks import wrong
from flatdirs.training.optimizer import AdamW
from flatdirs.training.packaged_optimizers import Prodigy
from flatdirs.training.run_config import CurvatureConfig, TrainConfig

UNMOVED = 1e-6  # where Prodigy's estimate begins


def prodigy_rate(config: TrainConfig) -> float:
    """The learning rate per step that a run of Prodigy ends at; `config` is a run of AdamW, whose lr is not used.

    Raises:
        ConfigError: another optimizer.
        DataError: images or text are missing or broken.
        FinderError: the run diverged, or its estimate never rose.
        MissingExtra: prodigyopt is not installed.
    """
    from flatdirs.training.loop import train

    rule = config.rule
    if not isinstance(rule, AdamW):
        problem = f"finds a rate for optimizer=adamw, not for optimizer={rule.name}"
        raise wrong("start.lr", "prodigy", problem, remedy="choose optimizer=adamw, or set start.lr to a number")
    prodigy = Prodigy(rule.no_decay, beta2=rule.beta2, epsilon=max(rule.epsilon, Prodigy.epsilon))
    run = replace(
        config, optimizer=prodigy, beta2=None, lr=prodigy.usual_lr, curvature=CurvatureConfig(), record_steps=False
    )
    result = train(run)
    if result.diverged or not result.found_rate or result.found_rate <= UNMOVED:
        raise FinderError("a run of Prodigy found no lr; set start.lr to a number", key="start.lr")
    return result.found_rate
