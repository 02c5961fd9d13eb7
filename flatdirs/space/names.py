"""The names of hyperparameters: one short name each, the usual long ones as aliases.

Configurations, studies, files and tables use `lr`, `momentum`, `wd`, `beta1`, `beta2` and `batch_size`. Whatever a
person writes, or a study of somebody else's contains, passes through `canonical` first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

ALIASES = {
    "learning_rate": "lr",
    "mom": "momentum",
    "weight_decay": "wd",
    "bs": "batch_size",
    "beta_1": "beta1",
    "adam_beta1": "beta1",
    "beta_2": "beta2",
    "adam_beta2": "beta2",
}
USUAL = frozenset(("momentum", *ALIASES.values()))
OPTIMIZERS = frozenset(["opt", "optim", "optimizer", "optimiser", "sgd", "adam", "adamw"])
SETTINGS = frozenset(["train", "training", "hparams", "hyperparameters", "hp", "params", "args", "cfg", "config"])
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

    A dotted name goes by its last part where the one before it says that the optimizer or the training is meant: lr for
    optimizer.lr, model.optim.learning-rate and optimizer__lr, but None for bn.momentum and lr_decay.
    """
    *parents, last = re.split(r"[./]|__", name.replace("-", "_").lower())
    short = canonical(last)
    if short.removeprefix(ONE_MINUS) not in USUAL or (parents and parents[-1] not in OPTIMIZERS | SETTINGS):
        return None
    return short


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
