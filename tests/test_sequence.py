"""Random search and Sobol's sequence as functions of seed and index: resumed exactly, shared without gaps."""

from __future__ import annotations

import math
from collections.abc import Iterator

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from flatdirs.backend import claims, optuna_private
from flatdirs.backend.liveness import this_worker
from flatdirs.backend.random_sequences import SequenceSampler

BOX: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "one_minus_momentum": FloatDistribution(0.01, 1.0, log=True),
    "batch_size": IntDistribution(16, 1024, log=True),
}
KINDS = pytest.mark.parametrize("kind", ["random", "qmc"])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)


def new_study(kind: str, seed: int = 0) -> optuna.Study:
    return optuna.create_study(sampler=SequenceSampler(kind, BOX, seed))


def objective(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    trial.suggest_float("one_minus_momentum", 0.01, 1.0, log=True)
    trial.suggest_int("batch_size", 16, 1024, log=True)
    return rate


def points(study: optuna.Study) -> list[dict[str, float]]:
    return [trial.params for trial in study.trials]


@KINDS
def test_the_sequence_is_a_function_of_seed_and_index(kind: str) -> None:
    studies = [new_study(kind, seed) for seed in (1, 1, 2)]
    for study in studies:
        study.optimize(objective, n_trials=16)
    assert points(studies[0]) == points(studies[1])
    assert points(studies[0]) != points(studies[2])
    assert len({tuple(params.values()) for params in points(studies[0])}) == 16


@KINDS
def test_it_resumes_with_a_new_sampler_after_every_trial(kind: str) -> None:
    whole, pieces = new_study(kind), new_study(kind)
    whole.optimize(objective, n_trials=10)
    for _ in range(10):
        pieces.sampler = SequenceSampler(kind, BOX, 0)
        pieces.optimize(objective, n_trials=1)
    assert points(pieces) == points(whole)


@KINDS
def test_an_interrupted_index_is_run_again_and_a_failed_one_is_not(kind: str) -> None:
    whole, study = new_study(kind), new_study(kind)
    whole.optimize(objective, n_trials=6)
    study.optimize(objective, n_trials=2)

    def interrupted(trial: optuna.Trial) -> float:
        objective(trial)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.optimize(interrupted, n_trials=1)
    study.optimize(lambda trial: objective(trial) * math.nan, n_trials=1)
    study.optimize(objective, n_trials=3)
    assert [trial.state for trial in study.trials[2:4]] == [TrialState.FAIL, TrialState.FAIL]
    assert points(study)[2] == points(study)[3]
    assert [*points(study)[:2], *points(study)[3:]] == points(whole)


@KINDS
def test_pending_indices_are_left_alone_and_those_of_dead_workers_are_not(kind: str) -> None:
    study = new_study(kind)
    held, lost = study.ask(BOX), study.ask(BOX)
    gone = {**this_worker(), "pid": 2**22 + 1}
    claim = optuna_private.system_attributes(study, lost)[claims.CLAIM]
    optuna_private.set_system_attribute(study, lost, claims.CLAIM, {**claim, "worker": gone})
    following = [study.ask(BOX).params for _ in range(2)]
    assert following[0] == lost.params
    assert following[1] not in (held.params, lost.params)


@KINDS
def test_numbers_fill_the_box_in_logarithms(kind: str) -> None:
    study = new_study(kind)
    study.optimize(objective, n_trials=64)
    rates = [math.log10(params["lr"]) for params in points(study)]
    for low in (-4, -3, -2, -1):
        assert 6 <= sum(low <= rate < low + 1 for rate in rates) <= 28
    sizes = [params["batch_size"] for params in points(study)]
    assert all(isinstance(size, int) and 16 <= size <= 1024 for size in sizes)
    assert sum(size < 128 for size in sizes) >= 16


def test_parameters_outside_the_box_are_drawn_too() -> None:
    study = new_study("random")
    study.optimize(lambda trial: objective(trial) + trial.suggest_float("dropout", 0, 1), n_trials=5)
    assert len({params["dropout"] for params in points(study)}) == 5
