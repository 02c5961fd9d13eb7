"""Draw result.md from result.json and search.json; measures nothing. The numbers are __main__.py's and thinking.py's."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COMMAND = "python -m benchmarks.latency"
SAMPLERS = ("RandomSampler", "FlatDirectionsSampler", "TPESampler")
PARTS = {"storage": "result.json", "search": "search.json"}
CHARTS = ("sgd", "sgd_batch")
COUNTS = (50, 100, 200)  # finished trials
BAR = 20.0  # ms of process time a proposal of the default search, in memory, at the most trials


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file beside this one, by name."""
    parts = {name: folder / file for name, file in PARTS.items()}
    found = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in parts.items() if path.exists()}
    lines = [*(draw(found["storage"]) if "storage" in found else []), *thinking(found.get("search"))]
    return {"result.md": "\n".join(lines)}


def thinking(result: dict[str, Any] | None) -> list[str]:
    """The default search's own times; a sentence where nobody has measured them."""
    lines = ["# What the default search thinks", ""]
    if result is None:
        return [*lines, f"Not measured yet; `{COMMAND} --only search` does.", ""]
    rows = result["rows"]
    lines += [
        f"Measured by `{COMMAND} --only search`: search=flatdirs as users have it, milliseconds of one ask(), three or four parameters suggested included, storage and all;",
        "median (lower quartile – upper quartile) of process time (all threads), and the median of wall time. Histories are our own sampler's. Samplers take turns,",
        "and every trial's score has noise, so that no proposal was made before.",
        "",
        *map(verdict, (row for row in rows if _is_barred(row))),
        "",
        "| chart | storage | finished trials | n | RandomSampler: process, wall | FlatDirectionsSampler: process, wall | TPESampler: process, wall |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, int], dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        groups.setdefault((row["chart"], row["storage"], row["trials"]), {})[row["sampler"]] = row
    for (chart, storage, trials), found in groups.items():
        if storage != "restart":
            each = " | ".join(both(found[name]) for name in SAMPLERS)
            lines.append(f"| {chart} | {storage} | {trials} | {len(found[SAMPLERS[0]]['wall'])} | {each} |")
    lines += [
        "",
        "The first ask after a restart: a new process, imports done, opens the study on SQLite and asks; the search keeps no state but the trials and is replayed.",
        "",
        "| chart | finished trials | n | process, wall |",
        "|---|---|---|---|",
    ]
    for (chart, storage, trials), found in groups.items():
        if storage == "restart":
            (row,) = found.values()
            lines.append(f"| {chart} | {trials} | {len(row['wall'])} | {both(row)} |")
    return [*lines, "", _versions(result)]


def _is_barred(row: dict[str, Any]) -> bool:
    ours = (row["storage"], row["sampler"]) == ("memory", "FlatDirectionsSampler")
    return ours and bool(row["trials"] == max(COUNTS))


def verdict(row: dict[str, Any]) -> str:
    """The bar on one chart."""
    middle = statistics.median(row["process"])
    return (
        f"Bar on chart `{row['chart']}`, in memory with {row['trials']} trials: at most {BAR:g} ms of process time; the median is {middle:.1f} ms, "
        f"**{'met' if middle <= BAR else 'missed'}**."
    )


def both(found: dict[str, list[float]]) -> str:
    """Process time with quartiles, and the median of wall time."""
    return f"{shown(found['process'])}, {statistics.median(found['wall']):.1f}"


def draw(result: dict[str, Any]) -> list[str]:
    """The table, from the raw times alone."""
    groups: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    for row in result["rows"]:
        groups.setdefault((row["storage"], row["history"], row["trials"]), {})[row["sampler"]] = row["milliseconds"]
    lines = [
        "# Time inside ask() beyond RandomSampler's",
        "",
        f"Drawn from result.json by `{COMMAND} --draw`; measured by `{COMMAND}`. Milliseconds, three parameters",
        "suggested included; median (lower quartile – upper quartile) of the differences to RandomSampler's ask in",
        "the same round. SQLite has fewer trials because the storage itself takes too long for more. Bar: a median of",
        "at most 2 ms on memory with 1,000 trials. The search is the source's (search=myrtle), which costs next to nothing:",
        "this is what storage and replay cost. What the default search thinks itself is below.",
        "",
        "| storage | history | finished trials | rounds | RandomSampler itself | FlatDirectionsSampler | TPESampler |",
        "|---|---|---|---|---|---|---|",
    ]
    for (storage, kind, trials), times in groups.items():
        base = times["RandomSampler"]
        beyond = [[own - other for own, other in zip(times[name], base, strict=True)] for name in SAMPLERS[1:]]
        cells = [shown(base), *map(shown, beyond)]
        lines.append(f"| {storage} | {kind} | {trials} | {len(base)} | {' | '.join(cells)} |")
    return [*lines, "", _versions(result)]


def _versions(result: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in result["versions"].items()) + ".\n"


def shown(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} – {high:.2f})"
