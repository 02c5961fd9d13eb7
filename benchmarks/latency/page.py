"""Draw result.md from result.json; measures nothing. The numbers are __main__.py's."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COMMAND = "python -m benchmarks.latency"
SAMPLERS = ("RandomSampler", "FlatDirectionsSampler", "TPESampler")


def results() -> dict[str, str | bytes]:
    """Every drawn file beside this one, by name."""
    return {"result.md": draw(json.loads((HERE / "result.json").read_text(encoding="utf-8")))}


def draw(result: dict[str, Any]) -> str:
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
        "this is what storage and replay cost. What the default search thinks itself is in ../runs_to_target.",
        "",
        "| storage | history | finished trials | rounds | RandomSampler itself | FlatDirectionsSampler | TPESampler |",
        "|---|---|---|---|---|---|---|",
    ]
    for (storage, kind, trials), times in groups.items():
        base = times["RandomSampler"]
        beyond = [[own - other for own, other in zip(times[name], base, strict=True)] for name in SAMPLERS[1:]]
        cells = [shown(base), *map(shown, beyond)]
        lines.append(f"| {storage} | {kind} | {trials} | {len(base)} | {' | '.join(cells)} |")
    lines += ["", ", ".join(f"{key} {value}" for key, value in result["versions"].items()) + ".", ""]
    return "\n".join(lines)


def shown(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} – {high:.2f})"
