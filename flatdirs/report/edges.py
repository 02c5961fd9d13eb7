"""What to say of the ranges of a box search: when it begins, and when its best lies on the edge of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import yaml

from flatdirs.analysis.ranges import Edge, edges_among, limits_of, uniform_over_decades
from flatdirs.analysis.records import Range
from flatdirs.report.continuation import wider_command
from flatdirs.resources import conf_folder

if TYPE_CHECKING:
    from flatdirs.config.tune import TuneConfig


def uniform_lines(config: TuneConfig) -> list[str]:
    """A sentence for each rate that is drawn uniformly over more than a decade."""
    plan = config.plan
    spaces = {} if plan.on_grid else plan.spaces()
    told = [uniform_over_decades(f"box.{name}", *plan.box[name]) for name in spaces if name in plan.uniform]
    return [sentence for sentence in told if sentence is not None]


def unused_lines(config: TuneConfig) -> list[str]:
    """A sentence where ranges were given to a search that has no use for them."""
    plan = config.plan
    usual = yaml.safe_load((conf_folder() / "tune.yaml").read_text(encoding="utf-8"))["box"] if plan.on_grid else {}
    given = [
        f"{name}=[{low:g},{high:g}]"
        for name, (low, high) in plan.box.items()
        if name in usual and name != "batch_size" and [low, high] != usual[name]  # batches are cut to the images
    ]
    if not given:
        return []
    bounds = " ".join(f"chart.bounds.{one}" for one in given if one.split("=")[0] in plan.grid.chart.free)
    instead = f"; set {bounds} to keep it inside" if bounds else ""
    return [f"search={plan.name} has no use for box.{' box.'.join(given)}, as it walks from the start{instead}"]


def edge_lines(config: TuneConfig, hyperparameters: Mapping[str, float], arguments: Sequence[str]) -> list[str]:
    """Which ends of the box the best lies on, and the command that goes on beyond them; nothing where it lies inside.

    `arguments`: the overrides that the command was given.
    """
    found = box_edges(config, hyperparameters)
    lines = [
        f"the best lies on the edge of box.{edge.range.name}: {edge.value:.4g} in "
        f"[{edge.range.low:g}, {edge.range.high:g}]"
        for edge in found
    ]
    if found:
        lines.append(f"go on in a wider box: {wider_command(arguments, _ranges_of(found), config.study)}")
    return lines


def box_edges(config: TuneConfig, hyperparameters: Mapping[str, float]) -> tuple[Edge, ...]:
    """The ends of the box that these hyperparameters lie at; none for a search without a box."""
    plan = config.plan
    if plan.on_grid:
        return ()
    ranges = [Range(name, *plan.box[name], name not in plan.uniform) for name in plan.spaces()]
    bounds, images = plan.grid.chart.bounds, getattr(config.task, "train_images", math.inf)
    return edges_among(ranges, hyperparameters, lambda name: limits_of(name, bounds, images))


def _ranges_of(found: Sequence[Edge]) -> dict[str, tuple[float, float]]:
    return {edge.range.name: (edge.wider.low, edge.wider.high) for edge in found}
