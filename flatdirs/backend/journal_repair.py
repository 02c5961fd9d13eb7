"""Repair what a killed process can leave in a journal file: a stale lock and an unfinished last line.

`JournalLock` holds the kernel's lock on the journal while it holds Optuna's lock file, so a process that holds neither
can tell that a lock file it finds was left by a dead one. The first to get the lock cuts an unfinished last line.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from optuna.storages.journal import JournalFileSymlinkLock

from flatdirs.backend import optuna_private

FOREIGN_LOCK_SECONDS = 2.0  # Optuna's own processes hold the lock file for one write; an older one was left behind


class JournalLock(JournalFileSymlinkLock):
    """Optuna's lock file, released when its owner dies.

    Shares the lock file with Optuna's own processes (a dashboard, say). A left-over lock file is cleared as soon as
    no flatdirs process holds the kernel's lock and it has stayed for FOREIGN_LOCK_SECONDS.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path
        self._held: dict[int, int] = {}  # thread → descriptor

    def acquire(self) -> bool:
        """Take both locks, then cut an unfinished last line. Blocks; raises OSError where the file is out of reach."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._take_lock_file()
            _cut_unfinished_line(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._held[threading.get_ident()] = descriptor
        return True

    def release(self) -> None:
        """Give both locks back."""
        descriptor = self._held.pop(threading.get_ident())
        try:
            super().release()
        finally:
            os.close(descriptor)

    def _take_lock_file(self) -> None:
        seen, since = None, time.monotonic()
        lock_file, target = optuna_private.lock_files(self)
        while True:
            try:
                Path(lock_file).symlink_to(target)
                return
            except FileExistsError:
                mark = _identity(lock_file)
                if mark != seen:
                    seen, since = mark, time.monotonic()
                elif time.monotonic() - since > FOREIGN_LOCK_SECONDS:
                    Path(lock_file).unlink(missing_ok=True)
                time.sleep(0.005)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _cut_unfinished_line(descriptor: int) -> None:
    """Truncate a journal to its last newline. Safe under the lock: the writer of the rest has ended."""
    size = end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
