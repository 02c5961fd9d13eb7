"""The metric of a run from a file that it wrote: CSV, JSON, JSON lines, trainer_state.json, TensorBoard events.

Only files newer than the run's start count, the newest of several. What is half-written is passed over: the
unfinished last line of a CSV file, a line or a file that is no JSON yet.
"""

from __future__ import annotations

import csv
import glob
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flatdirs.errors import ConfigError
from flatdirs.objectives.command.metric_config import KEY, MetricConfig
from flatdirs.objectives.command.metric_series import Reading

_TICK = 0.01  # s that a file's time may lie behind the clock
_STEPS = ("step", "global_step", "trainer/global_step", "iteration", "iter", "epoch", "Step")
Row = Mapping[str, Any]


def read_metric_file(config: MetricConfig, folders: Sequence[Path], newer_than: float) -> list[Reading]:
    """The values of the metric in the file, in its order; empty if there is no such file or column.

    `folders`: the run's and the working directory, the first in which the glob finds a file counts. `newer_than`: the
    start of the run, in seconds since 1970. Raises ConfigError (task.metric.file) where TensorBoard's reader is
    missing.
    """
    path = newest_file(config, folders, newer_than)
    column = config.column or config.name
    if path is None or column is None:
        return []
    if _is_events(path):
        return _events(path, column)
    rows = list(_rows(path))
    key = _matching(column, [name for row in rows for name in row])
    return [Reading(value, _step(row)) for row in rows if key in row and (value := _float(row[key])) is not None]


def columns(config: MetricConfig, folders: Sequence[Path], newer_than: float) -> list[str]:
    """The names in the file that hold numbers, for the sentence that says which there are."""
    path = newest_file(config, folders, newer_than)
    if path is None:
        return []
    if _is_events(path):
        return list(_accumulator(path).Tags()["scalars"])
    return list(dict.fromkeys(name for row in _rows(path) for name, value in row.items() if _float(value) is not None))


def newest_file(config: MetricConfig, folders: Sequence[Path], newer_than: float) -> Path | None:
    """The file that counts, None if there is none."""
    for folder in folders:
        found: list[tuple[float, Path]] = []
        for name in glob.glob(config.file or "", root_dir=folder, recursive=True):  # noqa: PTH207 - also absolute ones
            path = Path(folder) / name
            try:
                changed = path.stat().st_mtime
            except OSError:  # it is gone again
                continue
            if path.is_file() and changed >= newer_than - _TICK:
                found.append((changed, path))
        if found:
            return max(found)[1]
    return None


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a file, nested keys joined by dots."""
    try:
        if path.suffix.casefold() in {".json", ".jsonl", ".ndjson"}:
            yield from _json_rows(path)
        else:
            yield from _csv_rows(path)
    except (OSError, csv.Error, RecursionError):
        return


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        head = file.readline()
        file.seek(0)
        counts = {mark: head.count(mark) for mark in (",", "\t", ";")}
        mark = max(counts, key=lambda mark: counts[mark])
        whole = (line.replace("\0", "") for line in file if line.endswith(("\n", "\r")))
        for row in csv.DictReader(whole, delimiter=mark, skipinitialspace=True):
            yield {name.strip(): value for name, value in row.items() if isinstance(name, str)}


def _json_rows(path: Path) -> Iterator[Row]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield _flat(row)
        return
    if isinstance(whole, dict) and isinstance(whole.get("log_history"), list):
        whole = whole["log_history"]
    if isinstance(whole, list):
        yield from (_flat(row) for row in whole if isinstance(row, dict))
    elif isinstance(whole, dict):
        yield from _spread(_flat(whole))


def _spread(row: Row) -> Iterator[Row]:
    """The rows of one mapping: as many as its longest list has values, such as Keras' history; else one."""
    lists = {name: value for name, value in row.items() if isinstance(value, list)}
    if not lists:
        yield row
        return
    yield {name: value for name, value in row.items() if name not in lists}
    for index in range(max(map(len, lists.values()))):
        yield {name: values[index] for name, values in lists.items() if index < len(values)}


def _flat(row: Row, front: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{front}{name}."))
        else:
            flat[f"{front}{name}"] = value
    return flat


def _matching(asked: str, names: Sequence[str]) -> str:
    """The wanted column: the same name, else one that differs in case, else in separators; else itself."""
    unique = dict.fromkeys(names)
    if asked in unique:
        return asked
    for form in (str.casefold, _loose):
        like = [name for name in unique if form(name) == form(asked)]
        if like:
            return like[0] if len(like) == 1 else asked
    return asked


def _loose(name: str) -> str:
    return re.sub(r"[\s_\-/.]+", "_", name.casefold())


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value.strip().removesuffix("%") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None


def _step(row: Row) -> int | None:
    for name in _STEPS:
        value = _float(row.get(name))
        if value is not None and math.isfinite(value) and value == int(value):
            return int(value)
    return None


def _is_events(path: Path) -> bool:
    return "tfevents" in path.name


def _events(path: Path, column: str) -> list[Reading]:
    events = _accumulator(path)
    tag = _matching(column, events.Tags()["scalars"])
    if tag not in events.Tags()["scalars"]:
        return []
    return [Reading(float(event.value), int(event.step)) for event in events.Scalars(tag)]


def _accumulator(path: Path) -> Any:
    if find_spec("tensorboard") is None:
        sentence = f"{KEY}.file={path.name} needs TensorBoard's reader; run pip install tensorboard"
        raise ConfigError(sentence, key=f"{KEY}.file")
    accumulators = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    return events
