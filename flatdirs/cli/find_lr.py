"""`flatdirs find-lr`: find a learning rate for one of the image tasks by step sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from flatdirs.cli import run_command


def run(settings: dict[str, Any], _: list[str]) -> int:
    """Probe, print the rates found and what they cost, draw the curve where a file is named."""
    from flatdirs.config.tune import read_find_lr
    from flatdirs.tuning.commands import train_command
    from flatdirs.tuning.probing import probe_task

    config = read_find_lr(settings)
    training = config.training
    found = probe_task(training, config.probing)
    print(f"{found}: {found.cost / training.total_steps:.0%} of the {training.total_steps} of a run")
    if config.figure is not None:
        found.figure().savefig(config.figure, dpi=110)
        print(f"drawn: {config.figure}")
    if found.error is not None:
        raise found.error
    rate = found.learning_rate / training.optimizer.peak_rate(1.0, training.images_per_step)
    print(f"try it: {train_command(replace(training, lr=float(f'{rate:.4g}')))}")
    return 0


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("find-lr", run, arguments)
