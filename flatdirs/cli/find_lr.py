"""`python -m flatdirs.find_lr`: find a learning rate for one of our tasks by step sampling."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from typing import Any

from flatdirs.cli import frame as command_line
from flatdirs.training.records import ProbeConfig

FINDER_KEYS = {"figure", *(field.name for field in fields(ProbeConfig))}  # what flatdirs.train does not have


def run(settings: dict[str, Any]) -> int:
    """Probe, print the picks and what they cost, draw the curve where a file is named."""
    from flatdirs.config.tune import read_find_lr
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
    print(f"try it: {train_command(rate)}")
    return 0


def train_command(lr: float) -> str:
    """The line that trains at this constant rate, with all that this command's own line says of a training run."""
    own = [word for word in sys.argv[1:] if word.partition("=")[0].split(".")[0] not in FINDER_KEYS]
    words = [*own, "schedule=constant", f"lr={lr:.3g}"]
    return " ".join(["python -m flatdirs.train", *map(shlex.quote, words)])


def main() -> None:
    """The console script."""
    command_line.main("find_lr", run)
