"""The metric of a run: which number of a command's output, or of a file that it wrote, is the objective value.

`MetricConfig` is the group task.metric; a `MetricReader` reads the output of one run as it comes. It never raises on
what a program prints. What it says of the output apart from the metric: the numbers seen, under their names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatdirs.objectives.command.metric_config import LAST, MetricConfig
from flatdirs.objectives.command.metric_files import read_metric_file
from flatdirs.objectives.command.metric_lines import (
    Lines,
    Number,
    Wanted,
    bare_number,
    line_text,
    named_numbers,
    step_of,
)
from flatdirs.objectives.command.metric_series import Reading, Series

_LINES = 1000  # lines whose numbers are listed although the metric is told
_REDRAWN = 20_000  # lines ended by a carriage return whose numbers are listed where it is not
_NAMES = 1000  # names that are listed
_END = 1 << 15  # bytes at the end of the output whose numbers are listed where the metric was not found


@dataclass(frozen=True)
class Seen:
    """A named number of the output. `digits`: significant ones, the most that were printed; `percent`: a % followed."""

    count: int
    last: float
    digits: int
    percent: bool = False

    @classmethod
    def with_another(cls, before: Seen | None, number: Number) -> Seen:
        """One more number of the name."""
        count, digits = (0, 0) if before is None else (before.count, before.digits)
        return cls(count + 1, number.value, max(digits, number.digits), number.percent)


class MetricReader:
    """Reads the output of one run, fed in any pieces from one thread.

    `on_reading` is called with each value of the metric as it is read; a later call with the same step replaces it.
    """

    def __init__(self, config: MetricConfig, *, on_reading: Callable[[Reading], None] | None = None) -> None:
        self._config = config
        self._on_reading = on_reading
        self._lines = Lines()
        self._series = Series()
        self._seen: dict[str, Seen] = {}
        self._own: Seen | None = None  # the metric's
        self._regex = re.compile(config.regex) if config.regex is not None else None
        named = config.name is not None and config.name != LAST and self._regex is None and config.file is None
        self._wanted = Wanted(str(config.name)) if named else None
        self._spellings: set[str] = set()
        self._tier: tuple[int, int] | None = None
        self._test = False
        self._listed = 0  # lines whose numbers are in `seen`
        self._end = b""
        self._last_line = b""

    def feed(self, data: bytes) -> None:
        """Read more output."""
        for block in self._lines.feed(data):
            self._read(block)

    def close(self) -> None:
        """Read the unfinished last line: the output has ended."""
        if line := self._lines.close():
            self._read(line + b"\n")
        if self._config.name == LAST and self._regex is None and self._config.file is None:
            number = bare_number(line_text(self._last_line))
            if number is not None:
                self._add(number, None, LAST, redrawn=False)
        elif self._config.told and not self._series.readings and self._listed >= _LINES:
            for line in self._end.split(b"\n"):
                self._list(line_text(line))

    @property
    def readings(self) -> list[Reading]:
        """The values of the metric, one per step; evenly thinned to at most 1,000, the last always among them."""
        return self._series.readings

    @property
    def nans_in_a_row(self) -> int:
        """How many of the last values of the metric are nan."""
        return self._series.nans_in_a_row

    @property
    def seen(self) -> Mapping[str, Seen]:
        """The named numbers of the output; of a long one, where the metric is told, those of its first lines."""
        own = self._config.name or ("regex" if self._regex is not None else None)
        return self._seen if self._own is None or own is None else {**self._seen, own: self._own}

    @property
    def metric_seen(self) -> Seen | None:
        """The metric itself, None until it is printed."""
        return self._own

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """The names that fit the one asked for equally well, empty if it is clear; there are then no readings."""
        return tuple(sorted(self._spellings)) if len(self._spellings) > 1 else ()

    @property
    def of_test_set(self) -> bool:
        """Whether the last value was printed in a line about a test set."""
        return self._test

    def value(self, folders: Sequence[Path] = (), newer_than: float = -math.inf) -> float | None:
        """The objective value, None if there is none. `folders`, `newer_than`: see `read_metric_file`."""
        if self._config.file is None:
            best = self._series.best(self._config.maximize)
            return best if self._config.take == "best" else self._series.last
        series = Series()
        for reading in read_metric_file(self._config, folders, newer_than):
            series.add(reading.value, reading.step)
        return series.best(self._config.maximize) if self._config.take == "best" else series.last

    def _read(self, block: bytes) -> None:
        """Read whole lines."""
        if self._wanted is not None:
            self._search(block, self._wanted)
        elif self._regex is not None:
            for line in block.split(b"\n"):
                self._match(line, self._regex)
        elif self._config.name == LAST and (end := block.rstrip()):
            self._keep_last(end)
        if not self._config.told or self._listed < _LINES:
            self._list_block(block)
        elif not self._series.readings:
            self._end = (self._end + block)[-_END:]

    def _keep_last(self, block: bytes) -> None:
        for line in reversed(block.split(b"\n")):
            if line_text(line).strip():
                self._last_line = line
                return

    def _list_block(self, block: bytes) -> None:
        for line in block.split(b"\n"):
            if self._config.told and self._listed >= _LINES:
                return
            if not line.endswith(b"\r") or self._listed < _REDRAWN:
                self._list(line_text(line))

    def _list(self, line: str) -> None:
        self._listed += bool(line)
        for name, number in named_numbers(line):
            if name in self._seen or len(self._seen) < _NAMES:
                self._seen[name] = Seen.with_another(self._seen.get(name), number)

    def _search(self, block: bytes, wanted: Wanted) -> None:
        """Look at those lines only that have a part of the name."""
        small = block.lower()
        at = small.find(wanted.key)
        begin = 0
        while at >= 0:
            begin = block.rfind(b"\n", begin, at) + 1 or begin
            end = block.index(b"\n", at)
            line = block[begin:end]
            self._hits(wanted, line_text(line), line.endswith(b"\r"))
            begin = end + 1
            at = small.find(wanted.key, begin) if begin < len(block) else -1

    def _hits(self, wanted: Wanted, line: str, redrawn: bool) -> None:
        hits = wanted.hits(line)
        if not hits or (self._tier is not None and hits[0].tier > self._tier):
            return
        if self._tier is None or hits[0].tier < self._tier:
            self._tier, self._spellings, self._series, self._own = hits[0].tier, set(), Series(), None
        self._spellings.update(hit.name for hit in hits)
        if self.ambiguous:
            self._series, self._own = Series(), None
            self._spellings = set(sorted(self._spellings)[:10])
            return
        hit = hits[-1]
        self._test = hit.test
        self._add(hit.number, step_of(line), hit.name, redrawn)

    def _match(self, raw: bytes, regex: re.Pattern[str]) -> None:
        line = line_text(raw)
        for found in regex.finditer(line):
            groups = found.groupdict()
            number = _number(groups["value"] if "value" in groups else found[1])
            if number is not None:
                step = _whole(groups["step"]) if "step" in groups else step_of(line)
                self._add(number, step, "regex", raw.endswith(b"\r"))

    def _add(self, number: Number, step: int | None, name: str, redrawn: bool) -> None:
        self._own = Seen.with_another(self._own, number)
        reading = self._series.add(number.value, step, number.text, redrawn)
        if reading is not None and self._on_reading is not None:
            self._on_reading(reading)


def _number(text: Any) -> Number | None:
    """The number that a group of the user's regular expression matched."""
    text = str(text or "").strip().strip("'\"")
    number = bare_number(text)
    if number is not None:
        return number
    try:
        return Number(float(text), text, len(text), False)
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    whole = number is not None and math.isfinite(number.value) and number.value == int(number.value)
    return int(number.value) if number is not None and whole else None
