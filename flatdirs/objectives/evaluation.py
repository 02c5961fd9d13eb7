"""How often the runs of a search are judged, and what the edge-of-stability metric can make of that.

That metric needs a curve: where nobody says how often, a run is judged about USUAL times, as the source does
(reference/000); with every other metric once an epoch. Numbers hold at the start's batch size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flatdirs.backend.pruning import Edge
from flatdirs.errors import ConfigError
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective, Objective
from flatdirs.training.records import TrainConfig
from flatdirs.training.schedule import Planned

USUAL = 200  # evaluations of a run, where the metric needs a curve
AnyObjective = ImageObjective | CallableObjective


def judged_often(objective: AnyObjective, start: Mapping[str, float]) -> AnyObjective:
    """The objective with an `evaluate_every` where the metric is the edge of stability's and nobody set one.

    That is the whole number of steps nearest to a USUAL-th of the run, 1 or more; with a schedule whose result is taken
    before the end, the nearest below that comes to it.
    """
    if isinstance(objective, CallableObjective) or not isinstance(objective.metric, Edge):
        return objective
    if objective.evaluate_every is not None:
        return objective
    run = objective.config(start, 0)
    every = max(1, round(run.total_steps / USUAL))
    returned = run.schedule.returned_epoch(run.task.epochs)
    if returned < run.task.epochs:
        every = max(steps for steps in range(1, every + 1) if returned * run.steps_per_epoch % steps == 0)
    return replace(objective, evaluate_every=every)


def evaluations_of(objective: AnyObjective, start: Mapping[str, float]) -> int | None:
    """Evaluations of one run, of which a point makes one a seed; None: only a run can tell.

    Raises:
        ConfigError: the run is too short for the metric.
    """
    if isinstance(objective, CallableObjective):
        return None
    each, metric = objective.config(start, 0).evaluations, objective.metric
    if isinstance(metric, Edge) and each < metric.first:
        raise ConfigError(
            f"metric.window={metric.window} leaves a run of {each} evaluations without a value; lower metric.window, "
            f"or evaluate more often with evaluate_every (in steps)"
        )
    return each


def silent(objective: AnyObjective) -> int:
    """How many of a run's first evaluations have no value."""
    metric = None if isinstance(objective, CallableObjective) else objective.metric
    return metric.first - 1 if isinstance(metric, Edge) else 0


def judging_line(objective: Objective, start: Mapping[str, float]) -> str | None:
    """How often a run is judged, where that is not once an epoch."""
    if not isinstance(objective, ImageObjective) or objective.evaluate_every is None:
        return None
    every = objective.evaluate_every
    often = "step" if every == 1 else f"{every} steps"
    return f"each run is judged every {often}, {objective.config(start, 0).evaluations} times (evaluate_every={every})"


def unrewarded_line(objective: Objective, start: Mapping[str, float]) -> str | None:
    """A sentence where the metric could reward nothing, since the learning rate rises at no evaluation that counts.

    None for schedules that find the rate step by step, of which nobody knows.
    """
    if not isinstance(objective, ImageObjective) or not isinstance(objective.metric, Edge):
        return None
    run = objective.config(start, 0)
    if not isinstance(run.schedule, Planned) or _rises(run, run.schedule, objective.metric.first):
        return None
    return (
        f"metric=edge_of_stability rewards nothing here, as the learning rate of schedule={run.schedule.name} never "
        f"rises behind the first {objective.metric.window} evaluations; raise schedule.warmup_epochs"
    )


def _rises(run: TrainConfig, schedule: Planned, first: int) -> bool:
    """Whether the rate at some evaluation from the `first` on is above the one before."""
    every, steps = run.steps_per_evaluation, run.total_steps
    last = [min(every * number, steps) - 1 for number in range(1, run.evaluations + 1)]
    rates = [schedule.multiplier(step, steps, run.steps_per_epoch) for step in last]
    return any(after > before for before, after in zip(rates[first - 2 :], rates[first - 1 :], strict=False))
