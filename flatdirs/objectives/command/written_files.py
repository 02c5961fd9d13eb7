"""Which files outside of its folder a run has written: checkpoints that several runs share make one continue another.

Found are files below the working directory that are new or changed since the run began, and files that its processes
had open for writing when `look` was called. It is a search by looking, bounded, and made for the first run only.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

from flatdirs.objectives.command.strays import RUN_DIR

MOST_ENTRIES = 20_000
LOOK_SECONDS = 2.0
CLOCK_SLACK = 2_000_000_000  # nanoseconds: file systems round, a server's clock differs
SKIPPED = {".git", "__pycache__", ".cache", ".venv", "venv", "node_modules", ".ipynb_checkpoints", ".mypy_cache"}
NO_FILES = {"/dev", "/proc", "/sys", "/run"}
CHECKPOINTS = {".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".pkl", ".pickle", ".h5", ".keras", ".npz", ".joblib"}

_Stamp = tuple[int, int]  # size, time of the last change in nanoseconds


class WrittenFiles:
    """What the run in `run_dir` writes elsewhere. Make it before the run; `skip`: folders that are ours."""

    def __init__(self, cwd: Path, run_dir: Path, skip: Collection[Path] = ()) -> None:
        self._cwd, self._run_dir = cwd.resolve(), run_dir.resolve()
        self._skip = {str(folder.resolve()) for folder in (*skip, run_dir)}
        self._begun = time.time_ns()
        self._before = dict(_entries(self._cwd, self._skip))
        self._open: set[Path] = set()
        self._looked = 0.0

    def look(self) -> None:
        """Note the files that the run's processes have open for writing; it looks every LOOK_SECONDS only."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(RUN_DIR) == str(self._run_dir):
                    files = process.open_files()
                    self._open.update(Path(file.path) for file in files if getattr(file, "mode", "w") != "r")

    def paths(self) -> tuple[Path, ...]:
        """The files that were written and are still there; those that look like checkpoints come first."""
        found = {path for path in self._open if not self._is_ours(path) and self._is_fresh(path)}
        for path, stamp in _entries(self._cwd, self._skip):
            before = self._before.get(path)
            if before != stamp and (before is not None or self._is_fresh(Path(path))):
                found.add(Path(path))
        return tuple(sorted(found, key=lambda path: (path.suffix not in CHECKPOINTS, path)))

    def _is_fresh(self, path: Path) -> bool:
        """Whether it is a file that was written, or unpacked with an older date, since the run began."""
        with contextlib.suppress(OSError):
            status = path.stat()
            return path.is_file() and max(status.st_mtime_ns, status.st_ctime_ns) >= self._begun - CLOCK_SLACK
        return False

    def _is_ours(self, path: Path) -> bool:
        folders = {str(folder) for folder in path.parents}
        inside = path.is_relative_to(self._cwd)
        parts = path.relative_to(self._cwd).parts if inside else path.parts
        others = set() if inside else {os.environ.get("XDG_CACHE_HOME", ""), tempfile.gettempdir()}
        return bool(folders & (self._skip | NO_FILES | others) or SKIPPED.intersection(parts))


def _entries(top: Path, skip: Collection[str]) -> Iterator[tuple[str, _Stamp]]:
    """Files below `top` with their stamps, folder by folder, at most MOST_ENTRIES entries."""
    folders, seen = [] if str(top) in skip else [str(top)], 0
    while folders and seen < MOST_ENTRIES:
        folder = folders.pop(0)
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                if entry.name in SKIPPED or entry.path in skip or seen > MOST_ENTRIES:
                    continue
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield entry.path, (status.st_size, status.st_mtime_ns)
