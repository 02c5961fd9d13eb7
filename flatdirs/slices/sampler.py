"""The grid of a slice as an Optuna sampler: each trial claims the first run that is neither made nor in progress.

Stateless: the stored trials determine what to run (cells.py). Claims keep two workers from the same run, and the claim
of a killed worker is ignored (flatdirs/backend/claims.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from flatdirs.backend import claims
from flatdirs.backend.liveness import STALE_SECONDS
from flatdirs.backend.trial_runs import OUTCOME, run_of
from flatdirs.backend.trials import PROVENANCE
from flatdirs.slices.cells import Key, Run, SliceAxis, SliceGrid, runs_to_make

if TYPE_CHECKING:
    from optuna.study import Study


class SliceSampler(BaseSampler):
    """Suggests the cells of a slice; a trial's claim holds its cell and seed."""

    def __init__(self, grid: SliceGrid, maximize: bool, stale_seconds: float = STALE_SECONDS) -> None:
        self._grid = grid
        self._axes = {axis.name: axis for axis in (grid.x, grid.y)}
        self._maximize = maximize
        self._stale_seconds = stale_seconds

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {name: range_of(axis) for name, axis in self._axes.items()}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Claim the next run; the claim is empty if there is none to make now."""
        trials = claims.wait_for_earlier(study, trial)
        key = self.next_key([other for other in trials if other.number != trial.number])
        claims.write(study, trial, {} if key is None else {"cell": list(key[0]), "seed": key[1]})

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of the claimed cell."""
        cell = (claims.latest(study, trial) or {}).get("cell")
        if cell is None:
            return {}
        return {name: axis.value(step) for (name, axis), step in zip(self._axes.items(), cell, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The centre, for a trial that claimed nothing."""
        return self._axes[param_name].value(0)

    def next_key(self, trials: list[FrozenTrial]) -> Key | None:
        """The first run that is neither made nor in progress; None if there is none to make now."""
        running = {key for trial in trials if (key := key_of(trial)) and self._is_running(trial)}
        return next(runs_to_make(self._grid, read_runs(trials), running, self._maximize), None)

    def _is_running(self, trial: FrozenTrial) -> bool:
        unfinished = not trial.state.is_finished() and OUTCOME not in trial.user_attrs
        return unfinished and not claims.abandoned(trial, self._stale_seconds)


def range_of(axis: SliceAxis) -> FloatDistribution:
    """An axis as Optuna's distribution."""
    values = axis.values()
    return FloatDistribution(values[0], values[-1], log=True)


def key_of(trial: FrozenTrial) -> Key | None:
    """The cell and seed that a trial claimed."""
    claim = claims.read(trial) or {}
    return ((claim["cell"][0], claim["cell"][1]), claim["seed"]) if "cell" in claim else None


def read_runs(trials: list[FrozenTrial]) -> list[Run]:
    """The runs of a slice that have ended, each once; diverged ones too."""
    runs: dict[Key, Run] = {}
    for trial in trials:
        run, key = run_of(trial, True, failure_counts=False), key_of(trial)
        if run is not None and key is not None and OUTCOME in trial.user_attrs:
            value = trial.user_attrs[OUTCOME]["value"]
            seconds = trial.user_attrs.get(PROVENANCE, {}).get("seconds")
            runs.setdefault(key, Run(*key, value, run.state == "diverged", seconds))
    return list(runs.values())
