"""Tables (pandas) and figures (matplotlib) for all benchmarks, so that every page looks alike.

Nothing here knows a benchmark. Numbers become text in one place: `number`, `interval` and `spread`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSING = "–"
RESAMPLES = 2000


def table(frame: pd.DataFrame, digits: Mapping[str, int] | int = 2) -> str:
    """A frame as a Markdown table; floats get `digits` decimals (for all columns, or by column), NaN and None a dash."""
    shown = frame.copy().astype(object)
    for column in shown.columns:
        places = digits if isinstance(digits, int) else digits.get(column, 2)
        shown[column] = [number(value, places) for value in frame[column]]
    text: str = shown.to_markdown(index=False, disable_numparse=True)
    return text


def number(value: Any, digits: int = 2) -> str:
    """One cell: a float with `digits` decimals, a thousands separator in integers, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, (int, np.integer)) else str(value)


def interval(middle: float, low: float, high: float, digits: int = 2) -> str:
    """`middle [low, high]`."""
    return f"{number(middle, digits)} [{number(low, digits)}, {number(high, digits)}]"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard error of a sample; the mean alone where there is one value."""
    sample = np.asarray(values, dtype=float)
    if not len(sample):
        return MISSING
    error = sample.std(ddof=1) / math.sqrt(len(sample)) if len(sample) > 1 else math.nan
    return number(float(sample.mean()), digits) + (f" ± {error:.{digits}f}" if len(sample) > 1 else "")


def mean_interval(values: Sequence[float], level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Mean and bootstrap interval of a sample (n,); the bare mean thrice where it has fewer than two distinct values."""
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if len(np.unique(sample)) < 2:
        return mean, mean, mean
    found = bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return mean, float(found.low), float(found.high)


def canvas(rows: int = 1, columns: int = 1, width: float = 5.0, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """An empty figure and its axes, row by row; sizes in inches per panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(rows, columns)).ravel())


def png(figure: Figure, dots_per_inch: int = 120) -> bytes:
    """A figure as a PNG file's content; matplotlib notes its version in it, on which `verify` relies."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dots_per_inch)
    return stream.getvalue()


def heat_map(axes: Axes, grid: pd.DataFrame, label: str, best: str = "max", colours: str = "viridis") -> None:
    """Draw a pivoted frame (index up, columns to the right, both as powers of two) as coloured cells, the best marked."""
    image = axes.imshow(grid.to_numpy(dtype=float), origin="lower", aspect="auto", cmap=colours)
    axes.set_xticks(range(grid.shape[1]), [f"{x:g}" for x in grid.columns], rotation=60, fontsize=7)
    axes.set_yticks(range(grid.shape[0]), [f"{y:g}" for y in grid.index], fontsize=7)
    axes.set_xlabel(str(grid.columns.name))
    axes.set_ylabel(str(grid.index.name))
    axes.get_figure().colorbar(image, ax=axes, label=label)
    cells = grid.to_numpy(dtype=float)
    if np.isfinite(cells).any():
        place = np.nanargmax(cells) if best == "max" else np.nanargmin(cells)
        row, column = np.unravel_index(place, cells.shape)
        axes.plot(column, row, marker="*", color="red", markersize=10)
