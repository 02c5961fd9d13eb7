"""Images for `run.sh --smoke` without a data set: noise with a tint for each class; no number measured on them means anything."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def write(path: Path, repeated: int = 1) -> None:
    """One .npz of 600 · `repeated` training and 200 test images, as data.path reads it, the same bytes every time."""
    generator = np.random.default_rng(0)
    tints = generator.integers(40, 216, size=(10, 1, 1, 3))
    arrays = {}
    for part, count in (("train", 600), ("test", 200)):
        labels = np.arange(count) % 10
        noise = generator.normal(0, 30, size=(count, 32, 32, 3))
        arrays[f"x_{part}"] = np.clip(tints[labels] + noise, 0, 255).astype(np.uint8)
        arrays[f"y_{part}"] = labels.astype(np.int64)
    arrays |= {key: np.concatenate([arrays[key]] * repeated) for key in ("x_train", "y_train")}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
