"""One search to its end and what judges it: by flatdirs' own trainer on a task, or replayed on the surface of a lattice.

Seeds: the search of repetition r has 100·r and on, its race 1000 later, the judging runs a million later. On a lattice a seed's luck and
a run's own noise are drawn from its number, so that the same run gives the same value.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.search import lattice_surface as surface
from flatdirs import tune
from flatdirs.backend.verdict import Verdict
from flatdirs.cli.arguments import read_words
from flatdirs.cli.compose import compose
from flatdirs.config.tune import read_tune
from flatdirs.report.live import Report
from flatdirs.tuning import loop
from flatdirs.tuning.settings import TuneConfig
from flatdirs.tuning.start import automatic_start, with_start

APART, JUDGING = 100, 1_000_000  # between the seeds of repetitions, and from a search's to those that judge it
DRAWS = 400  # runs that a surface's noise is taken over

Start = Mapping[str, float] | str  # "auto" for what flatdirs finds


@dataclass(frozen=True)
class Ended:
    """A search that has ended. `fresh`: values of the race; `judge(hyperparameters, number)`: a further run, None: diverged.

    `gain`, `level`: of a lattice, see __main__.row.
    """

    verdict: Verdict
    start: Mapping[str, Any]
    given: Mapping[str, Any]
    fresh: Mapping[str, list[float | None]]
    maximize: bool
    judge: Callable[[Mapping[str, Any], int], float | None]
    gain: float | None = None
    level: float | None = None


def trained(words: list[str], start: Start, seed: int, limits: Mapping[str, int], folder: Path) -> Ended:
    """A search by `flatdirs tune` with these words, in memory; judged on the test set, as its race is."""
    own = [*words, *(f"{key}={value}" for key, value in limits.items()), f"seed={seed}"]
    config = configured(own, start, folder)
    result = loop.tune(config, Report(False, Console(quiet=True)))
    assert result.verdict is not None

    def judge(hyperparameters: Mapping[str, Any], number: int) -> float | None:
        return on_test(config, hyperparameters, seed + number)

    verdict, begun = result.verdict, dict(config.plan.grid.start)
    return Ended(verdict, begun, verdict.hyperparameters, result.confirmed, config.maximize, judge)


def configured(words: list[str], start: Start, folder: Path) -> TuneConfig:
    """What `flatdirs tune` makes of these words and this start."""
    begin = ["start=auto"] if isinstance(start, str) else [f"start.{name}={value!r}" for name, value in start.items()]
    own = [*words, *begin, f"output={folder}", "storage=memory", "live=false"]
    return with_start(read_tune(compose("tune", read_words("tune", own))), _silent)


def on_test(config: TuneConfig, hyperparameters: Mapping[str, Any], number: int) -> float | None:
    """A run with a judging seed, evaluated on the test set; None: it diverged."""
    found = config.objective.measure(hyperparameters, [JUDGING + number], lambda *_: None, final=True)
    return found.value if found.state == "finished" else None


def replayed(name: str, start: Start, repetition: int, limits: Mapping[str, int], folder: Path) -> Ended:
    """A search by `flatdirs.tune` of a function that looks its value up on a lattice's surface."""
    ground, seed = surface.named(name), APART * repetition
    second = "momentum" if "momentum" in ground.lattice.names else "beta1"
    begin = _probed(name, second, repetition) if isinstance(start, str) else dict(start)

    def run(hyperparameters: Mapping[str, Any], number: int) -> float | None:
        luck = float(np.random.default_rng([number, 7]).standard_normal())
        point = repr(sorted((key, float(value)) for key, value in hyperparameters.items()))
        own = int.from_bytes(hashlib.blake2s(f"{name} {point} {number}".encode(), digest_size=8).digest(), "big")
        sample = ground.observe(hyperparameters, np.random.default_rng(own), luck)
        return None if sample.diverged else sample[0]

    def sgd(lr: float, momentum: float, wd: float, seed: int) -> float:
        value = run({"lr": lr, "momentum": momentum, "wd": wd}, seed)
        return float("nan") if value is None else value

    def adamw(lr: float, beta1: float, wd: float, seed: int) -> float:
        value = run({"lr": lr, "beta1": beta1, "wd": wd}, seed)
        return float("nan") if value is None else value

    function = sgd if second == "momentum" else adamw
    told = {"optimizer": "sgd" if second == "momentum" else "adamw", "seed": seed, "output": folder, "progress": False}
    result = tune(function, begin, direction="maximize", **told, **limits)
    assert result.verdict is not None
    given = result.verdict.hyperparameters
    gain = ground.value(given) - ground.value(begin)
    level = min(_noise(lambda number, at=at: run(at, number)) for at in (begin, given))
    judge = lambda at, number: run(at, seed + JUDGING + number)  # noqa: E731
    return Ended(result.verdict, begin, given, result.confirmed, True, judge, gain, level)


def _noise(run: Callable[[int], float | None]) -> float:
    """The standard deviation of a run at one point."""
    found = [value for number in range(DRAWS) if (value := run(2 * JUDGING + number)) is not None]
    return statistics.stdev(found) if len(found) > 1 else 0.0


def _probed(name: str, second: str, repetition: int) -> dict[str, float]:
    """The automatic start by one of the lattice's probes; those without an answer are passed over."""
    known = [row for row in rows.read(lattices.HERE / "probes.csv") if row["lattice"] == name and row["log_midpoint"]]
    own = known[repetition % len(known)]
    return automatic_start(float(own["log_midpoint"]), int(own["run_steps"]), second)


def _silent(_: str) -> None:
    """Drop a remark."""
