"""Optuna pruners for sweeps, usable in any study, whichever way it optimises and whoever samples.

    RungsPruner       successive halving with one bracket: Optuna's, but a run that was killed competes no more
    WandbPruner       the rule of W&B sweeps (github.com/wandb/sweeps, hyperband_stopping.py), to the letter
    IncumbentPruner   for line searches: stop a run that lies far behind the incumbent's own curve

Hyperband is Optuna's own HyperbandPruner; settings.py builds it. Values count by the step they are reported at, which
should be the number of the evaluation, from 1. These three pass over a run of ours that was killed and will be run
again, so that with them a search goes on after a kill as it would have gone on without; Optuna's Hyperband does not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from flatdirs.backend import claims
from flatdirs.backend.bands import bands_of
from flatdirs.backend.pruning import FIRST_COMPARED, SEEDS_PER_JITTER
from flatdirs.backend.trial_runs import OUTCOME, SETTING, run_of

if TYPE_CHECKING:
    from optuna.study import Study

JITTER = 0.6745 * math.sqrt(1.5)  # of the median |v − (before + after)/2| of noise with standard deviation 1


def counted(study: Study) -> list[FrozenTrial]:
    """A study's trials without those of ours that were interrupted: their point is run again."""
    return [trial for trial in study.get_trials(deepcopy=False) if not _interrupted(trial)]


def _interrupted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and SETTING in trial.user_attrs and OUTCOME not in trial.user_attrs


class _Counted:
    """A study as the runs that count leave it; everything else is the study's own."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        """The trials that were not interrupted."""
        return [trial for trial in self._study.get_trials(deepcopy, states) if not _interrupted(trial)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


class RungsPruner(SuccessiveHalvingPruner):
    """Successive halving: at evaluation `first_rung`·`factor`^i a run goes on if it is in the best 1/`factor` so far.

    The rungs 25, 50, 100, 200 by default (reference/000). A first rung beyond a run's last evaluation stops nothing.

    Raises:
        ValueError: a first rung below 1, a factor below 2 (Optuna's own).
    """

    def __init__(self, first_rung: int = 25, factor: int = 2) -> None:
        super().__init__(min_resource=first_rung, reduction_factor=factor, min_early_stopping_rate=0)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the run fails at the last rung it has reached."""
        return super().prune(_Counted(study), trial)  # type: ignore[arg-type]


class WandbPruner(BasePruner):
    """The early stopping of W&B sweeps ("hyperband" there): bands int(`min_iter`·`eta`^i), or below `max_iter` by `s`.

    Bands count a run's own finite values, from 1. At the largest band it has reached, a run stops if its value at the
    band (without `strict`: its best so far) is above sorted(values at the band)[int(n/eta)], the n being all runs with
    so many values, ended ones and itself included; so floor(n/eta) + 1 of n would stay. Equal is not above. It is
    asked again at each report, as others arrive. Values are turned round where the study maximises.

    Found: wandb/sweeps, hyperband_stopping.py, as released in sweeps 0.3.0 (PyPI), where `strict` is the default and
    eta is 3. Its versions before "strict" (such as src/sweeps/hyperband_stopping.py at c462496e and wandb/wandb,
    wandb/sweeps/hyperband_stopping.py at 04b52e77) read the value after the band, history[band], and want band + 1
    values: wandb/wandb issue 1237 calls that off by one, and it is mended there. Ours alone: a run of flatdirs that
    was killed, and is run again, is no run.

    Raises:
        ValueError: min_iter below 1, eta not above 1, max_iter without s or one without bands.
    """

    def __init__(
        self,
        min_iter: int = 25,
        eta: float = 2,
        strict: bool = True,
        max_iter: int | None = None,
        s: int | None = None,
    ) -> None:
        if min_iter < 1 or not eta > 1:
            raise ValueError(f"min_iter={min_iter} must be 1 or more, eta={eta} above 1")
        if (max_iter is None) != (s is None):
            raise ValueError(f"max_iter={max_iter} and s={s} must be given together")
        self._bands = bands_of(min_iter, eta, max_iter, s)
        if not self._bands:
            raise ValueError(f"max_iter={max_iter}, eta={eta} and s={s} must be enough for a band of 1 or more")
        self._eta, self._strict = eta, strict

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the run is worse than the threshold of its largest band."""
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        own = _history(trial, sign)
        reached = [band for band in self._bands if band <= len(own)]
        if not reached:
            return False
        band = reached[-1]
        others = (_history(other, sign) for other in counted(study) if other.number != trial.number)
        there = sorted([own[band - 1], *(history[band - 1] for history in others if len(history) >= band)])
        threshold = there[int(1.0 / self._eta * len(there))]  # as the source computes it
        return (own[band - 1] if self._strict else min(own)) > threshold


def _history(trial: FrozenTrial, sign: float) -> list[float]:
    """A run's finite values in order, lower is better."""
    values = (trial.intermediate_values[step] for step in sorted(trial.intermediate_values))
    return [sign * value for value in values if math.isfinite(value)]


class IncumbentPruner(BasePruner):
    """Stop a run that lies more than `margin` spreads behind the incumbent's own curve at the same evaluation. Ours.

    The incumbent is the best point a search holds (what FlatDirectionsSampler compares with, elsewhere the best
    finished run); its curve is the mean over its runs. The spread is `spread` in the study's unit, or (None) the
    standard deviation between finished runs of one point at that evaluation, pooled over points; where no point was run
    twice, 6 times what the incumbent's curve itself jitters by from one evaluation to the next. Never stopped: the
    first run, a search's start, another run of a point that has finished, and any run before evaluation `first` (None:
    three quarters of the incumbent's) or at the incumbent's last. So recorded searches lose the run that would have won
    at most once in a hundred (benchmarks/edge_sweep).

    Raises:
        ValueError: a margin or spread below 0, a first evaluation below 1.
    """

    def __init__(self, margin: float = 3.0, spread: float | None = None, first: int | None = None) -> None:
        if not margin >= 0 or (spread is not None and not spread >= 0) or (first is not None and first < 1):
            raise ValueError(f"margin={margin} and spread={spread} must be 0 or more, first={first} 1 or more")
        self._margin, self._spread, self._first = margin, spread, first

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the run is too far behind."""
        step = trial.last_step
        if step is None or trial.number == 0 or trial.user_attrs.get("move") == "start":
            return False
        maximize = study.direction == StudyDirection.MAXIMIZE
        finished = [other for other in counted(study) if _finished(other, maximize) and other.number != trial.number]
        incumbent = _incumbent(trial, finished, maximize)
        if not incumbent or any(other.params == trial.params for other in finished):
            return False
        last = max(other.last_step or 0 for other in incumbent)
        curve = _mean_curve(incumbent)
        first = math.ceil(FIRST_COMPARED * last) if self._first is None else self._first
        if not first <= step < last or step not in curve:
            return False
        spread = _seeds_spread(finished, step) if self._spread is None else self._spread
        if spread is None and (jitter := jitter_of(list(curve.values()))) is not None:
            spread = SEEDS_PER_JITTER * jitter
        if spread is None:
            return False
        behind = (curve[step] - trial.intermediate_values[step]) * (1.0 if maximize else -1.0)
        return math.isnan(behind) or behind > self._margin * spread


def _finished(trial: FrozenTrial, maximize: bool) -> bool:
    outcome = run_of(trial, maximize, failure_counts=False)
    return outcome is not None and outcome.state == "finished" and bool(trial.intermediate_values)


def _incumbent(trial: FrozenTrial, finished: Sequence[FrozenTrial], maximize: bool) -> list[FrozenTrial]:
    """The runs of the point that a trial is up against; none before any has finished."""
    named = trial.user_attrs.get("incumbent")
    held = [other for other in finished if named and (claims.read(other) or {}).get("hyperparameters") == named]
    if held or not finished:
        return held
    best = max(finished, key=lambda other: (other.value or 0.0) * (1.0 if maximize else -1.0))
    return [other for other in finished if other.params == best.params]


def _mean_curve(runs: Sequence[FrozenTrial]) -> dict[int, float]:
    """Step → the mean of the runs' values there, where all have a finite one."""
    steps = set.intersection(*(set(run.intermediate_values) for run in runs))
    curve = {step: statistics.fmean(run.intermediate_values[step] for run in runs) for step in sorted(steps)}
    return {step: value for step, value in curve.items() if math.isfinite(value)}


def _seeds_spread(finished: Sequence[FrozenTrial], step: int) -> float | None:
    """The pooled standard deviation between runs of one point; None where no point was run twice."""
    points: dict[tuple[Any, ...], list[float]] = {}
    for trial in finished:
        value = trial.intermediate_values.get(step, math.nan)
        if math.isfinite(value):
            points.setdefault(tuple(sorted(trial.params.items())), []).append(value)
    several = [values for values in points.values() if len(values) > 1]
    if not several:
        return None
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    return math.sqrt(squares / sum(len(values) - 1 for values in several))


def jitter_of(curve: Sequence[float]) -> float | None:
    """The noise of a curve's later half about straight lines, as a standard deviation; None for a short curve."""
    late = curve[len(curve) // 2 - 1 :] if len(curve) > 4 else curve
    bends = [abs(here - (before + after) / 2) for before, here, after in zip(late, late[1:], late[2:], strict=False)]
    return statistics.median(bends) / JITTER if bends else None
