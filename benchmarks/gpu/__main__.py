"""One part of the check on a GPU, then the page; `benchmarks/gpu/run.sh` and `make bench-94` run them.

    python -m benchmarks.gpu --data cifar10.npz [--device cuda] [--minutes M] [--jpeg] [key=value …]   hand-tuned setting, five seeds
    python -m benchmarks.gpu --part searches --data cifar10.npz [--target 94] …                        runs until 94 %, each search
    python -m benchmarks.gpu --part epochs --data cifar10.npz                                          the first epochs of a run, timed
    python -m benchmarks.gpu --part page                                                               README.md from the raw rows

Resumable: a second call measures what is not on file. `--minutes` begins no run that would not end in time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import pages
from benchmarks.gpu import BEGAN, HERE
from flatdirs.errors import FlatdirsError


def main() -> int:
    """Measure one part and draw; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--part", choices=("seeds", "searches", "epochs", "page"), default="seeds", help="what to do")
    parser.add_argument("--data", help="CIFAR-10 as a .npz file or torchvision's folder; fetched into ./data without")
    parser.add_argument("--jpeg", action="store_true", help="the images are JPEG copies: say so in every table")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0")
    parser.add_argument("--minutes", type=float, help="begin nothing that would not end within so many minutes")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the results; the benchmark's own without")
    parser.add_argument("--target", type=float, help="of the searches, in percent; 94 without")
    parser.add_argument("--auto-target", action="store_true", help="the hand-tuned mean less 0.1; so for JPEG copies")
    parser.add_argument("--budget", type=int, default=60, help="of the searches: runs after which a study ends")
    parser.add_argument("--epochs", type=int, default=2, help="how many epochs are timed")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for flatdirs train: task.epochs=2 …")
    given, code = parser.parse_args(), 0
    if given.part != "page":
        from benchmarks.gpu import seeds  # torch

        end = None if given.minutes is None else BEGAN + 60 * given.minutes
        config = seeds.hand_tuned(given.data, given.device, given.overrides)
        about = seeds.group(config, given.jpeg, given.overrides)
        if given.part == "seeds":
            seeds.measure(config, about, given.output / "seeds.csv", given.seeds, end)
        elif given.part == "epochs":
            seeds.time_epochs(config, about, given.output / "full_run.json", given.epochs)
        else:
            from benchmarks.gpu.searches import run_all  # Hydra and Optuna

            code = run_all(config, about, given, end)
    pages.write("gpu", given.output)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        sys.exit(2)
