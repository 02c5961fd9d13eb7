"""Measure what the page of this folder shows: complete runs, and the rivals' picks.

    python -m benchmarks.step_sampling --data cifar10.npz [--only grid|rivals|picks] [--worker 0/2] [--seeds 2]

Whatever is on file is not measured again, so the same command goes on where a killed one stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.step_sampling import grid, rivals
from benchmarks.step_sampling.models import subjects
from flatdirs.training.device import resolve_device

HERE = Path(__file__).resolve().parent


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_sampling")
    parser.add_argument("--data", help="CIFAR-10 as one .npz file; without it torchvision fetches the images")
    parser.add_argument("--only", choices=("grid", "rivals", "picks"), help="one part; all of them without it")
    parser.add_argument("--worker", default="0/1", help="K/N: this process takes every N-th run, from the K-th on")
    parser.add_argument("--seeds", type=int, default=3, help="complete runs a rate and schedule")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments = parser.parse_args()
    worker, workers = (int(part) for part in arguments.worker.split("/"))
    torch.set_num_threads(1)
    found = subjects(arguments.data, resolve_device(arguments.device))
    if arguments.only in (None, "grid"):
        wanted = grid.cells(found, range(arguments.seeds))
        grid.measure(HERE / "runs.csv", found, wanted[worker::workers])
    if arguments.only in (None, "rivals"):
        rivals.measure(HERE, found, range(3))


if __name__ == "__main__":
    main()
