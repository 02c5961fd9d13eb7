"""What to say of the ranges of a box search: when it begins, and when its best lies on the edge of one."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flatdirs.sweep.ranges import on_edge, uniform_over_decades, wider

if TYPE_CHECKING:
    from flatdirs.config import TuneConfig


def uniform_lines(config: TuneConfig) -> list[str]:
    """A sentence for each rate that is drawn uniformly over more than a decade."""
    plan = config.plan
    spaces = {} if plan.descends else plan.spaces()
    told = [uniform_over_decades(f"box.{name}", *plan.box[name]) for name in spaces if name in plan.uniform]
    return [sentence for sentence in told if sentence is not None]


def edge_lines(config: TuneConfig, hyperparameters: Mapping[str, float], arguments: Sequence[str]) -> list[str]:
    """Which ends of the box the best lies on, and the command that goes on beyond them; nothing where it lies inside.

    `arguments`: the overrides that the command was given.
    """
    if config.plan.descends:
        return []
    lines, ranges = [], {}
    for name in config.plan.spaces():
        low, high = config.plan.box[name]
        own = name.removeprefix("one_minus_")
        value = hyperparameters[own] if own == name else 1.0 - hyperparameters[own]
        side = on_edge(value, low, high)
        further = (low, high) if side is None else wider(low, high, side, _walls(config, name))
        if further != (low, high):
            lines.append(f"the best lies on the edge of box.{name}: {value:.4g} in [{low:g}, {high:g}]")
            ranges[name] = further
    if ranges:
        lines.append(f"go on in a wider box: {_command(config.study, ranges, arguments)}")
    return lines


def _walls(config: TuneConfig, name: str) -> tuple[float, float]:
    if name.startswith("one_minus_"):
        return 0.0, 1.0
    low, high = config.plan.lattice.chart.bounds.get(name, (None, None))
    images = getattr(config.task, "train_images", math.inf)
    walls = (2.0, float(images)) if name == "batch_size" else (0.0, math.inf)
    return max(walls[0], low or 0.0), min(walls[1], math.inf if high is None else high)


def _command(study: str, ranges: Mapping[str, tuple[float, float]], arguments: Sequence[str]) -> str:
    """The same command on wider ranges, in a study of its own."""
    replaced = ("study=", *(f"box.{name}=" for name in ranges))
    words = [word for word in arguments if not word.startswith(replaced)]
    words += [f"box.{name}=[{low:g},{high:g}]" for name, (low, high) in ranges.items()] + [f"study={study}-wider"]
    return f"python -m flatdirs.tune {' '.join(shlex.quote(word) for word in words)}"
