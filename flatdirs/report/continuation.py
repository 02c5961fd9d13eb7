"""How to continue a search in wider ranges, from what a study keeps. Other ranges are another study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flatdirs.analysis.ranges import Edge
from flatdirs.analysis.sweep import Sweep
from flatdirs.tuning.commands import override, wider_search


def continuation(sweep: Sweep, edges: Sequence[Edge], output: Path) -> str:
    """One line to continue with beyond these edges: a command for a study of flatdirs, else the ranges to suggest.

    `output`: the folder of the study.
    """
    if "slice" in sweep.identity:
        return "go on with flatdirs slices and more steps on that side; change x_steps or y_steps"
    if not sweep.command:
        calls = [
            f'suggest_{"int" if edge.range.name == "batch_size" else "float"}("{edge.range.name}", '
            f"{edge.wider.low:.4g}, {edge.wider.high:.4g}{', log=True' if edge.wider.log else ''})"
            for edge in edges
        ]
        return f"go on with trial.{' and trial.'.join(calls)}"
    words = [word for word in sweep.command if not word.startswith("output=")]
    words += [] if output == Path("studies") else [override("output", output)]
    return wider_search(words, wider_ranges(edges), sweep.name)


def wider_ranges(edges: Sequence[Edge]) -> dict[str, tuple[float, float]]:
    """The ranges to continue with; one with both ends reached is widened on both sides."""
    ranges: dict[str, tuple[float, float]] = {}
    for edge in edges:
        low, high = ranges.get(edge.range.name, (edge.wider.low, edge.wider.high))
        ranges[edge.range.name] = (min(low, edge.wider.low), max(high, edge.wider.high))
    return ranges
