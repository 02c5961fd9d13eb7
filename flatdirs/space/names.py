"""The names of hyperparameters: one short name each, the usual long ones as aliases.

Configurations, studies, files and tables use `lr`, `momentum`, `wd`, `beta1`, `beta2` and `batch_size`, with Muon
`adamw_lr` (the rate of its AdamW part), with LoRA `lora_rank` and `lora_alpha`. Whatever a person writes, or a study of
somebody else's contains, passes through `canonical` first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

SPELLINGS = {
    "lr": "learning_rate learningrate",
    "momentum": "mom sgd_momentum",
    "wd": "weight_decay weightdecay",
    "beta1": "beta_1 adam_beta1 adam_beta_1 adamw_beta1",
    "beta2": "beta_2 adam_beta2 adam_beta_2 adamw_beta2",
    "batch_size": "bs batchsize train_batch_size per_device_train_batch_size",
    "adamw_lr": "lr_adamw adam_lr",
    "lora_rank": "lora_r lora_dim",
    "lora_alpha": "",
}
ALIASES = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings.split()}
ELSEWHERE = re.compile(  # in a word before the last dot: something else has this name
    "schedulers?|sched|schedule|warmup|decay|ema|swa|bn|batchnorm|norm|teacher|target|moco|byol|queue|loss|criterion|"
    "eval|evaluation|test|val|valid|validation|dev|predict|inference|logger|wandb"
)
ONE_MINUS = "one_minus_"  # one_minus_momentum is 1 − momentum


def canonical(name: str) -> str:
    """The short name of a hyperparameter, `one_minus_` kept: lr for learning_rate."""
    bare = name.removeprefix(ONE_MINUS)
    return name.removesuffix(bare) + ALIASES.get(bare, bare)


def hyperparameter(name: str) -> str:
    """The hyperparameter that a parameter of a study stands for: momentum for one_minus_momentum."""
    return canonical(name).removeprefix(ONE_MINUS)


def recognized(name: str) -> str | None:
    """The short name for what other people's code calls a hyperparameter, None where there is doubt.

    A dotted name goes by its last part, lr for model.optim.learning-rate and optimizer__lr, unless a part before it
    says that something else is meant: None for bn.momentum, and for every other name, such as lr_decay.
    """
    *parents, last = re.split(r"[./]|__", name.replace("-", "_").lower())
    short = canonical(last)
    if short.removeprefix(ONE_MINUS) not in SPELLINGS:
        return None
    return None if any(ELSEWHERE.fullmatch(word) for part in parents for word in part.split("_")) else short


def canonical_keys(values: Mapping[str, T]) -> dict[str, T]:
    """The mapping with short names as keys."""
    return {canonical(name): value for name, value in values.items()}


def all_names(name: str) -> list[str]:
    """All names of a hyperparameter, the short one first."""
    return [name, *(alias for alias, short in ALIASES.items() if short == name)]


def enters_as_one_minus(name: str) -> bool:
    """Whether a hyperparameter enters products as 1 − value, as decay rates of averages do."""
    return name in ("momentum", "beta1", "beta2")


def label(name: str, one_minus: bool = False) -> str:
    """The name of a hyperparameter, or of 1 − value, in tables and axis names: lr, 1−momentum."""
    return f"1−{name}" if one_minus else name
