"""How often runs are evaluated by default, and when the edge-of-stability metric has nothing to reward."""

from __future__ import annotations

import pytest
import yaml

from flatdirs.errors import ConfigError
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
from flatdirs.training.edge_metric import EdgeOfStability
from flatdirs.training.metrics import Loss
from flatdirs.training.optimizer import AdamW
from flatdirs.training.schedule import Constant, Cosine, CosineRestarts, Schedule, Triangle
from flatdirs.training.task import DataConfig, ImageTask
from tests.refused import refused

TASK = yaml.safe_load((conf_folder() / "task" / "digits.yaml").read_text(encoding="utf-8"))
START = {"lr": 0.001, "beta1": 0.9, "wd": 0.01}


def objective(epochs: int = 20, schedule: Schedule | None = None, **more: object) -> ImageObjective:
    own = {"schedule": schedule or Cosine(), "optimizer": AdamW(), "metric": EdgeOfStability(), **more}
    return ImageObjective(ImageTask(**{**TASK, "epochs": epochs}), DataConfig(), **own)  # type: ignore[arg-type]


@pytest.mark.parametrize(("epochs", "every", "evaluations"), [(20, 2, 180), (3, 1, 54), (200, 18, 200)])
def test_an_edge_metric_has_about_200_evaluations(epochs: int, every: int, evaluations: int) -> None:
    found = with_evaluations(objective(epochs), START)
    assert isinstance(found, ImageObjective)
    assert found.evaluate_every == every
    assert evaluations_per_run(found, START) == evaluations
    assert str(evaluations) in str(evaluation_note(found, START))


def test_other_metrics_and_explicit_settings_are_not_changed() -> None:
    explicit, loss = objective(evaluate_every=5), objective(metric=Loss())
    assert with_evaluations(explicit, START) == explicit
    assert with_evaluations(loss, START) == loss
    assert evaluations_per_run(loss, START) == 20
    assert [evaluations_without_value(one) for one in (loss, explicit)] == [0, 5]
    assert evaluation_note(loss, START) is None
    function = CallableObjective(CallableTask("callable", "math:sqrt"))
    assert with_evaluations(function, START) == function
    assert [evaluations_per_run(function, START), edge_warning(function, START)] == [None, None]
    with refused(ConfigError, "metric.window"):
        evaluations_per_run(objective(epochs=5, metric=EdgeOfStability(window=5), evaluate_every=18), START)


def test_with_restarts_a_run_is_evaluated_where_it_returns_its_weights() -> None:
    schedule = CosineRestarts(warmup_epochs=1.0)
    found = with_evaluations(objective(150, schedule), START)
    assert isinstance(found, ImageObjective)
    assert schedule.returned_epoch(150) < 150
    assert found.config(START, 0).returned_evaluation * (found.evaluate_every or 0) == 18 * schedule.returned_epoch(150)
    assert 200 <= (evaluations_per_run(found, START) or 0) < 400


@pytest.mark.parametrize(
    ("schedule", "warned"),
    [
        (Constant(), True),
        (Cosine(warmup_epochs=0.5), True),  # 9 steps: over before the first evaluation that counts
        (Cosine(warmup_epochs=2.0), False),
        (Triangle(), False),
    ],
)
def test_a_warning_for_a_rate_that_never_rises(schedule: Schedule, warned: bool) -> None:
    found = with_evaluations(objective(schedule=schedule), START)
    assert (edge_warning(found, START) is not None) == warned
    assert edge_warning(objective(schedule=schedule, metric=Loss()), START) is None
