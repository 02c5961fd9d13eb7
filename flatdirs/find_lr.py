"""`python -m flatdirs.find_lr`: find a learning rate for one of our tasks by step sampling."""

from __future__ import annotations

from typing import Any

from flatdirs import command_line
from flatdirs.errors import FinderError


def run(settings: dict[str, Any]) -> int:
    """Probe, print the picks and what they cost, draw the curve where a file is named."""
    from flatdirs.config import read_find_lr
    from flatdirs.training.probing import probe_task

    config = read_find_lr(settings)
    found = probe_task(config.training, config.probing)
    if config.figure is not None:
        found.figure().savefig(config.figure, dpi=110)
        print(f"drawn: {config.figure}")
    if found.problem is not None:
        raise FinderError(found.problem)
    training = config.training
    print(f"{found}: {found.cost / training.total_steps:.0%} of the {training.total_steps} of a run")
    rate = found.learning_rate / training.optimizer.peak_rate(1.0, training.images_per_step)
    print(
        f"try it: python -m flatdirs.train task={training.task.name} optimizer={training.optimizer.name} "
        f"schedule=constant learning_rate={rate:.3g} {training.optimizer.momentum_name}={training.momentum_in_force:g} "
        f"weight_decay={training.weight_decay:g}"
    )
    return 0


def main() -> None:
    """The console script."""
    command_line.main("find_lr", run)


if __name__ == "__main__":
    main()
