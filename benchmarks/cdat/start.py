"""`start=cdat`, tried: what a short run of CDAT says of an ordinary schedule.

The run and its two rules are flatdirs/training/edge_start.py's; both were fixed before a rate had been looked at. That
was with σ = 2; the rule that chooses between it and 0.25 (`worst_shortfalls`) was fixed before 0.25 was tried. The peak
is judged by the fitted surfaces of the lattices (benchmarks/runs_to_target), at the momentum and weight decay of step
sampling's probes there, beside step sampling's own pick with the ratio that `start=step_sampling` multiplies it by; and
a few whole runs of the trainer judge the warm-up as well. Source: ours.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import HERE as LATTICES
from flatdirs.tuning.cdat_start import (
    CAP,
    EMA,
    SIGMA,
    STEP_PRICE,
    STEPS,
    EdgeStart,
    edge_run,
    from_rates,
)

if TYPE_CHECKING:
    from benchmarks.cdat.findings import Evidence
    from flatdirs.objectives.image import ImageObjective

__all__ = ["CAP", "EMA", "SIGMA", "STEPS", "STEP_PRICE", "EdgeStart", "edge_run", "from_rates"]

SEEDS, TRAINED_SEEDS = 20, 10
SIGMAS = (2.0, 0.25)  # the edge of a quadratic, and where the trainer's own searches begin in mini-batches
SURFACES = ("digits", "digits_adamw", "cifar10_small")
WAYS = ("step_sampling", "cdat", "cdat with its warm-up")


def settings_of(name: str) -> dict[str, float]:
    """The other hyperparameters on a lattice: those of its probes."""
    return dict(lattices.named(name).probe)


def edge_row(question: tuple[str, float, int], objective: ImageObjective) -> dict[str, Any]:
    """A row of start.csv: one lattice's task, one σ, one seed."""
    from benchmarks.runs_to_target import surface
    from flatdirs.tuning.start import PEAK_RATIO

    name, sigma, seed = question
    config = objective.config({"learning_rate": 1.0, **settings_of(name)}, seed)
    rates, losses = edge_run(config, sigma=sigma)
    ground = surface.named(name)
    probe = step_sampling_pick(name, seed)
    found = from_rates(rates)
    return {
        "lattice": name,
        "sigma": f"{sigma:g}",
        "seed": seed,
        "run_steps": config.total_steps,
        "edge_steps": len(rates),
        "surface": ground.key,
        "best": f"{ground.best:.4f}",
        "step_sampling": "" if probe is None else f"{PEAK_RATIO * probe[0]:.6g}",
        "step_sampling_cost": "" if probe is None else f"{probe[1]:.1f}",
        "step_sampling_value": "" if probe is None else value(name, PEAK_RATIO * probe[0]),
        "cdat_value": "" if found is None else value(name, found.learning_rate),
        "cdat_fractions": "" if found is None else fractions(name, found.learning_rate),
        "rates": ";".join(f"{rate:.4g}" for rate in rates),
        "losses": ";".join(f"{loss:.4g}" for loss in losses),
    }


FRACTIONS = (1, 2, 4, 8, 16, 32, 64)


def value(name: str, rate: float) -> str:
    """The surface's accuracy at a rate."""
    from benchmarks.runs_to_target import surface

    return f"{surface.named(name).value({'learning_rate': rate, **settings_of(name)}):.3f}"


def fractions(name: str, rate: float) -> str:
    """The same at whole fractions of a rate: in hindsight, not part of the rule."""
    return ";".join(f"{part}:{value(name, rate / part)}" for part in FRACTIONS)


def step_sampling_pick(name: str, seed: int) -> tuple[float, float] | None:
    """What the lattice's probe of that seed picked and what it cost, in steps; None where it had no answer."""
    from benchmarks import rows

    for row in rows.read(LATTICES / "probes.csv"):
        if (row["lattice"], row["seed"]) == (name, str(seed)) and row["log_midpoint"]:
            return float(row["log_midpoint"]), float(row["cost_steps"])
    return None


def trained_questions(starts: Iterable[tuple[str, int]]) -> list[tuple[str, str, int]]:
    """Way, σ and seed of the whole runs that can be trained; step sampling has no σ. `starts`: σ and seed on file."""
    every = [
        (way, "" if way == WAYS[0] else sigma, seed)
        for seed, sigma in sorted((seed, sigma) for sigma, seed in starts if seed < TRAINED_SEEDS)
        for way in WAYS
    ]
    return list(dict.fromkeys(every))


def trained_row(
    question: tuple[str, str, int], starts: Mapping[tuple[str, int], Mapping[str, str]], objective: ImageObjective
) -> dict[str, Any]:
    """A row of start_runs.csv: a whole run of digits from one of the starts; `starts`: σ and seed → row of start.csv."""
    from flatdirs.training.schedule import Triangle

    way, sigma, seed = question
    row = starts[sigma or f"{SIGMAS[0]:g}", seed]
    found = from_rates([float(rate) for rate in row["rates"].split(";")])
    if way == "step_sampling":
        rate = float(row["step_sampling"] or "nan")
    else:
        rate = float("nan") if found is None else found.learning_rate
    epochs = None
    if way == WAYS[2] and found is not None:
        epochs = found.warmup_steps * objective.task.epochs / float(row["run_steps"])
        objective = replace(objective, schedule=Triangle(warmup_epochs=epochs))
    answered = not math.isnan(rate)
    measured = (
        objective.measure({"learning_rate": rate, **settings_of("digits")}, [seed], lambda *_: None)
        if answered
        else None
    )
    return {
        "way": way,
        "sigma": sigma,
        "seed": seed,
        "learning_rate": f"{rate:.6g}" if answered else "",
        "warmup_epochs": "" if epochs is None else f"{epochs:.3f}",
        "state": "no start" if measured is None else measured.state,
        "accuracy": "" if measured is None else f"{measured.value:.3f}",
    }


Tables = dict[tuple[str, float], dict[str, list[float]]]


def at_sigma(evidence: Evidence, sigma: float) -> Evidence:
    """The evidence with the starts of one σ alone."""
    one = copy.copy(evidence)
    one.starts = [row for row in evidence.starts if float(row["sigma"]) == sigma]
    return one


def tables(evidence: Evidence) -> Tables:
    """Task and σ → what `claims.start_numbers` says of it, for those that have rows."""
    from benchmarks.cdat import claims

    every = {
        (name, sigma): claims.start_numbers(at_sigma(evidence, sigma), name) for name in SURFACES for sigma in SIGMAS
    }
    return {key: table for key, table in every.items() if table is not None}


def differences(table: Mapping[str, Sequence[float]]) -> list[float]:
    """Edge − step sampling, seed by seed, in points."""
    return [edge - probe for edge, probe in zip(table["cdat"], table["step_sampling"], strict=True)]


def at_cap(table: Mapping[str, Sequence[float]]) -> int:
    """How many peaks are the cap and so no finding."""
    return sum(CAP is not None and rate >= CAP for rate in table["cdat rate"])


def worst_shortfalls(every: Tables) -> dict[float, tuple[float, str]]:
    """σ → its worst mean shortfall against step sampling and the task where that is; σ with every task alone."""
    found: dict[float, tuple[float, str]] = {}
    for sigma in SIGMAS:
        own = [(-statistics.fmean(differences(table)), name) for (name, one), table in every.items() if one == sigma]
        if len(own) == len(SURFACES):
            found[sigma] = max(own)
    return found


def trained_accuracies(table: Iterable[Mapping[str, str]]) -> dict[tuple[str, str], dict[int, float]]:
    """Way and σ → seed → accuracy, from the rows of start_runs.csv."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in table:
        if row["accuracy"]:
            found.setdefault((row["way"], row["sigma"]), {})[int(row["seed"])] = float(row["accuracy"])
    return dict(sorted(found.items(), key=lambda pair: (pair[0][1], WAYS.index(pair[0][0]))))


def gaps(table: Iterable[Mapping[str, str]], first: str, second: str) -> list[float]:
    """Accuracy of the second way − that of the first, over the seeds of both, with the σ of `start=cdat`."""
    found = trained_accuracies(table)
    one, other = (found.get((way, "" if way == WAYS[0] else f"{SIGMA:g}"), {}) for way in (first, second))
    return [other[seed] - one[seed] for seed in sorted(one.keys() & other.keys())]


def standard_error(values: Sequence[float]) -> float:
    """Of a mean; not a number of one value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def judged(values: Sequence[float]) -> str:
    """What a list of differences says, by two standard errors of its mean."""
    mean = statistics.fmean(values)
    return "no telling" if not abs(mean) > 2 * standard_error(values) else "better" if mean > 0 else "worse"
