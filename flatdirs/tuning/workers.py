"""More processes for one study: the same command started several times, ended with the first.

A small network does not keep two cores busy with two threads; two processes with one thread each do. A helper finds the
study in its storage and takes runs from it as any worker does; its output is dropped, and what is handed over is left
to the command. It ends by itself when nothing is left to do, and with the command when that fails or is killed (Linux).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO

from flatdirs.errors import ConfigError
from flatdirs.setting_checks import wrong

SET_PARENT_DEATH_SIGNAL = 1  # Linux: prctl(2)
MOST_WORKERS = 256
SHARED = ("journal", "url")  # storages that several processes may write to
HELPER = "FLATDIRS_HELPER"  # in the environment of a helper


def require_shared(count: int, storage: str) -> None:
    """Raise ConfigError for too many workers, or for several on a storage that processes cannot share."""
    if count > MOST_WORKERS:
        raise ConfigError(f"workers={count} must be at most {MOST_WORKERS}; change workers", key="workers")
    if count > 1 and storage not in SHARED:
        raise ConfigError(
            f"workers={count} cannot share storage={storage}; set storage=journal or workers=1", key="workers"
        )


OUTSIDE = "run flatdirs outside torchrun, as in flatdirs tune -- torchrun … train.py"


def refuse_torchrun(environment: Mapping[str, str], remedy: str = OUTSIDE) -> None:
    """Raise ConfigError in a process of torchrun's, where each rank would run a search of its own."""
    if "RANK" in environment and (size := environment.get("WORLD_SIZE", "1")) != "1":
        problem = f"of WORLD_SIZE={size} would run a search of its own, as every rank does"
        raise wrong("RANK", environment["RANK"], problem, remedy=remedy)


class Workers:
    """A context in which `count` − 1 helpers run `flatdirs.<name>` with these overrides, once `start` is called."""

    def __init__(self, name: str, count: int, say: Callable[[str], None], words: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", f"flatdirs.{name}", *words]
        self._count, self._say = count, say
        self._started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> Workers:
        return self

    def start(self) -> None:
        """Start the helpers."""
        for _ in range(self._count - 1):
            errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in join)
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, HELPER: "1"},
                preexec_fn=_end_with_parent,  # noqa: PLW1509
            )
            self._started.append((process, errors))

    def join(self) -> None:
        """Wait until the helpers have ended; say which failed. The others have made its run."""
        while self._started:
            process, errors = self._started.pop()
            code = process.wait()
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            errors.close()
            if code:
                self._say(f"a worker ended with exit code {code}: {lines[-1] if lines else 'no message'}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for process, _ in self._started:
                process.terminate()
            self._say = _silent
        self.join()


def _silent(line: str) -> None:
    """Drop the messages of helpers that the command itself has ended."""


def _end_with_parent() -> None:
    """In the new process, ask the kernel for a SIGTERM when the parent dies (Linux only)."""
    try:
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    except (OSError, AttributeError, TypeError):
        return
