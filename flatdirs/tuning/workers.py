"""More processes for one study: the same command again, so many times, ended with the first.

A small network does not fill two cores with two threads; two processes with one thread each do
(benchmarks/throughput). A helper is nothing but the user's own command in another process: it finds the study in its
storage, takes runs from it as any worker does, and its output is left out. It ends by itself when nothing is left to
do, with an error when the command ends with one, and with the command when that is killed (Linux).
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO

from flatdirs.errors import ConfigError

SET_PARENT_DEATH_SIGNAL = 1  # Linux: prctl(2)
MOST = 256
SHARED = ("journal", "url")  # storages that several processes may write to


def require_shared(count: int, storage: str) -> None:
    """Raise ConfigError for more workers than there may be, or than one on a storage that processes cannot share."""
    if count > MOST:
        raise ConfigError(f"workers={count} must be at most {MOST}; change workers")
    if count > 1 and storage not in SHARED:
        raise ConfigError(f"workers={count} cannot share storage={storage}; set storage=journal or workers=1")


class Workers:
    """`count` − 1 further processes of `flatdirs.<name>`, called with `words`, while inside."""

    def __init__(self, name: str, count: int, say: Callable[[str], None], words: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", f"flatdirs.{name}", *words, "workers=1"]
        self._count, self._say = count, say
        self._started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> Workers:
        for _ in range(self._count - 1):
            errors = tempfile.TemporaryFile()
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=_end_with_parent,  # noqa: PLW1509
            )
            self._started.append((process, errors))
        return self

    def join(self) -> None:
        """Wait until the helpers have ended; say so where one failed, whose run the others have made."""
        while self._started:
            process, errors = self._started.pop()
            code = process.wait()
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            errors.close()
            if code:
                self._say(f"a helper ended with exit code {code}: {lines[-1] if lines else 'it said nothing'}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for process, _ in self._started:
                process.terminate()
            self._say = _silent
        self.join()


def _silent(line: str) -> None:
    """What a helper that was ended says is of no interest."""


def _end_with_parent() -> None:
    """Runs in the new process: ask the kernel for a SIGTERM when the parent dies, where there is such a thing."""
    try:
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    except (OSError, AttributeError, TypeError):
        return
