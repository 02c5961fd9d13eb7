"""Train what a lattice lacks, and probe its task: any number of processes, each run once. No torch of its own.

A process claims a run by locking one byte of a file; the lock ends with the process. A row is on disk before its claim ends. A lattice
is made in rounds: first the spread cells, then new cells beside the best ones and more seeds on the ridge. A round depends on the
results of the rounds before it and on nothing else on file; so all processes decide alike, and an interrupted lattice ends as any other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import IO, Any
from zlib import crc32

from benchmarks import rows
from benchmarks.lattice.lattices import Cell, Lattice, Run
from flatdirs.objectives.base import Measurement
from flatdirs.objectives.image import ImageObjective

CHANCE = 10.0  # percent; every task here has ten classes
CURVE = ("train_loss", "loss", "accuracy")
WAIT_SECONDS = 1.0  # between looks at what other processes have finished
PROBE_SEEDS = 20
PICKS = ("log_midpoint", "half_loss", "steepest", "min_lr", "max_lr")


def fill(
    folder: Path, lattice: Lattice, train: Callable[[Run], Measurement], about: Mapping[str, Any], budget: int | None
) -> None:
    """Make the runs that the lattice lacks, at most `budget` of them by this process."""
    path, made = folder / f"{lattice.name}.csv", 0
    with path.with_name(f"{path.name}.claims.lock").open("a") as claims:
        while wanted := runs_left(lattice, results(lattice, rows.read(path))):
            before = made
            for run in wanted:
                if made == budget:
                    return
                with claimed(claims, crc32(repr(run).encode())) as mine:
                    if mine and run not in results(lattice, rows.read(path)):
                        found = train(run)
                        with locked(path):
                            rows.append(path, row(lattice, run, found, noted(folder, about)))
                        print(lattice.name, *run, found.state, found.value, flush=True)
                        made += 1
            if made == before:
                time.sleep(WAIT_SECONDS)


def row(lattice: Lattice, run: Run, found: Measurement, made: str) -> dict[str, Any]:
    """A run as the file has it: cell, hyperparameters, result, every epoch, and the key of provenance.json (`made`)."""
    curves = {key: [math.nan if epoch[key] is None else epoch[key] for epoch in found.curve] for key in CURVE}
    return {
        **{f"log2_{axis}": power for axis, power in zip(lattice.axes, run.cell, strict=True)},
        **{name: repr(value) for name, value in lattice.hyperparameters(run.cell).items()},
        **{
            "seed": run.seed,
            "accuracy": f"{found.value:.2f}",
            "loss": f"{math.nan if found.loss is None else found.loss:.4g}",
        },
        **{"diverged": int(found.state == "diverged"), "seconds": f"{found.seconds:.1f}"},
        **{f"{key}_curve": ";".join(f"{value:.4g}" for value in curve) for key, curve in curves.items()},
        "made": made,
    }


def run_of(lattice: Lattice, row: Mapping[str, str]) -> Run:
    """The run of a row."""
    return Run(tuple(int(row[f"log2_{axis}"]) for axis in lattice.axes), int(row["seed"]))


def results(lattice: Lattice, rows: Sequence[Mapping[str, str]]) -> dict[Run, float]:
    """Accuracies in percent by run; a diverged run counts as chance."""
    return {run_of(lattice, row): CHANCE if row["diverged"] == "1" else float(row["accuracy"]) for row in rows}


def runs_left(lattice: Lattice, found: Mapping[Run, float]) -> list[Run]:
    """The missing runs of the first unfinished round, in the order to make them; none when the lattice is complete."""
    done: dict[Run, float] = {}
    planned = [Run(cell, 0) for cell in lattice.order] + [Run(cell, 1) for cell in lattice.order[: lattice.repeated]]
    while planned:
        if missing := [run for run in planned if run not in found]:
            return missing
        done |= {run: found[run] for run in planned}
        planned = next_round(lattice, done)
    return []


def next_round(lattice: Lattice, done: Mapping[Run, float]) -> list[Run]:
    """New cells while there are too few, and the next seeds of the ridge.

    The ridge is every cell whose mean lies at most `near` points below the level (the mean of the ten best cells); it gets a second
    seed, and a third where it lies at most half as far. An untried cell is as promising as the mean of its two best neighbours,
    diagonal ones included; chance stands for a missing one.
    """
    cells: dict[Cell, list[float]] = {}
    for run in sorted(done):
        cells.setdefault(run.cell, []).append(done[run])
    means = {cell: fmean(values) for cell, values in cells.items()}
    beside: dict[Cell, list[float]] = {}
    for cell, mean in means.items():
        for other in lattice.around(cell):
            beside.setdefault(other, [CHANCE]).append(mean)
    hopes = {cell: fmean(sorted(values)[-2:]) for cell, values in beside.items() if cell not in means}
    promising = sorted(hopes, key=lambda cell: (-hopes[cell], cell))
    fresh = [Run(cell, 0) for cell in promising[: max(0, min(lattice.round, lattice.cells - len(means)))]]
    level = fmean(sorted(means.values())[-10:])
    for cell, mean in sorted(means.items()):
        seeds = 1 + sum(mean >= level - points for points in (lattice.near, lattice.near / 2))
        fresh += [run for run in map(Run, [cell] * seeds, range(seeds)) if run not in done]
    return fresh


def probe(folder: Path, lattice: Lattice, objective: ImageObjective, about: Mapping[str, Any]) -> None:
    """Step sampling with every seed that is not on file, as the start of a search has it: picks (empty for no answer), cost, points."""
    from flatdirs.training.records import ProbeConfig
    from flatdirs.tuning.probing import probe_task

    path = folder / "probes.csv"
    with path.with_name(f"{lattice.name}.probes.lock").open("a") as claims:
        for seed in range(PROBE_SEEDS):
            with claimed(claims, seed) as mine:
                if not mine or (lattice.name, str(seed)) in {(old["lattice"], old["seed"]) for old in rows.read(path)}:
                    continue
                config = objective.config({"learning_rate": 1.0, **lattice.probe}, seed)
                found = probe_task(config, ProbeConfig(), progress=False)
                points = [(0.0, found.initial_loss), *((point.learning_rate, point.loss) for point in found.points)]
                row = {
                    **{"lattice": lattice.name, "seed": seed},
                    **{
                        name: f"{getattr(found.picks, name).learning_rate:.6g}" if found.picks else "" for name in PICKS
                    },
                    **{"cost_steps": f"{found.cost:.1f}", "run_steps": config.total_steps},
                    **{
                        "problem": found.problem or "",
                        "points": ";".join(f"{lr:.6g}:{loss:.6g}" for lr, loss in points),
                    },
                }
                with locked(path):
                    rows.append(path, {**row, "made": noted(folder, about)})
                print(lattice.name, "probe", seed, row["log_midpoint"] or row["problem"], flush=True)


def noted(folder: Path, about: Mapping[str, Any]) -> str:
    """The key of `about` in provenance.json, where it is added if it is new."""
    path = folder / "provenance.json"
    key = hashlib.blake2s(json.dumps(about, sort_keys=True).encode(), digest_size=3).hexdigest()
    with locked(path):
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if key not in known:
            draft, text = path.with_name(f"{path.name}.part"), {**known, key: dict(about)}
            draft.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            draft.replace(path)
    return key


@contextmanager
def claimed(claims: IO[str], number: int) -> Iterator[bool]:
    """Whether thing `number` is this process's now; it stays so until the end of the block, or of the process."""
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(claims, fcntl.LOCK_UN, 1, number)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time writes `path`; the lock is a file beside it and ends with the process."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
