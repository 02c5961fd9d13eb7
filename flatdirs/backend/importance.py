"""Optuna's importance evaluators on plain columns of numbers, for flatdirs/analysis/importance.py."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

MARGIN = 1e-6  # by which a range is wider than its values, relative


def importance_shares(
    columns: Mapping[str, Sequence[float]], losses: Sequence[float], top: float, seed: int
) -> tuple[dict[str, float], dict[str, float] | None]:
    """The shares of each column by PED-ANOVA and by fANOVA, largest first.

    The latter is None where its trees find no variance or scikit-learn is not installed.

    `columns`: positive values, one a run; `top`: the share of runs that PED-ANOVA counts as good. The evaluators look
    at the distributions of a study, so a study in memory is made whose log-uniform ranges are those of the values.
    """
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="minimize")
    spaces: dict[str, BaseDistribution] = {
        name: FloatDistribution(min(values) * (1 - MARGIN), max(values) * (1 + MARGIN), log=True)
        for name, values in columns.items()
    }
    for row, loss in zip(zip(*columns.values(), strict=True), losses, strict=True):
        params = dict(zip(columns, row, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=loss))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        ped_anova = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=top))
        try:
            fanova = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
        except (RuntimeError, ImportError):  # the trees found no variance at all; there are no trees
            fanova = None
    return dict(ped_anova), None if fanova is None else dict(fanova)
