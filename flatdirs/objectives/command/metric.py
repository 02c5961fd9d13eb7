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
from flatdirs.objectives.command.metric_lines import Lines, line_text
from flatdirs.objectives.command.metric_numbers import Number, bare_number, lowered, named_numbers, step_of
from flatdirs.objectives.command.metric_series import Reading, Series
from flatdirs.objectives.command.metric_wanted import Wanted, split_before

__all__ = ["LAST", "MetricConfig", "MetricReader", "Reading", "Seen"]

# lines whose numbers are listed: where the metric is told, where it is not, and of these the redrawn ones of a bar
_LINES, _LINES_UNTOLD, _REDRAWN = 1000, 50_000, 5_000
_DRAWN, _DRAWN_EVERY = 20_000, 64  # drawings of a bar that are all read, and of later ones every so many
_REGEX = 1 << 12  # bytes of a line that are searched with a regular expression that may not take linear time
_NAMES = 1000  # names that are listed
_END = 1 << 15  # bytes at the end of the output whose numbers are listed too where there is no value


@dataclass(frozen=True)
class Seen:
    """A named number of the output. `digits`: significant ones, the most that were printed; `percent`: a % followed."""

    count: int
    last: float
    digits: int
    percent: bool = False


class _Count:
    """Counts the numbers of a name."""

    def __init__(self) -> None:
        self._count = self._digits = 0
        self._last: Number | None = None

    def add(self, number: Number) -> None:
        """One more."""
        self._count += 1
        self._last = number
        self._digits = max(self._digits, number.digits)

    def seen(self) -> Seen | None:
        """What was counted, None if nothing was."""
        if self._last is None:
            return None
        return Seen(self._count, self._last.value, self._digits, self._last.percent)


class MetricReader:
    """Reads the output of one run, fed in any pieces from one thread.

    `on_reading` is called with each value of the metric as it is read; a later call with the same step replaces it.
    """

    def __init__(self, config: MetricConfig, *, on_reading: Callable[[Reading], None] | None = None) -> None:
        self._config = config
        self._on_reading = on_reading
        self._lines = Lines()
        self._series = Series()
        self._seen: dict[str, _Count] = {}
        self._own = _Count()  # the metric's
        self._regex = re.compile(config.regex) if config.regex is not None else None
        named = config.name is not None and config.name != LAST and self._regex is None and config.file is None
        self._wanted = Wanted(str(config.name)) if named else None
        self._spellings: set[str] = set()
        self._tier: tuple[int, int] | None = None
        self._place = "", 0  # of the last value: its line, in small letters, and where in it
        self._most = _LINES if config.told else _LINES_UNTOLD
        self._listed = self._redrawn = 0  # lines whose numbers are in `seen`, and those of a progress bar
        self._drawn, self._waiting = 0, b""  # drawings of a bar with the metric, and the last of them if it is not read
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
        if self._waiting and self._wanted is not None:
            self._hits(self._wanted, self._waiting)
            self._waiting = b""
        if self._config.name == LAST and self._regex is None and self._config.file is None:
            number = bare_number(line_text(self._last_line))
            if number is not None:
                self._add(number, None, redrawn=False)
        if not self._series.readings:
            lines = self._end.split(b"\n")
            for line in lines[1:] if len(self._end) == _END else lines:  # the first of them is a part of one
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
        """The named numbers of the output.

        Of a long one those of its first lines and, where the metric was not found, of its last ones: counts are then
        too small, last values may be earlier ones.
        """
        seen = {name: one for name, count in self._seen.items() if (one := count.seen()) is not None}
        own = self.metric_seen
        return seen if own is None else {**seen, self._config.name or "regex": own}

    @property
    def metric_seen(self) -> Seen | None:
        """The metric itself, None until it is printed."""
        return self._own.seen()

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """The names that match the wanted one equally well, for which there are no readings; empty if it is clear."""
        return tuple(sorted(self._spellings)) if len(self._spellings) > 1 else ()

    @property
    def of_test_set(self) -> bool:
        """Whether the last value was printed in a line about a test set."""
        return split_before(*self._place) == "test"

    def value(self, folders: Sequence[Path] = (), newer_than: float = -math.inf) -> float | None:
        """The objective value, None if there is none. `folders`, `newer_than`: see `read_metric_file`."""
        series = self._series
        if self._config.file is not None:
            series = Series()
            for reading in read_metric_file(self._config, folders, newer_than):
                series.add(reading.value, reading.step)
        return series.best(self._config.maximize) if self._config.take == "best" else series.last

    def _read(self, block: bytes) -> None:
        """Read whole lines."""
        if self._wanted is not None:
            for line in self._wanted.blocks(block):
                self._hit_or_wait(self._wanted, line)
        elif self._regex is not None:
            for line in block.split(b"\n"):
                self._match(line, self._regex)
        elif self._config.name == LAST and (end := block.rstrip()):
            self._keep_last(end)
        self._list_block(block)

    def _keep_last(self, block: bytes) -> None:
        for line in reversed(block.split(b"\n")):
            if line_text(line).strip():
                self._last_line = line
                return

    def _list_block(self, block: bytes) -> None:
        """List the numbers of these lines: of the first lines of the output; and keep the last ones."""
        lines = block.split(b"\n") if self._listed < self._most else []
        for index, line in enumerate(lines):
            if self._listed >= self._most:
                block = b"\n".join(lines[index:])
                break
            if not line.endswith(b"\r") or self._redrawn < _REDRAWN:
                self._redrawn += line.endswith(b"\r")
                self._list(line_text(line))
        else:
            block = b"" if lines else block
        if block and not self._series.readings:
            self._end = (self._end + block)[-_END:]

    def _list(self, line: str) -> None:
        self._listed += bool(line)
        for name, number in named_numbers(line):
            if name in self._seen or len(self._seen) < _NAMES:
                self._seen.setdefault(name, _Count()).add(number)

    def _hit_or_wait(self, wanted: Wanted, raw: bytes) -> None:
        """Read a line with the name; after very many drawings of progress bars, few of those and each bar's last."""
        drawn = raw.endswith(b"\r")
        self._drawn += drawn
        if drawn and self._drawn > _DRAWN and self._drawn % _DRAWN_EVERY:
            self._waiting = raw
            return
        if self._waiting and not drawn:
            self._hits(wanted, self._waiting)
        self._waiting = b""
        self._hits(wanted, raw)

    def _hits(self, wanted: Wanted, raw: bytes) -> None:
        line = line_text(raw)
        low = lowered(line)
        hits = wanted.hits(line, low)
        if not hits or (self._tier is not None and hits[0].tier > self._tier):
            return
        if self._tier is None or hits[0].tier < self._tier:
            self._tier, self._spellings, self._series, self._own = hits[0].tier, set(), Series(), _Count()
        self._spellings.update(hit.name for hit in hits)
        if self.ambiguous:
            self._series, self._own = Series(), _Count()
            self._spellings = set(sorted(self._spellings)[:10])
            return
        hit = hits[-1]
        self._place = low, hit.start
        self._add(hit.number, step_of(low), raw.endswith(b"\r"))

    def _match(self, raw: bytes, regex: re.Pattern[str]) -> None:
        line = line_text(raw, _REGEX)
        for found in regex.finditer(line):
            groups = found.groupdict()
            number = _number(groups["value"] if "value" in groups else found[1])
            if number is not None:
                step = _whole(groups["step"]) if "step" in groups else step_of(line.lower())
                self._add(number, step, raw.endswith(b"\r"))

    def _add(self, number: Number, step: int | None, redrawn: bool) -> None:
        self._own.add(number)
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
