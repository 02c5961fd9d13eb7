"""The hand-tuned setting on the device, seed by seed, then the page. `benchmarks/gpu/run.sh` runs this and the rest.

    python -m benchmarks.gpu --data cifar10.npz [--device cuda] [--seeds 5] [--minutes M] [--jpeg] [key=value …]
    python -m benchmarks.gpu --draw            README.md again from the raw rows

Resumable: a second call trains the seeds that are not on file. `--minutes` begins no run that would not end in time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import pages
from benchmarks.gpu.page import HERE, draw
from flatdirs.errors import FlatdirsError


def options(command: str) -> argparse.ArgumentParser:
    """The options that this command and benchmarks.runs_to_94 share."""
    parser = argparse.ArgumentParser(prog=command)
    parser.add_argument(
        "--data", help="CIFAR-10 as a .npz file or torchvision's folder; fetched into ./data if left out"
    )
    parser.add_argument("--jpeg", action="store_true", help="the images are JPEG copies: say so in every table")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0")
    parser.add_argument("--minutes", type=float, help="begin nothing that would not end within so many minutes")
    parser.add_argument("--output", type=Path, help="folder for the results; the benchmark's own if left out")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="as for flatdirs.train, such as task.epochs=2"
    )
    return parser


def deadline(began: float, minutes: float | None) -> float | None:
    """When everything must have ended, in time.monotonic's seconds."""
    return None if minutes is None else began + 60 * minutes


def main() -> int:
    """Measure and draw, or draw only."""
    began = time.monotonic()  # before torch is imported
    parser = options("python -m benchmarks.gpu")
    parser.add_argument("--draw", action="store_true", help="draw README.md from the raw rows, measure nothing")
    arguments = parser.parse_args()
    folder = arguments.output or HERE
    if not arguments.draw:
        from benchmarks.gpu import seeds

        config = seeds.hand_tuned(arguments.data, arguments.device, arguments.overrides)
        about = seeds.group(config, arguments.jpeg, arguments.overrides)
        end = deadline(began, arguments.minutes)
        seeds.measure(config, about, folder / "seeds.csv", arguments.seeds, end)
    pages.write("gpu", folder)
    print(draw(folder))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        sys.exit(2)
