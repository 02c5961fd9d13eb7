"""The source's argument for warm-up, measured: small against large batches, and runs with and without warm-up.

    python -m benchmarks.batch_scaling                      digits (comes with scikit-learn), then draw
    python -m benchmarks.batch_scaling --data cifar10.npz   the same, then cifar10_small, then draw
    python -m benchmarks.batch_scaling --draw               figures and README.md again from the CSV files

Resumable: a second call measures what the CSV files lack. distance.py and warmup.py hold the plans and measure, page.py
draws. Source of the argument: reference/002 §2.1.
"""

from __future__ import annotations

import argparse

import yaml

from benchmarks import pages
from benchmarks.batch_scaling import distance, page, warmup
from flatdirs.resources import conf_folder
from flatdirs.training.device import cpu_threads
from flatdirs.training.task import DataConfig, ImageTask


def task_named(name: str) -> ImageTask:
    """A task of conf/task."""
    return ImageTask(**yaml.safe_load((conf_folder() / "task" / f"{name}.yaml").read_text(encoding="utf-8")))


def main() -> None:
    """Measure what is missing and draw, or draw only."""
    parser = argparse.ArgumentParser(prog=page.COMMAND)
    parser.add_argument("--data", help="CIFAR-10 as .npz, to measure cifar10_small too")
    parser.add_argument("--draw", action="store_true", help="draw from the CSV files, measure nothing")
    arguments = parser.parse_args()
    if not arguments.draw:
        names = ["digits", "cifar10_small"] if arguments.data else ["digits"]
        with cpu_threads(1):
            for name in names:
                distance.measure(task_named(name), DataConfig(path=arguments.data))
                warmup.measure(task_named(name), DataConfig(path=arguments.data))
    pages.write("batch_scaling")


if __name__ == "__main__":
    main()
