"""The sampler in studies as people have them: other names, odd ranges, trials of other samplers, more parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import PartialFixedSampler, RandomSampler

from flatdirs import FlatDirectionsSampler, FlatdirsWarning
from flatdirs.backend import optuna_private
from flatdirs.backend.trial_runs import INCUMBENT, MOVE, REASON
from flatdirs.space.names import recognized

Suggest = Callable[[optuna.Trial], tuple[float, float, float]]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def loss(lr: float, momentum: float, wd: float) -> float:
    """Depends on lr·wd/(1−momentum) alone; best at 0.002."""
    return math.log2(max(lr, 1e-9) * max(wd, 1e-9) / (1 - min(momentum, 0.9999)) / 2e-3) ** 2


def lr(trial: optuna.Trial, name: str = "learning_rate") -> float:
    return trial.suggest_float(name, 1e-5, 10, log=True)


def rho(trial: optuna.Trial, name: str = "momentum") -> float:
    return trial.suggest_float(name, 0, 0.99)


def wd(trial: optuna.Trial, name: str = "weight_decay") -> float:
    return trial.suggest_float(name, 1e-6, 1, log=True)


def plain(trial: optuna.Trial) -> float:
    return loss(lr(trial), rho(trial), wd(trial))


def new_study(**arguments: Any) -> optuna.Study:
    return optuna.create_study(sampler=FlatDirectionsSampler(seed=0, **arguments))


def run(objective: Callable[[optuna.Trial], float], trials: int = 12, **arguments: Any) -> tuple[optuna.Study, int]:
    """A study of our sampler alone, and how many warnings it gave."""
    study = new_study(**arguments)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        study.optimize(objective, n_trials=trials)
    assert {warning.category for warning in told} <= {FlatdirsWarning}
    return study, len(told)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "short"),
        [
            ("lr", "lr"),
            ("learning-rate", "lr"),
            ("optimizer.lr", "lr"),
            ("model.optim.weight_decay", "wd"),
            ("optimizer__lr", "lr"),
            ("mom", "momentum"),
            ("adam_beta1", "beta1"),
            ("one_minus_mom", "one_minus_momentum"),
            ("per_device_train_batch_size", "batch_size"),
            ("lr_decay", None),
            ("warmup_lr", None),
            ("min_lr", None),
            ("bn.momentum", None),
            ("scheduler.lr", None),
            ("l2", None),
            ("eta", None),
        ],
    )
    def test_usual_names_and_no_others(self, name: str, short: str | None) -> None:
        assert recognized(name) == short

    @pytest.mark.parametrize(
        "names",
        [
            ("lr", "mom", "wd"),
            ("lr", "momentum", "weight_decay"),
            ("optimizer.lr", "optimizer.momentum", "optimizer.weight_decay"),
        ],
    )
    def test_they_need_not_be_told(self, names: tuple[str, str, str]) -> None:
        study, told = run(lambda t: loss(lr(t, names[0]), rho(t, names[1]), wd(t, names[2])))
        same, _ = run(plain)
        assert [list(t.params.values()) for t in study.trials] == [list(t.params.values()) for t in same.trials]
        assert told == 0

    def test_two_parameters_that_look_like_one_are_told_once(self) -> None:
        def objective(trial: optuna.Trial) -> float:
            return loss(lr(trial, "encoder.lr"), rho(trial), wd(trial)) + 0 * lr(trial, "decoder.lr")

        assert run(objective)[1] == 1
        study, told = run(objective, names={"lr": "encoder.lr"})
        assert told == 0
        assert len({t.params["decoder.lr"] for t in study.trials} - {t.params["encoder.lr"] for t in study.trials}) > 0


class TestRanges:
    @pytest.mark.parametrize(
        ("suggest", "name", "first"),
        [
            (lambda t: (lr(t), rho(t), t.suggest_float("weight_decay", 0, 0.1, step=0.01)), "weight_decay", 0.01),
            (lambda t: (t.suggest_float("learning_rate", 0, 1, step=0.25), rho(t), wd(t)), "learning_rate", 0.25),
            (lambda t: (lr(t), t.suggest_float("momentum", 0, 1, step=0.25), wd(t)), "momentum", 0.75),
            (lambda t: (lr(t), rho(t), t.suggest_int("weight_decay", 0, 3)), "weight_decay", 1),
        ],
    )
    def test_a_start_that_the_steps_cannot_hold_moves_and_the_search_goes_on(
        self, suggest: Suggest, name: str, first: float
    ) -> None:
        study, told = run(lambda trial: loss(*suggest(trial)), 25)
        assert told == 1
        assert study.trials[0].params[name] == first
        assert all(REASON in trial.user_attrs for trial in study.trials)
        assert all(t.params[name] < 1 if name == "momentum" else t.params[name] > 0 for t in study.trials)
        assert study.best_value < 0.25 * (study.trials[0].value or 0)

    @pytest.mark.parametrize(
        "suggest",
        [
            lambda t: (lr(t), rho(t), t.suggest_float("weight_decay", 0, 0.1)),
            lambda t: (lr(t), t.suggest_float("momentum", 0, 1), wd(t)),
            lambda t: (lr(t), rho(t), t.suggest_float("weight_decay", 0, 0)),
        ],
    )
    def test_ends_where_nothing_is_learnt_are_no_obstacle(self, suggest: Suggest) -> None:
        study, told = run(lambda trial: loss(*suggest(trial)))
        assert told == 0
        assert all(REASON in trial.user_attrs for trial in study.trials)

    def test_a_rounded_suggestion_is_known_for_what_it_was(self) -> None:
        """Each trial is claimed as it is run; one that rounds to an earlier one is a replicate of it."""
        study, _ = run(lambda t: loss(lr(t), t.suggest_float("momentum", 0, 0.9, step=0.3), wd(t)), 25)
        claimed = [trial.system_attrs["flatdirs:claim"] for trial in study.trials[1:]]
        run_at = [trial.params["momentum"] for trial in study.trials[1:]]
        assert [claim["hyperparameters"]["momentum"] for claim in claimed] == pytest.approx(run_at)
        ids = [
            (*trial.params.values(), claim["replicate"]) for trial, claim in zip(study.trials[1:], claimed, strict=True)
        ]
        assert len(set(ids)) == len(ids)

    def test_a_categorical_learning_rate_is_told_once_and_the_others_are_searched(self) -> None:
        study, told = run(lambda t: loss(t.suggest_categorical("learning_rate", [0.001, 0.01, 0.1]), rho(t), wd(t)))
        assert told == 1
        assert all(REASON in trial.user_attrs for trial in study.trials)

    def test_a_study_without_any_parameter_of_the_chart_is_told_once(self) -> None:
        assert run(lambda t: loss(lr(t, "eta"), 0.9, 5e-4))[1] == 1
        study, told = run(lambda t: loss(lr(t, "eta"), 0.9, 5e-4), names={"lr": "eta"})
        assert told == 0
        assert all(REASON in trial.user_attrs for trial in study.trials)


class TestTrialsOfOthers:
    @pytest.mark.parametrize("how", ["random", "tpe", "added"])
    def test_they_are_in_the_model_from_the_first_suggestion_on(self, how: str) -> None:
        other: Any = RandomSampler(seed=1) if how != "tpe" else optuna.samplers.TPESampler(seed=1, n_startup_trials=5)
        study = optuna.create_study(sampler=other)
        study.optimize(plain, n_trials=40)
        if how == "added":
            trials, study = study.trials, optuna.create_study()
            study.add_trials(trials)
        study.sampler = FlatDirectionsSampler(seed=0, start={"learning_rate": 1e-3})
        study.optimize(plain, n_trials=6)
        first = study.trials[40]
        assert first.user_attrs[MOVE] != "start"
        assert "40 " in first.user_attrs[REASON]
        values = sorted(trial.value for trial in study.trials[40:])
        assert values[3] < 2, "near the best of those before, not at the start"
        place = first.user_attrs[INCUMBENT]
        incumbent = loss(place["lr"], place["momentum"], place["wd"])
        assert incumbent < sorted(trial.value for trial in study.trials[:40])[5]

    def test_a_better_trial_between_the_points_becomes_the_incumbent(self) -> None:
        study = new_study()
        study.optimize(plain, n_trials=1)
        better = {"learning_rate": 0.37, "momentum": 0.9, "weight_decay": 2e-3 * 0.1 / 0.37}
        spaces = study.trials[0].distributions
        study.add_trial(optuna.create_trial(params=better, distributions=spaces, value=loss(*better.values())))
        trial = study.ask()
        found = trial.user_attrs[INCUMBENT]
        assert [found["lr"], found["momentum"], found["wd"]] == pytest.approx(list(better.values()), rel=1e-3)

    def test_a_partly_fixed_trial_is_read_by_its_parameters(self) -> None:
        sampler = FlatDirectionsSampler(seed=0)
        study = optuna.create_study(sampler=sampler)
        study.optimize(plain, n_trials=6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = PartialFixedSampler({"weight_decay": 0.01}, sampler)
        study.optimize(plain, n_trials=8)
        trials = optuna_private.all_trials(study)
        view = sampler.reader(study, between=True).view(trials, len(trials), math.inf)
        assert view.numbers == tuple(range(14))
        assert view.grid is not None
        for number, one in zip(view.numbers, view.runs, strict=True):
            assert view.grid.hyperparameters(one.point)["wd"] == pytest.approx(
                trials[number].params["weight_decay"], rel=1e-3
            )

    def test_a_running_trial_that_was_partly_fixed_holds_where_it_is(self) -> None:
        study = new_study()
        study.enqueue_trial({"weight_decay": 0.01})
        running = study.ask()
        rates = lr(running), rho(running), wd(running)
        trials = optuna_private.all_trials(study)
        view = FlatDirectionsSampler().reader(study, between=True).view(trials, len(trials), math.inf)
        assert view.grid is not None
        ((point, _),) = view.pending
        assert list(view.grid.hyperparameters(point).values()) == pytest.approx(list(rates), rel=1e-3)

    def test_a_trial_at_another_value_of_what_is_fixed_is_no_run_of_the_search(self) -> None:
        study = new_study(fixed=["momentum"])
        spaces = {"lr": FloatDistribution(1e-5, 10, log=True), "momentum": FloatDistribution(0, 0.99)}
        study.add_trial(optuna.create_trial(params={"lr": 0.1, "momentum": 0.5}, distributions=spaces, value=0.0))
        study.ask(spaces)
        assert study.trials[1].params["momentum"] == 0.9
        assert study.trials[1].user_attrs[MOVE] == "start"


class TestMoreParameters:
    def test_numbers_and_choices_outside_the_chart_are_searched(self) -> None:
        def objective(trial: optuna.Trial) -> float:
            dropout = trial.suggest_float("dropout", 0.0, 0.8)
            width = trial.suggest_int("width", 8, 512, log=True)
            act = trial.suggest_categorical("act", ["relu", "gelu"])
            return plain(trial) + 20 * (dropout - 0.15) ** 2 + 0.3 * math.log2(width / 300) ** 2 + (act == "relu")

        study, told = run(objective, 30)
        assert told == 0
        assert {key: study.trials[0].params[key] for key in ("dropout", "width", "act")} == {
            "dropout": 0.4,
            "width": 64,
            "act": "relu",
        }
        assert study.best_params["act"] == "gelu"
        assert study.best_value < 1.5
        assert len({trial.params["dropout"] for trial in study.trials}) < 20, "suggested, not drawn"

    def test_a_fourth_number_is_random(self) -> None:
        def objective(trial: optuna.Trial) -> float:
            return plain(trial) + sum(trial.suggest_float(name, 0.0, 1.0) for name in "abcd")

        study, _ = run(objective, 6)
        assert study.trials[0].params["a"] == study.trials[0].params["c"] == 0.5
        assert len({trial.params["d"] for trial in study.trials}) == 6

    def test_one_that_only_some_trials_suggest_keeps_the_others_in_the_model(self) -> None:
        def objective(trial: optuna.Trial) -> float:
            return plain(trial) + (trial.suggest_float("dropout", 0.0, 0.8) if trial.number % 2 else 0.0)

        study, told = run(objective, 10)
        trials = optuna_private.all_trials(study)
        view = FlatDirectionsSampler().reader(study, between=True).view(trials, len(trials), math.inf)
        assert (len(view.runs), told) == (10, 0)

    def test_choices_that_are_no_plain_values_are_random(self) -> None:
        study, told = run(lambda t: plain(t) + 0 * len(str(t.suggest_categorical("x", [None, "a"]))), 12)
        assert told == 0
        assert {trial.params["x"] for trial in study.trials} == {None, "a"}
