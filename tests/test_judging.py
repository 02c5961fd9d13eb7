"""How often runs are judged where nobody says it, and when the edge-of-stability metric has nothing to reward."""

from __future__ import annotations

import pytest
import yaml

from flatdirs.objectives.evaluation import (
    edge_warning,
    evaluation_note,
    evaluations_per_run,
    evaluations_without_value,
    with_evaluations,
)
from flatdirs.objectives.function import CallableObjective, CallableTask
from flatdirs.objectives.image import ImageObjective
from flatdirs.resources import conf_folder
from flatdirs.training.metrics import Edge, Loss
from flatdirs.training.optimizer import AdamW
from flatdirs.training.schedule import Constant, Cosine, CosineRestarts, Schedule, Triangle
from flatdirs.training.task import DataConfig, ImageTask

TASK = yaml.safe_load((conf_folder() / "task" / "digits.yaml").read_text(encoding="utf-8"))
START = {"lr": 0.001, "beta1": 0.9, "wd": 0.01}


def objective(epochs: int = 20, schedule: Schedule | None = None, **more: object) -> ImageObjective:
    own = {"schedule": schedule or Cosine(), "optimizer": AdamW(), "metric": Edge(), **more}
    return ImageObjective(ImageTask(**{**TASK, "epochs": epochs}), DataConfig(), **own)  # type: ignore[arg-type]


@pytest.mark.parametrize(("epochs", "every", "evaluations"), [(20, 2, 180), (3, 1, 54), (100, 9, 200), (200, 18, 200)])
def test_a_curve_has_about_200_evaluations(epochs: int, every: int, evaluations: int) -> None:
    found = with_evaluations(objective(epochs), START)
    assert isinstance(found, ImageObjective)
    assert found.evaluate_every == every
    assert evaluations_per_run(found, START) == evaluations
    assert str(evaluations) in str(evaluation_note(found, START))


def test_what_is_said_counts_and_other_metrics_are_judged_once_an_epoch() -> None:
    said, loss = objective(evaluate_every=5), objective(metric=Loss())
    assert with_evaluations(said, START) == said
    assert with_evaluations(loss, START) == loss
    assert (evaluations_per_run(loss, START), evaluations_without_value(loss), evaluations_without_value(said)) == (
        20,
        0,
        5,
    )
    assert evaluation_note(loss, START) is None
    function = CallableObjective(CallableTask("callable", "math:sqrt"))
    assert with_evaluations(function, START) == function
    assert (
        evaluations_per_run(function, START),
        evaluations_without_value(function),
        edge_warning(function, START),
    ) == (None, 0, None)


def test_with_restarts_a_run_is_judged_where_its_result_is_taken() -> None:
    schedule = CosineRestarts(warmup_epochs=1.0)
    found = with_evaluations(objective(150, schedule), START)
    assert isinstance(found, ImageObjective)
    returned = schedule.returned_epoch(150)
    assert returned < 150
    assert found.evaluate_every is not None
    assert returned * found.config(START, 0).steps_per_epoch % found.evaluate_every == 0
    assert 200 <= (evaluations_per_run(found, START) or 0) < 400


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (Cosine(), True),
        (Constant(), True),
        (Cosine(warmup_epochs=0.5), True),  # 9 steps: over before the first evaluation that counts
        (Cosine(warmup_epochs=2.0), False),
        (Triangle(), False),
    ],
)
def test_a_rate_that_never_rises_is_told(schedule: Schedule, told: bool) -> None:
    found = with_evaluations(objective(schedule=schedule), START)
    line = edge_warning(found, START)
    assert (line is not None) == told
    assert line is None or "raise schedule.warmup_epochs" in line
    assert edge_warning(objective(schedule=schedule, metric=Loss()), START) is None
