"""Rows of start.csv (a start from a short run of CDAT), start_runs.csv (whole runs from it) and sigma_start.csv (schedule=cdat).

A peak is judged by the fitted surfaces of the lattices, at the momentum and wd of step sampling's probes there, beside step
sampling's own pick with the ratio that `start=step_sampling` multiplies it by. A question is the row's key columns as text.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.__main__ import objective_of
from benchmarks.search import lattice_surface as surface
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.schedule import Triangle
from flatdirs.training.self_tuning import Cdat
from flatdirs.tuning.cdat_start import edge_run, from_rates
from flatdirs.tuning.start import PEAK_RATIO

WAYS = ("step_sampling", "cdat", "cdat with its warm-up")
LATTICES = {"sgd": "digits", "adamw": "digits_adamw"}
KEYS = {"start": ("lattice", "sigma", "seed"), "start_runs": ("way", "sigma", "seed")}
KEYS["sigma_start"] = ("task", "base", "sigma", "seed")


def wanted(part: str, folder: Path, cifar10: bool, table: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """The questions of a part that its table does not answer yet; `cifar10`: whether its images are at hand."""
    seeds = [str(seed) for seed in range(20)]
    if part == "start":
        names = ("digits", "digits_adamw", "cifar10_small")[: 3 if cifar10 else 2]
        every = itertools.product(names, ("2", "0.25"), seeds)
    elif part == "sigma_start":
        every = itertools.product(("digits",), LATTICES, ("0.125", "0.25", "0.5", "1", "2"), seeds[:5])
    else:  # step sampling has no σ
        known = {(row["sigma"], row["seed"]) for row in rows.read(folder / "start.csv") if row["lattice"] == "digits"}
        found = [each for each in itertools.product(("2", "0.25"), seeds[:10]) if each in known]
        every = dict.fromkeys((way, sigma if way != WAYS[0] else "", seed) for sigma, seed in found for way in WAYS)
    answered = {tuple(row[key] for key in KEYS[part]) for row in table}
    return [question for question in every if question not in answered]


def row(part: str, folder: Path, settings: Mapping[str, Any], question: tuple[str, ...]) -> dict[str, Any]:
    """The row that answers a question."""
    known = dict(zip(KEYS[part], question, strict=True))
    name = known.get("lattice") or LATTICES[known.get("base", "sgd")]
    path, lattice = settings["data.path"] if name.startswith("cifar10") else None, lattices.named(name)
    objective, seed = objective_of(lattice, {**settings, "data.path": path}), int(known["seed"])
    if part == "start":
        return known | start_row(lattice, float(known["sigma"]), seed, objective)
    if part == "start_runs":
        starts = {tuple(row[key] for key in KEYS["start"]): row for row in rows.read(folder / "start.csv")}
        start = starts[name, known["sigma"] or "2", known["seed"]]
        return known | whole_row(known["way"], start, dict(lattice.probe), objective)
    objective = replace(objective, schedule=Cdat())
    found = objective.measure({"sigma": float(known["sigma"]), **lattice.probe}, [seed], lambda *_: None)
    accuracy = f"{found.value:.2f}" if found.state == "finished" else "0"
    known |= {"epochs": objective.task.epochs, "state": found.state, "accuracy": accuracy}
    return {**known, "seconds": f"{found.seconds:.1f}"}


def start_row(lattice: lattices.Lattice, sigma: float, seed: int, objective: ImageObjective) -> dict[str, Any]:
    """A short run of CDAT; its peak, fractions of it and step sampling's pick on the lattice's surface."""
    config = objective.config({"lr": 1.0, **lattice.probe}, seed)
    rates, losses = edge_run(config, sigma=sigma)
    ground, found, probes = surface.named(lattice.name), from_rates(rates), rows.read(lattices.HERE / "probes.csv")
    probe = next(row for row in probes if (row["lattice"], row["seed"]) == (lattice.name, str(seed)))
    pick = PEAK_RATIO * float(probe["log_midpoint"]) if probe["log_midpoint"] else None
    peak = found.learning_rate if found else None

    def value(rate: float | None) -> str:
        return "" if rate is None else f"{ground.value({'lr': rate, **lattice.probe}):.3f}"

    return {
        "run_steps": config.total_steps,
        "edge_steps": len(rates),
        "surface": ground.key,
        "best": f"{ground.best:.4f}",
        "step_sampling": "" if pick is None else f"{pick:.6g}",
        "step_sampling_cost": "" if pick is None else f"{float(probe['cost_steps']):.1f}",
        "step_sampling_value": value(pick),
        "cdat_value": value(peak),
        "cdat_fractions": ";".join(f"{part}:{value(peak / part)}" for part in (1, 2, 4, 8, 16, 32, 64)) if peak else "",
        **{key: ";".join(map("{:.4g}".format, found)) for key, found in (("rates", rates), ("losses", losses))},
    }


def whole_row(way: str, start: Mapping[str, str], other: dict[str, float], objective: ImageObjective) -> dict[str, Any]:
    """A whole run of digits from one of the starts."""
    found, epochs = from_rates([float(rate) for rate in start["rates"].split(";")]), ""
    peak = start["step_sampling"] if way == WAYS[0] else found and f"{found.learning_rate:.6g}"
    if not peak:
        return {"learning_rate": "", "warmup_epochs": "", "state": "no start", "accuracy": ""}
    if way == WAYS[2] and found:
        warm_up = found.warmup_steps * objective.task.epochs / float(start["run_steps"])
        objective, epochs = replace(objective, schedule=Triangle(warmup_epochs=warm_up)), f"{warm_up:.3f}"
    measured = objective.measure({"lr": float(peak), **other}, [int(start["seed"])], lambda *_: None)
    told = {"learning_rate": peak, "warmup_epochs": epochs, "state": measured.state}
    return {**told, "accuracy": f"{measured.value:.3f}"}
