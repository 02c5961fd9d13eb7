"""Train completely over a grid of rates, ask every finder for its picks, train completely at these; then the page.

    pip install torch-lr-finder==0.2.2
    python -m benchmarks.step_sampling data=cifar10.npz [only=grid,finder,rivals,picks,longer,synthetic] [models=resnet18]

What is on file is not measured again; `worker=0/2` and `worker=1/2` share the complete runs, `seeds` and `device` narrow
it down. `only=synthetic` needs no data and measures anew.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.rows import locked
from benchmarks.step_sampling import page, rivals, synthetic
from benchmarks.step_sampling.models import SCHEDULES, Subject, loss_of, subject
from flatdirs import find_learning_rate
from flatdirs.errors import FlatdirsError
from flatdirs.objectives.provenance import provenance
from flatdirs.training.device import device_name, resolve_device

POWERS = {"resnet_small": range(-11, 2), "resnet18": range(-11, 2), "transformer": range(-16, -3)}  # of 2: the rates
LISTS = {"only": ("grid", "finder", "rivals", "picks", "longer", "synthetic"), "models": tuple(POWERS)}
KEYS: dict[str, Any] = {**LISTS, "data": None, "worker": "0/1", "seeds": 3, "device": "auto"}
BUDGETS = {"14": 14, "none": None}  # the finder as it comes, and until every point is known to 0.1 decades
Cell = tuple[str, str, float, int]  # model, schedule, rate and seed of a complete run


def main(folder: Path, arguments: Sequence[str]) -> None:
    """Measure what is asked for and not on file."""
    settings = settings_of(arguments, KEYS, LISTS)
    parts, models, seeds = list(settings["only"]), settings["models"], range(settings["seeds"])
    torch.set_num_threads(1)
    if parts == ["synthetic"] or ("synthetic" in parts and not (folder / "synthetic.csv").exists()):
        synthetic.measure(folder / "synthetic.csv")
    device, (worker, workers) = resolve_device(settings["device"]), map(int, settings["worker"].split("/"))
    probed = models if set(parts) - {"longer", "synthetic"} else ()
    subjects = {name: subject(name, settings["data"], device) for name in probed}
    if "grid" in parts:
        train_all(folder, subjects, cells(models, seeds)[worker::workers])
    for seed, one in ((seed, one) for seed in seeds for one in subjects.values()):
        if "finder" in parts:
            find(folder, one, seed)
        if "rivals" in parts:
            ramps(folder, one, seed)
    if "picks" in parts:
        train_all(folder, subjects, cells_at_picks(folder, models, seeds)[worker::workers])
    if "longer" in parts:
        rates = [2.0**power for power in range(-10, -5)] + picked(folder, "transformer", "log_midpoint")
        wanted = [("transformer_long", "constant", rate, 0) for rate in rates]
        train_all(folder, {"transformer_long": subject("transformer_long", None, device)}, wanted[worker::workers])


def cells(models: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Seed by seed, every other rate of all models and schedules before the rates between."""
    order = product(seeds, (0, 1), SCHEDULES, models)
    return [(m, schedule, 2.0**power, seed) for seed, at, schedule, m in order for power in POWERS[m][at::2]]


def picked(folder: Path, model: str, rule: str) -> list[float]:
    """The rate that a rule picked with seed 0; empty where there is none."""
    found = [row for name in ("picks", "rivals") for row in rows.read(folder / f"{name}.csv")]
    return [float(r["rate"]) for r in found if (r["model"], r["rule"], r["seed"]) == (model, rule, "0") and r["rate"]]


def cells_at_picks(folder: Path, models: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Constant rates picked with seed 0, each once: log_midpoint's first, with all `seeds`, the others' with two."""
    wanted = [*product(seeds, models, page.OWN[:1]), *product((0, 1), models, page.NAMES)]
    found = [(model, "constant", rate, seed) for seed, model, rule in wanted for rate in picked(folder, model, rule)]
    return list(dict.fromkeys(found))


def train_all(folder: Path, subjects: dict[str, Subject], wanted: Sequence[Cell]) -> None:
    """Train what is not on file, in order, and write each run down."""
    for name, schedule, rate, seed in wanted:
        key = {"model": name, "schedule": schedule, "rate": str(rate), "seed": str(seed)}
        if not on_file(folder / "runs.csv", key):
            one = subjects[name]
            accuracy, loss, diverged, steps, seconds = one.train_fully(rate, schedule, seed)
            row = {**key, "accuracy": f"{accuracy:.3f}", "loss": f"{loss:.5f}", "diverged": diverged, "steps": steps}
            row |= {"seconds": f"{seconds:.2f}", "data": one.data}
            row |= {"device": f"{one.device.type} ({device_name(one.device)})", "precision": one.precision}
            row |= {"threads": 1, "torch": torch.__version__, "python": provenance()["python"]}
            row |= {"date": datetime.date.today().isoformat()}
            with locked(folder / "runs.csv"):
                rows.append(folder / "runs.csv", row)
            print(*key.values(), f"{accuracy:.2f} % in {seconds:.1f} s", flush=True)


def find(folder: Path, one: Subject, seed: int) -> None:
    """Step sampling with every budget; its cost is written last, so that a killed one is repeated."""
    about = {"model": one.name, "seed": str(seed)}
    for budget, most in BUDGETS.items():
        key = {**about, "budget": budget}
        if on_file(folder / "costs.csv", key):
            continue
        with torch.random.fork_rng():
            torch.manual_seed(2 * seed + 1)
            train, options = one.batches(seed), {"closure": loss_of, "budget": most, "progress": False}
            found = find_learning_rate(one.model(seed), None, one.optimizer, train, one.validation, **options)
        print(f"{one.name} seed {seed}, budget {budget}:\n{found}", flush=True)
        probes = [(0.0, found.initial_loss), *((point.learning_rate, point.loss) for point in found.points)]
        replace(folder / "probes.csv", key, [{"rate": f"{rate:.6g}", "loss": f"{loss:.6g}"} for rate, loss in probes])
        ends = {rule: getattr(found.picks, rule) for rule in page.OWN} if found.picks else {}
        rates = {rule: (pick.learning_rate, pick.low, pick.high) for rule, pick in ends.items()}
        rates["argmin"] = (min(found.points, key=lambda point: point.loss).learning_rate,) * 3  # Wittmann's rule
        picks = [(rule, *rates.get(rule, ("", "", "")), f"{found.cost:.1f}") for rule in (*page.OWN, "argmin")]
        if budget == "14":
            names = ("rule", "rate", "low", "high", "steps_equivalent")
            replace(folder / "picks.csv", about, [dict(zip(names, pick, strict=True)) for pick in picks])
        cost = {"probes": len(found.points), "steps": found.steps, "cost": f"{found.cost:.1f}"}
        cost |= {"run_share": f"{found.cost / one.steps:.4f}", "problem": found.problem or ""}
        replace(folder / "costs.csv", key, [cost])


def ramps(folder: Path, one: Subject, seed: int) -> None:
    """Every rival's ramp; its curve is written last, so that a killed one is repeated."""
    about = {"model": one.name, "seed": str(seed)}
    for finder, run in rivals.FINDERS.items():
        if not on_file(folder / "rivals_curves.csv", {**about, "finder": finder}):
            rates, losses, picks = run(one, seed)
            print(one.name, seed, picks, flush=True)
            for rule, pick in picks.items():
                rate, note = ("", pick) if isinstance(pick, str) else (pick, "")
                line = {"rate": rate, "steps": len(losses), "note": note}
                replace(folder / "rivals.csv", {**about, "rule": rule}, [line])
            curve = [{"rate": f"{rate:.6g}", "loss": f"{loss:.6g}"} for rate, loss in zip(rates, losses, strict=True)]
            replace(folder / "rivals_curves.csv", {**about, "finder": finder}, curve)


def on_file(path: Path, key: dict[str, str]) -> bool:
    """Whether a row has this key."""
    return any(key.items() <= row.items() for row in rows.read(path))


def replace(path: Path, key: dict[str, str], found: Sequence[dict[str, Any]]) -> None:
    """Write these rows instead of those of the same key."""
    with locked(path):
        kept = [row for row in rows.read(path) if not key.items() <= row.items()]
        rows.write(path, [*key, *found[0]], [*kept, *({**key, **row} for row in found)])


if __name__ == "__main__":
    try:
        main(Path(__file__).resolve().parent, sys.argv[1:])
    except FlatdirsError as error:
        sys.exit(f"flatdirs: {error}")
    pages.write("step_sampling")
