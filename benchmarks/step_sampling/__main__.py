"""Measure what the page of this folder shows: complete runs over a grid, every finder's picks, complete runs at these.

    pip install torch-lr-finder==0.2.2
    python -m benchmarks.step_sampling --data cifar10.npz [--only grid|finder|rivals|picks|longer|synthetic] [--models resnet18] [--seeds 5]

Whatever is on file is not measured again, so the same command goes on where a killed one stopped; `--worker 0/2` and
`--worker 1/2` share the complete runs. `--only picks` trains at what rivals.csv and picks.csv say, seed 0 of each rule.
`--only synthetic` needs no data and always measures anew.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks import pages
from benchmarks.step_sampling import grid, ours, rivals, synthetic
from benchmarks.step_sampling.findings import EXPONENTS, HERE, SCHEDULES
from benchmarks.step_sampling.models import longer, subjects
from flatdirs.training.device import resolve_device


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_sampling")
    parser.add_argument("--data", help="CIFAR-10 as one .npz file; without it torchvision fetches the images")
    parser.add_argument(
        "--only",
        choices=("grid", "finder", "rivals", "picks", "longer", "synthetic"),
        help="one part; all of them without it",
    )
    parser.add_argument(
        "--worker", default="0/1", help="K/N: this process takes every N-th complete run, from the K-th on"
    )
    parser.add_argument(
        "--models", nargs="+", choices=tuple(EXPONENTS), default=tuple(EXPONENTS), help="all three without it"
    )
    parser.add_argument(
        "--schedules", nargs="+", choices=SCHEDULES, default=SCHEDULES, help="of the grid; both without"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the grid's complete runs and of the finders")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measure(arguments)
    pages.write("step_sampling")


def measure(arguments: argparse.Namespace) -> None:
    """What is asked for and not on file."""
    if arguments.only == "synthetic" or (arguments.only is None and not (HERE / "synthetic.csv").exists()):
        synthetic.measure(HERE / "synthetic.csv")
    if arguments.only == "synthetic":
        return
    models, seeds = arguments.models, range(arguments.seeds)
    every = subjects(arguments.data, resolve_device(arguments.device))
    found = [subject for subject in every if subject.name in models]
    worker, workers = (int(part) for part in arguments.worker.split("/"))
    if arguments.only in (None, "grid"):
        grid.measure(HERE / "runs.csv", found, grid.cells(models, seeds, arguments.schedules)[worker::workers])
        while beyond := grid.cells_beyond(HERE, models, seeds):
            grid.measure(HERE / "runs.csv", found, beyond)
    if arguments.only in (None, "finder"):
        ours.measure(HERE, found, seeds)
    if arguments.only in (None, "rivals"):
        rivals.measure(HERE, found, seeds)
    if arguments.only in (None, "picks"):
        grid.measure(HERE / "runs.csv", found, grid.cells_at_picks(HERE, models, seeds)[worker::workers])
    if arguments.only in (None, "longer"):
        cells = grid.cells_longer(HERE)[worker::workers]
        grid.measure(HERE / "runs.csv", longer(resolve_device(arguments.device)), cells)


if __name__ == "__main__":
    main()
