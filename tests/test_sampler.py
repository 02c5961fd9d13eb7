"""FlatDirectionsSampler in an Optuna study: Optuna's own contract, and every way a plain objective may behave."""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
from optuna.trial import FrozenTrial, TrialState

from flatdirs import (
    BayesSettings,
    ChartError,
    ConfigError,
    DescentSettings,
    FlatDirectionsSampler,
    FlatdirsWarning,
    Grid,
    named_chart,
)
from flatdirs.backend import claims, optuna_private
from flatdirs.backend.liveness import this_worker
from flatdirs.backend.trial_runs import AXIS, INCUMBENT, MOVE, REASON, REPLICATE
from flatdirs.search import Settings, grid_chart
from flatdirs.search.bayes import suggest as next_point
from flatdirs.search.types import Run
from tests.test_descent import SOURCE, START, bowl, search_on
from tests.workers import source_sampler, suggest

PATH = search_on(bowl)  # what the descent asks for on this surface


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


class Contract:
    """Optuna's own test cases draw parameters called x, y …; here they are the chart's, in odd ranges."""

    @pytest.fixture(params=["foreign", "chart"])
    def names(self, request: pytest.FixtureRequest) -> dict[str, str]:
        return {"lr": "x", "momentum": "y", "wd": "z"} if request.param == "chart" else {}

    @pytest.fixture(params=["flatdirs", "myrtle"])
    def sampler(self, request: pytest.FixtureRequest, names: dict[str, str]) -> Callable[[], BaseSampler]:
        return lambda: FlatDirectionsSampler(seed=0, search=request.param, names=names)


@pytest.mark.filterwarnings("ignore::flatdirs.errors.FlatdirsWarning")  # of studies with no parameter of the chart
class TestBasicContract(Contract, BasicSamplerTestCase):
    pass


@pytest.mark.filterwarnings("ignore::flatdirs.errors.FlatdirsWarning")
class TestRelativeContract(Contract, RelativeSamplerTestCase):
    pass


@pytest.mark.filterwarnings("ignore::flatdirs.errors.FlatdirsWarning")
class TestSingleOnlyContract(Contract, SingleOnlySamplerTestCase):
    pass


def objective(trial: optuna.Trial) -> float:
    return bowl(suggest(trial)).value


def new_study(direction: str = "maximize", **arguments: Any) -> optuna.Study:
    own = {name: arguments.pop(name, None) for name in ("pruner", "study_name")}
    return optuna.create_study(direction=direction, sampler=source_sampler(**arguments), **own)


def asked(study: optuna.Study) -> list[dict[str, float]]:
    return [trial.params for trial in study.trials]


def id_of(trial: FrozenTrial) -> tuple[float, ...]:
    """A point and the number of the replicate, which no other trial of a search may have."""
    repeat = (claims.read(trial) or {}).get("replicate", 0)
    return (*trial.params.values(), repeat)


def expected(run: Any = PATH) -> list[dict[str, float]]:
    return [run.grid.hyperparameters(point) for point in run.asked]


def close(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and all(math.isclose(one[k], other[k], rel_tol=1e-9, abs_tol=1e-12) for k in one)


class TestPlainObjective:
    def test_thirty_trials_walk_the_descents_path_and_then_stay_near_the_winner(self) -> None:
        study = new_study()
        study.optimize(objective, n_trials=30)
        assert asked(study)[:26] == expected()
        assert study.trials[21].params != SOURCE[-1][1]
        assert study.trials[20].params == SOURCE[-1][1]
        winner = SOURCE[-1][1]
        for trial in study.trials[26:]:
            assert trial.user_attrs[MOVE] == "random"
            assert "the search is over" in trial.user_attrs[REASON]
            assert 1 / 8 <= trial.params["lr"] / winner["lr"] <= 8
            assert trial.params["wd"] != winner["wd"]

    def test_raw_walks_the_raw_path(self) -> None:
        study = new_study(search="raw")
        study.optimize(objective, n_trials=20)
        assert asked(study) == expected(search_on(bowl, "raw"))[:20]

    def test_minimising_mirrors_maximising(self) -> None:
        study = new_study("minimize")
        study.optimize(lambda trial: -objective(trial), n_trials=26)
        assert asked(study) == expected()

    def test_the_objective_sees_why_it_was_given_this_point(self) -> None:
        seen: list[dict[str, Any]] = []

        def watching(trial: optuna.Trial) -> float:
            value = objective(trial)
            seen.append(dict(trial.user_attrs))
            return value

        study = new_study()
        study.optimize(watching, n_trials=12)
        assert seen == [trial.user_attrs for trial in study.trials]
        assert seen[0] == {AXIS: None, MOVE: "start", INCUMBENT: None, REASON: "the start"}
        assert (seen[9][AXIS], seen[9][MOVE]) == ("lr·wd/(1−momentum)", "double")
        assert seen[9][INCUMBENT] == SOURCE[0][1]
        assert (seen[11][AXIS], seen[11][MOVE]) == ("1−momentum", "halve")
        assert "incumbent" in seen[11][REASON]

    def test_the_start_is_an_argument(self) -> None:
        start = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
        study = new_study(start=start)
        study.optimize(objective, n_trials=1)
        assert asked(study) == [start]

    def test_rules_are_an_argument(self) -> None:
        study = new_study(settings=DescentSettings(min_gain=1000.0, plateau_limit=1))
        study.optimize(objective, n_trials=7)
        assert len({tuple(trial.params.values()) for trial in study.trials}) == 7
        assert all(trial.user_attrs[INCUMBENT] in (None, START) for trial in study.trials)

    @pytest.mark.parametrize(("search", "settings"), [("flatdirs", DescentSettings()), ("myrtle", BayesSettings())])
    def test_settings_of_another_search_are_refused(self, search: str, settings: Settings) -> None:
        with pytest.raises(ConfigError) as error:
            FlatDirectionsSampler(search=search, settings=settings)
        assert error.value.key == "settings"

    def test_a_sampler_made_anew_for_each_trial_walks_the_same_path(self) -> None:
        study = new_study()
        for number in range(26):
            study.sampler = source_sampler(seed=number)
            study.optimize(objective, n_trials=1)
        assert asked(study) == expected()

    def test_a_pickled_sampler_goes_on(self) -> None:
        study = new_study()
        study.optimize(objective, n_trials=9)
        study.sampler = pickle.loads(pickle.dumps(study.sampler))
        study.optimize(objective, n_trials=17)
        assert asked(study) == expected()

    def test_one_sampler_serves_one_study_after_another(self) -> None:
        """Memory of a study that is gone, at whose address another now lies, must not speak."""
        sampler = source_sampler()
        for sign in (1, -1) * 5:
            study = optuna.create_study(direction="maximize", sampler=sampler)
            study.optimize(lambda trial, sign=sign: sign * objective(trial), n_trials=4)  # type: ignore[misc]
            rates = [trial.params["lr"] for trial in study.trials]
            assert rates[:3] == ([0.001, 0.002, 0.004] if sign == 1 else [0.001, 0.002, 0.0005])
            del study

    @pytest.mark.slow
    def test_a_study_deleted_and_made_again_starts_again(self) -> None:
        storage = optuna.storages.RDBStorage("sqlite:///:memory:")
        sampler = source_sampler()
        for _ in range(2):
            study = optuna.create_study(study_name="again", storage=storage, sampler=sampler, direction="maximize")
            study.optimize(objective, n_trials=5)
            assert asked(study) == expected()[:5]
            optuna.delete_study(study_name="again", storage=storage)

    def test_asking_again_and_again_without_telling_gives_different_points(self) -> None:
        study = new_study()
        points = [tuple(suggest(study.ask()).values()) for _ in range(20)]
        assert len(set(points)) == 20
        assert points[:2] == [tuple(START.values()), (0.002, 0.5, 0.01)]

    def test_telling_in_another_order_than_asking_changes_no_answer(self) -> None:
        study = new_study()
        answered: set[tuple[float, ...]] = set()
        while len(answered) < 60:
            trials = [study.ask() for _ in range(3)]
            values = [suggest(trial) for trial in trials]
            for trial, value in reversed(list(zip(trials, values, strict=True))):
                study.tell(trial, bowl(value).value)
                answered.add(tuple(value.values()))
        assert {tuple(values.values()) for values in expected()} <= answered
        assert study.best_params == SOURCE[-1][1]


class TestNames:
    def test_other_names(self) -> None:
        def renamed(trial: optuna.Trial) -> float:
            rate, rho = trial.suggest_float("lr", 1e-9, 1e3, log=True), trial.suggest_float("mu", 0, 0.9999)
            decay = trial.suggest_float("wd", 1e-9, 1, log=True)
            return bowl({"lr": rate, "momentum": rho, "wd": decay}).value

        study = new_study(names={"lr": "lr", "momentum": "mu", "wd": "wd"})
        study.optimize(renamed, n_trials=26)
        assert [list(params.values()) for params in asked(study)] == [list(v.values()) for v in expected()]

    @pytest.mark.parametrize("names", [{}, {"momentum": "one_minus_momentum"}])
    def test_one_minus_momentum(self, names: dict[str, str]) -> None:
        def complementary(trial: optuna.Trial) -> float:
            rate = trial.suggest_float("lr", 1e-9, 1e3, log=True)
            rest = trial.suggest_float("one_minus_momentum", 1e-4, 1.0, log=True)
            decay = trial.suggest_float("wd", 1e-9, 1.0, log=True)
            return bowl({"lr": rate, "momentum": 1 - rest, "wd": decay}).value

        study = new_study(names=names)
        study.optimize(complementary, n_trials=26)
        asked_for = [params["one_minus_momentum"] for params in asked(study)]
        assert [1 - rest for rest in asked_for] == pytest.approx([v["momentum"] for v in expected()], rel=1e-9)
        assert asked_for == [float(f"{rest:.4g}") for rest in asked_for]

    def test_a_bound_that_only_floats_miss_is_reached_once(self) -> None:
        """1 − (1 − 0.1) is a little below 0.1: the point on the edge is run, counted, and not asked for again."""

        def edge(trial: optuna.Trial) -> float:
            return -trial.suggest_float("one_minus_momentum", 0.1, 1.0)

        study = new_study(start={"momentum": 0.2}, fixed=["lr", "wd"])
        study.optimize(edge, n_trials=7)
        rests = [params["one_minus_momentum"] for params in asked(study)]
        assert rests[:4] == pytest.approx([0.8, 0.4, 0.2, 0.1])
        assert [t.user_attrs[MOVE] for t in study.trials[4:]] == ["random"] * 3

    @pytest.mark.parametrize(
        ("arguments", "key"),
        [
            ({"names": {"eta": "x"}}, "names"),
            ({"names": {"lr": "x", "momentum": "x"}}, "names"),
            ({"start": {"momentum": 1.2}}, "start.momentum"),
            ({"start": {"eta": 0.1}}, "start"),
            ({"chart": "sgdm"}, "chart"),
            ({"fixed": ["eta"]}, "fixed"),
        ],
    )
    def test_arguments_that_do_not_fit_are_refused_at_once(self, arguments: dict[str, Any], key: str) -> None:
        with pytest.raises(ChartError) as error:
            FlatDirectionsSampler(**arguments)
        assert error.value.key == key


class TestSpaces:
    def test_parameters_outside_the_chart_are_random_and_reproducible(self) -> None:
        def more(trial: optuna.Trial) -> float:
            trial.suggest_categorical("optimizer", ["sgd", "nag"])
            trial.suggest_int("layers", 1, 9)
            trial.suggest_float("dropout", 0.0, 0.5)
            return objective(trial)

        runs = []
        for seed in (3, 3, 4):
            study = optuna.create_study(direction="maximize", sampler=source_sampler(seed=seed))
            study.optimize(more, n_trials=26)
            runs.append(asked(study))
        assert runs[0] == runs[1]
        assert [r["dropout"] for r in runs[0]] != [r["dropout"] for r in runs[2]]
        assert len({r["dropout"] for r in runs[0]}) == 26
        assert {r["optimizer"] for r in runs[0]} == {"sgd", "nag"}
        assert [{k: r[k] for k in START} for r in runs[2]] == expected()

    def test_the_start_is_clipped_into_the_range_and_the_walls_hold(self) -> None:
        def narrow(trial: optuna.Trial) -> float:
            rate = trial.suggest_float("lr", 0.01, 0.1, log=True)
            rho = trial.suggest_float("momentum", 0.8, 0.95)
            decay = trial.suggest_float("wd", 1e-5, 1e-3, log=True)
            return bowl({"lr": rate, "momentum": rho, "wd": decay}).value

        study = new_study()
        study.optimize(narrow, n_trials=20)
        params = asked(study)
        assert params[0] == {"lr": 0.01, "momentum": 0.8, "wd": 0.001}
        assert params[1] == {"lr": 0.02, "momentum": 0.8, "wd": 0.001}
        walked = [tuple(t.params.values()) for t in study.trials if t.user_attrs[MOVE] != "random"]
        assert len(set(walked)) == len(walked) < 20

    def test_steps_and_whole_numbers_are_rounded_and_asked_once(self) -> None:
        def stepped(trial: optuna.Trial) -> float:
            rate = trial.suggest_float("lr", 0.001, 1.001, step=0.001)
            rho = trial.suggest_float("momentum", 0.0, 0.95, step=0.05)
            decay = trial.suggest_float("wd", 1e-9, 1.0, log=True)
            size = trial.suggest_int("batch_size", 64, 512, step=64)
            return bowl({"lr": rate, "momentum": rho, "wd": decay}).value - abs(size - 256) / 1e3

        study = new_study(chart="sgd_batch")
        study.optimize(stepped, n_trials=40)
        walked = [t for t in study.trials if t.user_attrs[MOVE] != "random"]
        assert len({tuple(t.params.values()) for t in walked}) >= len(walked) - 3  # neighbours may round to one value
        assert len(walked) < 40, "a rounded answer must count, or the same point is asked for ever"
        assert all(isinstance(t.params["batch_size"], int) for t in study.trials)
        assert study.best_value > 92

    def test_a_linear_range_is_walked_in_logarithms_all_the_same(self) -> None:
        def linear(trial: optuna.Trial) -> float:
            rate = trial.suggest_float("lr", 0.0, 10.0)
            rho, decay = trial.suggest_float("momentum", 0, 0.9999), trial.suggest_float("wd", 0.0, 1.0)
            return bowl({"lr": rate, "momentum": rho, "wd": decay}).value

        study = new_study()
        study.optimize(linear, n_trials=26)
        assert asked(study) == expected()

    def test_only_a_learning_rate(self) -> None:
        """What nobody suggests is held: the search is over one coordinate, eight doublings and one too many."""

        def only_rate(trial: optuna.Trial) -> float:
            rate = trial.suggest_float("lr", 1e-9, 1e3, log=True)
            return bowl({**START, "lr": rate}).value

        study = new_study()
        study.optimize(only_rate, n_trials=15)
        rates = [params["lr"] for params in asked(study)]
        assert rates[:10] == [0.001 * 2**n for n in range(10)]
        assert {t.user_attrs[AXIS] for t in study.trials[1:10]} == {"lr"}
        assert [t.user_attrs[MOVE] for t in study.trials[10:]] == ["random"] * 5

    def test_an_objective_of_other_parameters_is_searched_at_random(self) -> None:
        study = new_study()
        with pytest.warns(FlatdirsWarning, match="x") as told:
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=10)
        assert len(told) == 1
        assert len({trial.params["x"] for trial in study.trials}) == 10
        assert not any(trial.user_attrs for trial in study.trials[1:])

    def test_a_fixed_hyperparameter_stays(self) -> None:
        study = new_study(fixed=["momentum"], start={"momentum": 0.9})
        study.optimize(objective, n_trials=15)
        assert {params["momentum"] for params in asked(study)} == {0.9}

    def test_ranges_that_leave_the_start_out_begin_again_inside(self) -> None:
        study = new_study()
        study.optimize(objective, n_trials=4)

        def moved(trial: optuna.Trial) -> float:
            rate = trial.suggest_float("lr", 0.1, 10.0, log=True)
            rho, decay = (
                trial.suggest_float("momentum", 0, 0.9999),
                trial.suggest_float("wd", 1e-9, 1, log=True),
            )
            return bowl({"lr": rate, "momentum": rho, "wd": decay}).value

        study.optimize(moved, n_trials=3)
        assert [params["lr"] for params in asked(study)[4:]] == pytest.approx([0.1, 0.2, 0.4])

    @pytest.mark.parametrize(
        "space", [FloatDistribution(1.0, 2.0), FloatDistribution(-5.0, -1.0), FloatDistribution(0.0, 0.0)]
    )
    def test_ranges_in_which_no_learning_could_happen_are_searched_at_random(self, space: BaseDistribution) -> None:
        study = new_study()
        spaces = {"momentum": space, "lr": FloatDistribution(-1.0, 0.0)}
        study.tell(study.ask(spaces), 0.0)
        with pytest.warns(FlatdirsWarning, match="lr"):
            study.tell(study.ask(spaces), 0.0)
        study.tell(study.ask(spaces), 0.0)
        assert len(study.trials) == 3


class TestFailures:
    def test_nan_counts_as_worst(self) -> None:
        study = new_study()
        study.optimize(lambda trial: objective(trial) if suggest(trial)["lr"] < 0.01 else math.nan, n_trials=6)
        rates = [params["lr"] for params in asked(study)]
        assert rates == [
            0.001,
            0.002,
            0.004,
            0.008,
            0.016,
            0.016,
        ]  # the last by 1 − momentum, not by the failed step again
        assert study.trials[5].user_attrs[AXIS] == "1−momentum"

    @pytest.mark.parametrize("how", ["optimize", "tell"])
    def test_a_swallowed_exception_counts_as_worst(self, how: str) -> None:
        def fragile(trial: optuna.Trial) -> float:
            if suggest(trial)["lr"] > 0.001:
                raise RuntimeError("loss is not finite")
            return objective(trial)

        study = new_study()
        for _ in range(3):
            if how == "optimize":
                study.optimize(fragile, n_trials=1, catch=(RuntimeError,))
                continue
            trial = study.ask()
            try:
                study.tell(trial, fragile(trial))
            except RuntimeError:
                study.tell(trial, state=TrialState.FAIL)
        assert [params["lr"] for params in asked(study)] == [0.001, 0.002, 0.0005]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
    def test_what_ends_optimize_was_an_interruption_and_its_point_is_run_again(
        self, error: type[BaseException]
    ) -> None:
        study = new_study()
        study.optimize(objective, n_trials=4)

        def interrupted(trial: optuna.Trial) -> float:
            suggest(trial)
            raise error

        with pytest.raises(error):
            study.optimize(interrupted, n_trials=1, catch=(RuntimeError,))
        study.optimize(objective, n_trials=22)
        counted = [t.params for t in study.trials if t.state == TrialState.COMPLETE]
        assert counted == expected()
        assert study.trials[4].params == study.trials[5].params

    def test_a_failure_of_a_trial_without_any_parameter_is_survived(self) -> None:
        def early(trial: optuna.Trial) -> float:
            if trial.number == 0:
                raise RuntimeError
            return objective(trial)

        study = new_study()
        study.optimize(early, n_trials=4, catch=(RuntimeError,))
        assert [params["lr"] for params in asked(study)[1:]] == [0.001, 0.002, 0.004]

    def test_infinity_counts_as_worst_either_way(self) -> None:
        study = new_study()
        study.optimize(lambda trial: objective(trial) if suggest(trial)["lr"] < 0.004 else math.inf, n_trials=4)
        assert study.trials[3].user_attrs[INCUMBENT]["lr"] == 0.002


class TestForeignTrials:
    def test_an_enqueued_point_is_run_first_and_counts(self) -> None:
        study = new_study()
        study.optimize(objective, n_trials=2)
        study.enqueue_trial(expected()[2])
        study.enqueue_trial({"lr": 0.3, "momentum": 0.9, "wd": 1e-4})
        study.optimize(objective, n_trials=26)
        assert asked(study)[2] == expected()[2]
        assert asked(study)[3]["lr"] == 0.3
        assert [*asked(study)[:3], *asked(study)[4:27]] == expected()

    def test_a_point_that_waits_in_the_queue_is_not_asked_for_by_others(self) -> None:
        study = new_study()
        study.optimize(objective, n_trials=2)
        running = study.ask()  # holds the third point
        suggest(running)
        study.enqueue_trial(expected()[3])
        assert suggest(study.ask()) == expected()[3]
        following = suggest(study.ask())
        assert following not in (expected()[2], expected()[3])

    def test_what_an_enqueued_trial_leaves_open_comes_from_the_best_so_far(self) -> None:
        study = new_study()
        study.optimize(objective, n_trials=9)
        study.enqueue_trial({"wd": 1e-3})
        study.optimize(objective, n_trials=2)
        assert asked(study)[9] == {"lr": 0.256, "momentum": 0.5, "wd": 1e-3}
        assert study.trials[9].user_attrs[MOVE] == "enqueued"
        assert asked(study)[10] == expected()[9]

    def test_an_enqueued_parameter_outside_the_chart_takes_nothing_from_the_search(self) -> None:
        study = new_study()
        study.enqueue_trial({"dropout": 0.25})
        study.optimize(lambda trial: objective(trial) + 0 * trial.suggest_float("dropout", 0, 1), n_trials=3)
        assert study.trials[0].params["dropout"] == 0.25
        assert [params["lr"] for params in asked(study)] == [0.001, 0.002, 0.004]

    def test_finished_trials_of_others_are_recalled_where_they_lie_on_the_path(self) -> None:
        spaces = {
            "lr": FloatDistribution(1e-9, 1e3, log=True),
            "momentum": FloatDistribution(0.0, 0.9999),
            "wd": FloatDistribution(1e-9, 1.0, log=True),
        }
        study = new_study()
        for params in [*expected()[:5], {"lr": 0.37, "momentum": 0.9, "wd": 1e-4}]:
            study.add_trial(optuna.create_trial(params=params, distributions=spaces, value=bowl(params).value))
        study.optimize(objective, n_trials=21)
        assert asked(study)[6:] == expected()[5:]

    def test_finished_trials_of_other_parameters_are_passed_over(self) -> None:
        study = new_study()
        study.add_trial(optuna.create_trial(params={"x": 1.0}, distributions={"x": FloatDistribution(0, 1)}, value=1.0))
        study.optimize(objective, n_trials=3)
        assert asked(study)[1:] == expected()[:3]

    @pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
    def test_a_retried_trial_holds_its_point_again(self) -> None:
        """Optuna's retry callback puts a copy, claim included, into the queue."""
        study = new_study()
        study.optimize(objective, n_trials=3)
        trial = study.ask()
        values = suggest(trial)
        storage, number = optuna_private.storage_of(study), optuna_private.trial_id(trial)
        gone = {**this_worker(), "pid": 2**22 + 1}
        claim = optuna_private.system_attributes(study, trial)[claims.CLAIM]
        optuna_private.set_system_attribute(study, trial, claims.CLAIM, {**claim, "worker": gone})
        storage.set_trial_state_values(number, TrialState.FAIL)
        optuna.storages.RetryHeartbeatStaleTrialCallback()(study, storage.get_trial(number))
        retried = study.ask()
        assert retried.params == values
        assert suggest(study.ask()) != values
        study.tell(retried, bowl(values).value)

    def test_the_search_goes_on_under_another_sampler_in_between(self) -> None:
        study = new_study()
        ours = study.sampler
        study.optimize(objective, n_trials=5)
        study.sampler = optuna.samplers.RandomSampler(seed=1)
        study.optimize(objective, n_trials=5)
        study.sampler = ours
        study.optimize(objective, n_trials=5)
        assert asked(study)[10:] == expected()[5:10]


PRUNERS: list[Callable[[], optuna.pruners.BasePruner]] = [
    optuna.pruners.NopPruner,
    lambda: optuna.pruners.MedianPruner(n_startup_trials=2),
    lambda: optuna.pruners.PercentilePruner(50.0, n_startup_trials=2),
    lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=8, reduction_factor=2),
    lambda: optuna.pruners.ThresholdPruner(lower=90.0),
    lambda: optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(n_startup_trials=2), patience=1),
    lambda: optuna.pruners.WilcoxonPruner(p_threshold=0.1),
]


@pytest.mark.slow
@pytest.mark.parametrize("search", ["flatdirs", "myrtle"])
@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner(pruner: Callable[[], optuna.pruners.BasePruner], search: str) -> None:
    """No run twice while the search lasts, pruned runs count as worst, and the best is near the path's best."""

    def reporting(trial: optuna.Trial) -> float:
        score = objective(trial)
        for epoch in range(8):
            trial.report(score - 8 + epoch, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = new_study(study_name="pruned", pruner=pruner(), search=search)  # Hyperband's brackets hang on the name
    study.optimize(reporting, n_trials=26)
    walked = [id_of(t) for t in study.trials if t.user_attrs[MOVE] != "random"]
    assert len(set(walked)) == len(walked)
    by_parameters = {tuple(t.params.values()): t for t in reversed(study.trials)}
    for trial in study.trials:
        incumbent = trial.user_attrs[INCUMBENT]
        if incumbent is not None and any(t.state == TrialState.COMPLETE for t in study.trials[: trial.number]):
            assert by_parameters[tuple(incumbent.values())].state == TrialState.COMPLETE


def test_hyperband_sees_the_whole_history() -> None:
    """Hyperband hands out one bracket's trials; a pruner that never prunes must change nothing."""
    study = new_study(pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3))
    study.optimize(objective, n_trials=26)
    assert asked(study) == expected()


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=FlatDirectionsSampler())
    with pytest.raises(ValueError, match="multi"):
        study.optimize(lambda trial: (objective(trial), 1.0), n_trials=1)


@pytest.mark.slow
def test_a_storage_of_copies_gives_the_same_path() -> None:
    """A relational storage returns new objects at each reading, and a cached one in front of it old ones."""
    study = optuna.create_study(storage="sqlite:///:memory:", direction="maximize", sampler=source_sampler())
    study.optimize(objective, n_trials=26)
    assert asked(study) == expected()


@pytest.mark.parametrize("search", ["flatdirs", "myrtle"])
def test_adamw_has_its_own_coordinates(search: str) -> None:
    def adamw(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-9, 1.0, log=True)
        decay = trial.suggest_float("wd", 1e-9, 10.0, log=True)
        beta = trial.suggest_float("beta1", 0.0, 0.999)
        return -((math.log2(rate * decay) + 12) ** 2) - math.log2(decay / 0.1) ** 2 - math.log2((1 - beta) / 0.05) ** 2

    sampler = FlatDirectionsSampler(seed=0, chart="adamw", search=search)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(adamw, n_trials=40)
    assert study.best_value > -1.0


RUNS = 16


class TestFlatdirs:
    """The default search of the sampler walks one path too, however its trials come about."""

    @staticmethod
    def new(direction: str = "maximize", **arguments: Any) -> optuna.Study:
        return optuna.create_study(direction=direction, sampler=FlatDirectionsSampler(seed=0, **arguments))

    @pytest.fixture
    def path(self) -> list[dict[str, float]]:
        """What one sampler in one study asks for."""
        study = self.new()
        study.optimize(objective, n_trials=RUNS)
        return asked(study)

    def test_it_is_the_default_from_where_many_scripts_begin(self, path: list[dict[str, float]]) -> None:
        assert path[0] == {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
        assert max(bowl(values).value for values in path) > 0.995 * 94

    def test_it_suggests_what_the_search_does(self, path: list[dict[str, float]]) -> None:
        bounds = {"lr": (1e-9, 1e3), "momentum": (0.0, 0.9999), "wd": (1e-9, 1.0)}
        grid, runs = Grid(grid_chart("flatdirs", named_chart("sgd").within(bounds)), path[0]), list[Run]()
        for values in path:
            suggestion = next_point(grid, runs)
            assert grid.hyperparameters(suggestion.point) == values
            runs.append(replace(bowl(values), point=suggestion.point, replicate=suggestion.replicate))

    def test_an_objective_sees_which_repeat_it_is(self) -> None:
        seen: list[tuple[tuple[float, ...], int]] = []

        def noisy(trial: optuna.Trial) -> float:
            value = objective(trial)
            repeat = trial.user_attrs.get(REPLICATE, 0)
            seen.append((tuple(trial.params.values()), repeat))
            return value + 3 * math.sin(1e3 * value + 7 * repeat)

        self.new().optimize(noisy, n_trials=40)
        assert any(repeat for _, repeat in seen)
        assert [repeat for _, repeat in seen] == [
            sum(params == other for other, _ in seen[:number]) for number, (params, _) in enumerate(seen)
        ]

    def test_a_sampler_made_anew_for_each_trial(self, path: list[dict[str, float]]) -> None:
        study = self.new()
        for number in range(RUNS):
            study.sampler = FlatDirectionsSampler(seed=number)
            study.optimize(objective, n_trials=1)
        assert asked(study) == path

    def test_a_pickled_sampler(self, path: list[dict[str, float]]) -> None:
        study = self.new()
        study.optimize(objective, n_trials=6)
        study.sampler = pickle.loads(pickle.dumps(study.sampler))
        study.optimize(objective, n_trials=RUNS - 6)
        assert asked(study) == path

    def test_minimising(self, path: list[dict[str, float]]) -> None:
        study = self.new("minimize")
        study.optimize(lambda trial: -objective(trial), n_trials=RUNS)
        assert asked(study) == path

    @pytest.mark.slow
    def test_a_storage_of_copies(self, path: list[dict[str, float]]) -> None:
        sampler = FlatDirectionsSampler(seed=0)
        study = optuna.create_study(storage="sqlite:///:memory:", direction="maximize", sampler=sampler)
        study.optimize(objective, n_trials=RUNS)
        assert asked(study) == path

    @pytest.mark.slow
    def test_every_prefix_goes_on_as_the_whole(self) -> None:
        """Repeats of a noisy objective included: their numbers are read back from the claims."""

        def whole_of(seed: int) -> optuna.Study:
            noise, study = np.random.default_rng(seed), self.new()
            study.optimize(lambda trial: objective(trial) + float(noise.standard_normal()), n_trials=24)
            return study

        studies = map(whole_of, range(20))
        whole = next(study for study in studies if any(id_of(trial)[-1] for trial in study.trials))
        for length in range(24):
            study = self.new()
            study.add_trials(whole.trials[:length])
            trial = study.ask()
            assert suggest(trial) == whole.trials[length].params
            assert id_of(study.trials[-1]) == id_of(whole.trials[length])
            assert trial.user_attrs == whole.trials[length].user_attrs

    def test_an_interrupted_run_is_made_again(self, path: list[dict[str, float]]) -> None:
        def interrupted(trial: optuna.Trial) -> float:
            suggest(trial)
            raise KeyboardInterrupt

        study = self.new()
        for _ in range(4):
            study.optimize(objective, n_trials=3)
            with pytest.raises(KeyboardInterrupt):
                study.optimize(interrupted, n_trials=1)
        assert [trial.params for trial in study.trials if trial.state == TrialState.COMPLETE] == path[:12]

    @pytest.mark.parametrize("ends", ["nan", "raise"])
    def test_a_failure_is_a_diverged_run(self, ends: str) -> None:
        def fragile(trial: optuna.Trial) -> float:
            score = objective(trial)
            if trial.params["lr"] < 0.5:
                return score
            if ends == "raise":
                raise RuntimeError("loss is not finite")
            return math.nan

        study = self.new(start={"lr": 8.0})
        study.optimize(fragile, n_trials=20, catch=(RuntimeError,))
        rates = [params["lr"] for params in asked(study)]
        assert rates[0] > rates[1] > rates[2]
        assert study.best_value > 93

    def test_enqueued_points_come_first_and_are_taken_in(self, path: list[dict[str, float]]) -> None:
        """One on the path is not asked for again; one beside it is known to whatever is asked for next."""
        study = self.new()
        study.optimize(objective, n_trials=2)
        study.enqueue_trial(path[2])
        study.enqueue_trial({"lr": 0.3, "momentum": 0.9, "wd": 1e-4})
        study.enqueue_trial({"wd": 1e-3})
        study.optimize(objective, n_trials=RUNS)
        assert asked(study)[2] == path[2]
        assert asked(study)[3]["lr"] == 0.3
        assert study.trials[4].params["wd"] == 1e-3
        assert study.trials[4].user_attrs[MOVE] == "enqueued"
        assert path[2] not in asked(study)[3:8]
        assert asked(study)[5] != path[3]  # with one run more a model says something else

    def test_a_better_point_that_was_enqueued_is_where_the_search_goes_on(self) -> None:
        best = {"lr": 0.4, "momentum": 0.9, "wd": 1e-3}
        study = self.new()
        study.optimize(objective, n_trials=3)
        assert bowl(best).value > max(trial.value or 0 for trial in study.trials)
        study.enqueue_trial(best)
        study.optimize(objective, n_trials=2)
        assert study.trials[4].user_attrs[INCUMBENT] == pytest.approx(best)

    def test_asking_without_telling_gives_other_runs(self) -> None:
        study = self.new()
        for _ in range(12):
            suggest(study.ask())
        assert len({id_of(trial) for trial in study.trials}) == 12

    def test_telling_in_another_order_changes_no_answer(self) -> None:
        """Whether a team's runs come back first first or last first, the next ones are the same."""
        studies = [self.new(), self.new()]
        for _ in range(8):
            for step, study in zip((1, -1), studies, strict=True):
                told = [(trial, suggest(trial)) for trial in [study.ask() for _ in range(3)]]
                for trial, value in told[::step]:
                    study.tell(trial, bowl(value).value)
        assert asked(studies[0]) == asked(studies[1])

    def test_ranges_hold_and_rounded_answers_count(self) -> None:
        def stepped(trial: optuna.Trial) -> float:
            rate = trial.suggest_float("lr", 0.001, 1.001, step=0.001)
            rho = trial.suggest_float("momentum", 0.0, 0.95, step=0.05)
            decay = trial.suggest_float("wd", 1e-6, 1e-2, log=True)
            size = trial.suggest_int("batch_size", 64, 512, step=64)
            return bowl({"lr": rate, "momentum": rho, "wd": decay}).value - abs(size - 256) / 1e3

        study = self.new(chart="sgd_batch")
        study.optimize(stepped, n_trials=30)
        assert len({id_of(trial) for trial in study.trials}) >= 25  # neighbours may round to one value
        assert all(isinstance(trial.params["batch_size"], int) for trial in study.trials)
        assert study.best_value > 92

    def test_what_is_held_stays_and_what_is_not_asked_for_is_held(self) -> None:
        study = self.new(fixed=["momentum"])
        study.optimize(objective, n_trials=12)
        assert {params["momentum"] for params in asked(study)} == {0.9}

        def only_rate(trial: optuna.Trial) -> float:
            return bowl({**START, "lr": trial.suggest_float("lr", 1e-9, 1e3, log=True)}).value

        study = self.new()
        study.optimize(only_rate, n_trials=12)
        assert study.best_params["lr"] == 0.2828, "next to 7.9 octaves above 0.001"

    def test_the_objective_sees_why(self) -> None:
        seen: list[dict[str, Any]] = []

        def watching(trial: optuna.Trial) -> float:
            value = objective(trial)
            seen.append(dict(trial.user_attrs))
            return value

        study = self.new()
        study.optimize(watching, n_trials=RUNS)
        assert seen == [trial.user_attrs for trial in study.trials]
        assert seen[0] == {AXIS: None, MOVE: "start", INCUMBENT: None, REASON: "the start"}
        assert all(len(why[REASON].split()) > 3 and why[INCUMBENT] for why in seen[1:])
