"""CIFAR-10 for tests: a .npz unpacked once from the JPEG pack beside the checkout, or a skip that says why.

The unpacked file is kept in the user's cache folder under the pack's own age and size, so later runs find it at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[1] / "../shared/cifar10"


def unpacked(train: int = 50_000, test: int = 10_000) -> Path:
    """The path of a .npz with `train` and `test` images; skips the calling test where there is no pack."""
    images, script = PACK / "cifar10_jpeg.npz", PACK / "unpack.py"
    if not (images.is_file() and script.is_file()):
        pytest.skip(f"the CIFAR-10 pack is not at {PACK.resolve()}")
    state = images.stat()
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flatdirs-tests"
    target = folder / f"cifar10-{state.st_size}-{state.st_mtime_ns}-{train}-{test}.npz"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        counts = ["--train", str(train), "--test", str(test)]
        with tempfile.TemporaryDirectory(dir=folder) as own:  # another process may be at it too
            unfinished = Path(own) / target.name
            subprocess.run([sys.executable, str(script), str(unfinished), *counts], check=True)
            unfinished.replace(target)
    return target
