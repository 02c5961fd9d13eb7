"""What a task or an optimizer brings along where nothing else is chosen; read without torch.

A text needs other settings than images do, Schedule-Free no schedule. `cli/compose.py` puts them before the words of a
command line, which override them; `tuning/commands.py` leaves them out of the commands that it prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatdirs.training.self_tuning import TUNERS

TEXT: Mapping[str, Any] = {
    "optimizer": "adamw",
    "optimizer.beta2": 0.99,
    "optimizer.no_decay": True,
    "schedule": "cosine",
    "schedule.warmup_epochs": 0.6,
    "metric": "loss",
    "clip_gradient": 1.0,
    "wd": 0.1,
}
RULES: Mapping[str, Mapping[str, Any]] = {"schedulefree": {"schedule": "constant"}}  # by the option of optimizer
RECIPES: Mapping[str, Mapping[str, Any]] = {"text": TEXT, "text_small": TEXT}  # by the option of the group task


def recipe(choices: Mapping[str, str]) -> dict[str, Any]:
    """The recipe of choices["task"] without keys of options that are not chosen, and what choices["optimizer"] needs.

    A schedule that chooses the learning rate does without clipping.
    """
    own = {**RECIPES.get(choices.get("task", ""), {}), **RULES.get(choices.get("optimizer", ""), {})}
    if choices.get("schedule") in TUNERS:
        own.pop("clip_gradient", None)
    groups = (key.partition(".")[0] for key in own)
    other = {group for group in groups if choices.get(group, own.get(group)) != own.get(group)}
    return {key: value for key, value in own.items() if "." not in key or key.partition(".")[0] not in other}
