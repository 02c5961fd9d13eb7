"""Random log search and Sobol's sequence as pure functions of seed and index, so that both resume exactly.

Optuna's own RandomSampler starts its stream again after a restart, and its QMCSampler skips the sample of a trial that
was killed. Here a trial claims the smallest index that no finished or living trial holds; the sample is a function of
that index alone. The numbers come from numpy and scipy, scaled to the box in logarithms.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from flatdirs.backend import claims
from flatdirs.backend.liveness import STALE_SECONDS
from flatdirs.backend.trial_runs import counts_as_result, run_of

if TYPE_CHECKING:
    from optuna.study import Study


class SequenceSampler(BaseSampler):
    """The `index`-th point of a seeded sequence in a box: kind "random" (uniform) or "qmc" (scrambled Sobol)."""

    def __init__(
        self,
        kind: str,
        spaces: Mapping[str, BaseDistribution],
        seed: int,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._kind = kind
        self._spaces = dict(spaces)
        self._seed = seed
        self._stale_seconds = stale_seconds

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole box."""
        return self._spaces

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Claim the first index that is free."""
        trials = claims.wait_for_earlier(study, trial)
        held = set()
        for other in trials:
            claim = claims.read(other)
            if other.number == trial.number or claim is None or "index" not in claim:
                continue
            running = not other.state.is_finished() and not claims.abandoned(other, self._stale_seconds)
            if running or run_of(other, True, counts_as_result(other, trials)) is not None:
                held.add(claim["index"])
        claims.write(study, trial, {"index": next(n for n in range(len(held) + 1) if n not in held)})

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The claimed point, scaled to the box."""
        claim = claims.latest(study, trial) or {}
        unit = self.unit_point(claim.get("index", trial.number))
        return {name: _scale(u, space) for u, (name, space) in zip(unit, self._spaces.items(), strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Parameters outside the box: uniform, seeded by the trial's number."""
        seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
        return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Keep what a failure means."""
        if state == TrialState.FAIL:
            claims.note_failure(study, trial)

    def unit_point(self, index: int) -> list[float]:
        """The `index`-th point of the sequence in the unit cube, one number for each parameter of the box."""
        dimensions = len(self._spaces)
        if self._kind == "random":
            return [float(u) for u in np.random.default_rng([self._seed, index]).random(dimensions)]
        from scipy.stats import qmc

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Sobol's balance properties need powers of two; we count on
            engine = qmc.Sobol(dimensions, scramble=True, seed=self._seed)
            if index:
                engine.fast_forward(index)
            return [float(u) for u in engine.random(1)[0]]


def _scale(u: float, space: BaseDistribution) -> Any:
    """A number in [0, 1) to a distribution's range, in logarithms where it has them, or to one of its choices."""
    if isinstance(space, CategoricalDistribution):
        return space.choices[int(u * len(space.choices))]
    if not isinstance(space, (FloatDistribution, IntDistribution)):
        raise TypeError(f"cannot scale to {space}")
    low, high = float(space.low), float(space.high)
    value = math.exp(math.log(low) + u * (math.log(high) - math.log(low))) if space.log else low + u * (high - low)
    value = min(max(value, low), high)
    return round(value) if isinstance(space, IntDistribution) else value
