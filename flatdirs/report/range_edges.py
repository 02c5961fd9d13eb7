"""Remarks on the ranges of a box search: when it begins, and when its best lies on the edge of one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flatdirs.analysis.ranges import Edge, edges_among, limits_of, uniform_over_decades
from flatdirs.analysis.sweep import Range
from flatdirs.report.continuation import wider_ranges
from flatdirs.training.task import batch_sizes
from flatdirs.tuning.commands import tune_overrides, usual_box, wider_search
from flatdirs.tuning.formatting import exact

if TYPE_CHECKING:
    from flatdirs.tuning.settings import TuneConfig


def uniform_lines(config: TuneConfig) -> list[str]:
    """A sentence for each rate that is drawn uniformly over more than a decade."""
    plan = config.plan
    spaces = {} if plan.on_grid else plan.spaces()
    told = [uniform_over_decades(f"box.{name}", *plan.box[name]) for name in spaces if name in plan.uniform]
    return [sentence for sentence in told if sentence is not None]


def unused_lines(config: TuneConfig) -> list[str]:
    """A sentence if ranges were given to a search that has none."""
    plan, usual = config.plan, usual_box()
    given = [
        f"{name}=[{exact(low)},{exact(high)}]"
        for name, (low, high) in plan.box.items()
        if name in usual and name != "batch_size" and [low, high] != usual[name]  # batches are cut to the images
    ]
    if not given or not plan.on_grid:
        return []
    bounds = " ".join(f"chart.bounds.{one}" for one in given if one.split("=")[0] in plan.grid.chart.free)
    instead = f"; set {bounds} to bound the search" if bounds else ""
    return [f"box.{' box.'.join(given)} has no effect with search={plan.name}{instead}"]


def edge_lines(config: TuneConfig, hyperparameters: Mapping[str, float]) -> list[str]:
    """The edges of the box that the best lies on, and the command that continues beyond them; nothing inside."""
    found = box_edges(config, hyperparameters)
    lines = [
        f"the best lies on the edge of box.{edge.range.name}: {exact(edge.value)} in "
        f"[{exact(edge.range.low)}, {exact(edge.range.high)}]"
        for edge in found
    ]
    if found:
        command = wider_search(tune_overrides(config), wider_ranges(found), config.study)
        lines.append(f"go on in a wider box: {command}")
    return lines


def box_edges(config: TuneConfig, hyperparameters: Mapping[str, float]) -> tuple[Edge, ...]:
    """The edges of the box that these hyperparameters lie on; none for a search without a box."""
    plan = config.plan
    if plan.on_grid:
        return ()
    ranges = [Range(name, *plan.box[name], name not in plan.uniform) for name in plan.spaces() if name in plan.box]
    bounds, images = plan.grid.chart.bounds, (batch_sizes(config.task) or (1.0, math.inf))[1]
    return edges_among(ranges, hyperparameters, lambda name: limits_of(name, bounds, images))
