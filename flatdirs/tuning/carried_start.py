"""`start=carried`: the nearest of some published settings, carried over to this task by the rules of carrying/rules.py.

It costs no run. The nearest is that of the same kind of data and the same optimizer whose batch size and number of
steps lie fewest octaves away.
"""

from __future__ import annotations

from flatdirs.carrying.not_covered import largest_decay
from flatdirs.carrying.public_settings import carried_to, nearest
from flatdirs.carrying.setup import OPTIMIZERS, Setup
from flatdirs.setting_checks import wrong
from flatdirs.space.grid import significant
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.task import TextTask
from flatdirs.tuning.formatting import exact


def carried_start(training: TrainConfig) -> tuple[dict[str, float], str]:
    """lr and wd of the nearest published setting for this run, and a sentence on which one it is.

    wd goes no further than where weight decay acts as fast as momentum averages, which the sentence then says. Raises
    ConfigError (start.lr) where no published setting has this optimizer on such data.
    """
    task, optimizer = training.task, training.optimizer
    text = isinstance(task, TextTask)
    kind, per_example = ("text", task.context) if isinstance(task, TextTask) else ("images", 1)
    batch_size = training.images_per_step * per_example
    entry = None
    if optimizer.name in OPTIMIZERS:
        setup = Setup(optimizer.name, batch_size, steps=training.total_steps, width=task.width if text else None)
        entry = nearest(kind, setup)
    if entry is None:
        problem = f"has no published setting of optimizer={optimizer.name} on {kind} to begin from"
        raise wrong("start.lr", "carried", problem, remedy="set it to a number, or start=auto")
    momentum = training.momentum_in_force
    found = carried_to(entry, setup, {optimizer.momentum_name: momentum}).setting
    limit = largest_decay(optimizer.name, found["lr"], momentum)
    capped = found["wd"] > limit
    rate = significant(found["lr"] / optimizer.peak_rate(1.0, training.images_per_step))
    numbers = {"lr": rate, "wd": significant(min(found["wd"], limit))}
    return numbers, _story(entry.name, entry.link, entry.setting, significant(found["wd"]) if capped else None)


def _story(name: str, link: str, setting: object, uncapped: float | None) -> str:
    assert isinstance(setting, dict)
    told = " ".join(f"{key}={exact(value)}" for key, value in setting.items())
    limit = "" if uncapped is None else f"; wd would be {exact(uncapped)} and ends where momentum averages as fast"
    return f"from {name} ({told}, {link}){limit}"
