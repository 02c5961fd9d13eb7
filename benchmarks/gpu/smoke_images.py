"""Images for `run.sh --smoke` where no data set is given: noise with a tint for each class, in CIFAR-10's shape.

    python -m benchmarks.gpu.smoke_images DEST.npz

Any network learns them in an epoch or two; no number measured on them means anything.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TRAIN, TEST = 600, 200  # images


def write(path: Path) -> None:
    """One .npz in the layout that data.path reads, the same bytes every time."""
    generator = np.random.default_rng(0)
    tints = generator.integers(40, 216, size=(10, 1, 1, 3))
    arrays = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        labels = np.arange(count) % 10
        noise = generator.normal(0, 30, size=(count, 32, 32, 3))
        arrays[f"x_{part}"] = np.clip(tints[labels] + noise, 0, 255).astype(np.uint8)
        arrays[f"y_{part}"] = labels.astype(np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
