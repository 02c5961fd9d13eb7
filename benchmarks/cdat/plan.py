"""What is trained: problems, methods, grids and their order. No torch.

A tuned lr is known only once its grid is measured, so `wanted(losses)` is asked again after every run. Grids are 10^(k/4): half
decades first, then one to either side of the best until it has both neighbours, on seed 0 alone.
"""

from __future__ import annotations

import itertools
import math
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

SEEDS, SMALL_STEPS = 3, 300  # steps: of mini_batch and sensitivity
HOPELESS, WARMUP = 1e3, 0.1  # times the first loss: diverged; of a tuned schedule's steps, then a straight line to 0
LAST, AROUND = 20, 10  # steps whose mean loss a run is judged by; steps up to a look whose mean lr is kept with it
MOST_IMAGES = 500  # loaded of a data set, so that a run of fewer has the first of the same ones
CRITICAL = {"gd": 2.0, "rmsprop": 2.0, "adam": 38.0}  # lr × sharpness on the edge; Adam's with beta1 = 0.9
CAP = {"gd": 100.0, "rmsprop": 1.0, "adam": 1.0}  # of every tuner's lr, above every tuned one
COARSE = {"gd": (-4, -2, 0), "rmsprop": (-14, -12, -10), "adam": (-10, -8, -6)}
TUNED, FOUND = ("constant", "schedule"), ("linesearch", "cdat")
BATCHES, SIGMAS, EMAS, MINI_RATES = (8, 32, 128, 300), (0.25, 0.5, 1.0, 1.5, 2.0, 2.5), (0.0, 0.9), (0.5, 1.0)
VARIED = {"width": (16, 256), "depth": (1, 4), "decay": (0.001, 0.01), "images": (100, 500)}
VARIATIONS = [{}, *({name: value} for name, ends in VARIED.items() for value in ends)]

Problem = namedtuple("Problem", "dataset network size images width depth loss steps every")
PROBLEMS = {  # `every`: steps between two looks, an odd number, as an lr found step by step may alternate
    "digits_mlp": Problem("digits", "mlp", 8, 300, 64, 2, "squared", 600, 29),
    "digits_resnet": Problem("digits", "resnet", 8, 256, 4, 0, "cross_entropy", 240, 11),
    "cifar10_mlp_squared": Problem("cifar10", "mlp", 16, 300, 64, 2, "squared", 400, 19),
    "cifar10_mlp": Problem("cifar10", "mlp", 16, 300, 64, 2, "cross_entropy", 400, 19),
    "cifar10_resnet": Problem("cifar10", "resnet", 16, 128, 4, 0, "cross_entropy", 240, 11),
}


class Run(NamedTuple):
    """One training. `value`: the lr of constant, the peak of schedule, σ of cdat, 0 of linesearch. 0: all images, the problem's own."""

    part: str
    role: str  # `tune`: a point of a grid; `compare`: looked at closely
    problem: str
    base: str
    method: str = "constant"
    value: float = 0.0
    seed: int = 0
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

    def cells(self) -> dict[str, str]:
        """Its fields as a row holds them."""
        return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in self._asdict().items()}


Losses = Mapping[Run, float]  # what a run is judged by; infinite where it diverged


def end_losses(rows: Sequence[Mapping[str, str]]) -> dict[Run, float]:
    """Every run on file and its loss."""
    kinds = {key: type(Run._field_defaults.get(key, "")) for key in Run._fields}
    runs = [Run(*(kind(row[key]) for key, kind in kinds.items())) for row in rows]
    losses = [math.inf if row["state"] == "diverged" else float(row["end_loss"]) for row in rows]
    return dict(zip(runs, losses, strict=True))


def rate(exponent: int) -> float:
    """A point of the grid as rows hold it."""
    return float(f"{10 ** (exponent / 4):.6g}")


def tuning(run: Run, losses: Losses) -> tuple[list[Run], int | None]:
    """What the grid of a constant lr, or of a schedule's peak, still lacks, or the exponent that won."""
    begin: Sequence[int] = COARSE[run.base]
    if run.method == "schedule":
        missing, best = tuning(run._replace(method="constant"), losses)
        if best is None:
            return missing, None
        begin = best, best + 2
    grid = {k: run._replace(role="tune", seed=0, value=rate(k)) for k in range(-40, 21)}
    tried = {k: losses[point] for k, point in grid.items() if point in losses}
    best = min(tried, key=lambda k: (tried[k], k), default=0)
    missing = [grid[k] for k in begin if k not in tried] or [grid[k] for k in (best - 1, best + 1) if k not in tried]
    return missing, None if missing else best


def rivals(run: Run, methods: Mapping[str, Sequence[float]], losses: Losses) -> Iterator[Run]:
    """The runs of one problem, base and seed: grids where a method is tuned, then its run; else one for each value."""
    for method, values in methods.items():
        if method in TUNED:
            missing, best = tuning(run._replace(method=method), losses)
            yield from missing
            values = [] if best is None else [rate(best)]  # noqa: PLW2901
        yield from (run._replace(method=method, value=value) for value in values)


def wanted(losses: Losses, cifar10: bool, only: str | None = None) -> list[Run]:
    """The missing runs that can be named by now, one seed after the other. `cifar10`: whether its images are at hand."""

    def every(seed: int) -> Iterator[Run]:
        mini, small = (Run(part, "compare", "digits_mlp", "gd", seed=seed) for part in ("mini_batch", "sensitivity"))
        for (name, problem), base in itertools.product(PROBLEMS.items(), CAP):
            if cifar10 or problem.dataset != "cifar10":
                methods = {"constant": (), "schedule": (), "linesearch": (0.0,), "cdat": (1.0, 2.0)}
                yield from rivals(Run("full_batch", "compare", name, base, seed=seed), methods, losses)
        _, best = tuning(mini._replace(part="full_batch"), losses)
        rates = [] if best is None else [float(f"{part * rate(best):.6g}") for part in MINI_RATES]
        for batch in BATCHES:
            yield from (mini._replace(batch=batch, value=value) for value in rates)
            tuned = itertools.product(EMAS, SIGMAS)
            yield from (mini._replace(method="cdat", batch=batch, ema=ema, value=sigma) for ema, sigma in tuned)
        for base, varied in itertools.product(("gd", "adam"), VARIATIONS):
            methods = {"constant": (), "cdat": (1.0, 1.5, 2.0, 2.2)}
            yield from rivals(small._replace(base=base, **varied), methods, losses)

    runs = dict.fromkeys(run for seed in range(SEEDS) for run in every(seed))
    return [run for run in runs if run not in losses and only in (None, run.part)]
