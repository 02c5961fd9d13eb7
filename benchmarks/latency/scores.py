"""The made-up scores of this benchmark: smooth, with their best on a ridge as flatdirs' charts have it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import optuna

USUAL_BATCH = 128


def suggest(trial: optuna.Trial) -> float:
    """Ask for the three hyperparameters and give a smooth score."""
    rate = trial.suggest_float("learning_rate", 1e-9, 1e3, log=True)
    return _score(rate, trial)


def suggest_with_batch(trial: optuna.Trial) -> float:
    """The same with a batch size, by the linear rule."""
    rate = trial.suggest_float("learning_rate", 1e-9, 1e3, log=True)
    batch = trial.suggest_int("batch_size", 8, 8192, log=True)
    return _score(rate * USUAL_BATCH / batch, trial) - 0.3 * math.log2(batch / USUAL_BATCH) ** 2


def _score(rate: float, trial: optuna.Trial) -> float:
    rest = 1 - trial.suggest_float("momentum", 0.0, 0.9999)
    decay = trial.suggest_float("weight_decay", 1e-9, 1.0, log=True)
    first = math.log2(rate * decay / rest / 0.00256)
    return -(first**2) - 0.3 * math.log2(rest / 0.125) ** 2 - math.log2(decay / 0.00125) ** 2


def score_of(chart: str) -> Callable[[optuna.Trial], float]:
    """The score that asks for a chart's hyperparameters."""
    return suggest_with_batch if chart == "sgd_batch" else suggest


def rival(name: str) -> optuna.samplers.BaseSampler:
    """RandomSampler or TPESampler, with its arguments written out."""
    if name == "RandomSampler":
        return optuna.samplers.RandomSampler(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=10, n_ei_candidates=24, multivariate=True, group=False, constant_liar=True, seed=0
        )
