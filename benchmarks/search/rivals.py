"""The rivals: Optuna's TPE, Gaussian process and CMA-ES, FLAML's CFO, random search, and keeping the start; all but the last in a box.

The first run of each is the start, also where it lies out of the box. Each hands over the best run observed. A diverged run counts as
guessing, for Optuna ignores failures. In a pool of runs what was run is not what was asked for: TPE and the Gaussian process are told
the true place, CMA-ES and CFO, which learn from their own points only, the place that they asked for.
"""

from __future__ import annotations

import logging
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution

from benchmarks.search import split
from benchmarks.search.simulated import Absent, Told
from benchmarks.search.split import Box, Hyperparameters

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Rival(ABC):
    """Remembers the best run observed; the first run is the start."""

    def __init__(self, begin: Hyperparameters) -> None:
        self.begin, self.best, self.highest, self.count = begin, begin, -math.inf, 0

    def ask(self) -> tuple[Hyperparameters, int]:
        """The start, then what the search proposes."""
        self.count += 1
        point = self.propose()
        return (self.begin if self.count == 1 else point), 0

    def tell(self, told: Told) -> None:
        """Learn from a run."""
        if not told.diverged and told.value > self.highest:
            self.best, self.highest = told.hyperparameters, told.value
        self.learn(told)

    def handed_over(self) -> Hyperparameters:
        """The best run observed; the start where none finished."""
        return self.best

    @abstractmethod
    def propose(self) -> Hyperparameters:
        """The next point; the first one is not run, the start is."""

    def learn(self, told: Told) -> None:  # noqa: B027
        """What else a search does with a run."""


class Keep(Rival):
    """Never leaves the start."""

    def propose(self) -> Hyperparameters:
        return self.begin

    def handed_over(self) -> Hyperparameters:
        return self.begin


class Random(Rival):
    """Log-uniform in the box; run n is a function of seed and n."""

    def __init__(self, names: list[str], box: Box, begin: Hyperparameters, seed: int) -> None:
        super().__init__(begin)
        self.names, self.box, self.seed = names, box, seed

    def propose(self) -> Hyperparameters:
        parts = np.random.default_rng([self.seed, self.count]).random(len(self.box)).tolist()
        place = {s: low * (high / low) ** u for u, (s, (low, high)) in zip(parts, self.box.items(), strict=True)}
        return split.from_sides(place, self.names)


class Study(Rival):
    """One of Optuna's samplers, by ask and tell on a study in memory. A start out of the box is its first trial all the same."""

    def __init__(self, kind: str, names: list[str], box: Box, begin: Hyperparameters, seed: int) -> None:
        super().__init__(begin)
        self.names, self.place, self.own = names, split.to_sides(begin, names), kind == "cmaes"
        self.ranges = {side: distribution(side, *ends) for side, ends in box.items()}
        clipped = {side: min(max(self.place[side], low), high) for side, (low, high) in box.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna_sampler(kind, clipped, int(np.random.SeedSequence([seed, 0]).generate_state(1)[0]))
            self.study = optuna.create_study(direction="maximize", sampler=sampler)
            self.study.enqueue_trial(dict(self.place))

    def propose(self) -> Hyperparameters:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.trial = self.study.ask(self.ranges)
        self.place = dict(self.trial.params)
        return split.from_sides(self.place, self.names)

    def learn(self, told: Told) -> None:
        where = split.to_sides(told.hyperparameters, self.names)
        if self.own or all(math.isclose(where[side], self.place[side], rel_tol=1e-9) for side in where):
            self.study.tell(self.trial, told.value)
            return
        self.study.tell(self.trial, state=optuna.trial.TrialState.FAIL)
        true = {
            side: int(where[side]) if isinstance(one, IntDistribution) else where[side]
            for side, one in self.ranges.items()
        }
        self.study.add_trial(optuna.trial.create_trial(params=true, distributions=self.ranges, value=told.value))


def distribution(side: str, low: float, high: float) -> FloatDistribution | IntDistribution:
    """The range of a side, on a log scale."""
    if side == "batch_size":
        return IntDistribution(int(low), int(high), log=True)
    return FloatDistribution(low, high, log=True)


def optuna_sampler(kind: str, first: Mapping[str, float], seed: int) -> Any:
    """A sampler with its arguments written out. Raises Absent where its package is not here."""
    try:
        if kind == "gp":
            import torch  # noqa: F401  (else it would be missed after three runs)

            return optuna.samplers.GPSampler(n_startup_trials=3, deterministic_objective=False, seed=seed)
        if kind == "cmaes":  # x0 is deprecated, but nothing else says where to begin
            import cmaes  # noqa: F401

            return optuna.samplers.CmaEsSampler(x0=dict(first), seed=seed, warn_independent_sampling=False)
    except ImportError as error:
        raise Absent(f"{kind} needs one more package; pip install 'flatdirs[samplers]'; skipped") from error
    told = {"n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": True, "group": False, "constant_liar": True}
    return optuna.samplers.TPESampler(**told, seed=seed)


class Cfo(Rival):
    """FLAML's cost-related frugal optimisation from the start, clipped to the box; every run costs the same here."""

    def __init__(self, names: list[str], box: Box, begin: Hyperparameters, seed: int) -> None:
        super().__init__(begin)
        try:
            from flaml import CFO, tune
        except ImportError as error:
            raise Absent("cfo needs one more package; pip install flaml==2.7.0; skipped") from error
        logging.getLogger("flaml").setLevel(logging.ERROR)
        self.names, self.number = names, -1
        place = split.to_sides(begin, names)
        first = {side: min(max(place[side], low), high) for side, (low, high) in box.items()}
        space = {side: tune.loguniform(low, high) for side, (low, high) in box.items()}
        told: dict[str, Any] = {"metric": "value", "mode": "max", "low_cost_partial_config": first, "cost_attr": None}
        self.search, self.place = CFO(space=space, seed=seed, **told), first

    def propose(self) -> Hyperparameters:
        for _ in range(10_000):  # a configuration that was tried before is withdrawn, and the next one asked for
            self.number += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self.search.suggest(str(self.number))
            if found is not None:
                self.place = found
                return split.from_sides({side: found[side] for side in split.sides(self.names).values()}, self.names)
        raise Absent("cfo proposes nothing new; skipped")

    def learn(self, told: Told) -> None:
        config = {f"config/{side}": float(value) for side, value in self.place.items()}
        self.search.on_trial_complete(str(self.number), {"value": told.value, **config})
