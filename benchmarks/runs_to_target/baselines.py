"""The field: random log search, Sobol's sequence, TPE, a Gaussian process and CMA-ES of Optuna, CFO of FLAML, in a box.

Every baseline is a generator: it yields the sides of a box and is sent the accuracy; a diverged run counts as chance, for Optuna ignores
failures. A start is clipped to the box. Random, Sobol, TPE and GP run it first; CMA-ES has it as first run and as x0; CFO as its low-cost
start. `tpe_chart` sees the chart's coordinates on logarithmic scales, in the smallest box there that holds the raw one; what falls
outside the raw box is clipped to it, and TPE is told the point it asked for.
"""

from __future__ import annotations

import itertools
import logging
import math
import warnings
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from scipy.stats import qmc

from benchmarks.runs_to_target.conditions import Box
from benchmarks.runs_to_target.surface import Sample
from flatdirs.space.chart import Chart

optuna.logging.set_verbosity(optuna.logging.ERROR)
Hyperparameters = Mapping[str, float]
Sides = Mapping[str, float]  # along a box: one_minus_momentum for momentum


class Unavailable(Exception):
    """A method whose package is not installed."""


def make(
    name: str, chart: Chart, box: Box, begin: Hyperparameters | None, seed: int
) -> Generator[tuple[Hyperparameters, int, Hyperparameters], Sample, None]:
    """A baseline in a box, from a start where it takes one: yields a point, 0, and the point of the best accuracy observed so far."""
    names = {f"one_minus_{free}" if free in chart.one_minus else free: free for free in chart.free}
    box = {side: box[side] for side in names}  # in the order of the chart

    def clipped(sides: Sides) -> dict[str, float]:
        return {side: min(max(float(sides[side]), low), high) for side, (low, high) in box.items()}

    first = None if begin is None else clipped({side: chart.inner(free, begin[free]) for side, free in names.items()})
    if name in ("random", "qmc"):
        asking = sequence(name, box, first, seed)
    else:
        asking = cfo(box, first, seed) if name == "cfo" else study(name, box, first, seed, chart)
    best, returned, accuracy = -math.inf, {}, None
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sides = clipped(asking.send(accuracy))
        point = {free: 1.0 - sides[side] if side != free else sides[side] for side, free in names.items()}
        accuracy = (yield point, 0, returned).accuracy
        if accuracy > best:
            best, returned = accuracy, point


def sequence(kind: str, box: Box, first: Sides | None, seed: int) -> Generator[Sides, float, None]:
    """Points that need no answers: those of flatdirs' own sequences."""
    if kind == "random":
        unit = (np.random.default_rng([seed, index]).random(len(box)) for index in itertools.count())
    else:
        unit = (point for point in qmc.Sobol(len(box), scramble=True, seed=seed).random(64))  # more than the budget
    if first is not None:
        yield first
    for point in unit:
        pairs = zip(point.tolist(), box.items(), strict=True)
        yield {side: low * (high / low) ** part for part, (side, (low, high)) in pairs}


def study(name: str, box: Box, first: Sides | None, seed: int, chart: Chart) -> Generator[Sides, float, None]:
    """An Optuna study in memory, its sampler with the arguments that `flatdirs.tune` gives it."""
    mixed = int(np.random.SeedSequence([seed, 0]).generate_state(1)[0])
    try:
        if name == "gp":
            sampler: Any = optuna.samplers.GPSampler(deterministic_objective=False, seed=mixed)
        elif name == "cmaes":  # x0 is deprecated, but nothing else says where to begin
            sampler = optuna.samplers.CmaEsSampler(x0=dict(first or {}), seed=seed, warn_independent_sampling=False)
        else:
            sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=mixed)
    except ImportError as error:
        raise Unavailable(f"{name} needs one more package; pip install 'flatdirs[samplers]'") from error
    found = optuna.create_study(direction="maximize", sampler=sampler)
    space = coordinates(box, chart) if name == "tpe_chart" else box
    ranges = {side: FloatDistribution(low, high, log=True) for side, (low, high) in space.items()}
    if first is not None:
        found.enqueue_trial(dict(first))
    while True:
        trial = found.ask(ranges)
        sides = trial.params
        if name == "tpe_chart":
            logs = chart.inverse @ np.log2([trial.params[axis] for axis in space])
            sides = dict(zip(box, (2.0**logs).tolist(), strict=True))
        accuracy = yield sides
        found.tell(trial, accuracy)


def coordinates(box: Box, chart: Chart) -> Box:
    """The smallest box in the chart's coordinates that holds the raw one.

    TPE draws in the order of the names, which begin with the number of factors: the product last, as for the rows on file.
    """
    logs, ends = np.log2(np.array(list(box.values()))), {}
    for axis, row in zip(chart.axes, chart.matrix.tolist(), strict=True):
        sides = [sorted((power * low, power * high)) for power, (low, high) in zip(row, logs.tolist(), strict=True)]
        ends[f"{len(axis.exponents)} {axis.name}"] = tuple(2.0 ** sum(some) for some in zip(*sides, strict=True))
    return ends


def cfo(box: Box, first: Sides | None, seed: int) -> Generator[Sides, float, None]:
    """FLAML's cost-related frugal optimisation; every run costs the same here."""
    try:
        from flaml import CFO, tune
    except ImportError as error:
        raise Unavailable("cfo needs one more package; pip install flaml==2.7.0") from error
    logging.getLogger("flaml").setLevel(logging.ERROR)
    space = {side: tune.loguniform(low, high) for side, (low, high) in box.items()}
    told: dict[str, Any] = {"metric": "accuracy", "mode": "max", "low_cost_partial_config": first, "cost_attr": None}
    search = CFO(space=space, seed=seed, **told)
    for number in range(10_000):  # a configuration that was tried before is withdrawn, and the next one asked for
        sides = search.suggest(str(number))
        if sides is not None:
            accuracy = yield sides
            config = {f"config/{side}": float(value) for side, value in sides.items()}
            search.on_trial_complete(str(number), {"accuracy": accuracy, **config})
    raise Unavailable("cfo proposes nothing new")
