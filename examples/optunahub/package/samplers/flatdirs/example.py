"""Tune lr, momentum and weight decay of an objective whose best values lie along a ridge."""

import math

import optuna
import optunahub


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-5, 10.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    steep = math.log2(lr * weight_decay / (1 - momentum) / 2e-3)  # what a network with normalisation layers feels most
    flat = math.log2((1 - momentum) / 0.1)
    return 94.0 - steep**2 - 0.05 * flat**2


if __name__ == "__main__":
    module = optunahub.load_module("samplers/flatdirs")
    study = optuna.create_study(direction="maximize", sampler=module.FlatDirectionsSampler())
    study.optimize(objective, n_trials=15)
    print(study.best_value, study.best_params)
    print(study.best_trial.user_attrs["flatdirs:reason"])
