"""README.md and the figures of this folder, from its rows."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cdat.running import HERE


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    del folder
    return {"README.md": "# CDAT and its rivals\n\nNot measured yet.\n"}
