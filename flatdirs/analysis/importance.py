"""How much each hyperparameter mattered, in raw and in flat coordinates: Optuna's PED-ANOVA and fANOVA.

Both ask a study about the axes of its parameters, so the survivors are written into two fresh studies in memory: once
with log-uniform hyperparameters (momentum as one minus), once with the chart's coordinates. Ranges are those the runs
span, alike for both: our own searches ask within ranges as good as none, on which PED-ANOVA's grid would see one cell.
Along a flat direction the raw importances share what the steep coordinate has alone. Only survivors count: a run that
diverged has no loss, and divergence.py says where it lies.

fANOVA takes the range for a box that was searched evenly. Flat coordinates of a raw box fill a slanted part of theirs,
so its flat numbers rest partly on what its trees make up; PED-ANOVA compares densities of what was there.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

from flatdirs.analysis.records import Coordinates, Missing, Numbers, Run, Sweep, flat_coordinates, raw_coordinates

LEAST_RUNS = 10
TOP_RUNS = 5  # PED-ANOVA wants so many among its best
TOP_SHARE = 0.1
MARGIN = 1e-6  # by which a range is wider than what the runs span, relative


@dataclass(frozen=True)
class Importance:
    """Shares that sum to 1, by coordinate; most important first by PED-ANOVA."""

    ped_anova: Mapping[str, float]
    fanova: Mapping[str, float] | None


@dataclass(frozen=True)
class Importances:
    """`flat` is None where no chart fits. `top`: the share of runs that PED-ANOVA counts as good."""

    raw: Importance
    flat: Importance | None
    runs: int
    top: float
    left_out: tuple[str, ...]


def importances(sweep: Sweep, seed: int = 0) -> Importances | Missing:
    """Both evaluators in both coordinates; `seed` is that of fANOVA's trees."""
    runs = sweep.survivors
    if len(runs) < LEAST_RUNS:
        return Missing(f"{len(runs)} of {len(sweep.runs)} runs finished, and importances want {LEAST_RUNS} or more")
    if len({run.loss for run in runs}) == 1:
        return Missing("all finished runs have the same loss, so nothing mattered")
    raw = raw_coordinates(runs)
    if not raw.names:
        return Missing("no hyperparameter with a logarithm was varied, so there is nothing to compare")
    top = min(0.5, max(TOP_SHARE, TOP_RUNS / len(runs)))
    flat = None if sweep.chart is None else flat_coordinates(sweep.chart, runs)
    in_flat = None if flat is None or not flat.names else _importance(runs, flat, top, seed)
    return Importances(_importance(runs, raw, top, seed), in_flat, len(runs), top, raw.left_out)


def _importance(runs: tuple[Run, ...], place: Coordinates, top: float, seed: int) -> Importance:
    study = restated(runs, place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        ped = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=top))
        try:
            fanova = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
        except RuntimeError:  # Optuna's word for trees that found no variance at all
            fanova = None
    return Importance({name: float(ped[name]) for name in ped}, fanova and {n: float(v) for n, v in fanova.items()})


def restated(runs: tuple[Run, ...], place: Coordinates) -> optuna.Study:
    """A study in memory of the same runs and losses, with these coordinates as log-uniform parameters."""
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="minimize")
    spaces = {name: _space(place.logs[:, i]) for i, name in enumerate(place.names)}
    for run, row in zip(runs, place.logs, strict=True):
        params = {name: float(2.0**log) for name, log in zip(place.names, row, strict=True)}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=run.loss))
    return study


def _space(logs: Numbers) -> BaseDistribution:
    low, high = (float(2.0**side) for side in (np.min(logs), np.max(logs)))
    return FloatDistribution(low * (1 - MARGIN), high * (1 + MARGIN), log=True)
