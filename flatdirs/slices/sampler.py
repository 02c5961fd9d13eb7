"""The grid as an Optuna sampler: each trial claims the first run that nobody has made or is making.

Stateless, as flatdirs' other samplers: what to run follows from the stored trials (grid.py), claims keep two workers
from the same run (claims.py), and the claim of a killed worker holds nothing.
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
from flatdirs.slices.cells import Key, Run, SliceAxis, SliceGrid, wanted

if TYPE_CHECKING:
    from optuna.study import Study


class SliceSampler(BaseSampler):
    """Proposes the cells of a slice; the seed of a trial is in its claim."""

    def __init__(self, grid: SliceGrid, maximize: bool, stale_seconds: float = STALE_SECONDS) -> None:
        self._grid = grid
        self._maximize = maximize
        self._stale_seconds = stale_seconds

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The two axes."""
        return {axis.name: range_of(axis) for axis in (self._grid.x, self._grid.y)}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Claim the next run; an empty claim where there is none to make now."""
        trials = claims.wait_for_earlier(study, trial)
        key = self.next_key([other for other in trials if other.number != trial.number])
        claims.write(study, trial, {} if key is None else {"cell": list(key[0]), "seed": key[1]})

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The claimed cell's values."""
        claim = claims.latest(study, trial) or {}
        if "cell" not in claim:
            return {}
        axes = (self._grid.x, self._grid.y)
        return {axis.name: axis.value(step) for axis, step in zip(axes, claim["cell"], strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The centre: asked for only where a trial claimed nothing."""
        return {axis.name: axis.center for axis in (self._grid.x, self._grid.y)}[param_name]

    def next_key(self, trials: list[FrozenTrial]) -> Key | None:
        """The first run that nobody has made or is making; None where there is none now."""
        busy = {key for trial in trials if (key := key_of(trial)) and self._running(trial)}
        return next(wanted(self._grid, read_runs(trials), busy, self._maximize), None)

    def _running(self, trial: FrozenTrial) -> bool:
        unfinished = not trial.state.is_finished() and OUTCOME not in trial.user_attrs
        return unfinished and not claims.abandoned(trial, self._stale_seconds)


def range_of(axis: SliceAxis) -> FloatDistribution:
    """An axis as Optuna sees it."""
    values = axis.values()
    return FloatDistribution(values[0], values[-1], log=True)


def key_of(trial: FrozenTrial) -> Key | None:
    """The cell and seed that one of our trials claimed."""
    claim = claims.read(trial) or {}
    return ((claim["cell"][0], claim["cell"][1]), claim["seed"]) if "cell" in claim else None


def read_runs(trials: list[FrozenTrial]) -> list[Run]:
    """The finished runs of a slice, each once; diverged ones too."""
    runs: dict[Key, Run] = {}
    for trial in trials:
        outcome, key = run_of(trial, True, failure_counts=False), key_of(trial)
        if outcome is not None and key is not None and OUTCOME in trial.user_attrs:
            value = trial.user_attrs[OUTCOME]["value"]
            seconds = trial.user_attrs.get(PROVENANCE, {}).get("seconds")
            runs.setdefault(key, Run(*key, value, outcome.state == "diverged", seconds))
    return list(runs.values())
