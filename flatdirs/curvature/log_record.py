"""The record of the curvature at one step: columns, a CSV file, a table. Read without torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

MOST_KEPT, SHOWN = 200, 12  # records of one run that a study keeps, that are printed
DIGITS = 6  # significant digits in files and studies


@dataclass(frozen=True)
class CurvatureRecord:
    """Step number `step`, counted from 1, and the curvature after it; nan for what could not be measured.

    `lr` and `gradient_norm` (of `.grad`, without weight decay) are those of the step. `loss` and `sharpness` are those
    of the probe after the step; the sharpness includes preconditioner and coupled weight decay. `threshold` is the edge
    of stability of the optimizer, `ratio` the sharpness divided by it. `alignment` is the cosine between the step and
    the top eigenvector; its sign is comparable between successive records only. `residual` and `products`: relative
    error bound and number of Hessian-vector products of the sharpness.
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
    """Field → values, None for nan and infinity; thinned evenly to about MOST_KEPT records and the last."""
    kept = _thinned(records, MOST_KEPT)
    return {name: [_plain(getattr(record, name)) for record in kept] for name in NAMES}


def records(kept: Mapping[str, Sequence[float | None]]) -> tuple[CurvatureRecord, ...]:
    """The inverse of `columns`; None becomes nan."""
    lines = zip(*([math.nan if value is None else value for value in kept[name]] for name in NAMES), strict=True)
    return tuple(CurvatureRecord(**dict(zip(NAMES, line, strict=True))) for line in lines)


def write_csv(records: Sequence[CurvatureRecord], path: Path) -> None:
    """One line per record, with the names of the fields as header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        writer.writerows(
            [f"{value:.{DIGITS}g}" if isinstance(value, float) else value for value in astuple(record)]
            for record in records
        )


def shown(records: Sequence[CurvatureRecord]) -> list[str]:
    """At most SHOWN records and the last, as the lines of a table."""
    lines = ["step    lr        probe loss  gradient  sharpness  edge      ratio  |alignment|"]
    lines += [
        f"{one.step:<6}  {one.lr:<8.3g}  {one.loss:<10.4f}  {one.gradient_norm:<8.3g}  "
        f"{one.sharpness:<9.4g}  {one.threshold:<8.4g}  {one.ratio:<5.2f}  {abs(one.alignment):.2f}"
        for one in _thinned(records, SHOWN)
    ]
    return lines


def _thinned(records: Sequence[CurvatureRecord], most: int) -> list[CurvatureRecord]:
    stride = max(1, -(-len(records) // most))
    return [record for number, record in enumerate(records, 1) if number % stride == 0 or number == len(records)]


def _plain(value: Any) -> float | None:
    if not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else int(value)
