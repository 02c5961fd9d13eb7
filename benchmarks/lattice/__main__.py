"""Train a lattice of runs and the probes of its task, then fill in the page; the same command resumes, in several shells at once.

    python -m benchmarks.lattice task=cifar10_small data.path=cifar10.npz

`task` names a lattice of lattices.yaml; without it the page is filled in only. `budget=100` limits the runs of this process.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks import pages
from benchmarks.arguments import settings_of
from benchmarks.lattice import lattices, running
from benchmarks.lattice.lattices import HERE, Lattice, Run
from flatdirs.config.tune import read_task
from flatdirs.errors import FlatdirsError
from flatdirs.objectives.base import Measurement
from flatdirs.objectives.image import ImageObjective
from flatdirs.objectives.provenance import provenance
from flatdirs.training.device import device_name, resolve_device, resolve_precision
from flatdirs.training.metrics import METRICS
from flatdirs.training.optimizer import OPTIMIZERS
from flatdirs.training.schedule import SCHEDULES
from flatdirs.training.task import DataConfig

KEYS: dict[str, Any] = {"task": None, "data.path": None, "device": "auto", "budget": None}


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS)
        if settings["task"] is not None:
            lattice = lattices.named(settings["task"])
            objective = objective_of(lattice, settings)
            about = made_with(objective)

            def train(run: Run) -> Measurement:
                return objective.measure(lattice.hyperparameters(run.cell), [run.seed], lambda *_: None)

            if lattice.probe is not None:
                running.probe(HERE, lattice, objective, about)
            running.fill(HERE, lattice, train, about, settings["budget"])
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    pages.write("lattice")
    return 0


def made_with(objective: ImageObjective) -> dict[str, Any]:
    """What all runs of a lattice share: versions, device, data and recipe."""
    device = resolve_device(objective.device)
    return {
        **{key: value for key, value in provenance().items() if key != "host"},
        "device": f"{device} ({device_name(device)})",
        "precision": resolve_precision(objective.precision, device),
        "threads": objective.threads,
        "checksum": objective.fingerprint(),
        "task": asdict(objective.task),
        **({} if objective.clip_gradient is None else {"clip_gradient": objective.clip_gradient}),
        **objective.recipe(),
    }


def objective_of(lattice: Lattice, settings: Mapping[str, Any]) -> ImageObjective:
    """flatdirs' own trainer on the lattice's task and schedule, everything else at its default but one thread."""
    data = DataConfig(path=settings["data.path"])
    return ImageObjective(
        read_task(lattice.recipe),
        data,
        device=settings["device"],
        threads=1,
        schedule=SCHEDULES[lattice.schedule](**lattice.schedule_keys),
        optimizer=OPTIMIZERS[lattice.optimizer](**lattice.optimizer_keys),
        clip_gradient=lattice.clip_gradient,
        metric=METRICS[lattice.metric](),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
