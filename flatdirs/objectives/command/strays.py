"""Processes of runs, found by their environment: what a killed flatdirs has left behind is ended by the next one.

guard.py ends a run's tree as long as it lives; this is for the case that it was killed too, and for Windows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from flatdirs.objectives.command.guard import kill_all, marked, processes_where

RUN, RUN_DIR = "FLATDIRS_RUN", "FLATDIRS_RUN_DIR"
PARENT = "FLATDIRS_PARENT"  # process id of the flatdirs that started the run, and its process-id namespace


def parent_mark() -> str:
    """FLATDIRS_PARENT for the runs of this process."""
    return f"{os.getpid()}@{_namespace()}"


def mark_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which the processes of a run are known; empty without FLATDIRS_RUN."""
    found = {name: environment[name] for name in (RUN, RUN_DIR, PARENT) if name in environment}
    return found if RUN in found else {}


def kill_marked(mark: Mapping[str, str]) -> tuple[str, ...]:
    """SIGKILL all processes of a run. Returns the names of the programs ended."""
    ended = kill_all(lambda: marked(mark), lambda: None)
    return tuple(sorted(set(ended.values())))


def reap_strays(study_folder: Path) -> tuple[str, ...]:
    """SIGKILL the processes of this study's runs whose flatdirs is gone. Returns the names of the programs ended."""
    runs = study_folder.resolve() / "runs"

    def orphaned(process: Any, environment: Mapping[str, str]) -> bool:
        parent, run_dir = environment.get(PARENT), environment.get(RUN_DIR)
        return bool(parent and run_dir and Path(run_dir).parent == runs and _is_gone(parent, process))

    ended = kill_all(lambda: processes_where(orphaned), lambda: None)
    return tuple(sorted(set(ended.values())))


def _is_gone(parent: str, child: Any) -> bool:
    """Whether FLATDIRS_PARENT names a process that has ended; one that began after `child` has only its number."""
    number, _, namespace = parent.partition("@")
    if namespace != _namespace() or not number.isdigit():
        return False
    try:
        found = psutil.Process(int(number))
        return bool(found.create_time() > child.create_time() or found.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _namespace() -> str:
    """Linux: which process-id namespace (container) the numbers belong to."""
    if sys.platform != "linux":
        return ""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
