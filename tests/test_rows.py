"""Rows of a study that several workers share: what is shown is what was stored when each run was suggested."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

from flatdirs.backend import optuna_private
from flatdirs.backend.search_plan import SearchPlan, plan_identity
from flatdirs.backend.study import Study, open_study
from flatdirs.backend.table_rows import rows, winner
from flatdirs.backend.trial_runs import INCUMBENT, MOVE, REASON
from flatdirs.errors import FlatdirsError
from flatdirs.objectives.base import Measurement
from flatdirs.search import SEARCHES, grid_chart
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart

START = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}


def plan_of(search: str = "flatdirs") -> SearchPlan:
    return SearchPlan(search, Grid(grid_chart(search, named_chart("sgd")), START), SEARCHES[search](), 0, {})


def shared(team: int, runs: int, search: str = "flatdirs", newest_first: bool = False) -> Study:
    """A study in which `team` runs are always in progress, with a noisy objective."""
    storage = optuna.storages.InMemoryStorage()
    plan = plan_of(search)
    study = open_study(storage, "shared", plan, {**plan_identity(plan), "direction": "maximize"})
    study.limit(runs)
    random, going = np.random.default_rng(0), list[tuple[optuna.Trial, float]]()
    for _ in range(runs):
        trial, values = study.ask()
        study.begin(trial, values, [study.replicate_of(trial)])
        off = math.log2(values["lr"] * values["wd"] / (1 - values["momentum"]) / 0.004)
        going.append((trial, 90 - off**2 - math.log2(values["wd"] / 1e-3) ** 2 / 5 + 2 * random.standard_normal()))
        if len(going) == team:
            ended, value = going.pop(-1 if newest_first else 0)
            study.end(ended, Measurement("finished", value))
    for ended, value in going:
        study.end(ended, Measurement("finished", value))
    return study


@pytest.mark.parametrize("team", [1, 2, 4])
def test_a_row_shows_the_move_and_reason_of_its_own_suggestion(team: int) -> None:
    study = shared(team, 24)
    shown = rows(study)
    for row, trial in zip(shown, study.trials(), strict=True):
        stored = trial.user_attrs
        assert (row.move, row.reason) == (stored[MOVE], stored[REASON])
        if "%" in row.reason:
            assert row.reason.startswith(f"{row.move}: ")
        if row.move not in ("start", "replicate"):
            assert row.hyperparameters != stored[INCUMBENT]
    assert len({(str(row.hyperparameters), row.move) for row in shown}) > 12


@pytest.mark.slow
@pytest.mark.parametrize("newest_first", [False, True])
def test_rows_and_winner_do_not_depend_on_the_order_of_arrival(newest_first: bool) -> None:
    """A replicate may end before the first run of its point."""
    study = shared(3, 60, newest_first=newest_first)
    shown, best = rows(study), winner(study)
    assert len(shown) == 60
    assert {row.run for row in shown} == set(range(1, 61))
    assert any(study.replicate_of(trial) for trial, _ in study.runs())
    assert best is not None
    assert best.hyperparameters in [row.hyperparameters for row in shown]
    better, worse = ([row.change for row in shown if row.verdict == verdict] for verdict in ("better", "worse"))
    assert len(better) > 1
    assert len(worse) > 1
    assert all(change is None or change > 0 for change in better)
    assert all(change is not None and change < 0 for change in worse)


def test_a_study_of_the_bayesian_search_goes_on_from_its_runs() -> None:
    """It carries no version of the search that would refuse it."""
    study = shared(1, 8)
    assert "version" not in study.optuna_study.user_attrs["flatdirs:identity"]
    plan = study.plan
    storage = optuna_private.storage_of(study.optuna_study)
    again = open_study(storage, "shared", plan, {**plan_identity(plan), "direction": "maximize"})
    trial, _ = again.ask()
    assert trial.number == 8
    assert trial.user_attrs[INCUMBENT] is not None


def test_a_name_that_optuna_no_longer_has_is_one_sentence() -> None:
    def changed(self: object) -> None:
        """An Optuna whose Study keeps its storage elsewhere."""

    with pytest.raises(FlatdirsError) as error:
        optuna_private._check(changed, "_storage")
    assert error.value.key == "optuna"
