"""How much each hyperparameter mattered, and how much each chart coordinate: PED-ANOVA and fANOVA, which are Optuna's.

Both are computed over the range that the finished runs span. Along a direction in which the loss is flat, several
hyperparameters share the importance that one chart coordinate has alone. fANOVA assumes that a box was searched evenly;
the runs fill only a slanted part of the box of chart coordinates, so its numbers there rest partly on extrapolation.
PED-ANOVA compares densities of the runs themselves. Diverged runs have no loss and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flatdirs.analysis.sweep import Coordinates, Missing, Run, Sweep, chart_coordinates, raw_coordinates
from flatdirs.backend.importance import importance_shares
from flatdirs.errors import MissingExtra, require

LEAST_RUNS = 10
TOP_RUNS = 5  # the least that PED-ANOVA compares
TOP_SHARE = 0.1


@dataclass(frozen=True)
class Importance:
    """Shares that sum to 1, by coordinate; the most important first, by PED-ANOVA."""

    ped_anova: Mapping[str, float]
    fanova: Mapping[str, float] | None


@dataclass(frozen=True)
class Importances:
    """`chart` is None where no chart fits. `top`: the share of runs that PED-ANOVA counts as good.

    `lacking`: why there is no fANOVA, where scikit-learn is not installed.
    """

    raw: Importance
    chart: Importance | None
    runs: int
    top: float
    left_out: tuple[str, ...]
    lacking: str = ""


def importances(sweep: Sweep, seed: int = 0) -> Importances | Missing:
    """Both evaluators in both coordinates; `seed`: of fANOVA's trees."""
    runs = sweep.finished_runs
    if len(runs) < LEAST_RUNS:
        return Missing(f"{len(runs)} of {len(sweep.runs)} runs finished; importances need at least {LEAST_RUNS}")
    if len({run.loss for run in runs}) == 1:
        return Missing("all finished runs have the same loss, so no hyperparameter made a difference")
    raw = raw_coordinates(runs)
    if not raw.names:
        return Missing("no hyperparameter was varied on a logarithmic scale")
    top = min(0.5, max(TOP_SHARE, TOP_RUNS / len(runs)))
    chart = None if sweep.chart is None else chart_coordinates(sweep.chart, runs)
    in_chart = None if chart is None or not chart.names else _importance(runs, chart, top, seed)
    shares = _importance(runs, raw, top, seed)
    return Importances(shares, in_chart, len(runs), top, raw.left_out, _lacking())


def _lacking() -> str:
    try:
        require("sklearn")
    except MissingExtra as error:
        return f"there is no fANOVA: {error}"
    return ""


def _importance(runs: tuple[Run, ...], place: Coordinates, top: float, seed: int) -> Importance:
    columns = {name: (2.0 ** place.logs[:, i]).tolist() for i, name in enumerate(place.names)}
    return Importance(*importance_shares(columns, [run.loss or 0.0 for run in runs], top, seed))
