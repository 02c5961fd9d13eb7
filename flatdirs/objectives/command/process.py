"""One command, run to its end or to ours: output in chunks, stopping, and nothing left behind.

On POSIX a small process stands in between (guard.py): it ends the whole tree, also when flatdirs itself is killed. On
Windows psutil ends what can be found from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import psutil

from flatdirs.errors import ObjectiveError
from flatdirs.objectives.command import guard
from flatdirs.objectives.command.strays import PARENT, kill_marked, mark_of, parent_mark
from flatdirs.setting_checks import wrong

POLL_SECONDS = 0.1
DRAIN_SECONDS = 2.0  # how long the rest is waited for after everything has ended
CHUNK = 1 << 16
MOST_AT_ONCE = 1 << 20  # bytes handed to output() in one call
MOST_READS_AFTER = 16  # more than a full pipe and a full queue need, should somebody unknown still write


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    code: exit code, negative for a signal, None if unknown (somebody killed our own process in between). stopped: why
    we ended it ("pruned", "minutes", "diverged", "interrupted"), None if it ended by itself. left_behind: names of
    programs that were still running when the command had ended, and were killed.
    """

    code: int | None
    seconds: float
    stopped: str | None
    left_behind: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Answer:
    code: int | None
    seconds: float
    left: tuple[str, ...] = ()
    error: Exception | None = None  # it could not be started


def run_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: Callable[[bytes], None],
    should_stop: Callable[[], str | None],
    minutes: float | None = None,
    grace_seconds: float = 10.0,
) -> Ended:
    """Run `argv` without a shell and without a terminal, and wait until it and its whole tree have ended.

    `output` gets stdout and stderr, as they come, in this thread. `should_stop` is asked about ten times a second and
    after each chunk; its answer is the reason for which the run is stopped: SIGTERM to the command, `grace_seconds`,
    then SIGKILL to all of its processes. `minutes` stops it too. Any exception, Ctrl-C included, ends the run the same
    way and is raised again when nothing is left; a second Ctrl-C kills at once. Raises ObjectiveError (task.command,
    run.cwd) for a command that cannot be started.
    """
    run = _start(argv, {**env, PARENT: parent_mark()}, cwd, grace_seconds)
    end = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    stopped: str | None = None
    try:
        while (answer := run.answer()) is None:
            _pass_on(run.read(POLL_SECONDS), output)
            if stopped is None:
                stopped = should_stop() or ("minutes" if time.monotonic() > end else None)
                if stopped is not None:
                    run.stop()
        for _ in range(MOST_READS_AFTER):
            if not (chunk := run.read(DRAIN_SECONDS)):
                break
            output(chunk)
    except BaseException:
        _end(run, output)
        raise
    if answer.error is not None:
        raise answer.error
    return Ended(answer.code, answer.seconds, stopped, answer.left)


def _pass_on(chunk: bytes, output: Callable[[bytes], None]) -> None:
    if chunk:
        output(chunk)


def _end(run: _Run, output: Callable[[bytes], None]) -> None:
    """Stop a run after an exception and wait for its end; what it still writes is kept if it can be."""
    run.stop()
    while run.answer() is None:
        try:
            chunk = run.read(POLL_SECONDS)
            with contextlib.suppress(Exception):
                _pass_on(chunk, output)
        except KeyboardInterrupt:
            run.kill()


class _Run(Protocol):
    def read(self, seconds: float) -> bytes:
        """What the command has written, b"" if it wrote nothing for so long."""

    def answer(self) -> _Answer | None:
        """How the run ended, None while anything of it is left."""

    def stop(self) -> None:
        """End it with grace."""

    def kill(self) -> None:
        """End it now."""


def _start(argv: Sequence[str], env: Mapping[str, str], cwd: Path, grace: float) -> _Run:
    if not argv:
        raise wrong("task.command", "", "is empty", ObjectiveError)
    if os.name == "posix":
        return _Guarded(argv, env, cwd, grace)
    return _Unguarded(argv, env, cwd)


class _Reader:
    """A thread that reads a pipe, so that nothing waits for a pipe which somebody holds open."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._chunks: queue.Queue[bytes] = queue.Queue(maxsize=64)
        self._at_end = False
        threading.Thread(target=self._pump, name="flatdirs-output", daemon=True).start()

    def _pump(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), CHUNK):
                self._chunks.put(chunk)
        self._chunks.put(b"")

    def read(self, seconds: float) -> bytes:
        """All that is there, at most MOST_AT_ONCE bytes; waits for `seconds` if nothing is. b"" at the end, at once."""
        found: list[bytes] = []
        length = 0
        while not self._at_end and length < MOST_AT_ONCE:
            try:
                chunk = self._chunks.get_nowait() if found else self._chunks.get(timeout=seconds)
            except queue.Empty:
                break
            self._at_end = not chunk
            found.append(chunk)
            length += len(chunk)
        return b"".join(found)

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._at_end


class _Guarded:
    """A run behind guard.py."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, grace: float) -> None:
        self._mark = mark_of(env)
        self._argv, self._cwd = argv, cwd
        self._begun = time.monotonic()
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__],
                env={**os.environ, **self._mark},
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self._reader = _Reader(self._process.stdout)
        settings = {
            "argv": list(argv),
            "env": dict(env),
            "cwd": str(cwd),
            "grace": grace,
            "mark": self._mark,
            "parent": os.getpid(),
            "psutil": str(Path(psutil.__file__).parent.parent),
        }
        self._send(json.dumps(settings).encode() + b"\n")

    def read(self, seconds: float) -> bytes:
        if self._reader.at_end:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        return self._reader.read(seconds)

    def answer(self) -> _Answer | None:
        if self._process.poll() is None:
            return None
        told = self._told()
        if "error" in told:
            return _Answer(None, 0.0, error=_cannot_start(self._argv, self._cwd, told["error"], told["file"]))
        if "code" not in told:  # killed: the kernel has ended the command (Linux), the rest is found by its mark
            return _Answer(None, time.monotonic() - self._begun, kill_marked(self._mark))
        return _Answer(told["code"], told["seconds"], tuple(told["left"]))

    def stop(self) -> None:
        self._send(b"t")

    def kill(self) -> None:
        self._send(b"k")

    def _send(self, order: bytes) -> None:
        with contextlib.suppress(OSError):  # it has ended; answer() says how
            self._channel.sendall(order)

    def _told(self) -> dict[str, Any]:
        received = b""
        with self._channel, contextlib.suppress(OSError):
            self._channel.settimeout(DRAIN_SECONDS)
            while not received.endswith(b"\n") and (more := self._channel.recv(CHUNK)):
                received += more
        return dict(json.loads(received)) if received.endswith(b"\n") else {}


class _Unguarded:
    """A run on Windows: no grace, and nothing that outlives a killed flatdirs is found before the next start."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._mark = mark_of(env)
        self._begun = time.monotonic()
        try:
            self._process = psutil.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise _cannot_start(argv, cwd, error.strerror or str(error), error.filename) from None
        self._reader = _Reader(self._process.stdout)

    def read(self, seconds: float) -> bytes:
        if self._reader.at_end:
            with contextlib.suppress(psutil.TimeoutExpired):
                self._process.wait(seconds)
        return self._reader.read(seconds)

    def answer(self) -> _Answer | None:
        code = self._process.poll()
        return None if code is None else _Answer(code, time.monotonic() - self._begun, kill_marked(self._mark))

    def stop(self) -> None:
        self.kill()

    def kill(self) -> None:
        with contextlib.suppress(psutil.Error):
            for process in [*self._process.children(recursive=True), self._process]:
                with contextlib.suppress(psutil.Error):
                    process.kill()


def _cannot_start(argv: Sequence[str], cwd: Path, problem: str, file: str | None) -> Exception:
    if file == str(cwd) and not cwd.is_dir():
        return wrong("run.cwd", cwd, "is not a folder", ObjectiveError)
    return wrong(
        "task.command",
        argv[0],
        f"cannot be started: {problem}",
        ObjectiveError,
        "check the name of the program, its path and whether it is executable (a script begins with #!)",
    )
