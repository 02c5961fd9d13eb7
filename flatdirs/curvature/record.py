"""What is logged of the curvature at one step, and how it is kept: records, columns, a CSV file. No torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

MOST_KEPT, SHOWN = 200, 12  # records of one run that a study keeps, that people are shown
DIGITS = 6  # significant ones in a file or a study


@dataclass(frozen=True)
class CurvatureRecord:
    """Step number `step`, counted from 1, and the curvature where it led to.

    `lr` and `gradient_norm` are those of the step (the gradient's Euclidean length as it lies in `.grad`,
    without weight decay). `loss` and `sharpness` are the probe's, after the step; the sharpness has the optimizer's
    preconditioner and coupled weight decay in it. `threshold` is the optimizer's edge of stability at this rate,
    `ratio` the sharpness over it: 1 is on the edge. `alignment` is the cosine between the step, decoupled decay
    included, and the top eigenvector; its sign means something beside the record before only. `residual` and
    `products`: how well and how dearly the sharpness is known. What could not be measured is not a number.
    """

    step: int
    lr: float
    loss: float
    gradient_norm: float
    sharpness: float
    threshold: float
    ratio: float
    alignment: float
    residual: float
    products: int


NAMES = tuple(field.name for field in fields(CurvatureRecord))


def columns(records: Sequence[CurvatureRecord]) -> dict[str, list[float | None]]:
    """Name → values, None for what JSON cannot hold; of many records every second, third … and the last."""
    kept = _thinned(records, MOST_KEPT)
    return {name: [_plain(getattr(record, name)) for record in kept] for name in NAMES}


def records(kept: Mapping[str, Sequence[float | None]]) -> tuple[CurvatureRecord, ...]:
    """The records behind `columns`; what could not be measured is nan again."""
    lines = zip(*([math.nan if value is None else value for value in kept[name]] for name in NAMES), strict=True)
    return tuple(CurvatureRecord(**dict(zip(NAMES, line, strict=True))) for line in lines)


def write_csv(records: Sequence[CurvatureRecord], path: Path) -> None:
    """One line a record under the names of its fields."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        writer.writerows(
            [f"{value:.{DIGITS}g}" if isinstance(value, float) else value for value in astuple(record)]
            for record in records
        )


def shown(records: Sequence[CurvatureRecord]) -> list[str]:
    """A few records as lines for people, under a line of titles; at most SHOWN and the last."""
    lines = ["step    rate      probe loss  gradient  sharpness  edge      ratio  |alignment|"]
    lines += [
        f"{one.step:<6}  {one.lr:<8.3g}  {one.loss:<10.4f}  {one.gradient_norm:<8.3g}  "
        f"{one.sharpness:<9.4g}  {one.threshold:<8.4g}  {one.ratio:<5.2f}  {abs(one.alignment):.2f}"
        for one in _thinned(records, SHOWN)
    ]
    return lines


def _thinned(records: Sequence[CurvatureRecord], most: int) -> list[CurvatureRecord]:
    """Every record, or every second, third … and the last."""
    stride = max(1, -(-len(records) // most))
    return [record for number, record in enumerate(records, 1) if number % stride == 0 or number == len(records)]


def _plain(value: Any) -> float | None:
    if not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else int(value)
