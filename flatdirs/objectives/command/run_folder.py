"""The folder of one run, studies/NAME/runs/0007/: command.sh that repeats it, output.log, metrics.csv.

It is private (mode 0700), for command.sh and the output may hold secrets. A full disk ends no run: what cannot be
written is dropped, and `problem` says so.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from flatdirs.errors import masked
from flatdirs.objectives.command.shell_words import is_secret
from flatdirs.setting_checks import wrong

Keep = Literal["best", "all", "none"]

OURS = ("command.sh", "output.log", "metrics.csv", "ended.json")
HEAD_BYTES, TAIL_BYTES = 1_000_000, 9_000_000
MEMORY_BYTES = 1 << 16  # of the output's end, for tail(): also there if the disk is full
MASK = "***"
LONGEST_LINE = 500  # characters of a line of tail()

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


class OutputLog:
    """output.log: the first HEAD_BYTES and the last TAIL_BYTES of what a run writes.

    `write` never raises: what does not fit on the disk is dropped, and `problem` is one sentence from then on.
    """

    def __init__(self, path: Path) -> None:
        self.problem: str | None = None
        self._path = path
        self._size = self._left_out = self._lost = 0
        self._body = HEAD_BYTES  # where in the file the part begins of which the end is kept
        self._end = bytearray()
        self._file: FileIO | None = None
        try:
            self._file = FileIO(path, "w+")
        except OSError as error:
            self._drop(0, error)

    def write(self, chunk: bytes) -> None:
        """Append; the middle of the file is left out once its end is twice as long as what is kept."""
        self._end += chunk
        if len(self._end) > 2 * MEMORY_BYTES:
            del self._end[:-MEMORY_BYTES]
        note = f"\n[{self._lost} bytes are missing here: the disk was full]\n".encode() if self._lost else b""
        self._append(chunk, note)
        if self._size > self._body + 2 * TAIL_BYTES:
            self._shorten()

    def close(self) -> None:
        """Shorten the file to what is kept, and close it."""
        if self._size > self._body + TAIL_BYTES:
            self._shorten()
        if self._file is not None:
            self._file.close()
            self._file = None

    def tail(self, lines: int) -> str:
        """The last lines that are not empty, without colours; of a progress bar its last state."""
        text = _ANSI.sub("", bytes(self._end[-MEMORY_BYTES:]).decode("utf-8", "replace"))
        shown = [line.rstrip("\r").rpartition("\r")[2].rstrip()[-LONGEST_LINE:] for line in text.split("\n")]
        return "\n".join([line for line in shown if line.strip()][-lines:])

    def _append(self, chunk: bytes, note: bytes = b"") -> None:
        rest = memoryview(note + chunk)
        try:
            while rest and self._file is not None:
                written = self._file.write(rest) or 0
                rest, self._size = rest[written:], self._size + written
        except OSError as error:
            self._drop(min(len(rest), len(chunk)), error)
            return
        self._lost = 0

    def _shorten(self) -> None:
        """Keep the head, a note and the last TAIL_BYTES."""
        if self._file is None:
            return
        try:
            self._file.seek(self._size - TAIL_BYTES)
            tail = self._file.read(TAIL_BYTES)
            self._left_out += self._size - len(tail) - self._body
            self._size = self._file.truncate(HEAD_BYTES)
            self._file.seek(HEAD_BYTES)
        except OSError as error:
            self._drop(0, error)
            return
        note = f"\n[{self._left_out:15d} bytes left out]\n".encode()
        self._body = HEAD_BYTES + len(note)
        self._append(note + tail)

    def _drop(self, count: int, error: OSError) -> None:
        self._lost += count
        self.problem = self.problem or f"{self._path} is incomplete: {error.strerror or error}"


class RunFolder:
    """studies/NAME/runs/0007/. `problem`: one sentence if something could not be written, None if all could."""

    def __init__(self, path: Path) -> None:
        """A folder that is there and empty."""
        self.path = path
        self.log = OutputLog(path / "output.log")
        self._problem: str | None = None

    @classmethod
    def create(cls, study_folder: Path, label: str) -> RunFolder:
        """Make the folder of a run, such as 0007; 0007-2 where an interrupted run has left one of that name.

        Raises ConfigError (output) where no folder can be made.
        """
        runs = study_folder.resolve() / "runs"
        try:
            runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            for attempt in itertools.count(1):
                path = runs / (label if attempt == 1 else f"{label}-{attempt}")
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    return cls(path)
        except OSError as error:
            raise wrong("output", study_folder, f"cannot hold the folder of a run: {error.strerror}") from None
        raise AssertionError

    @property
    def problem(self) -> str | None:
        """One sentence if something could not be written."""
        return self._problem or self.log.problem

    def write_command(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        """Write command.sh, which repeats the run: the arguments are in it as they are, secrets too."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(_ours(env).items())]
        lines = ["#!/bin/sh", f"cd {shlex.quote(str(cwd))} || exit 1", *exports, f"exec {shlex.join(argv)}"]
        self._problem = _write(self.path / "command.sh", "\n".join(lines) + "\n", 0o700) or self._problem

    def write_metrics(self, readings: Iterable[tuple[float | None, float]]) -> None:
        """See the function of this name."""
        self._problem = write_metrics(self.path, readings) or self._problem

    def keep(self, policy: Keep, *, is_best: bool) -> None:
        """See `remove_files`."""
        self._problem = remove_files(self.path, policy, is_best=is_best) or self._problem


def write_metrics(folder: Path, readings: Iterable[tuple[float | None, float]]) -> str | None:
    """Write metrics.csv: pairs of step (None: unknown) and value. One that the script has written stays.

    Returns a sentence where it could not be written.
    """
    rows = [f"{'' if step is None else f'{step:g}'},{value!r}" for step, value in readings]
    path = folder / "metrics.csv"
    return _write(path, "\n".join(["step,value", *rows]) + "\n", 0o600) if rows and not path.exists() else None


def _write(path: Path, text: str, mode: int) -> str | None:
    try:
        path.touch(mode=mode)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        path.chmod(mode)
    except OSError as error:
        return f"{path} could not be written: {error.strerror}"
    return None


def remove_files(folder: Path, policy: Keep, *, is_best: bool) -> str | None:
    """Remove what scripts have written into a run's folder, unless `run.keep` says that it stays; OURS always stay.

    With "best" it is called a second time, is_best=False, for the run that is not the best any more. Returns a sentence
    where something could not be removed.
    """
    if policy == "all" or (policy == "best" and is_best):
        return None
    problem = None
    for path in folder.iterdir():
        if path.name in OURS:
            continue
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            problem = f"{path} could not be removed: {error.strerror}"
    return problem


def environment(
    base: Mapping[str, str], *, run: str, run_dir: Path, seed: int | None, extra: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a run: `base`, FLATDIRS_RUN, _RUN_DIR and _SEED, PYTHONUNBUFFERED=1 unless set, `extra`."""
    ours = {"FLATDIRS_RUN": run, "FLATDIRS_RUN_DIR": str(run_dir)}
    if seed is not None:
        ours["FLATDIRS_SEED"] = str(seed)
    outer = {name: value for name, value in base.items() if not name.startswith("FLATDIRS_")}
    return {"PYTHONUNBUFFERED": "1", **outer, **ours, **extra}


def recorded_environment(env: Mapping[str, str]) -> dict[str, Any]:
    """What a study keeps of it: values of FLATDIRS_*, CUDA_* and OMP_* (secrets masked), names of all others."""
    values = {name: MASK if is_secret(name) else masked(value) for name, value in _ours(env).items()}
    return {"values": dict(sorted(values.items())), "names": sorted(set(env) - set(values))}


def _ours(env: Mapping[str, str]) -> dict[str, str]:
    """The variables whose values are recorded."""
    starts = ("FLATDIRS_", "CUDA_", "OMP_")
    return {name: value for name, value in env.items() if name.startswith(starts) and name != "FLATDIRS_PARENT"}
