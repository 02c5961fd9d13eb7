"""The chart (a change of coordinates) of flatdirs that fits the hyperparameters of any study."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flatdirs.space.chart import Axis, Chart, product
from flatdirs.space.shipped_charts import named_chart


def fitting_chart(names: Iterable[str]) -> Chart | None:
    """The chart with most of these hyperparameters, restricted to them; None where no chart has two of them.

    Without momentum, lr and wd are taken to be AdamW's. Axes lose the hyperparameters that are absent, and are then
    named after the others.
    """
    known = set(names)
    if "batch_size" in known:
        wanted = "sgd_batch"
    elif "momentum" in known:
        wanted = "sgd" if "wd" in known else "sgd_plain"
    else:
        wanted = "adamw"
    chart = named_chart(wanted)
    absent = [name for name in chart.hyperparameters if name not in known]
    if "lr" not in known or len(absent) > len(chart.hyperparameters) - 2:
        return None
    if not absent:
        return chart
    held = chart.fix(absent)
    return replace(held, axes=tuple(_restricted(axis, known, chart.one_minus) for axis in held.axes))


def _restricted(axis: Axis, known: set[str], one_minus: frozenset[str]) -> Axis:
    exponents = {name: power for name, power in axis.exponents.items() if name in known}
    return Axis(product(exponents, one_minus), exponents, axis.first)
