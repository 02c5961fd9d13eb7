"""Draw README.md of this folder from the lattices: `python -m benchmarks.signals`. Trains nothing."""

from __future__ import annotations

from benchmarks import pages

if __name__ == "__main__":
    pages.write("signals")
