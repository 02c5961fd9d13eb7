"""How often the runs of a study are evaluated, and the requirements of the edge-of-stability metric.

That metric needs a loss curve: if `evaluate_every` is not set, a run is evaluated about USUAL times. With other metrics
it is evaluated once per epoch. Step counts are those at the batch size of the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flatdirs.objectives.base import Objective
from flatdirs.objectives.command.objective import CommandObjective, CommandTask
from flatdirs.objectives.function import CallableObjective, CallableTask
from flatdirs.objectives.image import ImageObjective
from flatdirs.setting_checks import wrong
from flatdirs.training.edge_metric import EdgeOfStability
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.schedule import Planned
from flatdirs.training.task import Task

USUAL = 200  # evaluations per run, for the edge-of-stability metric
AnyObjective = ImageObjective | CallableObjective | CommandObjective
AnyTask = Task | CallableTask | CommandTask


def with_evaluations(objective: AnyObjective, start: Mapping[str, float]) -> AnyObjective:
    """Set `evaluate_every` if the metric is the edge of stability and the user has not set it.

    It becomes the whole number of steps nearest to total_steps / USUAL, at least 1; with a schedule that returns the
    weights of an earlier epoch, the largest number below that for which an evaluation falls on the end of that epoch.
    """
    if _edge(objective) is None or not isinstance(objective, ImageObjective) or objective.evaluate_every is not None:
        return objective
    run = objective.config(start, 0)
    every = max(1, round(run.total_steps / USUAL))
    returned = run.schedule.returned_epoch(run.task.epochs)
    if returned < run.task.epochs:
        every = max(steps for steps in range(1, every + 1) if returned * run.steps_per_epoch % steps == 0)
    return replace(objective, evaluate_every=every)


def evaluations_per_run(objective: AnyObjective, start: Mapping[str, float]) -> int | None:
    """Evaluations of one run, None if unknown. Raises ConfigError if the run is too short for the metric."""
    if not isinstance(objective, ImageObjective):
        return None
    count, metric = objective.config(start, 0).evaluations, _edge(objective)
    if metric is not None and count < metric.first:
        problem = f"leaves a run of {count} evaluations without a value"
        raise wrong("metric.window", metric.window, problem, remedy="lower metric.window or evaluate_every")
    return count


def evaluations_without_value(objective: Objective) -> int:
    """The number of evaluations at the beginning of a run that have no value of the metric."""
    metric = _edge(objective)
    return 0 if metric is None else metric.first - 1


def evaluation_note(objective: Objective, start: Mapping[str, float]) -> str | None:
    """A line that says how often a run is evaluated, None if once per epoch."""
    if not isinstance(objective, ImageObjective) or objective.evaluate_every is None:
        return None
    every = objective.evaluate_every
    often = "step" if every == 1 else f"{every} steps"
    return (
        f"each run is evaluated every {often}, {objective.config(start, 0).evaluations} times (evaluate_every={every})"
    )


def edge_warning(objective: Objective, start: Mapping[str, float]) -> str | None:
    """A warning if the learning rate never rises where the edge-of-stability metric could reward it, else None."""
    metric = _edge(objective)
    if metric is None or not isinstance(objective, ImageObjective):
        return None
    run = objective.config(start, 0)
    if not isinstance(run.schedule, Planned) or _rises(run, run.schedule, metric.first):
        return None
    return (
        f"metric=edge_of_stability has nothing to reward, as the learning rate of schedule={run.schedule.name} does "
        f"not rise after the first {metric.window} evaluations; raise schedule.warmup_epochs"
    )


def _edge(objective: Objective) -> EdgeOfStability | None:
    metric = objective.metric if isinstance(objective, ImageObjective) else None
    return metric if isinstance(metric, EdgeOfStability) else None


def _rises(run: TrainConfig, schedule: Planned, first: int) -> bool:
    """Whether the learning rate at some evaluation from number `first` on is higher than at the one before."""
    every, steps = run.steps_per_evaluation, run.total_steps
    last = [min(every * number, steps) - 1 for number in range(1, run.evaluations + 1)]
    rates = [schedule.multiplier(step, steps, run.steps_per_epoch) for step in last]
    return any(after > before for before, after in zip(rates[first - 2 :], rates[first - 1 :], strict=False))
