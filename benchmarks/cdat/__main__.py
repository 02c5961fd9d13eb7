"""Train what is missing of the plan, then draw the page; the same command resumes, in several shells at once.

    python -m benchmarks.cdat                              digits alone
    python -m benchmarks.cdat data.path=cifar10.npz        CIFAR-10 too

`part=` full_batch, mini_batch, sensitivity, start, start_runs or sigma_start does that part alone; `budget=100` limits the rows that
this process makes in a file, `device=cuda` moves it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.cdat import plan, starts
from benchmarks.cdat.page import HERE
from benchmarks.cdat.training import train
from flatdirs.config.values import read_choice
from flatdirs.errors import FlatdirsError
from flatdirs.objectives.provenance import provenance
from flatdirs.training.device import cpu_threads, device_name, keep_freed_memory, resolve_device
from flatdirs.training.task import DataConfig

KEYS: dict[str, Any] = {"part": "all", "data.path": None, "device": "auto", "budget": None}
RUNS, VERSIONS = ("full_batch", "mini_batch", "sensitivity"), ("python", "torch", "numpy", "scikit-learn")


def main(arguments: Sequence[str], folder: Path = HERE) -> int:
    """Make what is asked for and not on file; the exit code."""
    try:
        settings = settings_of(arguments, KEYS)
        part, data = settings["part"], DataConfig(path=settings["data.path"])
        read_choice("part", part, ("all", *RUNS, *starts.KEYS))
        device, cifar10 = resolve_device(settings["device"]), data.path is not None
        about = {key: version for key, version in provenance().items() if key in VERSIONS}
        about |= {"device": f"{device} ({device_name(device)})", "threads": 1}
        if device.type == "cpu":
            keep_freed_memory()
        with cpu_threads(1):
            if part in ("all", *RUNS):
                only = part if part in RUNS else None
                runs = lambda table: plan.wanted(plan.end_losses(table), cifar10, only)  # noqa: E731
                row = lambda run: {**run.cells(), **train(run, data, device)}  # noqa: E731
                rows.fill(folder / "runs.csv", runs, row, about, settings["budget"])
            for name in [part] if part in starts.KEYS else starts.KEYS if part == "all" else ():
                asked, row = partial(starts.wanted, name, folder, cifar10), partial(starts.row, name, folder, settings)
                rows.fill(folder / f"{name}.csv", asked, row, about, settings["budget"])
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    pages.write("cdat", folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
