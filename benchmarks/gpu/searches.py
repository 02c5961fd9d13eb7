"""How many training runs each search needs until one reaches 94 % on CIFAR-10: `make bench-94`.

Full CIFAR-10, 24 epochs, judged on the test images. Every search goes through `flatdirs tune` with the same seeds; studies lie in
studies/, and a second call goes on with those that have not ended. All searches of a seed come before the next seed, so that the
comparison is fair whenever time runs out. With `--auto-target`, the default on JPEG copies of the images, the target is the mean of
the hand-tuned setting over the same seeds less 0.1; seeds that are missing are trained.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.gpu import RUNS_GROUP, seeds
from flatdirs.backend.storages import close_storage, open_storage
from flatdirs.backend.study import PROBES, view_study
from flatdirs.backend.trial_runs import OUTCOME, SETTING
from flatdirs.backend.trials import PROVENANCE
from flatdirs.cli import run_command as command_line
from flatdirs.cli.tune import run
from flatdirs.training.loop import TrainConfig, expected_seconds

SEARCHES = {  # by the name in the table: the search, and its start, which random and TPE ignore
    "flatdirs": ("flatdirs", "auto"),
    "flatdirs_myrtle_start": ("flatdirs", "myrtle"),
    "myrtle": ("myrtle", "myrtle"),
    "random": ("random", "myrtle"),
    "tpe": ("tpe", "myrtle"),
}
TARGET = 94.0  # percent, on the original images


@dataclass(frozen=True)
class Plan:
    """What every study of this call has in common. `about`: the columns `RUNS_GROUP` of its rows."""

    config: TrainConfig
    about: dict[str, str]
    budget: int
    folder: Path
    overrides: list[str]
    deadline: float | None

    @property
    def studies(self) -> Path:
        """The folder of these studies."""
        words = "-".join(self.about[key] for key in ("device", "precision", "checksum"))
        return self.folder / "studies" / re.sub(r"[^\w.]+", "-", words).strip("-")

    def rows(self, **wanted: Any) -> list[dict[str, str]]:
        """The comparable rows on file, those of one search or seed where that is given."""
        asked = {**self.about, **{key: str(value) for key, value in wanted.items()}}
        return seeds.measured(self.folder / "runs.csv", asked)

    def has_ended(self, search: str, seed: int) -> bool:
        """Whether a study needs no further run; with a larger budget, one that used up its own goes on."""
        found = self.rows(search=search, seed=seed)
        return bool(found and found[-1]["then"]) and not (found[-1]["then"] == "budget" and len(found) < self.budget)

    def time_for_a_run(self) -> bool:
        """Whether one more run would end before the deadline, by the slowest so far or the tuner's estimate."""
        slowest = max((float(row["seconds"]) for row in self.rows()), default=0.0)
        needed = seeds.MARGIN * max(slowest, expected_seconds(self.config))
        return self.deadline is None or time.monotonic() + needed < self.deadline


def run_all(config: TrainConfig, about: dict[str, str], given: argparse.Namespace, end: float | None) -> int:
    """Go on with every study that has not ended, as far as time allows; the exit code of the first that fails, else 0."""
    target, bar = given.target or TARGET, "as given"
    if given.auto_target or (given.target is None and "JPEG" in about["data"]):
        found = seeds.measure(config, about, given.output / "seeds.csv", given.seeds, end)
        target = seeds.bar(found, given.seeds)
        if target is None:
            return 0
        bar = f"the mean of {given.seeds} seeds of the hand-tuned setting here less 0.1"
        print(f"{about['data']}: the target is {target:g} %, {bar}", flush=True)
    about = {key: {**about, "target": f"{target:g}", "bar": bar}[key] for key in RUNS_GROUP}
    plan = Plan(config, about, given.budget, given.output, given.overrides, end)
    for seed in range(given.seeds):
        for search in SEARCHES:
            if plan.has_ended(search, seed):
                continue
            if not plan.time_for_a_run():
                print("another run would not end in time; the same command goes on from here", flush=True)
                return 0
            code = tune(plan, search, seed)
            export(plan, search, seed)
            if code:
                return code
    return 0


def tune(plan: Plan, search: str, seed: int) -> int:
    """One study through the tuner's own command line, in this process, where the images are loaded; the exit code."""
    name, start = SEARCHES[search]
    data = plan.config.data
    arguments = [
        *("task=cifar10", f"search={name}", f"start={start}", f"seed={seed}", f"study={search}-{seed}"),
        *(f"target={plan.about['target']}", f"budget={plan.budget}", "confirm=0", "live=false"),
        *(f"device={plan.config.device}", "data.evaluate=test", f"data.download={str(data.download).lower()}"),
        *(f"data.path={data.path or 'null'}", f"output={plan.studies}", *plan.overrides),
    ]
    if plan.deadline is not None:
        arguments.append(f"minutes={(plan.deadline - time.monotonic()) / 60:.3f}")
    try:
        command_line.main("tune", run, arguments)
    except SystemExit as end:
        return int(end.code or 0)


def export(plan: Plan, search: str, seed: int) -> None:
    """Put one study's runs into runs.csv, in place of those it has of the study."""
    name = f"{search}-{seed}"
    storage = open_storage("journal", plan.studies / name)
    try:
        study = view_study(storage, name)
        runs, trace = study.numbered_runs(), study.trace()
        kept = storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get(PROBES, "{}")
    finally:
        close_storage(storage)
    probes = json.loads(kept).get("cost_steps", 0.0) / plan.config.total_steps
    made: list[dict[str, Any]] = [
        {
            **plan.about,
            **{"search": search, "seed": seed, "run": number, "probes": f"{probes:.3f}"},
            **trial.user_attrs[SETTING]["hyperparameters"],
            **{"accuracy": f"{trial.user_attrs[OUTCOME]['value']:.2f}", "state": trial.user_attrs[OUTCOME]["state"]},
            "seconds": f"{trial.user_attrs[PROVENANCE]['seconds']:.3f}",
            **{"git": trial.user_attrs[PROVENANCE]["git"], "budget": plan.budget, "then": ""},
        }
        for number, trial, _ in runs
    ]
    if not made:
        return
    reached = any(row["state"] == "finished" and float(row["accuracy"]) >= float(row["target"]) for row in made)
    over = "over" if trace is not None and trace.over else "budget" if len(made) >= plan.budget else ""
    made[-1]["then"] = "target" if reached else over  # empty where it goes on
    path, old = plan.folder / "runs.csv", plan.rows(search=search, seed=seed)
    rows.write(path, list(made[0]), [*(row for row in rows.read(path) if row not in old), *made])
