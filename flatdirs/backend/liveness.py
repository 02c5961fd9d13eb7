"""Whether a worker is gone: its process is looked up on this machine, its silence counts elsewhere.

A worker is a mapping of host, boot and process namespace, process id and start time, so that a reused id is another
worker. It is stored with each claim (claims.py). Without /proc only the id is compared.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

STALE_SECONDS = 1800.0  # silence after which a worker on another machine counts as gone


ANYBODY = {"host": "", "place": "handed out", "pid": 0, "started": ""}  # of a run that is told when it has ended


@lru_cache(maxsize=1)
def _place(pid: int) -> dict[str, Any]:  # keyed by the process, so that a forked child is another worker
    boot = _read("/proc/sys/kernel/random/boot_id") or socket.gethostname()
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return {"host": socket.gethostname(), "place": f"{boot} {space}", "pid": pid, "started": _started(pid)}


def this_worker() -> dict[str, Any]:
    """This process: host name, boot and process namespace, process id and its start time."""
    return _place(os.getpid())


def is_gone(worker: Mapping[str, Any], last_seen: float, stale_seconds: float = STALE_SECONDS) -> bool:
    """Whether a worker has ended: by its process id on this machine, by its silence (unix time) elsewhere."""
    here = this_worker()
    if worker == here:
        return False
    if worker.get("place") == here["place"]:
        return _started(int(worker["pid"])) != worker.get("started")
    return time.time() - last_seen > stale_seconds


def describe_worker(claim: Mapping[str, Any]) -> str:
    """Who runs a trial, in words."""
    worker = claim.get("worker")
    if not isinstance(worker, Mapping):
        return "not yet claimed by a process"
    if worker == ANYBODY:
        return "handed out, no value yet"
    here = worker.get("place") == this_worker()["place"]
    return f"process {worker.get('pid')} {'here' if here else 'on ' + str(worker.get('host'))}"


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty if there is none (or only a zombie)."""
    text = _read(f"/proc/{pid}/stat")
    if text:
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    if Path("/proc/self/stat").exists():
        return ""
    try:  # no /proc: macOS and others can only say whether the id is in use
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "running"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
