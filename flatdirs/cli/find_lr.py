"""`flatdirs find-lr`: find a learning rate for one of the image tasks by step sampling."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NoReturn

from flatdirs.cli import frame


def run(settings: dict[str, Any], words: list[str]) -> int:
    """Probe, print the rates found and what they cost, draw the curve where a file is named."""
    from flatdirs.config.tune import read_find_lr
    from flatdirs.errors import FinderError
    from flatdirs.tuning.probing import probe_task

    config = read_find_lr(settings)
    training = config.training
    found = probe_task(training, config.probing)
    print(f"{found}: {found.cost / training.total_steps:.0%} of the {training.total_steps} of a run")
    if config.figure is not None:
        found.figure().savefig(config.figure, dpi=110)
        print(f"drawn: {config.figure}")
    if found.problem is not None:
        raise FinderError(found.problem, key="highest")
    rate = found.learning_rate / training.optimizer.peak_rate(1.0, training.images_per_step)
    print(f"try it: {train_command(words, rate)}")
    return 0


def train_command(words: Sequence[str], lr: float) -> str:
    """The command that trains at this constant rate, with all words of this command that `train` understands."""
    from flatdirs.training.records import ProbeConfig

    finder_keys = {"figure", *(field.name for field in fields(ProbeConfig))}
    kept = [word for word in words if word.partition("=")[0].split(".")[0] not in finder_keys]
    return shlex.join(["flatdirs", "train", *kept, "schedule=constant", f"lr={lr:.3g}"])


def main(arguments: list[str] | None = None) -> NoReturn:
    frame.main("find-lr", run, arguments)
