"""A user's command as the objective: run it with other numbers in its words, and read the number that it prints.

    hyperparameters, seed → one_run.Runner → Done → outcome.measurement → Measurement

Every run has a folder of its own in the study's folder (run_folder.py, kept_runs.py). A command that fails gives a
Measurement with `failure`; the loop decides what to do about it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flatdirs.objectives.base import Measurement, Progress, RunInfo
from flatdirs.objectives.command.kept_runs import mark_counted, remove_written
from flatdirs.objectives.command.metric import Seen
from flatdirs.objectives.command.one_run import Done, Runner, Watch
from flatdirs.objectives.command.outcome import measurement, outcome
from flatdirs.objectives.command.settings import CommandTask, RunSettings
from flatdirs.objectives.command.template import Template
from flatdirs.objectives.user_code import checksum

__all__ = ["CommandObjective", "CommandTask", "RunSettings", "keep_files"]

MOST_CODE = 10 << 20  # bytes of a file that is taken for code


@dataclass(frozen=True)
class CommandObjective:
    """A command, the metric it prints, and how it is run.

    `threads`: CPU threads of a run, None for what it takes. `workers`: of this machine, which share its cards. `note`:
    how the start of its wd was found, "" where the command has it.
    """

    task: CommandTask
    template: Template
    settings: RunSettings = field(default_factory=RunSettings)
    threads: int | None = None
    workers: int = 1
    total: int | None = None
    note: str = field(default="", compare=False)

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
        began, done = time.perf_counter(), list[Done]()
        for number, seed in enumerate(seeds):
            done.append(self._runner().run(hyperparameters, seed, run, Watch(progress, number), self.code()))
            if outcome(done[-1], self.task.metric)[0] != "finished":
                break
        found = measurement(done, self.task.metric, seeds, time.perf_counter() - began)
        if found.failure is None:
            for one in done:
                mark_counted(one.folder)
        return found

    def scout(
        self, hyperparameters: Mapping[str, Any], seed: int, run: RunInfo
    ) -> tuple[Mapping[str, Seen], Measurement]:
        """The numbers that the command prints, by name; `measure` takes the same run from its folder.

        The measurement says whether the command failed; that it has no value is no failure here.
        """
        done = self._runner().run(hyperparameters, seed, run, None, self.code())
        found = measurement([done], self.task.metric, [seed], done.ended.seconds)
        return done.reader.seen, found if done.ended.code else replace(found, failure=None)

    def _runner(self) -> Runner:
        return Runner(self.template, self.task.metric, self.settings, self.threads, self.workers)


def keep_files(objective: object, folder: Path, best: Collection[str]) -> None:
    """Remove what commands wrote into the folders of their runs, but for `run.keep`. `best`: the folders' names."""
    if isinstance(objective, CommandObjective):
        remove_written(folder, objective.settings.keep, best)
