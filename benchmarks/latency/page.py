"""Tables of what storage and replay cost (result.json) and of the default search's own time (search.json), in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.drawing import number, table

OURS = "FlatDirectionsSampler"
SAMPLERS = ("RandomSampler", OURS, "TPESampler")
PARTS = {"storage": "result.json", "search": "search.json"}
CHARTS = ("sgd", "sgd_batch")
COUNTS = (50, 100, 200)  # finished trials
BAR = 20.0  # ms of process time a proposal of the default search, in memory, at the most trials


def values(folder: Path) -> dict[str, str]:
    """Two tables for the default search, one for the storages, and whether the bar is met on each chart."""
    read = {part: json.loads((folder / name).read_text(encoding="utf-8")) for part, name in PARTS.items()}
    storage, search = (pd.DataFrame(read[part]["rows"]) for part in PARTS)
    barred = search[(search["storage"] == "memory") & (search["sampler"] == OURS) & (search["trials"] == max(COUNTS))]
    again = search["storage"] == "restart"
    medians = {row.chart: float(np.median(row.process)) for row in barred.itertuples()}
    return {
        "storages": wide(storage, ["storage", "history", "trials"], beyond),
        "search": wide(search[~again], ["chart", "storage", "trials"], asks),
        "restart": wide(search[again], ["chart", "trials"], asks),
        **{f"bar_{name}": f"{ms:.1f} ms, {'met' if ms <= BAR else 'missed'}" for name, ms in medians.items()},
        **{f"{part}_versions": ", ".join(map(" ".join, read[part]["versions"].items())) for part in PARTS},
    }


def wide(rows: pd.DataFrame, keys: list[str], cells: Any) -> str:
    """A line for each history, with what `cells` says of its samplers' rows."""
    groups = rows.set_index("sampler").groupby(keys, sort=False)
    lines = [{**dict(zip(keys, key, strict=True)), **cells(found)} for key, found in groups]
    return table(pd.DataFrame(lines).rename(columns={"trials": "finished trials"}))


def beyond(found: pd.DataFrame) -> dict[str, Any]:
    """RandomSampler's own times, and the others' beyond it in the same round."""
    times = {name: np.array(sample) for name, sample in found["milliseconds"].items()}
    own = times.pop(SAMPLERS[0])
    others = {name: shown(sample - own) for name, sample in times.items()}
    return {"rounds": len(own), f"{SAMPLERS[0]} itself": shown(own), **others}


def asks(found: pd.DataFrame) -> dict[str, Any]:
    """Process time of each sampler with quartiles, and the median of wall time."""
    walls = {name: number(float(np.median(sample)), 1) for name, sample in found["wall"].items()}
    cells = {f"{name}: process, wall": f"{shown(found['process'][name])}, {wall}" for name, wall in walls.items()}
    return {"n": len(found["wall"].iloc[0]), **cells}


def shown(sample: Any) -> str:
    """Median (lower quartile – upper quartile)."""
    low, middle, high = np.quantile(sample, (0.25, 0.5, 0.75), method="weibull")
    return f"{middle:.2f} ({low:.2f} – {high:.2f})"
