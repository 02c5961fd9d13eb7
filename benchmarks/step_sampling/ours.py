"""flatdirs' own finder on the three subjects: its picks, its probes and what it cost, with every setting at its default.

Each seed begins from the weights, batches and dropout of a complete run of that seed. The finder runs twice: as it comes
(14 learning rates), whose picks count, and with `budget=None`, until every point of interest is known to 0.1 decades, for
its cost beside the other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import rows
from benchmarks.step_sampling.grid import locked
from benchmarks.step_sampling.subject import Subject
from flatdirs import LearningRates, find_learning_rate

BUDGETS = {"14": 14, "none": None}
RULES = ("min_lr", "max_lr", "log_midpoint", "half_loss", "steepest")
ARGMIN = "argmin"  # Wittmann's rule on our own points
KEYS = {"rate": "learning_rate", "low": "low", "high": "high"}


def measure(folder: Path, subjects: Sequence[Subject], seeds: Sequence[int]) -> None:
    """Every search that is not on file, into costs.csv, probes.csv and picks.csv."""
    for seed in seeds:
        for subject in subjects:
            for budget, most in BUDGETS.items():
                known = {(row["model"], row["seed"], row["budget"]) for row in rows.read(folder / "costs.csv")}
                if (subject.name, str(seed), budget) not in known:
                    _write(folder, subject, seed, budget, find(subject, seed, most))


def find(subject: Subject, seed: int, budget: int | None = 14) -> LearningRates:
    """The finder's answer for a subject."""
    with torch.random.fork_rng():
        torch.manual_seed(2 * seed + 1)
        return find_learning_rate(
            subject.model(seed),
            None,
            subject.optimizer,
            subject.batches(seed),
            subject.validation(),
            closure=subject.loss,
            budget=budget,
            progress=False,
        )


def _write(folder: Path, subject: Subject, seed: int, budget: str, found: LearningRates) -> None:
    """One search: its cost last, so that a kill in between leaves what the next command writes again."""
    about = {"model": subject.name, "seed": str(seed)}
    print(f"{subject.name} seed {seed}, budget {budget}:\n{found}", flush=True)
    with locked(folder / "costs.csv"):
        _replace(folder / "probes.csv", {**about, "budget": budget}, _probes(found))
        if budget == "14":
            _replace(folder / "picks.csv", about, _picks(found))
        share = found.cost / subject.total_steps
        cost = {
            "probes": len(found.points),
            "steps": found.steps,
            "cost": f"{found.cost:.1f}",
            "run_share": f"{share:.4f}",
        }
        _replace(folder / "costs.csv", {**about, "budget": budget}, [{**cost, "problem": found.problem or ""}])


def _probes(found: LearningRates) -> list[dict[str, object]]:
    points = [{"rate": f"{point.learning_rate:.6g}", "loss": f"{point.loss:.6g}"} for point in found.points]
    return [{"rate": "0", "loss": f"{found.initial_loss:.6g}"}, *points]


def _picks(found: LearningRates) -> list[dict[str, object]]:
    """A row a rule; without a rate where the finder had no answer."""
    picked = []
    for rule in RULES:
        pick = None if found.picks is None else getattr(found.picks, rule)
        rates = {name: "" if pick is None else repr(getattr(pick, key)) for name, key in KEYS.items()}
        picked.append({"rule": rule, **rates, "steps_equivalent": f"{found.cost:.1f}"})
    lowest = min(found.points, key=lambda point: point.loss).learning_rate
    at_a_point = {name: repr(lowest) for name in KEYS}
    return [*picked, {"rule": ARGMIN, **at_a_point, "steps_equivalent": f"{found.cost:.1f}"}]


def _replace(path: Path, about: dict[str, str], found: Sequence[dict[str, object]]) -> None:
    """These rows instead of those that say the same `about`."""
    kept = [row for row in rows.read(path) if any(row[key] != value for key, value in about.items())]
    rows.write(path, [*about, *found[0]], [*kept, *({**about, **row} for row in found)])
