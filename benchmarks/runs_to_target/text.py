"""What the page says around its tables: how it was done, and every decision that the conditions leave open."""

from __future__ import annotations

from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.findings import BUDGET

COMMAND = "python -m benchmarks.runs_to_target"


def introduction() -> list[str]:
    """From the title to the first section."""
    found = conditions.settings()
    return [
        "# Runs to target: the benchmark against the field",
        "",
        f"`make bench` (`{COMMAND} workers=2`) makes the rows and draws this page; `make bench-full` adds the Gaussian process and runs",
        "every repetition to its end. Both go on where they stopped. [conditions.yaml](conditions.yaml) holds everything compared, written",
        f"before the first search was run: starts, boxes, targets, a budget of {BUDGET} runs, {found['seeds']} seeds ({found['gp_seeds']} for `gp`).",
        "",
        "Three things changed after first tries had been seen. Two AdamW starts were moved, because the lattice begins at λ = 1.5e-5 and they began below it:",
        "`source` from λ = 1e-5 to 2e-5, and `careless_low` from λ = 1e-6 to 2e-5, with β₁ from 0.9 to 0.99 and α from 2e-4 to 1e-3 as well, for which the lattice gave no",
        "cause. `tpe_chart` lost its variant with a start, to save time. And a training seed's luck is shared between points (below), where it had been drawn anew for each.",
        "",
        "How many training runs does a search need until one of them is within 2 %, 1 % or 0.5 % of the best accuracy there is? *1 %*",
        "means an accuracy of at least 0.99 × the best. Counted is the first run at a point whose **noiseless** value is that good; the",
        "search itself sees noisy runs. A repetition that does not get there counts as one run more than the budget, in every median",
        f"and test, so {BUDGET + 1} reads *never*. Intervals are 95 % of a bootstrap of the median over seeds; tests are sign tests, paired by seed.",
        "",
    ]


def surfaces() -> list[str]:
    """How a surface comes about."""
    return [
        "## The surfaces",
        "",
        "[Lattices](../lattice/README.md) of real training runs, one cell a setting in factors of two. A search needs values between the",
        "cells, and the best of hundreds of single runs is luck; so it is judged on a smooth fit to the cells, and targets refer to the best of",
        "the fit. A Gaussian process (Matérn 5/2) with a full metric over log₂ of the three raw hyperparameters, learnt by maximum",
        "likelihood, with the noise of each cell from the measured spread of its seeds: nobody tells it about products of hyperparameters. It is",
        "fitted to log((a − 7)/(101 − a)) of the mean accuracy a of the finished runs of a cell; a second process on ±1 tells where runs",
        "diverge, and its zero is a cliff, behind which a run is a guess. Final losses are fitted the same way, as logarithms, for a search",
        "may look at them. Outside the lattice a value is that of the nearest edge.",
        "",
        "A run's noise is the residual of a real run, accuracy and losses together, from a cell at a similar number of points below the level.",
        "All points of a search have one training seed, as in `flatdirs.tune`, and on the lattices a seed's luck in one cell tells of its luck in",
        "another, by how much depends on the lattice and on how far below the level both lie. So as much of a residual is the seed's own, the same at every point of a repetition, as",
        "the correlation between cells of the same band says (*luck shared*: within 1.5 points of the level, up to 4, and beyond).",
        "The fit is as good as this says, cross-validated by cell in ten folds (root mean squares in points of accuracy, beside what the noise",
        "of the held-out means alone would give; *near*: within 5 points of the level):",
        "",
    ]


def methods() -> list[str]:
    """Who competes, and how."""
    return [
        "## The methods",
        "",
        "- `flatdirs`, `myrtle` (the source's search) and `raw` (the same in λ, ρ, α) begin at a start and know no box. They are driven as",
        "  `flatdirs.tune` drives them; a question whose point and repeat were asked before costs nothing. When one stops, it stops: what it did",
        "  not reach it never reaches.",
        "- `random` and `qmc` (Sobol) are flatdirs' sequences. `tpe` and `gp` are Optuna's with the arguments of `flatdirs/plan.py`. All four have a",
        "  box and no start; as `…+start` they run the start, clipped to the box, first.",
        "- `tpe_chart` is TPE that is given flatdirs' coordinates. Its box is the smallest one in coordinates that holds the raw box, which is",
        "  larger than the raw box; what falls outside the raw box is clipped to it, hyperparameter by hyperparameter, and TPE is told the point it asked for.",
        "- `cmaes` is Optuna's, its first run and its x0 the start clipped to the box, its step size Optuna's default. `cfo` is FLAML 2.7.0's,",
        "  its low-cost start the start clipped to the box; every run costs the same. A clipped start may be a good one: the box then gives it away.",
        "- Diverged runs are told to Optuna and FLAML as a guess, 10 %, for Optuna ignores failed trials. What they return is the best run observed.",
        "- The start `auto` is flatdirs' automatic one, from step sampling of the lattice's task with probe seed (repetition mod 20). Its probes",
        "  are counted as runs, in fractions, for every method that begins there, and are part of the budget; where a probe had no answer the",
        "  typical start stands in, and is paid all the same.",
        "- Boxes and the start `good` follow the linear rule from the source's batch of 512 where conditions.yaml says so; AdamW's do not, as a",
        "  step of AdamW does not grow with the gradient.",
        "",
    ]
