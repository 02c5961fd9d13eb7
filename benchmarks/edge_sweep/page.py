"""README.md of this folder, from the raw rows alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.edge_sweep.setting import HERE


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    del folder
    return {"README.md": "# The edge-of-stability sweep\n\nNot measured yet.\n"}
