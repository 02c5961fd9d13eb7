"""Make a lattice of real training runs, and the probes of its task; then draw the page.

    python -m benchmarks.lattice task=digits
    python -m benchmarks.lattice task=cifar10_small data.path=cifar10.npz
    python -m benchmarks.lattice                             draw only

`task` names a lattice of lattices.yaml. Resumable: whatever is on file is not made again. Give the command in as many
shells as there are cores and they share the work. `device=cuda`, `budget=100` (runs of this process), `only=cells` or
`only=probes` narrow it down.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from benchmarks import pages
from benchmarks.arguments import settings_of
from benchmarks.lattice import lattices, running
from benchmarks.lattice.lattices import HERE, Lattice
from flatdirs.config.values import read_choice, read_integer, read_value
from flatdirs.errors import FlatdirsError
from flatdirs.objectives.image import ImageObjective
from flatdirs.objectives.provenance import provenance
from flatdirs.training.optimizer import OPTIMIZERS
from flatdirs.training.schedule import SCHEDULES
from flatdirs.training.task import DataConfig, ImageTask

KEYS: dict[str, Any] = {"task": None, "data.path": None, "device": "auto", "budget": None, "only": None}


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = read(arguments)
        if settings["task"] is not None:
            make(settings)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    pages.write("lattice")
    return 0


def read(arguments: list[str]) -> dict[str, Any]:
    """The keys given, over their defaults. Raises ConfigError."""
    settings = settings_of(arguments, KEYS)
    if settings["only"] is not None:
        read_choice("only", settings["only"], ("cells", "probes"))
    if settings["budget"] is not None:
        read_integer(settings, "budget", 1)
    return settings


def make(settings: dict[str, Any]) -> None:
    """What is asked for and not on file."""
    lattice = lattices.named(settings["task"])
    objective = objective_of(lattice, settings)
    about = made_with(objective)

    def say(line: str) -> None:
        print(line, flush=True)

    if settings["only"] != "cells":
        running.probe(HERE, lattice, objective, about, say)
    if settings["only"] != "probes":
        running.fill(HERE, lattice, running.trainer(lattice, objective), about, settings["budget"], say)


def made_with(objective: ImageObjective) -> dict[str, Any]:
    """Everything that all runs of a lattice share: versions, device, data and recipe."""
    from flatdirs.training.device import device_name, resolve_device, resolve_precision

    device = resolve_device(objective.device)
    return {
        **{key: value for key, value in provenance().items() if key != "host"},
        "device": f"{device} ({device_name(device)})",
        "precision": resolve_precision(objective.precision, device),
        "threads": objective.threads,
        "checksum": objective.fingerprint(),
        "task": asdict(objective.task),
        **objective.recipe(),
    }


def objective_of(lattice: Lattice, settings: dict[str, Any]) -> ImageObjective:
    """flatdirs' own trainer on the lattice's task and schedule, everything else at its default but one thread."""
    return ImageObjective(
        ImageTask(**lattice.recipe),
        DataConfig(path=settings["data.path"]),
        device=read_value(str, settings["device"], "device"),
        threads=1,
        schedule=SCHEDULES[lattice.schedule](),
        optimizer=OPTIMIZERS[lattice.optimizer](),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
