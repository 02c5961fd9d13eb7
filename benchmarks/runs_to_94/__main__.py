"""How many training runs each search needs until one reaches 94 % on CIFAR-10: `make bench-94`.

    python -m benchmarks.runs_to_94 --data cifar10.npz [--device cuda] [--minutes M] [--jpeg] [--target 94] [key=value …]
    python -m benchmarks.runs_to_94 --draw            README.md again from runs.csv

Full CIFAR-10, 24 epochs, judged on the test images as the source did; every search has the same seeds and goes through
`flatdirs.tune` itself. flatdirs begins as users would, at `start=auto`, and once more at the source's start, where myrtle begins. Studies lie in studies/, one folder for each device, precision and data set; a second call goes on with
those that have not ended. Seed by seed, all searches of a seed first, so that what is there when time runs out is fair.
With JPEG copies of the images, known ones by their checksum, 94 % means something else: `--target auto`, the default there, is the hand-tuned setting's mean
over the same seeds less 0.1, and trains what of that is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import pages, rows
from benchmarks.gpu.__main__ import deadline, options
from benchmarks.gpu.page import HERE as GPU
from benchmarks.runs_to_94.page import GROUP, HERE, draw
from flatdirs.errors import ConfigError, FlatdirsError

if TYPE_CHECKING:
    from flatdirs.training.loop import TrainConfig

SEARCHES = {  # by the name in the table: the search, and where it begins; random and TPE begin nowhere, whatever is said
    "flatdirs": ("flatdirs", "auto"),
    "flatdirs_source": ("flatdirs", "source"),
    "myrtle": ("myrtle", "source"),
    "random": ("random", "source"),
    "tpe": ("tpe", "source"),
}
SOURCE_TARGET = 94.0  # percent


@dataclass(frozen=True)
class Plan:
    """What every study of this call has in common. `about`: the columns that make rows comparable."""

    config: TrainConfig
    about: dict[str, str]
    budget: int
    folder: Path
    overrides: tuple[str, ...]
    deadline: float | None

    @property
    def raw(self) -> Path:
        """The rows of all studies."""
        return self.folder / "runs.csv"

    @property
    def studies(self) -> Path:
        """Where these studies lie."""
        words = (self.about[key] for key in ("device", "precision", "checksum"))
        return self.folder / "studies" / re.sub(r"[^\w.]+", "-", "-".join(words)).strip("-")

    def rows(self) -> list[dict[str, str]]:
        """The rows on file that may be compared with this call's."""
        return [row for row in rows.read(self.raw) if all(row[key] == value for key, value in self.about.items())]

    def has_ended(self, search: str, seed: int) -> bool:
        """Whether a study needs no further run; a raised budget lets one that used its own up go on."""
        found = self.study_rows(search, seed)
        return bool(found and found[-1]["then"]) and not (found[-1]["then"] == "budget" and len(found) < self.budget)

    def study_rows(self, search: str, seed: int) -> list[dict[str, str]]:
        """The rows on file of one study."""
        return [row for row in self.rows() if (row["search"], row["seed"]) == (search, str(seed))]


def main() -> int:
    """Go on with every study that has not ended, then draw; or draw only."""
    began = time.monotonic()  # before torch is imported
    parser = options("python -m benchmarks.runs_to_94")
    parser.add_argument("--target", default=None, help=f"percent, or auto; {SOURCE_TARGET:g}, for JPEG copies auto")
    parser.add_argument("--budget", type=int, default=60, help="runs after which a study ends")
    parser.add_argument("--bar", type=Path, help="the hand-tuned setting's rows, for auto; benchmarks/gpu/seeds.csv")
    parser.add_argument("--draw", action="store_true", help="draw README.md from runs.csv, measure nothing")
    arguments = parser.parse_args()
    folder = arguments.output or HERE
    code = 0
    if not arguments.draw:
        plan = make_plan(arguments, folder, deadline(began, arguments.minutes))
        code = 0 if plan is None else run_all(plan, arguments.seeds)
    pages.write("runs_to_94", folder)
    print(draw(folder))
    return code


def make_plan(arguments: argparse.Namespace, folder: Path, end: float | None) -> Plan | None:
    """The call's plan; None where the target's own runs would not end in time."""
    from benchmarks.gpu import seeds

    config = seeds.hand_tuned(arguments.data, arguments.device, arguments.overrides)
    about = seeds.group(config, arguments.jpeg, arguments.overrides)
    auto = "auto" if "JPEG" in about["data"] else f"{SOURCE_TARGET:g}"
    target, bar = read_target(arguments.target or auto), "as given"
    if target is None:
        found = seeds.measure(config, about, arguments.bar or GPU / "seeds.csv", arguments.seeds, end)
        target = seeds.bar(found, arguments.seeds)
        if target is None:
            return None
        bar = f"the mean of {arguments.seeds} seeds of the hand-tuned setting here less 0.1"
        print(f"{about['data']}: the target is {target:g} %, {bar}", flush=True)
    about = {key: {**about, "target": f"{target:g}", "bar": bar}[key] for key in GROUP}
    return Plan(config, about, arguments.budget, folder, tuple(arguments.overrides), end)


def read_target(word: str) -> float | None:
    """Percent, or None for auto. Raises ConfigError."""
    try:
        return None if word == "auto" else float(word)
    except ValueError as error:
        raise ConfigError(f"--target {word} must be a number of percent or auto; change --target") from error


def run_all(plan: Plan, seeds: int) -> int:
    """Every study in turn, as far as time allows; the exit code of the first that fails, else 0."""
    for seed in range(seeds):
        for search in SEARCHES:
            if plan.has_ended(search, seed):
                continue
            if not time_for_a_run(plan):
                print("another run would not end in time; the same command goes on from here", flush=True)
                return 0
            code = tune(plan, search, seed)
            export(plan, search, seed)
            if code:
                return code
    return 0


def time_for_a_run(plan: Plan) -> bool:
    """Whether one more run would end before the deadline, by the slowest so far or the tuner's own estimate."""
    if plan.deadline is None:
        return True
    from benchmarks.gpu.seeds import MARGIN
    from flatdirs.training.loop import expected_seconds

    slowest = max((float(row["seconds"]) for row in plan.rows()), default=0.0)
    return time.monotonic() + MARGIN * max(slowest, expected_seconds(plan.config)) < plan.deadline


def tune(plan: Plan, search: str, seed: int) -> int:
    """One study through the tuner's own command line, in this process, where the images are loaded already; exit code."""
    from flatdirs.cli import frame as command_line
    from flatdirs.cli.tune import run

    name, start = SEARCHES[search]
    arguments = [
        *("task=cifar10", f"search={name}", f"start={start}", f"seed={seed}", f"study={search}-{seed}"),
        *(f"target={plan.about['target']}", f"budget={plan.budget}", "confirm=0", "live=false"),
        *(
            f"device={plan.config.device}",
            "data.evaluate=test",
            f"data.download={str(plan.config.data.download).lower()}",
        ),
        f"data.path={json.dumps(plan.config.data.path)}",
        f"output={json.dumps(str(plan.studies))}",
        *plan.overrides,
    ]
    if plan.deadline is not None:
        arguments.append(f"minutes={(plan.deadline - time.monotonic()) / 60:.3f}")
    try:
        command_line.main("tune", run, arguments)
    except SystemExit as end:
        return int(end.code or 0)


def export(plan: Plan, search: str, seed: int) -> None:
    """Put one study's runs into runs.csv, in place of what it holds of them."""
    from flatdirs.backend.outcomes import OUTCOME, SETTING
    from flatdirs.backend.storages import close_storage, open_storage
    from flatdirs.backend.study import PROBES, view_study
    from flatdirs.backend.trials import PROVENANCE

    name = f"{search}-{seed}"
    storage = open_storage("journal", plan.studies / name)
    try:
        study = view_study(storage, name)
        runs, trace = study.numbered_runs(), study.trace()
        kept = storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get(PROBES, "{}")
    finally:
        close_storage(storage)
    probes = json.loads(kept).get("cost_steps", 0.0) / plan.config.total_steps
    made: list[dict[str, Any]] = []
    for number, trial, _ in runs:
        attributes = trial.user_attrs
        outcome, about = attributes[OUTCOME], attributes[PROVENANCE]
        made.append(
            {
                **plan.about,
                **{"search": search, "seed": seed, "run": number, "probes": f"{probes:.3f}"},
                **attributes[SETTING]["hyperparameters"],
                **{"accuracy": f"{outcome['value']:.2f}", "state": outcome["state"]},
                **{"seconds": f"{about['seconds']:.3f}", "git": about["git"], "budget": plan.budget, "then": ""},
            }
        )
    if not made:
        return
    made[-1]["then"] = ending(plan, made, over=trace is not None and trace.over)
    others = [row for row in rows.read(plan.raw) if row not in plan.study_rows(search, seed)]
    rows.write(plan.raw, list(made[0]), [*others, *made])


def ending(plan: Plan, made: list[dict[str, Any]], over: bool) -> str:
    """Why a study made no further run: target, over or budget; empty where it will go on."""
    target = float(plan.about["target"])
    if any(row["state"] == "finished" and float(row["accuracy"]) >= target for row in made):
        return "target"
    return "over" if over else "budget" if len(made) >= plan.budget else ""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        sys.exit(2)
