"""`flatdirs.recommend`: the best of a study by observation and by the model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

import flatdirs
from flatdirs import FlatDirectionsSampler, StudyError, recommend
from flatdirs.backend.storages import open_storage


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("optimizer.lr", 1e-5, 10, log=True)
    rest = trial.suggest_float("one_minus_momentum", 0.01, 1.0, log=True)
    wd = trial.suggest_float("weight_decay", 1e-6, 1, log=True)
    steep, flat = math.log2(lr * wd / rest / 2e-3), math.log2(rest / 0.1)
    return 90.0 - 0.5 * steep**2 - 0.05 * flat**2 + 0.3 * math.sin(1e4 * trial.number)


def searched(trials: int = 15, sign: float = 1.0, **arguments: Any) -> optuna.Study:
    sampler = FlatDirectionsSampler(seed=0, **arguments)
    study = optuna.create_study(direction="maximize" if sign > 0 else "minimize", sampler=sampler)
    study.optimize(lambda trial: sign * objective(trial), n_trials=trials)
    return study


@pytest.mark.parametrize("search", ["flatdirs", "myrtle"])
def test_both_are_settings_that_were_run_in_the_studys_own_names(search: str) -> None:
    study = searched(search=search)
    found = recommend(study)
    assert found.best_observed.number == study.best_trial.number
    assert (found.best_observed.params, found.best_observed.value) == (study.best_params, study.best_value)
    assert found.best_expected is not None
    assert found.best_expected.params in [trial.params for trial in study.trials]
    runs = [trial.number for trial in study.trials if trial.params == found.best_expected.params]
    assert list(found.best_expected.numbers) == runs
    assert found.best_expected.replicates == len(runs)
    assert found.params == found.best_expected.params
    assert found.best_expected.interval is not None
    low, high = found.best_expected.interval
    assert low < found.best_expected.value < high
    assert abs(found.best_expected.value - 90) < 1


def test_minimising_mirrors_maximising() -> None:
    up, down = recommend(searched()), recommend(searched(sign=-1.0))
    assert up.best_expected is not None
    assert down.best_expected is not None
    assert up.best_expected.params == down.best_expected.params
    assert up.best_expected.value == pytest.approx(-down.best_expected.value)
    assert up.best_expected.interval == pytest.approx([-end for end in down.best_expected.interval or ()][::-1])


def test_a_lucky_run_is_observed_best_and_its_replicates_are_not_expected_best() -> None:
    """One run of a poor setting that came out at the top, beside five that did not."""
    study = searched(10)
    poor = study.trials[0]
    for value in (91.5, 80.0, 80.2, 79.9, 80.1, 80.0):
        study.add_trial(optuna.create_trial(params=poor.params, distributions=poor.distributions, value=value))
    found = recommend(study)
    assert found.best_observed.number == 10
    assert found.best_expected is not None
    assert 10 not in found.best_expected.numbers


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_study_that_is_opened_again_knows_its_chart_start_and_names(tmp_path: Path, kind: str) -> None:
    def adamw(trial: optuna.Trial) -> float:
        return -(math.log2(trial.suggest_float("eta", 1e-6, 1, log=True) / 4e-3) ** 2)

    sampler = FlatDirectionsSampler(chart="adamw", seed=0, names={"lr": "eta"}, fixed=["beta1"])
    study = optuna.create_study(
        study_name="one", storage=open_storage(kind, tmp_path), sampler=sampler, direction="maximize"
    )
    study.optimize(adamw, n_trials=8)
    again = optuna.load_study(study_name="one", storage=open_storage(kind, tmp_path))
    assert recommend(again) == recommend(study, sampler)
    assert recommend(again).best_expected is not None


def test_one_run_has_no_interval() -> None:
    found = recommend(searched(1))
    assert found.best_expected is not None
    assert (found.best_expected.interval, found.best_expected.numbers) == (None, (0,))


def test_a_study_of_another_sampler_needs_to_be_told_which() -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=12)
    with pytest.raises(StudyError) as error:
        recommend(study)
    assert error.value.key == "sampler"
    found = recommend(study, FlatDirectionsSampler())
    assert found.best_expected is not None
    assert found.best_observed.number == study.best_trial.number


@pytest.mark.filterwarnings("ignore::flatdirs.errors.FlatdirsWarning")
def test_where_the_chart_has_no_part_the_best_observed_is_all_there_is() -> None:
    study = optuna.create_study(sampler=FlatDirectionsSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    found = recommend(study)
    assert found.best_expected is None
    assert found.params == study.best_params


def test_without_a_finished_trial_there_is_nothing_to_recommend() -> None:
    study = optuna.create_study(sampler=FlatDirectionsSampler())
    study.ask()
    with pytest.raises(StudyError) as error:
        recommend(study)
    assert error.value.key == "study"


def test_the_choices_that_stand_are_recommended() -> None:
    def chosen(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 10, log=True)
        return (trial.suggest_categorical("act", ["relu", "gelu"]) == "gelu") - math.log2(lr / 0.3) ** 2

    study = optuna.create_study(direction="maximize", sampler=FlatDirectionsSampler(seed=0))
    study.optimize(chosen, n_trials=12)
    found = recommend(study)
    assert found.best_expected is not None
    assert found.params["act"] == "gelu"
    assert found.best_expected.params in [trial.params for trial in study.trials]


def test_a_study_of_tune_is_recommended_with_its_own_settings(tmp_path: Path) -> None:
    def exact(lr: float) -> float:
        return 3 - math.log2(lr / 0.3) ** 2

    place = tmp_path / "s.log"
    result = flatdirs.tune(
        exact, {"lr": 0.1}, direction="maximize", budget=10, storage=place, study="exact", output=tmp_path,
        deterministic=True, progress=False,
    )  # fmt: skip
    found = recommend(optuna.load_study(study_name="exact", storage=open_storage("url", tmp_path, str(place))))
    assert found.params == result.best == found.best_observed.params
    assert found.best_expected is not None
    assert found.best_expected.value == pytest.approx(found.best_observed.value, abs=0.05)
