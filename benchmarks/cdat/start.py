"""`start=cdat`, tried: what a short run on the edge of stability says of an ordinary schedule.

The run and its two rules are flatdirs/training/edge_start.py's; both were fixed before a rate had been looked at. The peak is judged by the
fitted surfaces of the lattices (benchmarks/runs_to_target), at the momentum and weight decay of step sampling's probes
there, beside step sampling's own pick with the ratio that `start=step_sampling` multiplies it by; and a few whole runs
of the trainer judge the warm-up as well. Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import HERE as LATTICES
from flatdirs.training.edge_start import CAP, EMA, SIGMA, STEP_PRICE, STEPS, EdgeStart, edge_run, from_rates

if TYPE_CHECKING:
    from flatdirs.objective import ImageObjective

__all__ = ["CAP", "EMA", "SIGMA", "STEPS", "STEP_PRICE", "EdgeStart", "edge_run", "from_rates"]

SEEDS, TRAINED_SEEDS = 20, 10
SURFACES = ("digits", "digits_adamw")
WAYS = ("step_sampling", "cdat", "cdat with its warm-up")


def settings_of(name: str) -> dict[str, float]:
    """The other hyperparameters on a lattice: those of its probes."""
    return dict(lattices.named(name).probe)


def edge_row(question: tuple[str, int], objective: ImageObjective) -> dict[str, Any]:
    """A row of start.csv: one lattice's task, one seed."""
    from benchmarks.runs_to_target import surface
    from flatdirs.starting import PEAK_RATIO

    name, seed = question
    config = objective.config({"learning_rate": 1.0, **settings_of(name)}, seed)
    rates, losses = edge_run(config)
    ground = surface.named(name)
    probe = step_sampling_pick(name, seed)
    found = from_rates(rates)
    return {
        "lattice": name,
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


def trained_row(
    question: tuple[str, int], starts: Mapping[int, Mapping[str, str]], objective: ImageObjective
) -> dict[str, Any]:
    """A row of start_runs.csv: a whole run of digits from one of the starts."""
    from flatdirs.training.schedule import Triangle

    way, seed = question
    row = starts[seed]
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
        "seed": seed,
        "learning_rate": f"{rate:.6g}" if answered else "",
        "warmup_epochs": "" if epochs is None else f"{epochs:.3f}",
        "state": "no start" if measured is None else measured.state,
        "accuracy": "" if measured is None else f"{measured.value:.3f}",
    }
