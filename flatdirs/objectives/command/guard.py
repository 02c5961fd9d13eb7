"""The process between flatdirs and a command: it starts the command, and ends whatever the command has left behind.

Runs as a script (POSIX), one a run, in a session of its own and without importing flatdirs. Its standard input is a
socket: flatdirs sends one line of JSON, later b"t" (stop: SIGTERM, grace, SIGKILL) or b"k" (SIGKILL now). The end of
that socket means that flatdirs is gone, kill -9 included, and counts as b"t". On Linux it is a subreaper (prctl(2)): a
process that daemonises becomes its child, in whichever session. The answer is one line of JSON: `pid` and `code`,
`seconds` and `left`, or `error`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36  # Linux: prctl(2)
LINGER_SECONDS = 2.0  # what the leader leaves behind may still end by itself
KILL_SECONDS = 10.0  # a process in uninterruptible sleep cannot be waited for


def prctl(option: int, value: int) -> bool:
    """Call prctl(2); False where there is none or it failed."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def processes_where(test: Callable[[Any, Mapping[str, str]], bool]) -> list[Any]:
    """The living processes of this user, this one aside, for which test(process, environment) holds."""
    import psutil

    found: list[Any] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or (hasattr(os, "getuid") and process.uids().real != os.getuid()):
                continue
            if test(process, process.environ()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def marked(mark: Mapping[str, str]) -> list[Any]:
    """The living processes whose environment holds all of `mark`; none for an empty mark."""
    return processes_where(lambda _, environment: mark.items() <= environment.items()) if mark else []


def descendants() -> list[Any]:
    """The living processes below this one (psutil.Process each)."""
    import psutil

    found: list[Any] = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill_all(find: Callable[[], list[Any]], reap: Callable[[], None]) -> dict[int, str]:
    """SIGKILL what `find` finds until it finds nothing, at most KILL_SECONDS. Returns their names by process id."""
    import psutil

    names: dict[int, str] = {}
    end = time.monotonic() + KILL_SECONDS
    while (alive := find()) and time.monotonic() < end:
        for process in alive:
            with contextlib.suppress(psutil.Error):
                names.setdefault(process.pid, process.name())
                process.kill()
        time.sleep(0.02)
        reap()
    return names


class Guard:
    """One run: its leader, and the orders that came for it."""

    def __init__(self, channel: socket.socket, settings: Mapping[str, Any], orders: bytes) -> None:
        self._channel, self._settings, self._orders = channel, settings, orders
        self._adopts = prctl(SET_CHILD_SUBREAPER, 1)
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup it stays ignored
                signal.signal(number, self._order_stop)
        self._pid = 0
        self._code: int | None = None
        self._kill_at = math.inf
        self._all_gone = False

    def run(self) -> dict[str, Any]:
        """Start the command, wait for it or for an order, leave nothing behind."""
        begun = time.monotonic()
        try:
            self._pid = self._start()
        except (OSError, ValueError) as error:
            return {"error": str(getattr(error, "strerror", None) or error), "file": getattr(error, "filename", None)}
        self._wait(lambda: self._code is not None)
        seconds = time.monotonic() - begun
        self._linger()
        left = {} if self._clear() else kill_all(self._strays, self._reap)
        left.pop(self._pid, None)
        return {"code": self._code, "seconds": seconds, "left": sorted(set(left.values()))}

    def _start(self) -> int:
        guard = os.getpid()

        def die_with_guard() -> None:
            prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)

        leader = subprocess.Popen(
            self._settings["argv"],
            env=self._settings["env"],
            cwd=self._settings["cwd"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_guard,  # noqa: PLW1509  # this process has one thread
        )
        leader.returncode = 0  # it is waited for in _reap
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)  # the pipe ends with the command
        os.dup2(nothing, 2)
        return leader.pid

    def _wait(self, done: Callable[[], bool]) -> None:
        """Follow orders until `done`."""
        while True:
            self._reap()
            self._obey()
            if done():
                return
            self._listen(min(1.0, max(0.0, self._kill_at - time.monotonic())))

    def _linger(self) -> None:
        """Give the rest of the tree LINGER_SECONDS to end by itself; in a run that is stopped, ask it to."""
        if self._kill_at != math.inf and not self._clear():
            for process in self._strays():
                with contextlib.suppress(Exception):  # it may have ended
                    process.terminate()
        end = time.monotonic() + LINGER_SECONDS
        while not self._clear() and time.monotonic() < min(end, self._kill_at):
            self._listen(0.1)
            self._reap()
            self._obey()

    def _clear(self) -> bool:
        return self._all_gone if self._adopts else not self._strays()

    def _listen(self, seconds: float) -> None:
        """Wait for a signal or an order."""
        orders = self._channel.fileno()
        ready, _, _ = select.select([self._wake] if b"." in self._orders else [self._wake, orders], [], [], seconds)
        if self._wake in ready:
            os.read(self._wake, 4096)
        if orders in ready:
            self._orders += self._channel.recv(64) or b"t."
        if os.getppid() != self._settings["parent"]:
            self._orders += b"t"

    def _obey(self) -> None:
        if b"k" in self._orders:
            self._kill_at = -math.inf
        elif b"t" in self._orders and self._kill_at == math.inf:
            self._kill_at = time.monotonic() + self._settings["grace"]
            if self._code is None:
                os.kill(self._pid, signal.SIGTERM)
        if self._code is None and time.monotonic() >= self._kill_at:
            os.kill(self._pid, signal.SIGKILL)
            kill_all(self._strays, self._reap)

    def _reap(self) -> None:
        """Collect the processes that have ended, adopted ones included."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._pid:
                    self._code = os.waitstatus_to_exitcode(status)
        self._all_gone = True

    def _strays(self) -> list[Any]:
        return descendants() + ([] if self._adopts else marked(self._settings["mark"]))

    def _order_stop(self, *_: object) -> None:
        self._orders += b"t"


def main() -> None:
    """Read the settings from the socket, run, answer."""
    channel = socket.socket(fileno=os.dup(0))
    received = b""
    while b"\n" not in received:
        more = channel.recv(1 << 16)
        if not more:
            return
        received += more
    line, _, orders = received.partition(b"\n")
    settings = json.loads(line)
    sys.path.append(settings["psutil"])
    answer = Guard(channel, settings, orders).run()
    with contextlib.suppress(OSError):  # nobody may be there to hear it
        channel.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
