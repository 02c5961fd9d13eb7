"""Write scikit-learn's digits, enlarged to 28×28, as MNIST's four files, so that nothing is downloaded.

They go where `torchvision.datasets.MNIST("../data")` looks for them. With the real MNIST there, leave this out.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write unsigned bytes of any shape in MNIST's format: a magic number, the sizes, the values."""
    header = struct.pack(f">{1 + values.ndim}i", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def main() -> None:
    """1,437 images to train on, 360 to test on."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../data") / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = load_digits(return_X_y=True)
    small = (images.reshape(-1, 8, 8) * 255 / 16).round()
    large = np.pad(small.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    order = np.random.default_rng(0).permutation(len(labels))
    for part, rows in (("train", order[360:]), ("t10k", order[:360])):
        write_idx(folder / f"{part}-images-idx3-ubyte", large[rows])
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels[rows])


if __name__ == "__main__":
    main()
