"""Which trials count: what our objective wrote, or what the states of other people's trials say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from flatdirs.backend import optuna_private
from flatdirs.backend.trial_runs import AXIS, OUTCOME, SETTING, counts_as_result, run_of
from tests import workers
from tests.runs import result
from tests.test_descent import bowl, search_on

WRITTEN = {"state": "finished", "value": 92.5, "loss": 0.3, "at_chance": False}


def trial_of(state: TrialState, value: float | None = None, **user_attrs: Any) -> FrozenTrial:
    return optuna.create_trial(state=state, value=value, user_attrs=user_attrs)


class TestOurOwn:
    @pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL])
    def test_a_written_outcome_counts_whatever_the_state(self, state: TrialState) -> None:
        trial = trial_of(state, 1.0 if state == TrialState.COMPLETE else None, **{SETTING: {}, OUTCOME: WRITTEN})
        assert run_of(trial, maximize=True) == result("finished", 92.5, 0.3, False)
        assert run_of(trial, maximize=False) == result("finished", -92.5, 0.3, False)

    def test_a_diverged_outcome_without_a_value_is_the_worst(self) -> None:
        trial = trial_of(TrialState.FAIL, **{SETTING: {}, OUTCOME: {"state": "diverged", "value": None}})
        assert run_of(trial, maximize=True) == result("diverged", -math.inf)

    @pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.FAIL, TrialState.COMPLETE])
    def test_begun_without_an_outcome_was_interrupted(self, state: TrialState) -> None:
        trial = trial_of(state, 1.0 if state == TrialState.COMPLETE else None, **{SETTING: {}})
        assert run_of(trial, maximize=True) is None


class TestOthers:
    @pytest.mark.parametrize("maximize", [True, False])
    def test_a_value_counts_in_its_direction(self, maximize: bool) -> None:
        outcome = run_of(trial_of(TrialState.COMPLETE, 2.5), maximize)
        assert outcome == result("finished", 2.5 if maximize else -2.5)

    @pytest.mark.parametrize("value", [math.inf, -math.inf])
    def test_infinity_is_no_value(self, value: float) -> None:
        assert run_of(trial_of(TrialState.COMPLETE, value), maximize=True) == result("diverged")

    def test_a_pruned_run_keeps_its_last_value(self) -> None:
        assert run_of(trial_of(TrialState.PRUNED, 3.0), maximize=False) == result("pruned", -3.0)

    def test_a_failure_counts_where_it_was_an_answer(self) -> None:
        trial = trial_of(TrialState.FAIL)
        assert run_of(trial, maximize=True, failure_counts=True) == result("diverged")
        assert run_of(trial, maximize=True, failure_counts=False) is None

    @pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.WAITING])
    def test_what_has_not_ended_says_nothing(self, state: TrialState) -> None:
        assert run_of(trial_of(state), maximize=True) is None

    def test_a_failure_that_no_sampler_of_ours_saw_is_an_answer(self) -> None:
        assert counts_as_result(trial_of(TrialState.FAIL), [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "answered"),
    [("nan", True), ("swallow", True), ("raise", False), ("interrupt", False), ("kill", False)],
)
def test_the_last_trial_of_a_process_that_ended(tmp_path: Path, end: str, answered: bool) -> None:
    """After one gain the second doubling fails: the next process goes on with 1 − momentum or runs the point again."""
    workers.run(tmp_path, trials=2, then=end)
    workers.run(tmp_path, trials=1)
    trials = workers.open_shared(tmp_path).trials
    path = search_on(bowl)
    assert path.grid is not None
    assert [trial.params for trial in trials[:3]] == [path.grid.hyperparameters(point) for point in path.asked[:3]]
    assert (trials[3].params != trials[2].params) is answered
    assert (trials[3].user_attrs[AXIS] == "1−momentum") is answered


def test_a_failure_told_by_another_sampler_counts_once_its_process_went_on() -> None:
    """Told through a study with a foreign sampler, so that nobody noted what the failure meant; this process lives."""
    study = optuna.create_study(direction="maximize", sampler=workers.source_sampler())
    for value in (1.0, math.nan):
        trial = study.ask()
        workers.suggest(trial)
        other = optuna.load_study(study_name=study.study_name, storage=optuna_private.storage_of(study))
        other.tell(trial.number, value) if math.isfinite(value) else other.tell(trial.number, state=TrialState.FAIL)
    assert workers.suggest(study.ask())["lr"] == 0.0005
