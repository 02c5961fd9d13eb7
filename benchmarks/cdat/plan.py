"""What is trained, as plain records: problems, methods, grids, and in which order. No torch.

`wanted(rows)` is the rest of the plan given what is on file: a tuned rate is known only once its grid is, so the plan
grows with the rows. Breadth first: all of seed 0, the telling parts before the others, then seed 1, then seed 2, and
what is dearest last. A run is the same wherever it is made, so any number of processes may share a plan.

Tuning: rates are 10^(k/4). A grid of half decades, then one to either side of the best until it has both neighbours.
It is done on seed 0 alone and judged by what the page reports, the mean loss of the last steps; a tuned method thus
has an advantage on seed 0 and none on the others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any

SEEDS = 3
HOPELESS = 1e3  # times the first loss: diverged
LAST = 20  # steps whose mean loss a run is judged by
AROUND = 10  # steps up to a look whose mean rate is kept with it
CRITICAL = {"gd": 2.0, "rmsprop": 2.0, "adam": 38.0}  # rate × sharpness on the edge; Adam's with β₁ = 0.9
PER_DECADE = 4
BASES = ("gd", "rmsprop", "adam")
RIVALS = ("constant", "schedule", "linesearch", "sigma1", "sigma2")
COARSE = {"gd": (-4, -2, 0), "rmsprop": (-14, -12, -10), "adam": (-10, -8, -6)}
WARMUP = 0.1  # of a tuned schedule's steps; then a straight line to 0
FOUND = ("cdat", "linesearch")  # methods whose rate is found step by step
WHOLE, FEW = 200, 12  # most points of a loss curve that a row keeps: all that training.py samples, or a few
CAP = {"gd": 100.0, "rmsprop": 1.0, "adam": 1.0}  # of every tuner's rate: a guard against poles, above every tuned rate


@dataclass(frozen=True)
class Problem:
    """Images and a network: `width` units or channels, `depth` hidden layers of an MLP; `every`: steps between two looks at the curvature, an odd number, as rates found step by step may alternate."""

    name: str
    dataset: str
    network: str
    size: int
    images: int
    width: int
    depth: int
    loss: str
    steps: int
    every: int


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("digits_mlp", "digits", "mlp", 8, 300, 64, 2, "squared", 600, 29),
        Problem("digits_resnet", "digits", "resnet", 8, 256, 4, 0, "cross_entropy", 240, 11),
        Problem("cifar10_mlp_squared", "cifar10", "mlp", 16, 300, 64, 2, "squared", 400, 19),
        Problem("cifar10_mlp", "cifar10", "mlp", 16, 300, 64, 2, "cross_entropy", 400, 19),
        Problem("cifar10_resnet", "cifar10", "resnet", 16, 128, 4, 0, "cross_entropy", 240, 11),
    )
}
SMALL_STEPS = 300  # of the runs of the parts mini_batch and sensitivity
BATCHES = (8, 32, 128, 300)
SIGMAS = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5)
EMAS = (0.0, 0.9)
MINI_RATES = (0.5, 1.0)  # constant rates of mini_batch, as parts of the tuned one of the full batch
VARIATIONS: tuple[tuple[str, float], ...] = (
    ("width", 64),
    ("width", 16),
    ("width", 256),
    ("depth", 1),
    ("depth", 4),
    ("decay", 0.001),
    ("decay", 0.01),
    ("images", 100),
    ("images", 500),
)
VARIED_BASES = ("gd", "adam")  # adam was added when gd had shown no gain to vary
VARIED_SIGMAS = (1.0, 1.5, 2.0, 2.2)


@dataclass(frozen=True)
class Run:
    """One training. `value`: the rate of constant, the peak of schedule, σ of cdat, 0 for linesearch; `batch` 0: all images.

    `role`: `tune` is a point of a grid, `compare` is looked at closely. width, depth, images: 0 for the problem's own.
    """

    part: str
    role: str
    problem: str
    base: str
    method: str
    value: float
    seed: int
    batch: int = 0
    ema: float = 0.0
    width: int = 0
    depth: int = 0
    decay: float = 0.0
    images: int = 0

    @property
    def steps(self) -> int:
        """Its length."""
        return PROBLEMS[self.problem].steps if self.part == "full_batch" else SMALL_STEPS

    @property
    def points(self) -> int:
        """How much of its curve a row keeps: all that claims and figures ask of it.

        They ask for rates where these are found step by step, and for the loss of the first seed; of grids for nothing.
        """
        if self.role == "tune":
            return 0
        return WHOLE if self.part == "full_batch" and (self.seed == 0 or self.method in FOUND) else FEW

    def cells(self) -> dict[str, str]:
        """Its fields as a row holds them."""
        return {key: f"{value:.6g}" if isinstance(value, float) else str(value) for key, value in asdict(self).items()}


KINDS = {field.name: {"str": str, "float": float, "int": int}[str(field.type)] for field in fields(Run)}
Losses = Mapping[Run, float]  # a run's mean loss of its last steps; infinite where it diverged


def run_of(row: Mapping[str, str]) -> Run:
    """The run a row is of."""
    return Run(**{name: kind(row[name]) for name, kind in KINDS.items()})


def end_losses(rows: Sequence[Mapping[str, str]]) -> dict[Run, float]:
    """Every run on file and what it is judged by."""
    return {run_of(row): math.inf if row["state"] == "diverged" else float(row["end_loss"]) for row in rows}


def rate(exponent: int) -> float:
    """A rate of the grid as rows hold it."""
    return float(f"{10 ** (exponent / PER_DECADE):.6g}")


@cache
def grid(template: Run) -> Mapping[int, Run]:
    """Exponent → the run at its rate, far wider than any walk."""
    return {k: replace(template, value=rate(k)) for k in range(-40, 21)}


def tuning(template: Run, begin: Sequence[int], losses: Losses) -> tuple[list[Run], int | None]:
    """What the grid of `template` still wants, or the exponent that won."""
    runs = grid(replace(template, role="tune", seed=0, value=0.0))
    missing = [runs[k] for k in begin if runs[k] not in losses]
    if missing:
        return missing, None
    tried = {k: losses[run] for k, run in runs.items() if run in losses}
    best = min(tried, key=lambda k: (tried[k], k))
    missing = [runs[k] for k in (best - 1, best + 1) if k not in tried and k in runs]
    return missing, None if missing else best


def tuned(template: Run, losses: Losses) -> tuple[list[Run], int | None]:
    """The same for `constant`, or for `schedule`, whose grid begins at the best constant rate."""
    constant = replace(template, method="constant")
    missing, best = tuning(constant, COARSE[template.base], losses)
    if template.method == "constant" or best is None:
        return missing, best
    return tuning(template, (best, best + 2), losses)


def rivals(template: Run, methods: Sequence[str], losses: Losses) -> Iterator[Run]:
    """The runs of `template`'s problem, base and seed that are missing: grids where a method is tuned, then its run."""
    for name in methods:
        if name in ("constant", "schedule"):
            missing, best = tuned(replace(template, method=name), losses)
            yield from missing
            if best is None:
                continue
            run = replace(template, role="compare", method=name, value=rate(best))
        elif name == "linesearch":
            run = replace(template, role="compare", method=name, value=0.0)
        else:
            run = replace(template, role="compare", method="cdat", value=float(name.removeprefix("sigma")))
        if run not in losses:
            yield run


def full_batch(problem: str, seed: int, losses: Losses) -> Iterator[Run]:
    """Part 1 and 2: every base, every rival, on one problem."""
    for base in BASES:
        yield from rivals(Run("full_batch", "compare", problem, base, "constant", 0.0, seed), RIVALS, losses)


def mini_batch(seed: int, losses: Losses) -> Iterator[Run]:
    """Part 3: σ × batch with and without averages, and constant rates for the sharpness they end at."""
    base = Run("mini_batch", "compare", "digits_mlp", "gd", "constant", 0.0, seed)
    _, best = tuned(replace(base, part="full_batch"), losses)
    if best is not None:
        for part in MINI_RATES:
            for batch in BATCHES:
                yield replace(base, batch=batch, value=float(f"{part * rate(best):.6g}"))
    for ema in EMAS:
        for sigma in SIGMAS:
            for batch in BATCHES:
                yield replace(base, method="cdat", value=sigma, batch=batch, ema=ema)


def sensitivity(seed: int, losses: Losses) -> Iterator[Run]:
    """Part 4: one thing varied at a time, CDAT beside a constant rate tuned for that."""
    methods = ("constant", *(f"sigma{sigma:g}" for sigma in VARIED_SIGMAS))
    for base, (name, value) in itertools.product(VARIED_BASES, VARIATIONS):
        yield from rivals(varied(name, value, seed, base), methods, losses)


def varied(name: str, value: float, seed: int = 0, base: str = "gd") -> Run:
    """The template of one variation; `width 64` is the problem as it is."""
    template = Run("sensitivity", "compare", "digits_mlp", base, "constant", 0.0, seed)
    if (name, value) == VARIATIONS[0]:
        return template
    changed: Any = KINDS[name](value)
    return replace(template, **{name: changed})


PARTS = ("full_batch", "mini_batch", "sensitivity")


MOST_IMAGES = 500  # loaded of a data set, so that a run of fewer has the first of the same ones


def wanted(losses: Losses, cifar10: bool, only: str | None = None, seeds: int = SEEDS) -> list[Run]:
    """The missing runs that can be named by now, in order. `cifar10`: whether its images are at hand."""

    def every() -> Iterator[Run]:
        for seed in range(seeds):
            yield from full_batch("digits_mlp", seed, losses)
            yield from mini_batch(seed, losses)
            yield from sensitivity(seed, losses)
            if cifar10:
                yield from full_batch("cifar10_mlp_squared", seed, losses)
                yield from full_batch("cifar10_mlp", seed, losses)
            yield from full_batch("digits_resnet", seed, losses)
        for seed in range(seeds if cifar10 and seeds == SEEDS else 0):
            yield from full_batch("cifar10_resnet", seed, losses)

    return [run for run in dict.fromkeys(every()) if run not in losses and only in (None, run.part)]
