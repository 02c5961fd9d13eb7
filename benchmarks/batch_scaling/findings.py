"""What the raw rows say about each claim: numbers and a verdict, nothing drawn and nothing measured.

The thresholds were written down before the rows were looked at. "Held" and "did not hold" are computed here, from every row
on file, in the same way for either outcome.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache

from scipy.stats import spearmanr

from benchmarks.batch_scaling import peaks, walks
from benchmarks.batch_scaling.raw import shown

REFERENCE_RATE = 1 / 64  # Bη at which distances of different states are ranked
RANK_CORRELATION = 0.8  # from here on distance counts as growing with the gradient norm
MOST_CELLS = 0.9  # share of cells from which on late training counts as closer than the start
EXPONENT_TOLERANCE = 0.25
GOOD_WITHIN = 2.0  # percentage points below the best mean that still count as training well

RATES = {shown(rate): rate for rate in (*walks.LARGE_RATES, *(one for task in peaks.RATES.values() for one in task))}

Cell = tuple[str, int, int, int, float]  # task, seed, epochs, B, Bη


@dataclass(frozen=True)
class State:
    """Local facts at some weights: ‖∇L‖, σ, H, and how well these weights do."""

    loss: float
    accuracy: float
    gradient_norm: float
    sigma: float
    sharpness: float

    def bound(self, batch: int, large_rate: float) -> float:
        """2ση√B + η²HB²‖∇L‖ + 4η²HσB^1.5 with η = Bη/B (reference/002 §2.1)."""
        rate = large_rate / batch
        noise = 2 * self.sigma * rate * batch**0.5 + 4 * rate**2 * self.sharpness * self.sigma * batch**1.5
        return noise + rate**2 * self.sharpness * batch**2 * self.gradient_norm


@dataclass(frozen=True)
class Way:
    """Means over the draws of examples; not finite where a walk blew up."""

    same_examples: float
    other_examples: float
    large_step: float
    small_steps: float


@cache
def states() -> dict[tuple[str, int, int], State]:
    """(task, seed, epochs) → facts."""
    return {
        (row["task"], int(row["seed"]), int(row["epochs"])): State(*(float(row[key]) for key in walks.STATES.values))
        for row in walks.STATES.read()
    }


@cache
def ways() -> dict[Cell, Way]:
    """(task, seed, epochs, B, Bη) → mean distances."""
    draws: dict[Cell, list[list[float]]] = defaultdict(list)
    for row in walks.DISTANCES.read():
        cell = (row["task"], int(row["seed"]), int(row["epochs"]), int(row["batch_size"]), RATES[row["large_rate"]])
        draws[cell].append([float(row[key]) for key in walks.DISTANCES.values])
    return {
        cell: Way(*(statistics.fmean(column) for column in zip(*rows, strict=True))) for cell, rows in draws.items()
    }


def walked_tasks() -> list[str]:
    """The tasks whose distances are measured to the end of the plan; nothing is said about half of one."""
    of_a_state = len(walks.BATCH_SIZES) * len(walks.LARGE_RATES) * walks.DRAWS
    planned = {task: walks.SEEDS[task] * len(epochs) for task, epochs in walks.EPOCHS.items()}
    described = Counter(key[0] for key in states())
    walked = Counter(row["task"] for row in walks.DISTANCES.read())
    return [task for task, count in planned.items() if described[task] == count and walked[task] == count * of_a_state]


def trained_tasks() -> list[str]:
    """The tasks whose runs with and without warm-up are all there."""
    trained = Counter(row["task"] for row in peaks.RUNS.read())
    settings = {task: 2 * len(rates) * len(peaks.BATCH_SIZES[task]) for task, rates in peaks.RATES.items()}
    return [task for task, count in settings.items() if trained[task] == count * peaks.SEEDS[task]]


def near_bound(task: str) -> list[tuple[float, float]]:
    """Distance over bound, same examples and others, in every cell within the source's condition Bη ≤ 1/(2H)."""
    pairs = []
    for (name, seed, epochs, batch, rate), way in ways().items():
        state = states()[name, seed, epochs]
        if name == task and rate <= 1 / (2 * state.sharpness):
            bound = state.bound(batch, rate)
            pairs.append((way.same_examples / bound, way.other_examples / bound))
    return pairs


def ranks(task: str, fact: str) -> dict[int, float]:
    """B → Spearman's correlation, over states, of a fact with the distance (same examples) at the reference rate."""
    found = {}
    for batch in walks.BATCH_SIZES:
        keys = [key for key in states() if key[0] == task]
        facts = [getattr(states()[key], fact) for key in keys]
        apart = [ways()[(*key, batch, REFERENCE_RATE)].same_examples for key in keys]
        found[batch] = float(spearmanr(facts, apart).statistic)
    return found


def closer_late(task: str, relative: bool) -> tuple[int, int]:
    """In how many (seed, B, Bη) the walk ends closer late than at the start, and of how many.

    `relative`: in units of the large step's length. A walk that blew up is as far as can be.
    """
    last, wins, count = max(walks.EPOCHS[task]), 0, 0

    def apart(way: Way) -> float:
        found = way.same_examples / (way.large_step if relative else 1)
        return found if math.isfinite(found) else math.inf

    for (name, seed, epochs, batch, rate), way in ways().items():
        if name == task and epochs == 0:
            wins += apart(ways()[name, seed, last, batch, rate]) < apart(way)
            count += 1
    return wins, count


def exponents(task: str, epochs: int) -> dict[str, float]:
    """Powers of Bη (from the two smallest rates) and of B (at the smallest) by which distances grow, mean over seeds."""
    low, high = walks.LARGE_RATES[:2]
    small, *_, large = walks.BATCH_SIZES
    powers: dict[str, list[float]] = defaultdict(list)
    for name, seed, at in states():
        if (name, at) != (task, epochs):
            continue
        for kind in ("same_examples", "other_examples"):
            apart = {cell[3:]: getattr(way, kind) for cell, way in ways().items() if cell[:3] == (name, seed, at)}
            for batch in walks.BATCH_SIZES:
                power = math.log(apart[batch, high] / apart[batch, low]) / math.log(high / low)
                powers[f"{kind} rate"].append(power)
            power = math.log(apart[large, low] / apart[small, low]) / math.log(large / small)
            powers[f"{kind} batch"].append(power)
    return {key: statistics.fmean(values) for key, values in powers.items()}


@dataclass(frozen=True)
class Runs:
    """All seeds of one rate on one side, in the order of their seeds; a diverged run's accuracy is 0."""

    accuracies: tuple[float, ...]
    diverged: int
    failed: int

    @property
    def mean(self) -> float:
        """Mean accuracy in percent."""
        return statistics.fmean(self.accuracies)

    @property
    def spread(self) -> float:
        """Standard deviation over seeds, 0 for one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


@cache
def runs() -> dict[tuple[str, int, bool, float], Runs]:
    """(task, batch size, warm-up, peak rate) → its runs."""
    groups: dict[tuple[str, int, bool, float], list[tuple[int, float, bool, bool]]] = defaultdict(list)
    for row in peaks.RUNS.read():
        key = (row["task"], int(row["batch_size"]), row["warmup"] == "True", RATES[row["learning_rate"]])
        diverged = row["diverged"] == "True"
        failed = diverged or row["at_chance"] == "True"
        groups[key].append((int(row["seed"]), float(row["accuracy"]), diverged, failed))
    found = {}
    for key, rows in groups.items():
        _, accuracies, diverged_flags, failed_flags = zip(*sorted(rows), strict=True)
        found[key] = Runs(accuracies, sum(diverged_flags), sum(failed_flags))
    return found


@dataclass(frozen=True)
class Comparison:
    """With against without warm-up for one task and batch size; pairs are (with, without)."""

    highest_trained: tuple[float, float]  # peak rate at which no seed failed
    highest_good: tuple[float, float]  # peak rate whose mean is within GOOD_WITHIN of the best mean of both sides
    best_rate: tuple[float, float]
    best: tuple[Runs, Runs]

    @property
    def gain(self) -> float:
        """Best mean with warm-up minus best mean without, in percentage points."""
        return self.best[0].mean - self.best[1].mean

    @property
    def error(self) -> float:
        """Twice the standard error of the gain."""
        return 2 * math.sqrt(sum(side.spread**2 / len(side.accuracies) for side in self.best))


def compare(task: str, batch: int) -> Comparison:
    """Both sides of one task and batch size."""
    sides = [
        {rate: found for (name, size, warm, rate), found in runs().items() if (name, size, warm) == (task, batch, side)}
        for side in (True, False)
    ]
    top = max(found.mean for side in sides for found in side.values())
    best = [max(side, key=lambda rate, side=side: side[rate].mean) for side in sides]
    trained = [max((rate for rate, found in side.items() if found.failed == 0), default=0.0) for side in sides]
    good = [max((r for r, found in side.items() if found.mean >= top - GOOD_WITHIN), default=0.0) for side in sides]
    return Comparison(tuple(trained), tuple(good), tuple(best), tuple(s[r] for s, r in zip(sides, best, strict=True)))
