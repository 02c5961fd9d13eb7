"""Optuna pruners, for studies of flatdirs and for any other study.

    RungsPruner       successive halving with one bracket (Optuna's)
    WandbPruner       the early stopping of W&B sweeps (github.com/wandb/sweeps, hyperband_stopping.py)
    IncumbentPruner   stop a run that is far behind the learning curve of the incumbent

Report values at the number of the evaluation, counted from 1. A run of flatdirs that was interrupted is run again, so
these three ignore its first attempt: an interrupted study continues as it would have without the interruption. Optuna's
HyperbandPruner does not.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from flatdirs.backend import claims
from flatdirs.backend.pruner_settings import Hyperband, Incumbent, Pruning, Rungs, Wandb
from flatdirs.backend.trial_runs import INCUMBENT, OUTCOME, SETTING, run_of

if TYPE_CHECKING:
    from optuna.study import Study

FIRST_COMPARED = 0.75  # of the incumbent's evaluations: most curves that cross have done so by then
SEEDS_PER_JITTER = 6.0  # the seed noise where no point was run twice, in jitters of the incumbent's curve
JITTER = 0.6745 * math.sqrt(1.5)  # the median |v − (before + after)/2| of noise with standard deviation 1


def build_pruner(settings: Pruning, evaluations: int | None) -> BasePruner:
    """Optuna's pruner for runs of `evaluations` evaluations; None where the number is not known."""
    if isinstance(settings, Hyperband):
        longest = "auto" if evaluations is None else evaluations  # auto: as long as the first run that ends
        return HyperbandPruner(settings.first_rung, longest, settings.factor)
    kinds: dict[type[Pruning], type[BasePruner]] = {
        Rungs: RungsPruner,
        Wandb: WandbPruner,
        Incumbent: IncumbentPruner,
    }
    return kinds.get(type(settings), NopPruner)(**asdict(settings))


def _is_interrupted(trial: FrozenTrial) -> bool:
    """Whether this is a run of flatdirs that was interrupted and will be run again."""
    return trial.state == TrialState.FAIL and SETTING in trial.user_attrs and OUTCOME not in trial.user_attrs


class _WithoutInterrupted:
    """A study without its interrupted trials; everything else is the study's own."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy, states) if not _is_interrupted(trial)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


class RungsPruner(SuccessiveHalvingPruner):
    """Successive halving: at evaluation `first_rung`·`factor`^i a run continues if it is in the best 1/`factor` so far.

    Raises ConfigError for a first rung below 1 or a factor below 2.
    """

    def __init__(self, first_rung: int = 25, factor: int = 2) -> None:
        Rungs(first_rung, factor)
        super().__init__(min_resource=first_rung, reduction_factor=factor, min_early_stopping_rate=0)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return super().prune(_WithoutInterrupted(study), trial)  # type: ignore[arg-type]


class WandbPruner(BasePruner):
    """The early stopping of W&B sweeps, called "hyperband" there.

    Bands are int(`min_iter`·`eta`^i), or int(`max_iter`/`eta`^i) for i up to `s`; they count a run's own finite values.
    At the largest band it has reached, a run stops if its value at the band is worse than sorted(values)[int(n/eta)],
    where the n values are those at the same band of all runs that reached it, ended ones and itself included. Without
    `strict` the run's best value so far is compared instead of its value at the band.

    Source: hyperband_stopping.py of https://pypi.org/project/sweeps/0.3.0/. Versions of that file before it had
    `strict` read the value after the band, which https://github.com/wandb/wandb/issues/1237 reports as off by one.

    Raises ConfigError for min_iter below 1, eta not above 1, max_iter without s, or settings without any band.
    """

    def __init__(
        self,
        min_iter: int = 25,
        eta: float = 2,
        strict: bool = True,
        max_iter: int | None = None,
        s: int | None = None,
    ) -> None:
        self._settings = Wandb(min_iter, eta, strict, max_iter, s)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        own = _history(trial, sign)
        reached = [band for band in self._settings.bands if band <= len(own)]
        if not reached:
            return False
        at = reached[-1] - 1
        trials = _WithoutInterrupted(study).get_trials(deepcopy=False)
        others = [_history(other, sign) for other in trials if other.number != trial.number]
        there = sorted([own[at], *(history[at] for history in others if len(history) > at)])
        threshold = there[int(1.0 / self._settings.eta * len(there))]  # the order of operations is W&B's
        return (own[at] if self._settings.strict else min(own)) > threshold


def _history(trial: FrozenTrial, sign: float) -> list[float]:
    """A run's finite values in order, lower is better."""
    values = (trial.intermediate_values[step] for step in sorted(trial.intermediate_values))
    return [sign * value for value in values if math.isfinite(value)]


class IncumbentPruner(BasePruner):
    """Stop a run that is more than `margin` standard deviations behind the incumbent at the same evaluation.

    The incumbent is the point that FlatDirectionsSampler compares with, in other studies the best finished run; its
    curve is the mean over its runs. The standard deviation is `spread`, in the study's unit. Without it, it is the seed
    noise at that evaluation: between finished runs of one point, pooled over points. Where no point was run twice, it
    is 6 times the jitter of the incumbent's curve from one evaluation to the next.

    Runs are compared from evaluation `first` on (default: at three quarters of the incumbent's evaluations), never at
    the last one. Never stopped: the first run, the start of a search, another run of a point that has finished.

    Raises ConfigError for a negative margin or spread, or `first` below 1.
    """

    def __init__(self, margin: float = 3.0, spread: float | None = None, first: int | None = None) -> None:
        self._settings = Incumbent(margin, spread, first)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        is_start = INCUMBENT in trial.user_attrs and trial.user_attrs[INCUMBENT] is None
        if step is None or trial.number == 0 or is_start:
            return False
        maximize = study.direction == StudyDirection.MAXIMIZE
        trials = _WithoutInterrupted(study).get_trials(deepcopy=False)
        finished = [other for other in trials if other.number != trial.number and _is_finished(other, maximize)]
        incumbent = _incumbent(trial, finished, maximize)
        if not incumbent or any(other.params == trial.params for other in finished):
            return False
        last = max(other.last_step or 0 for other in incumbent)
        curve = _mean_curve(incumbent)
        first = self._settings.first or math.ceil(FIRST_COMPARED * last)
        if not first <= step < last or step not in curve:
            return False
        spread = self._spread(finished, step, list(curve.values()))
        if spread is None:
            return False
        behind = (curve[step] - trial.intermediate_values[step]) * (1.0 if maximize else -1.0)
        return math.isnan(behind) or behind > self._settings.margin * spread

    def _spread(self, finished: Sequence[FrozenTrial], step: int, curve: Sequence[float]) -> float | None:
        """The standard deviation that counts; None where too little is known."""
        if self._settings.spread is not None:
            return self._settings.spread
        if (noise := _seed_noise(finished, step)) is not None:
            return noise
        jitter = jitter_of(curve)
        return None if jitter is None else SEEDS_PER_JITTER * jitter


def _is_finished(trial: FrozenTrial, maximize: bool) -> bool:
    outcome = run_of(trial, maximize, failure_counts=False)
    return outcome is not None and outcome.state == "finished" and bool(trial.intermediate_values)


def _incumbent(trial: FrozenTrial, finished: Sequence[FrozenTrial], maximize: bool) -> list[FrozenTrial]:
    """The finished runs of the point that a trial is compared with."""
    named = trial.user_attrs.get(INCUMBENT)
    runs = [other for other in finished if named and (claims.read(other) or {}).get("hyperparameters") == named]
    if runs or not finished:
        return runs
    best = max(finished, key=lambda other: (other.value or 0.0) * (1.0 if maximize else -1.0))
    return [other for other in finished if other.params == best.params]


def _mean_curve(runs: Sequence[FrozenTrial]) -> dict[int, float]:
    """Step → the mean of the runs' values there, where all have a finite one."""
    steps = set.intersection(*(set(run.intermediate_values) for run in runs))
    curve = {step: statistics.fmean(run.intermediate_values[step] for run in runs) for step in sorted(steps)}
    return {step: value for step, value in curve.items() if math.isfinite(value)}


def _seed_noise(finished: Sequence[FrozenTrial], step: int) -> float | None:
    """The pooled standard deviation between runs of one point; None where no point was run twice."""
    points: defaultdict[tuple[Any, ...], list[float]] = defaultdict(list)
    for trial in finished:
        value = trial.intermediate_values.get(step, math.nan)
        if math.isfinite(value):
            points[tuple(sorted(trial.params.items()))].append(value)
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
