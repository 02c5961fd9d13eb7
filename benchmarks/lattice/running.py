"""Train what a lattice wants, and probe its task: any number of processes, each run once. No torch of its own.

A process claims a run by locking one byte of a file, which ends with the process, so a killed one leaves nothing to
clean up. A row is on disk before its claim ends. Nothing says which process makes which run: the same command in as
many shells as there are cores is all, and one that finds everything claimed waits for the others' results.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks import rows
from benchmarks.lattice.lattices import Lattice, Run
from benchmarks.lattice.refinement import runs_left
from benchmarks.lattice.results import results, row, run_of
from flatdirs.objectives.base import Measurement
from flatdirs.objectives.image import ImageObjective

WAIT_SECONDS = 1.0  # between looks at what the other processes have finished
PROBE_SEEDS = 20
PICKS = ("log_midpoint", "half_loss", "steepest", "min_lr", "max_lr")

Say = Callable[[str], None]
Train = Callable[[Run], Measurement]


def fill(folder: Path, lattice: Lattice, train: Train, about: Mapping[str, Any], budget: int | None, say: Say) -> int:
    """Make the runs that the lattice still wants, at most `budget` of them; how many this process made."""
    path, made = folder / f"{lattice.name}.csv", 0
    with path.with_name(f"{path.name}.claims.lock").open("a") as claims:
        while wanted := runs_left(lattice, results(lattice, rows.read(path))):
            before = made
            for number, run in enumerate(wanted, 1):
                if made == budget:
                    return made
                with claimed(claims, lattice.number(run)) as mine:
                    if not mine or run in {run_of(lattice, old) for old in rows.read(path)}:
                        continue
                    found = train(run)
                    with locked(path):
                        rows.append(path, row(lattice, run, found, noted(folder, about)))
                made += 1
                what = "diverged" if found.state == "diverged" else f"{found.value:.2f} %"
                say(f"{lattice.name} {number}/{len(wanted)} {run.cell} seed {run.seed}: {what}, {found.seconds:.1f} s")
            if made == before:
                time.sleep(WAIT_SECONDS)
    return made


def trainer(lattice: Lattice, objective: ImageObjective) -> Train:
    """One run, trained as `flatdirs.tune` trains it."""

    def train(run: Run) -> Measurement:
        return objective.measure(lattice.hyperparameters(run.cell), [run.seed], lambda *_: None)

    return train


def probe(folder: Path, lattice: Lattice, objective: ImageObjective, about: Mapping[str, Any], say: Say) -> None:
    """Step sampling with every seed that is not on file, as a search's start would have it."""
    path = folder / "probes.csv"
    with path.with_name(f"{lattice.name}.probes.lock").open("a") as claims:
        for seed in range(PROBE_SEEDS):
            with claimed(claims, seed) as mine:
                known = {(old["lattice"], old["seed"]) for old in rows.read(path)}
                if not mine or (lattice.name, str(seed)) in known:
                    continue
                found = probe_row(lattice, objective, seed)
                with locked(path):
                    rows.append(path, {**found, "made": noted(folder, about)})
            say(f"{lattice.name} probe {seed}: {found['log_midpoint'] or found['problem']}")


def probe_row(lattice: Lattice, objective: ImageObjective, seed: int) -> dict[str, Any]:
    """One search for a rate: its picks, empty where it had no answer, what it cost, and its points."""
    from flatdirs.training.records import ProbeConfig
    from flatdirs.tuning.probing import probe_task

    config = objective.config({"learning_rate": 1.0, **lattice.probe}, seed)
    found = probe_task(config, ProbeConfig(), progress=False)
    picks = {name: "" if found.picks is None else f"{getattr(found.picks, name).learning_rate:.6g}" for name in PICKS}
    points = [(0.0, found.initial_loss), *((point.learning_rate, point.loss) for point in found.points)]
    return {
        "lattice": lattice.name,
        "seed": seed,
        **picks,
        "cost_steps": f"{found.cost:.1f}",
        "run_steps": config.total_steps,
        "problem": found.problem or "",
        "points": ";".join(f"{rate:.6g}:{loss:.6g}" for rate, loss in points),
    }


def noted(folder: Path, about: Mapping[str, Any]) -> str:
    """The key under which provenance.json has this; added where it has not."""
    path = folder / "provenance.json"
    key = hashlib.blake2s(json.dumps(about, sort_keys=True).encode(), digest_size=3).hexdigest()
    with locked(path):
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if key not in known:
            draft = path.with_name(f"{path.name}.part")
            draft.write_text(
                json.dumps({**known, key: dict(about)}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            draft.replace(path)
    return key


@contextmanager
def claimed(claims: IO[str], number: int) -> Iterator[bool]:
    """Whether thing `number` is this process's now; it stays so until the end of the block, or of the process."""
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError:
        mine = False
    else:
        mine = True
    try:
        yield mine
    finally:
        if mine:
            fcntl.lockf(claims, fcntl.LOCK_UN, 1, number)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time writes `path`; the lock is a file beside it and ends with the process."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
