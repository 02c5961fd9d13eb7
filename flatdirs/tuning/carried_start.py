"""`start=carried`: the nearest of some published settings, carried over to this task by the rules of carrying/rules.py.

It costs no run. The nearest is that of the same kind of data and the same optimizer whose batch size and number of
steps lie fewest octaves away.
"""

from __future__ import annotations

from flatdirs.carrying.public_settings import carried_to, nearest
from flatdirs.carrying.setup import OPTIMIZERS, Setup
from flatdirs.setting_checks import wrong
from flatdirs.space.grid import significant
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.task import TextTask
from flatdirs.tuning.formatting import assignments, exact


def carried_start(training: TrainConfig, most_decay: float) -> tuple[dict[str, float], str]:
    """lr and wd of the nearest published setting for this run, and what to say of it.

    wd is at most `most_decay`, which is then said: runs much shorter than the published ones would ask for more than
    the loss can hold against. Raises ConfigError (start.lr) where no published setting has this optimizer on such data.
    """
    optimizer, momentum = training.optimizer, training.momentum_in_force
    kind, setup = _setup(training)
    entry = None if setup is None else nearest(kind, setup)
    if entry is None or setup is None:
        problem = f"has no published setting of optimizer={optimizer.name} on {kind} to begin from"
        raise wrong("start.lr", "carried", problem, remedy="set it to a number, or start=auto")
    found = carried_to(entry, setup, {optimizer.momentum_name: momentum}).setting
    rate = significant(found["lr"] / optimizer.peak_rate(1.0, training.images_per_step))
    there = f"{entry.setup.steps} steps of {entry.setup.batch_size} there, {setup.steps} of {setup.batch_size} here"
    told = f"from {entry.name} ({assignments(entry.setting)}; {entry.link}); {there}"
    if found["wd"] > most_decay:
        told += f"; wd would be {exact(significant(found['wd']))}, too much for so short a run"
    return {"lr": rate, "wd": significant(min(found["wd"], most_decay))}, told


def _setup(training: TrainConfig) -> tuple[str, Setup | None]:
    """The kind of data, and the setup in images or tokens; None for an optimizer that no rule speaks of."""
    task, name = training.task, training.optimizer.name
    text = isinstance(task, TextTask)
    kind = "text" if text else "images"
    if name not in OPTIMIZERS:
        return kind, None
    per_example = task.context if isinstance(task, TextTask) else 1
    batch_size, width = training.images_per_step * per_example, task.width if text else None
    return kind, Setup(name, batch_size, steps=training.total_steps, width=width)
