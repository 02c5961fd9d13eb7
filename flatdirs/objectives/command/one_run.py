"""One run of a command: its folder, its cards and environment, its process, its metric.

values, seed → Template.command → run_process ─ output ─► OutputLog, MetricReader → Done
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatdirs.objectives.base import Progress, RunInfo
from flatdirs.objectives.command.cards import share_cards
from flatdirs.objectives.command.kept_runs import kept_run, read_record, write_record
from flatdirs.objectives.command.metric import MetricReader
from flatdirs.objectives.command.metric_config import MetricConfig
from flatdirs.objectives.command.metric_names import usual_name
from flatdirs.objectives.command.metric_series import Reading
from flatdirs.objectives.command.process import Ended, run_process
from flatdirs.objectives.command.run_folder import RunFolder, environment, recorded_environment, write_metrics
from flatdirs.objectives.command.settings import RunSettings
from flatdirs.objectives.command.shell_words import masked_words
from flatdirs.objectives.command.template import Template
from flatdirs.objectives.command.written_files import WrittenFiles

TAIL_LINES = 20  # of the output, that are shown when a command fails
CHUNK = 1 << 20


@dataclass(frozen=True)
class Done:
    """One run of the command. `ended.stopped`: why we ended it. `argv`: with secrets masked.

    `written`: files outside its folder, looked for in the first run only. `problem`: what could not be kept of it.
    """

    folder: Path
    ended: Ended
    reader: MetricReader
    value: float | None
    log: str
    argv: tuple[str, ...]
    environment: Mapping[str, Any]
    written: tuple[str, ...] = ()
    problem: str | None = None


@dataclass
class Watch:
    """What is done with each value of the metric as it is printed. `stop`: why the run should end, if it should."""

    progress: Progress
    number: int
    reader: MetricReader | None = None
    stop: str | None = None
    count: int = 0

    def reading(self, one: Reading) -> None:
        """Pass a value on to the pruner."""
        self.count += 1
        if self.reader is not None and self.reader.nans_in_a_row >= 2:
            self.stop = self.stop or "diverged"
        elif self.progress(self.count, None, one.value, self.number):
            self.stop = self.stop or "pruned"


@dataclass(frozen=True)
class Runner:
    """How one command is run. `threads`, `workers`: see CommandObjective."""

    template: Template
    metric: MetricConfig
    settings: RunSettings
    threads: int | None
    workers: int

    def run(
        self, values: Mapping[str, Any], seed: int, run: RunInfo, watch: Watch | None, code: Mapping[str, str]
    ) -> Done:
        """One run, or for the first one what an earlier one of this `code` that was not counted has left, if it serves.

        Raises ObjectiveError where the command cannot be started.
        """
        mark = {"command": self.template.text(), "values": dict(values), "seed": seed, "code_files": dict(code)}
        reader = MetricReader(self.metric, on_reading=None if watch is None else watch.reading)
        if watch is not None:
            watch.reader = reader
        assert run.folder is not None
        kept = kept_run(run.folder, mark) if run.number == 1 else None
        if kept is not None:
            again = _read_again(kept, MetricReader(self.metric))
            if again.value is not None or (watch is None and usual_name(again.reader.seen)):
                return _read_again(kept, reader)  # now for the pruner
        return self._make(values, seed, run, reader, watch, mark)

    def _make(
        self,
        values: Mapping[str, Any],
        seed: int,
        run: RunInfo,
        reader: MetricReader,
        watch: Watch | None,
        mark: Mapping[str, Any],
    ) -> Done:
        """Run the command in a new folder."""
        assert run.folder is not None
        folder = RunFolder.create(run.folder, run.label)
        argv = self.template.command(values, self._special(seed, run, folder.path))
        cwd = folder.path if self.settings.cwd == "run_dir" else Path.cwd()
        files = WrittenFiles(cwd, folder.path, skip=_studies(run.folder, cwd)) if run.number == 1 else None
        began = time.time()
        try:
            ended, env = self._process(argv, seed, run, folder, cwd, reader, watch, files)
        finally:
            folder.log.close()
        reader.close()
        value = reader.value((folder.path, cwd), began)
        folder.write_metrics((one.step, one.value) for one in reader.readings)
        shown, written = tuple(masked_words(argv)), tuple(map(str, files.paths())) if files is not None else ()
        if ended.stopped is None:
            how = {"code": ended.code, "seconds": ended.seconds, "began": began, "counted": False}
            what = {"argv": shown, "cwd": str(cwd), "environment": recorded_environment(env), "written": written}
            write_record(folder.path, {**mark, **how, **what})
        log = folder.log.tail(TAIL_LINES)
        return Done(folder.path, ended, reader, value, log, shown, recorded_environment(env), written, folder.problem)

    def _special(self, seed: int, run: RunInfo, folder: Path) -> dict[str, str]:
        """What {seed}, {run}, {run_dir} and {port} stand for."""
        port = {"port": str(_free_port())} if "port" in self.template.specials else {}
        return {"seed": str(seed), "run": run.label, "run_dir": str(folder), **port}

    def _process(
        self,
        argv: list[str],
        seed: int,
        run: RunInfo,
        folder: RunFolder,
        cwd: Path,
        reader: MetricReader,
        watch: Watch | None,
        files: WrittenFiles | None,
    ) -> tuple[Ended, Mapping[str, str]]:
        """The process with its cards, its output passed on as it comes; its end and its environment."""

        def output(chunk: bytes) -> None:
            folder.log.write(chunk)
            reader.feed(chunk)

        def stop() -> str | None:
            if files is not None:
                files.look()
            return None if watch is None else watch.stop

        cards = share_cards(self.settings.workers or self.workers, self.settings.gpus, self.settings.share, os.environ)
        with cards.assign() as extra:
            threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
            name = f"{run.study}/{run.label}"
            env = environment(os.environ, run=name, run_dir=folder.path, seed=seed, extra={**extra, **threads})
            folder.write_command(argv, env, cwd)
            ended = run_process(
                argv,
                env=env,
                cwd=cwd,
                output=output,
                should_stop=stop,
                minutes=self.settings.minutes,
                grace_seconds=self.settings.grace_seconds,
            )
        return ended, env


def _read_again(folder: Path, reader: MetricReader) -> Done:
    """A run that ended and was not counted, from its folder."""
    record = read_record(folder) or {}
    end = b""
    with (folder / "output.log").open("rb") as file:
        while chunk := file.read(CHUNK):
            reader.feed(chunk)
            end = (end + chunk)[-CHUNK:]
    reader.close()
    tail = "\n".join(end.decode(errors="replace").splitlines()[-TAIL_LINES:])
    value = reader.value((folder, Path(record["cwd"])), record["began"])
    write_metrics(folder, ((one.step, one.value) for one in reader.readings))
    ended = Ended(record["code"], record["seconds"], None)
    argv, environment = tuple(record["argv"]), record["environment"]
    return Done(folder, ended, reader, value, tail, argv, environment, tuple(record["written"]))


def _studies(study_folder: Path, cwd: Path) -> tuple[Path, ...]:
    """The folder of all studies, in which others may be at work; only this study's where that is the user's own."""
    output = study_folder.resolve().parent
    return (study_folder,) if cwd.resolve().is_relative_to(output) else (output,)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
