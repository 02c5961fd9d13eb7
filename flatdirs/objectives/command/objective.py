"""A user's command as the objective: run it with other numbers in its words, and read the number that it prints.

    hyperparameters, seed → Template.command → run_process ─ output ─► MetricReader → Measurement

Every run has a folder of its own in the study's folder (run_folder.py). A run that has ended but was never counted, as
a first one whose metric was not told, is read from its folder and not made again. A command that fails gives a
Measurement with `failure`; the loop decides what to do about it.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import socket
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flatdirs.objectives.base import Measurement, Progress, RunInfo, State
from flatdirs.objectives.command.cards import share_cards
from flatdirs.objectives.command.metric import MetricReader, Seen
from flatdirs.objectives.command.metric_config import MetricConfig
from flatdirs.objectives.command.metric_files import columns
from flatdirs.objectives.command.metric_names import is_test_metric
from flatdirs.objectives.command.metric_series import Reading
from flatdirs.objectives.command.out_of_memory import ran_out_of_memory
from flatdirs.objectives.command.process import Ended, run_process
from flatdirs.objectives.command.run_folder import Keep, RunFolder, environment, recorded_environment, remove_files
from flatdirs.objectives.command.shell_words import masked_words
from flatdirs.objectives.command.template import Template
from flatdirs.objectives.command.written_files import WrittenFiles
from flatdirs.objectives.provenance import provenance
from flatdirs.objectives.user_code import checksum
from flatdirs.setting_checks import require_choice, require_integer, require_number

ENDED = "ended.json"  # in a run's folder: what was run, how it ended, and whether it has been counted
TAIL_LINES = 20  # of the output, that are shown when a command fails
FEWEST_DIGITS = 3  # a metric printed with fewer cannot tell good settings from better ones
MOST_WRITTEN = 3  # files outside of its folder that are named
CHUNK = 1 << 20
MOST_CODE = 10 << 20  # bytes of a file that is taken for code


@dataclass(frozen=True)
class RunSettings:
    """The keys `run.*`, see conf/tune.yaml."""

    keep: Keep = "best"
    cwd: str = "here"
    minutes: float | None = None
    grace_seconds: float = 10.0
    gpus: int | None = None
    share: bool = False

    def __post_init__(self) -> None:
        require_choice("run.cwd", self.cwd, ("here", "run_dir"))
        require_number("run.grace_seconds", self.grace_seconds, 0)
        if self.minutes is not None:
            require_number("run.minutes", self.minutes, 0, above=True)
        if self.gpus is not None:
            require_integer("run.gpus", self.gpus, 0)


@dataclass(frozen=True)
class CommandTask:
    """What of a command makes a study. `command`: as it stands, its numbers included, with secrets masked."""

    name: str
    command: str
    metric: MetricConfig
    unit: str = ""


@dataclass(frozen=True)
class _Done:
    """One run of the command. `ended.stopped`: why we ended it. `argv`: with secrets masked."""

    folder: Path
    ended: Ended
    reader: MetricReader
    value: float | None
    log: str
    argv: tuple[str, ...]
    environment: Mapping[str, Any]
    written: tuple[Path, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class CommandObjective:
    """A command, the metric it prints, and how it is run.

    `threads`: CPU threads of a run, None for what it takes. `workers`: of this machine, which share its cards.
    """

    task: CommandTask
    template: Template
    settings: RunSettings = field(default_factory=RunSettings)
    threads: int | None = None
    workers: int = 1
    total: int | None = None

    @property
    def unit(self) -> str:
        return self.task.unit

    @property
    def takes_seed(self) -> bool:
        return self.template.takes_seed

    def code(self) -> dict[str, str]:
        """Checksums of the files that the command names, large ones aside: these are data."""
        small = [path for path in self.template.files if path.stat().st_size <= MOST_CODE]
        return {str(path): checksum(path.read_bytes()) for path in small}

    def fingerprint(self) -> str:
        """Empty: the data of a command are unknown."""
        return ""

    def expected_seconds(self, hyperparameters: Mapping[str, Any]) -> float | None:
        return None

    def measure(
        self,
        hyperparameters: Mapping[str, Any],
        seeds: Sequence[int],
        progress: Progress,
        final: bool = False,
        run: RunInfo | None = None,
    ) -> Measurement:
        """Run the command once per seed. Raises ObjectiveError where it cannot be started."""
        assert run is not None, "a command needs a folder to run in"
        began, done = time.perf_counter(), list[_Done]()
        for number, seed in enumerate(seeds):
            done.append(self._once(hyperparameters, seed, run, _Watch(progress, number)))
            if self._outcome(done[-1])[0] != "finished":
                break
        if self._outcome(done[-1])[1] is None:
            for one in done:
                _mark_counted(one.folder)
        return self._measurement(done, seeds, time.perf_counter() - began)

    def scout(
        self, hyperparameters: Mapping[str, Any], seed: int, run: RunInfo
    ) -> tuple[Mapping[str, Seen], Measurement]:
        """The numbers that the command prints, by name; `measure` takes the same run from its folder.

        The measurement says whether the command failed.
        """
        done = self._once(hyperparameters, seed, run, None)
        return done.reader.seen, self._measurement([done], [seed], done.ended.seconds)

    def _once(self, hyperparameters: Mapping[str, Any], seed: int, run: RunInfo, watch: _Watch | None) -> _Done:
        """One run, or what an earlier one that was not counted has left."""
        mark = {"command": self.template.text(), "values": dict(hyperparameters), "seed": seed}
        reader = MetricReader(self.task.metric, on_reading=None if watch is None else watch.reading)
        if watch is not None:
            watch.reader = reader
        assert run.folder is not None
        if (kept := _kept(run.folder, mark)) is not None:
            return self._read_again(kept, mark, reader)
        folder = RunFolder.create(run.folder, run.label)
        special = {"seed": str(seed), "run": run.label, "run_dir": str(folder.path)}
        if "port" in self.template.specials:
            special["port"] = str(_free_port())
        argv = self.template.command(hyperparameters, special)
        cwd = folder.path if self.settings.cwd == "run_dir" else Path.cwd()
        files = WrittenFiles(cwd, folder.path, skip=(run.folder,)) if run.number == 1 else None
        began = time.time()

        def output(chunk: bytes) -> None:
            folder.log.write(chunk)
            reader.feed(chunk)
            if files is not None:
                files.look()

        def stop() -> str | None:
            if files is not None:
                files.look()
            return None if watch is None else watch.stop

        name = f"{run.study}/{run.label}"
        cards = share_cards(self.workers, self.settings.gpus, self.settings.share, os.environ)
        with cards.assign() as extra:
            threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
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
        folder.log.close()
        reader.close()
        value = reader.value((folder.path, cwd), began)
        folder.write_metrics((one.step, one.value) for one in reader.readings)
        record = {**mark, "code": ended.code, "seconds": ended.seconds, "stopped": ended.stopped, "began": began}
        if ended.stopped is None:
            _write_record(folder.path, {**record, "counted": False})
        return _Done(
            folder.path,
            ended,
            reader,
            value,
            folder.log.tail(TAIL_LINES),
            tuple(masked_words(argv)),
            recorded_environment(env),
            () if files is None else files.paths(),
            folder.problem,
        )

    def _read_again(self, kept: Path, mark: Mapping[str, Any], reader: MetricReader) -> _Done:
        """A run that ended and was not counted."""
        record = json.loads((kept / ENDED).read_text(encoding="utf-8"))
        with (kept / "output.log").open("rb") as file:
            while chunk := file.read(CHUNK):
                reader.feed(chunk)
        reader.close()
        tail = (kept / "output.log").read_bytes()[-CHUNK:].decode(errors="replace").splitlines()[-TAIL_LINES:]
        ended = Ended(record["code"], record["seconds"], None)
        value = reader.value((kept, Path.cwd()), record["began"])
        argv = tuple(shlex.split(str(mark["command"])))
        return _Done(kept, ended, reader, value, "\n".join(tail), argv, {})

    def _outcome(self, done: _Done) -> tuple[State, str | None]:
        """The state of a run, and why it failed where it did."""
        stopped, metric = done.ended.stopped, self.task.metric.label
        if stopped == "pruned":
            return "pruned", None
        if stopped in ("minutes", "diverged") or (done.value is not None and not math.isfinite(done.value)):
            return "diverged", None
        if done.ended.code != 0:
            return "diverged", _exit(done.ended.code)
        if done.value is None:
            return "diverged", self._no_metric(done, metric)
        return "finished", None

    def _no_metric(self, done: _Done, metric: str) -> str:
        """Why there is no value, with the names that the run did print."""
        if len(done.reader.ambiguous) > 1:
            return f"printed {' and '.join(done.reader.ambiguous)}, and metric={metric} may be either"
        seen = list(done.reader.seen)
        if self.task.metric.file is not None:
            seen = columns(self.task.metric, (done.folder, Path.cwd()), 0.0)
        names = f", but {', '.join(seen[:10])}" if seen else ""
        return f"ended without a value of {metric}{names} (metric=NAME names another)"

    def _measurement(self, done: Sequence[_Done], seeds: Sequence[int], seconds: float) -> Measurement:
        """The mean over seeds; the state of the last run, the first that did not finish."""
        last = done[-1]
        state, failure = self._outcome(last)
        values = [one.value for one in done if one.value is not None and math.isfinite(one.value)]
        spent = sum(one.ended.seconds for one in done)
        error = failure or {"minutes": "took longer than run.minutes", "diverged": "its metric was nan twice"}.get(
            last.ended.stopped or ""
        )
        return Measurement(
            state,
            statistics.fmean(values) if state == "finished" else None,
            seconds=max(spent, seconds),
            partial=values[-1] if state == "pruned" and values else None,
            curve=_curve(done, seeds),
            provenance={
                "values": [None if one.value is None else _plain(one.value) for one in done],
                "seeds": list(seeds[: len(done)]),
                "command": shlex.join(last.argv),
                "folder": last.folder.name,
                "environment": dict(last.environment),
                **({"error": error} if error else {}),
                **({"written": [str(path) for path in last.written]} if last.written else {}),
                **provenance(),
            },
            failure=failure,
            log=last.log,
            out_of_memory=failure is not None and ran_out_of_memory(last.ended.code, last.log),
            notes=self._notes(last),
            written=tuple(map(str, last.written)),
        )

    def _notes(self, done: _Done) -> tuple[str, ...]:
        """What to say once, after the first run."""
        notes, seen = [], done.reader.metric_seen
        metric = self.task.metric
        if seen is not None and seen.digits < FEWEST_DIGITS:
            notes.append(f"{metric.label} is printed with {seen.digits} digits: differences below them cannot be seen")
        if is_test_metric(metric.label) or done.reader.of_test_set:
            notes.append(f"{metric.label} is of the test set: tuned on it, the value is no estimate for new data")
        if done.written:
            names = ", ".join(map(str, done.written[:MOST_WRITTEN]))
            more = f" and {len(done.written) - MOST_WRITTEN} more" if len(done.written) > MOST_WRITTEN else ""
            notes.append(
                f"the run wrote files outside its folder, which the next runs will find: {names}{more}; where the "
                f"command can write elsewhere, give it {{run_dir}}, as in --out {{run_dir}}"
            )
        if done.ended.left_behind:
            notes.append(f"still running when the command had ended, and ended: {', '.join(done.ended.left_behind)}")
        return tuple(notes + ([done.problem] if done.problem else []))


@dataclass
class _Watch:
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


def keep_files(objective: object, folder: Path, best: str | None) -> None:
    """Remove what commands wrote into the folders of their runs, but for `run.keep`. `best`: the folder's name."""
    if not isinstance(objective, CommandObjective) or objective.settings.keep == "all":
        return
    for path in (folder / "runs").glob("*/"):
        record = _record(path)
        if record is not None and record.get("counted"):
            remove_files(path, objective.settings.keep, is_best=path.name == best)


def _kept(folder: Path, mark: Mapping[str, Any]) -> Path | None:
    """The folder of a run of the same command, values and seed that ended and was not counted."""
    for path in sorted((folder / "runs").glob("*/")):
        record = _record(path)
        usable = record is not None and record.get("code") == 0 and not record.get("counted")
        if usable and record is not None and all(record.get(key) == mark[key] for key in mark):
            return path if (path / "output.log").is_file() else None
    return None


def _record(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((path / ENDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    with suppress(OSError):  # a full disk: the run is made again if it cannot be counted
        part = path / f"{ENDED}.part"
        part.write_text(json.dumps(record), encoding="utf-8")
        part.replace(path / ENDED)


def _mark_counted(path: Path) -> None:
    if (record := _record(path)) is not None:
        _write_record(path, {**record, "counted": True})


def _curve(done: Sequence[_Done], seeds: Sequence[int]) -> tuple[Mapping[str, float | None], ...]:
    """The values of the metric with their steps, and with the seed where there are several runs."""
    found = list[dict[str, float | None]]()
    for run, seed in zip(done, seeds, strict=False):
        of_seed = {"seed": seed} if len(done) > 1 else {}
        pairs = ((one.step, one.value) for one in run.reader.readings)
        found += [{"step": step, "value": value if math.isfinite(value) else None, **of_seed} for step, value in pairs]
    return tuple(found)


def _exit(code: int | None) -> str:
    if code is None:
        return "was ended by somebody else"
    return f"exited with code {code}" if code > 0 else f"was ended by signal {-code}"


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
