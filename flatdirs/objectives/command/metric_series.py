"""The values of a metric in one run, one per step, with bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST = 1000  # readings that are kept


@dataclass(frozen=True)
class Reading:
    """A value of the metric. `step`: the one printed beside it, None if there was none."""

    value: float
    step: int | None


class Series:
    """Readings as they come. A later one of the same step replaces the earlier; steps that fall are no steps."""

    def __init__(self) -> None:
        self._kept: list[Reading] = []  # every `_every`-th of those before the last
        self._every, self._count = 1, 0
        self._last: Reading | None = None
        self._redrawn: str | None = None  # the last one as it was printed, if its line is drawn again
        self._falls = False
        self._low, self._high = math.inf, -math.inf
        self._nans = 0  # at the end, without the last reading

    def add(self, value: float, step: int | None, text: str = "", redrawn: bool = False) -> Reading | None:
        """Add a value; None where a progress bar only shows the last one again.

        `text`: as it was printed; `redrawn`: its line will be drawn again (it ended in a carriage return).
        """
        before = self._last
        if before is not None:
            self._falls = self._falls or (step is not None and before.step is not None and step < before.step)
            step = None if self._falls else step
            if step is None and before.step is None and self._redrawn == text != "":
                self._redrawn = text if redrawn else None
                return None
            if step is None or step != before.step:
                self._settle(before)
        self._last = Reading(value, step)
        self._redrawn = text if redrawn else None
        return self._last

    def _settle(self, reading: Reading) -> None:
        """Keep a reading that no later one will replace."""
        self._low, self._high = _wider(reading.value, self._low, self._high)
        self._nans = self._nans + 1 if math.isnan(reading.value) else 0
        if self._count % self._every == 0:
            self._kept.append(reading)
        self._count += 1
        if len(self._kept) >= MOST:
            del self._kept[1::2]
            self._every *= 2

    @property
    def readings(self) -> list[Reading]:
        """At most 1,000 readings, evenly thinned, and the last."""
        return [*self._kept, self._last] if self._last is not None else []

    @property
    def last(self) -> float | None:
        """The last value, None if there is none."""
        return None if self._last is None else self._last.value

    def best(self, maximize: bool | None) -> float | None:
        """The best value of all readings, nan if all are; None if there is none, or no direction."""
        if self._last is None or maximize is None:
            return None
        low, high = _wider(self._last.value, self._low, self._high)
        if low > high:
            return math.nan
        return high if maximize else low

    @property
    def nans_in_a_row(self) -> int:
        """How many of the last readings are nan."""
        return self._nans + 1 if self._last is not None and math.isnan(self._last.value) else 0


def _wider(value: float, low: float, high: float) -> tuple[float, float]:
    return (low, high) if math.isnan(value) else (min(low, value), max(high, value))
