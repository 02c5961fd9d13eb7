"""Record whole runs, replay the pruners on them, train the sweeps that compare the metrics, retrain the winners.

    python -m benchmarks.edge_sweep [only=record,replay,sweeps,confirm,page] [subject=resnet] [device=cuda] [budget=10]

What is on file is not made again; the same command in several shells shares the work. `budget`: runs that each part
trains in this process. `runs`, `repetitions`, `trials` and `orders` go further.
"""

from __future__ import annotations

import math
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.edge_sweep import replaying, runs
from benchmarks.edge_sweep.runs import EVALUATIONS, FRESH_SEEDS, REPETITIONS, SEEN, SUBJECTS, TRIALS, Curve, Point
from benchmarks.rows import claimed, locked, noted
from flatdirs.backend.pruner_settings import Rungs
from flatdirs.backend.pruners import build_pruner
from flatdirs.backend.search_plan import SearchPlan, make_sampler
from flatdirs.config.values import read_integer
from flatdirs.errors import FlatdirsError, StudyError
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart

if TYPE_CHECKING:
    from benchmarks.edge_sweep.models import Train, Watch

PARTS = ("record", "replay", "sweeps", "confirm", "page")
NUMBERS = {"runs": 200, "repetitions": REPETITIONS, "trials": TRIALS, "orders": 20}
KEYS: dict[str, Any] = {"only": PARTS, "subject": SUBJECTS, "device": "auto", "budget": None, **NUMBERS}
MORE_SEEDS, REPEATED = (1, 2), 8  # the best recorded points are trained with more seeds
START = Grid(named_chart("adamw"), {"lr": 1e-3, "beta1": 0.9, "wd": 1e-2})  # unused by TPE
Job = tuple[str, Point, int, dict[str, Any]]  # subject, point, seed, columns of its own


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS, {"only": PARTS, "subject": SUBJECTS})
        for key in NUMBERS if settings["budget"] is None else (*NUMBERS, "budget"):
            read_integer(settings, key, 1)
        make(runs.HERE, settings)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    pages.write("edge_sweep")
    return 0


def make(folder: Path, settings: Mapping[str, Any]) -> None:
    """Measure what is asked for and not on file."""
    import torch

    from benchmarks.edge_sweep.models import about, trainers

    torch.set_num_threads(1)
    names, parts, device = tuple(settings["subject"]), settings["only"], settings["device"]
    trained = names if {"record", "sweeps", "confirm"} & set(parts) else ()
    with (folder / "claims.lock").open("a") as claims:
        made = {name: noted(folder, about(name, device)) for name in trained}
        work = Work(folder, trainers(trained, device), made, claims, settings["budget"])
        if "record" in parts:
            work.train("recorded", lambda: to_record(folder, names, settings["runs"]))
        for name in names if "replay" in parts else ():
            replaying.replay_margins(folder, name)
            for rule in replaying.RULES:
                replaying.replay_pruners(folder, name, rule, settings["orders"])
        if "sweeps" in parts:
            work.sweep(settings["repetitions"], settings["trials"])
        if "confirm" in parts:
            work.train("confirmed", lambda: to_confirm(folder, names))


@dataclass(frozen=True)
class Work:
    """Trains in `folder` what is not on file there, at most `budget` runs a part; `made`: keys of provenance.json."""

    folder: Path
    trains: Mapping[str, Train]
    made: Mapping[str, str]
    claims: IO[str]
    budget: int | None = None

    def train(self, part: str, wanted: Callable[[], list[Job]]) -> None:
        """Train what is wanted, and wait for what other processes train."""
        done = 0
        while todo := wanted():
            before = done
            for job in todo:
                if done == self.budget:
                    return
                name, point, seed, key = job
                with claimed(self.claims, zlib.crc32(repr((part, job)).encode())) as mine:
                    if mine and job in wanted():
                        self._keep(part, name, key, self.trains[name](point, seed, lambda *_: False))
                        done += 1
            if done == before:
                time.sleep(1.0)

    def sweep(self, repetitions: int, trials: int) -> None:
        """Train every trial of every sweep; a sweep that was cut off first goes through its rows again."""
        done = 0
        for name, seen, repetition in plan(repetitions, tuple(self.trains)):
            with claimed(self.claims, zlib.crc32(repr((name, seen, repetition)).encode())) as mine:
                known = on_file(self.folder, name).get((seen, repetition), [])
                if not mine or len(known) >= trials or done == self.budget:
                    continue
                sweep = Sweep(name, seen, repetition)
                for curve in known:
                    sweep.step(looked_up(curve))
                while sweep.number < trials and done != self.budget:
                    key = {"repetition": repetition, "seen": seen, "trial": sweep.number}
                    self._keep("sweeps", name, key, sweep.step(self.trains[name]))
                    done += 1

    def _keep(self, part: str, name: str, key: Mapping[str, Any], curve: Curve) -> None:
        path = self.folder / f"{part}_{name}.csv"
        with locked(path):
            rows.append(path, {**key, **runs.row(curve), "made": self.made[name]})
        print(f"{part} {name} {key}: {len(curve.losses)} evaluations, loss {curve.losses[-1]}", flush=True)


def to_record(folder: Path, names: Sequence[str], count: int) -> list[Job]:
    """The random points that are not on file; once all are, the best of them with more seeds."""
    known = {name: rows.read(folder / f"recorded_{name}.csv") for name in names}
    have = {(name, int(old["number"]), int(old["seed"])) for name in names for old in known[name]}
    wanted = [(name, number, 0) for number in range(count) for name in names]
    if have.issuperset(wanted):
        for name in names:
            finals = {int(old["number"]): runs.curve_of(old).final for old in known[name] if old["seed"] == "0"}
            best = sorted(finals, key=lambda number: finals[number])[:REPEATED]
            wanted += [(name, number, seed) for number in best for seed in MORE_SEEDS]
    return [(name, runs.drawn(n), seed, {"number": n}) for name, n, seed in wanted if (name, n, seed) not in have]


def to_confirm(folder: Path, names: Sequence[str]) -> list[Job]:
    """The lowest run of every whole sweep with fresh seeds, as far as not on file; a winner of two sweeps once."""
    left: list[Job] = []
    have = {(n, c.point, c.seed) for n in names for c in map(runs.curve_of, rows.read(folder / f"confirmed_{n}.csv"))}
    for name, sweep in ((n, sweep[:TRIALS]) for n in names for sweep in on_file(folder, n).values()):
        winner = min(sweep, key=lambda curve: curve.final)
        for seed in FRESH_SEEDS if len(sweep) == TRIALS and winner.finished else ():
            if (name, winner.point, seed) not in have:
                have.add((name, winner.point, seed))
                left.append((name, winner.point, seed, {}))
    return left


class Sweep:
    """One sweep by TPE under rungs as it goes: `step` makes the next trial, by looking it up or by training.

    Within a repetition all sweeps share the seeds of weights, order and TPE, and so the first ten points.
    """

    def __init__(self, name: str, seen: str, repetition: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.seen, self.repetition, self.number = seen, repetition, 0
        self.study = optuna.create_study(study_name=f"{name} {repetition}", pruner=build_pruner(Rungs(), EVALUATIONS))

    def step(self, train: Train) -> Curve:
        """One trial; `train` gives its run. A diverged run is as bad as the worst that finished, as in `tune`."""
        plan = SearchPlan("tpe", START, None, self.repetition, {})
        self.study.sampler = make_sampler(plan, self.number, 0.0)
        trial, value_of, values = self.study.ask(), runs.shown(self.seen), list[float]()
        point = runs.rounded(trial.suggest_float(name, *ends, log=True) for name, ends in runs.RANGES.items())

        def watch(number: int, loss: float, rate: float) -> bool:
            values.append(value_of(loss, rate))
            if not math.isfinite(values[-1]):
                return False
            trial.report(values[-1], number)
            return number < EVALUATIONS and trial.should_prune()

        curve = train(point, self.repetition, watch)
        self.number += 1
        ended = [old.value for old in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
        if curve.finished or (curve.diverged and ended):
            self.study.tell(trial, values[-1] if curve.finished else max(ended))
        else:
            self.study.tell(trial, state=TrialState.FAIL if curve.diverged else TrialState.PRUNED)
        return curve


def looked_up(curve: Curve) -> Train:
    """A run on file, evaluation by evaluation. Raises StudyError where it is another trial's."""

    def train(point: Point, seed: int, watch: Watch) -> Curve:
        if (point, seed) != (curve.point, curve.seed):
            raise StudyError("the sweeps on file were made with other settings or versions; move sweeps_*.csv away")
        for number, (loss, rate) in enumerate(zip(curve.losses, curve.rates, strict=True), 1):
            watch(number, loss, rate)
        return curve

    return train


def plan(repetitions: int, names: Sequence[str]) -> list[tuple[str, str, int]]:
    """Subject, what is shown, and repetition of every sweep; whole repetitions first."""
    return [(name, seen, repetition) for repetition in range(repetitions) for name in names for seen in SEEN]


def on_file(folder: Path, name: str) -> dict[tuple[str, int], list[Curve]]:
    """The trials of every sweep so far, by what is shown and repetition."""
    found: dict[tuple[str, int], list[Curve]] = {}
    for old in rows.read(folder / f"sweeps_{name}.csv"):
        found.setdefault((old["seen"], int(old["repetition"])), []).append(runs.curve_of(old))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
