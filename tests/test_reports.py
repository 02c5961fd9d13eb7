"""Reported values on their way into every kind of storage, and the pruner that judges them."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from flatdirs.backend import optuna_private
from flatdirs.backend.reports import MANY, Reports
from flatdirs.backend.storages import close_storage, open_storage
from flatdirs.backend.trials import Trials
from flatdirs.errors import StudyError
from flatdirs.objectives.base import Measurement
from tests.refused import refused


def trials_in(kind: str, folder: Path, pruner: optuna.pruners.BasePruner | None = None) -> Trials:
    """An open study without a search."""
    storage = open_storage(kind, folder)
    study = optuna.create_study(storage=storage, study_name="s", pruner=pruner or optuna.pruners.NopPruner())
    return Trials(study, maximize=False, stale_seconds=60)


@pytest.mark.parametrize("kind", ["memory", "journal", "sqlite"])
def test_values_are_stored_under_the_users_steps_when_the_run_ends(kind: str, tmp_path: Path) -> None:
    trials = trials_in(kind, tmp_path)
    trial = trials.optuna_study.ask()
    for step, value in ((10, 3.0), (30, 2.0), (20, 1.0), (30, 2.5), (40, math.nan)):
        trials.report(trial, step, value)
        assert not trials.should_stop(trial, step, None, value)
    trials.end(trial, Measurement("finished", 2.5))
    (stored,) = trials.optuna_study.get_trials()
    assert stored.intermediate_values == {10: 3.0, 20: 1.0, 30: 2.5}
    assert stored.state == TrialState.COMPLETE
    if kind != "memory":
        close_storage(optuna_private.storage_of(trials.optuna_study))
        again = optuna.load_study(study_name="s", storage=open_storage(kind, tmp_path, reading=True))
        assert again.trials[0].intermediate_values == stored.intermediate_values


@pytest.mark.parametrize("kind", ["memory", "journal", "sqlite"])
def test_a_batch_is_what_single_reports_are(kind: str, tmp_path: Path) -> None:
    study = trials_in(kind, tmp_path).optuna_study
    batch, single = study.ask(), study.ask()
    values = {0: 1.5, 7: -2.0, 3: 1e300}
    optuna_private.write_reports(study, batch, {0: 9.0})
    optuna_private.write_reports(study, batch, values)
    for step, value in values.items():
        single.report(value, step)
    first, second = study.get_trials()
    assert first.intermediate_values == second.intermediate_values == values
    study.tell(batch, 1.0)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        optuna_private.write_reports(study, batch, {1: 1.0})


@pytest.mark.parametrize("kind", ["memory", "journal", "sqlite"])
def test_a_run_that_another_worker_took_over_says_so(kind: str, tmp_path: Path) -> None:
    trials = trials_in(kind, tmp_path)
    trial = trials.optuna_study.ask()
    trials.optuna_study.tell(trial.number, 1.0)
    with refused(StudyError, "storage.stale_minutes"):
        trials.report(trial, 2, 1.0)
    with refused(StudyError, "storage.stale_minutes"):
        trials.end(trial, Measurement("finished", 1.0))


def test_a_pruner_judges_at_the_users_steps(tmp_path: Path) -> None:
    trials = trials_in("memory", tmp_path, optuna.pruners.ThresholdPruner(upper=10, n_warmup_steps=200))
    trial = trials.optuna_study.ask()
    stopped = []
    for step in (100, 200, 300):
        trials.report(trial, step, 20.0)
        stopped.append(trials.should_stop(trial, step, None, 20.0))
    assert stopped == [False, True, True]


def test_the_last_evaluation_of_a_known_number_is_not_judged(tmp_path: Path) -> None:
    trials = trials_in("journal", tmp_path, optuna.pruners.ThresholdPruner(upper=10))
    trial = trials.optuna_study.ask()
    stopped = []
    for done in (1, 2, 3):
        trials.report(trial, done, 20.0)
        stopped.append(trials.should_stop(trial, done, 3, 20.0))
    assert stopped == [True, True, False]


@given(count=st.integers(1, 4000))
def test_of_many_reports_some_are_written_the_same_in_each_run_and_the_last(count: int) -> None:
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    written = []
    for number in (count, count + 1):
        trial = study.ask()
        reports = Reports(study, trial)
        for step in range(number):
            reports.add(step, float(step))
        reports.write()
        written.append(set(study.trials[trial.number].intermediate_values))
    assert max(written[0]) == count - 1
    assert len(written[0] - written[1]) <= 1
    assert len(written[0]) == count if count <= MANY + 2 else len(written[0]) < count
