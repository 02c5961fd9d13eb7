"""The command that goes on with a search on wider ranges: from the words it was given, or from what a study keeps.

A study whose ranges changed is another search, so it gets another name.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flatdirs.analysis.ranges import Edge
from flatdirs.analysis.records import Sweep
from flatdirs.resources import conf_folder
from flatdirs.tuning.best_file import is_option, unquoted_group_words

GROUPS = ("task", "schedule", "optimizer", "metric", "pruner")


def continuation(sweep: Sweep, edges: Sequence[Edge], output: Path) -> str:
    """One line to go on with beyond these edges: a command for a study of ours, the ranges to suggest for another's."""
    if "slice" in sweep.identity:
        return "go on with python -m flatdirs.slices and more steps on that side; change x_steps or y_steps"
    if "box" not in sweep.identity:
        calls = [
            f'suggest_{"int" if edge.range.name == "batch_size" else "float"}("{edge.range.name}", '
            f"{edge.wider.low:.4g}, {edge.wider.high:.4g}{', log=True' if edge.wider.log else ''})"
            for edge in edges
        ]
        return f"go on with trial.{' and trial.'.join(calls)}"
    words = [*_choices(sweep.identity), *_plain(sweep.identity)]
    words += [] if output == Path("studies") else [f"output={output}"]
    return wider_command(words, _box(sweep.identity["box"], edges), sweep.name)


def wider_command(words: Sequence[str], box: Mapping[str, tuple[float, float]], study: str) -> str:
    """The command of these words (as `tune` reads them, unquoted) with these ranges, in a study of its own."""
    replaced = ("study=", *(f"box.{name}=" for name in box))
    kept = [word for word in words if not word.startswith(replaced)]
    ranges = [f"box.{name}=[{low:.6g},{high:.6g}]" for name, (low, high) in box.items()]
    return " ".join(["python -m flatdirs.tune", *map(shlex.quote, [*kept, *ranges, f"study={study}-wider"])])


def _choices(identity: Mapping[str, Any]) -> list[str]:
    """Groups, as far as they are options of conf/ and differ from what `tune` takes untold."""
    words = []
    for group in GROUPS:
        settings = identity.get(group)
        if isinstance(settings, Mapping) and is_option(group, str(settings.get("name"))):
            words += unquoted_group_words(group, settings)
    chart = identity["chart"]["name"]
    words += [f"chart={chart}"] if is_option("chart", chart) else []
    fixed = identity["chart"]["fixed"]
    words += [f"fixed=[{','.join(fixed)}]", *(f"start.{name}={identity['start'][name]}" for name in fixed)] * bool(
        fixed
    )
    return [*words, f"search={identity['search']['name']}"]


def _box(box: Mapping[str, Sequence[float]], edges: Sequence[Edge]) -> dict[str, tuple[float, float]]:
    """Every range that differs from the usual one, the wider ones wider."""
    usual = yaml.safe_load((conf_folder() / "tune.yaml").read_text(encoding="utf-8"))["box"]
    wanted = {name: [float(side) for side in pair[:2]] for name, pair in box.items()}  # a third says uniform
    for edge in edges:
        low, high = wanted[edge.range.name]
        wanted[edge.range.name] = [min(low, edge.wider.low), max(high, edge.wider.high)]
    changed = {name: pair for name, pair in wanted.items() if pair != [float(side) for side in usual.get(name, ())]}
    return {name: (low, high) for name, (low, high) in changed.items()}


def _plain(identity: Mapping[str, Any]) -> list[str]:
    usual: dict[str, Any] = {"seed": 0, "repeats": 1, "evaluate_every": None, "clip_gradient": None}
    if (identity.get("task") or {}).get("name") == "callable":  # elsewhere the metric says which way
        usual["direction"] = "maximize"
    words = [f"{key}={identity[key]}" for key, value in usual.items() if identity.get(key, value) != value]
    evaluate = (identity.get("data") or {}).get("evaluate", "validation")
    return words + ([f"data.evaluate={evaluate}"] if evaluate != "validation" else [])
