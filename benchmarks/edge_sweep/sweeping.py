"""The comparison that needs training: the same sweep by TPE under rungs, once a thing that the rungs and TPE are shown.

Within a repetition everything else is the same: the seeds of weights and order, TPE's seeds, its first ten points, the
ranges, the number of trials. A trial's row is on disk before the next begins, and a sweep that was cut off is gone
through again on its rows, by the same study, before it trains on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from benchmarks import rows
from benchmarks.edge_sweep.curves import Curve, curve_of, row, shown
from benchmarks.edge_sweep.setting import EVALUATIONS, RANGES, SEEN, SUBJECTS, Point, rounded
from benchmarks.lattice.running import claimed, locked
from flatdirs.backend.pruning import Rungs
from flatdirs.backend.search_plan import SearchPlan, make_sampler
from flatdirs.errors import StudyError
from flatdirs.search import Rules
from flatdirs.space.grid import Grid as Lattice
from flatdirs.space.library import named_chart

if TYPE_CHECKING:
    from benchmarks.edge_sweep.subjects import Watch

Train = Callable[[Point, int, "Watch"], Curve]
Say = Callable[[str], None]
ANYWHERE = {"learning_rate": 1e-3, "beta1": 0.9, "weight_decay": 1e-2}  # a plan has a start, and TPE begins nowhere


def sampler(repetition: int, number: int) -> optuna.samplers.BaseSampler:
    """That of `flatdirs.tune search=tpe`, seeded by repetition and trial."""
    return make_sampler(
        SearchPlan("tpe", Lattice(named_chart("adamw"), ANYWHERE), Rules(), repetition, {}), number, 0.0
    )


class Sweep:
    """One sweep as it goes: `step` makes the next trial, by looking it up or by training."""

    def __init__(self, name: str, seen: str, repetition: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.seen, self.repetition, self.number = seen, repetition, 0
        self.study = optuna.create_study(study_name=f"{name} {repetition}", pruner=Rungs().build(EVALUATIONS))

    def step(self, train: Train) -> Curve:
        """One trial; `train` gives its run."""
        self.study.sampler = sampler(self.repetition, self.number)
        trial, value_of, values = self.study.ask(), shown(self.seen), list[float]()
        point = rounded(trial.suggest_float(name, *bounds, log=True) for name, bounds in RANGES.items())

        def watch(number: int, loss: float, rate: float) -> bool:
            values.append(value_of(loss, rate))
            if not math.isfinite(values[-1]):
                return False
            trial.report(values[-1], number)
            return number < EVALUATIONS and trial.should_prune()

        curve = train(point, self.repetition, watch)
        self.number += 1
        self._tell(trial, curve, values[-1])
        return curve

    def _tell(self, trial: optuna.Trial, curve: Curve, value: float) -> None:
        """A diverged run is as bad as the worst that finished, as in `flatdirs.tune`."""
        if curve.finished:
            self.study.tell(trial, value)
        elif not curve.diverged:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            ended = [other.value for other in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
            worst = max((known for known in ended if known is not None), default=None)
            if worst is None:
                self.study.tell(trial, state=TrialState.FAIL)
            else:
                self.study.tell(trial, worst)


def looked_up(curve: Curve) -> Train:
    """A run that was made already, evaluation by evaluation. Raises StudyError where it is another trial's."""

    def train(point: Point, seed: int, watch: Watch) -> Curve:
        if (asdict(point), seed) != (asdict(curve.point), curve.seed):
            raise StudyError("the sweeps on file were made with other settings or versions; move sweeps_*.csv away")
        for number, (loss, rate) in enumerate(zip(curve.losses, curve.rates, strict=True), 1):
            watch(number, loss, rate)
        return curve

    return train


def plan(repetitions: int, names: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """Repetition, subject and what is seen, whole repetitions first."""
    return [(repetition, name, seen) for repetition in range(repetitions) for name in names for seen in SEEN]


def on_file(folder: Path, name: str, seen: str, repetition: int) -> list[Curve]:
    """The trials of one sweep so far."""
    known = rows.read(folder / f"sweeps_{name}.csv")
    return [curve_of(old) for old in known if (old["seen"], old["repetition"]) == (seen, str(repetition))]


def sweep_all(
    folder: Path,
    trains: Mapping[str, Train],
    made: Mapping[str, str],
    repetitions: int,
    trials: int,
    budget: int | None,
    say: Say,
) -> int:
    """Every trial that is not on file, at most `budget` of them; how many this process trained."""
    done = 0
    with (folder / "sweeps.claims.lock").open("a") as claims:
        for repetition, name, seen in plan(repetitions, tuple(trains)):
            number = (repetition * len(SUBJECTS) + SUBJECTS.index(name)) * len(SEEN) + SEEN.index(seen)
            with claimed(claims, number) as mine:
                known = on_file(folder, name, seen, repetition)
                if not mine or len(known) >= trials or done == budget:
                    continue
                sweep = Sweep(name, seen, repetition)
                for curve in known:
                    sweep.step(looked_up(curve))
                while sweep.number < trials and done != budget:
                    key = {"repetition": repetition, "seen": seen, "trial": sweep.number}
                    curve, done = sweep.step(trains[name]), done + 1
                    with locked(folder / f"sweeps_{name}.csv"):
                        rows.append(folder / f"sweeps_{name}.csv", {**key, **row(curve), "made": made[name]})
                    end = f"{curve.final:.4f}" if curve.finished else f"stopped at {len(curve.losses)}"
                    say(f"sweep {name} {seen} {repetition}, trial {key['trial']}: {end}, {curve.seconds:.1f} s")
    return done
