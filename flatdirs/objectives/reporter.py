"""The `report` that a user's function gets: report(step, value), from any thread, as often as it likes.

A call costs microseconds: it keeps the value and hands it on; the study writes values in batches (backend/reports.py).
The step numbers are the user's own. A report after the end of its run says nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

MOST_POINTS = 500  # at least so many reports of a run are kept with the trial, at most twice as many


class Stopped(Exception):
    """Raised by `report` in a run that the pruner stops; the function may clean up and must let it pass."""


class Reporter:
    """What one call of a user's function reports.

    `hand_on(step, value)` returns True where the run is to be stopped; `refuse(problem)` makes the error of a report
    that is not two numbers. `points`: every `2^n`-th report as (step, value), and the last. `last`: its value.
    """

    def __init__(self, hand_on: Callable[[int, float], bool], refuse: Callable[[str], Exception]) -> None:
        self._hand_on, self._refuse = hand_on, refuse
        self._lock = threading.RLock()
        self._open = True
        self._kept: list[tuple[int, float]] = []
        self._count, self._stride = 0, 1
        self._latest: tuple[int, float] | None = None
        self.stopped = False

    def __call__(self, step: int, value: float) -> None:
        """Report a value at a step, a whole number from 0. Raises Stopped where the pruner stops the run."""
        if not self._open:
            return
        point = self._checked(step, value)
        with self._lock:
            if not self._open:
                return
            self._keep(point)
            self.stopped = self._hand_on(*point) or self.stopped
        if self.stopped:
            raise Stopped

    @property
    def points(self) -> list[tuple[int, float]]:
        """The reports that are kept, in order."""
        last = self._latest
        return self._kept + ([last] if last is not None and (self._count - 1) % self._stride else [])

    @property
    def last(self) -> float | None:
        """The value of the last report, None before the first."""
        return None if self._latest is None else self._latest[1]

    def close(self) -> None:
        """The run has ended: later reports are ignored."""
        with self._lock:
            self._open = False

    def _checked(self, step: int, value: float) -> tuple[int, float]:
        try:
            if isinstance(step, (str, bytes)) or isinstance(value, (str, bytes)):
                raise TypeError
            number, amount = int(step), float(value)
        except (TypeError, ValueError, OverflowError) as error:
            problem = f"called report({step!r}, {value!r}), which takes two numbers, step and value"
            raise self._refuse(problem) from error
        if number != step or number < 0:
            raise self._refuse(f"called report({step!r}, {value!r}), whose step must be a whole number from 0")
        return number, amount

    def _keep(self, point: tuple[int, float]) -> None:
        if self._count % self._stride == 0:
            self._kept.append(point)
        self._count, self._latest = self._count + 1, point
        if len(self._kept) >= 2 * MOST_POINTS:
            self._kept, self._stride = self._kept[::2], 2 * self._stride
