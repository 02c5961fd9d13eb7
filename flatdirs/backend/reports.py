"""The intermediate values of a run on their way into the storage: kept in memory, written in batches.

A report must cost next to nothing whatever the storage, so values are written at most once a second, and the rest when
the run ends. A pruner judges a run when its values are written: at each of its first JUDGED reports, so that short runs
are judged alike on every machine, then at most once a second. Of very many reports, every 2^n-th is written, the same
ones in every run, so that runs can be compared at their steps.
"""

from __future__ import annotations

import math
import threading
import time

import optuna

from flatdirs.backend import optuna_private

WRITE_SECONDS = 1.0
JUDGED = 5
MANY = 500  # reports after which every second one is written, then every fourth after as many again, …


class Reports:
    """The reported values of one run; several threads may add to them."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial) -> None:
        self._study, self._trial = study, trial
        self._lock = threading.RLock()
        self._waiting: dict[int, float] = {}
        self._latest: tuple[int, float] | None = None  # a report that is not written unless it is the last
        self._count, self._chosen, self._stride = 0, 0, 1
        self._due = -math.inf

    def add(self, step: int, value: float) -> None:
        """Keep one value. A step that is reported twice has the later value."""
        with self._lock:
            self._latest = (step, value)
            if self._count % self._stride == 0:
                self._waiting[step] = value
                self._chosen += 1
                if self._chosen % MANY == 0:
                    self._stride *= 2
            self._count += 1

    @property
    def due(self) -> bool:
        """Whether the last batch was written long enough ago."""
        return time.monotonic() >= self._due

    @property
    def to_judge(self) -> bool:
        """Whether the values should be written for a pruner to judge them."""
        return self.due or self._count <= JUDGED

    def write(self) -> None:
        """Write what is waiting and the latest value."""
        with self._lock:
            if self._latest is not None:
                step, value = self._latest
                self._waiting[step] = value
            waiting, self._waiting, self._latest = self._waiting, {}, None
            if waiting:
                optuna_private.write_reports(self._study, self._trial, waiting)
                self._due = time.monotonic() + WRITE_SECONDS
