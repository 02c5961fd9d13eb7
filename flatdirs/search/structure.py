"""What the search thinks possible before any run: which product of powers is steep, and what settings are usual.

The steep coordinate is lr · momentum^a · wd^b · batch_size^c … (1 − momentum for momentum). Which exponents are right
depends on optimizer, batch size and length of training, so each has several candidates, weighed by the runs (gp.py);
the chart only names the axes along which points and reasons are told. `usual` bounds where the model's prior mean is
level: between the start and settings that are usual for the optimizer. Ours; sources of the exponents:
https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/ (lr·wd/((1−momentum)·batch_size)), arXiv 2205.10287
(lr/√batch_size for Adam), arXiv 2405.13698 (lr·wd), arXiv 2312.03732 (lora_alpha and lora_rank).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flatdirs.space.chart import Chart
from flatdirs.space.log_grid import Array, LogGrid

Exponents = tuple[float, ...]
# By hyperparameter: candidate exponents in the steep coordinate, and the logarithm of the prior of each. Where nothing
# is said for or against, 0; a prior of e⁻¹ or less where the theory of SGD speaks against an exponent.
CANDIDATES = {
    "lr": {1.0: 0.0},
    "momentum": {-1.0: 0.0, 0.0: -1.0},
    "wd": {1.0: 0.0, 0.5: -0.3, 0.0: 0.0},
    "batch_size": {-1.0: 0.0, -0.5: 0.0, 0.0: 0.0},
    "lora_alpha": {1.0: 0.0, 0.0: -1.0},
    "lora_rank": {-1.0: 0.0, -0.5: 0.0, 0.0: 0.0},
}
MUON = {0.0: 0.0, -1.0: -1.0}  # of its momentum, which does not multiply an update without a scale
WITHOUT_BATCH = -1.0  # log prior, where there is a momentum: with SGD the batch size always matters
USUAL = {  # settings that many scripts begin with, by the optimizer; no batch size, which may count tokens or images
    "sgd": {"lr": 0.1, "momentum": 0.9, "wd": 5e-4},
    "adam": {"lr": 1e-3, "beta1": 0.9, "wd": 1e-4},
    "adamw": {"lr": 1e-3, "beta1": 0.9, "wd": 1e-2},
    "muon": {"momentum": 0.95, "wd": 1e-2, "adamw_lr": 3e-4},  # its lr depends on how updates are scaled
}


@dataclass(frozen=True)
class Structure:
    """`exponents` (k, free): of the steep coordinate, 1 for the first hyperparameter; `log_prior` (k,). `usual`
    (free,): usual settings in octaves from the start, 0 where none are known. `unknown`: places of further
    hyperparameters on a log scale, whose exponents are 0 at first and then weighed around the likeliest kernels.
    """

    names: tuple[str, ...]
    exponents: Array
    log_prior: Array
    usual: Array
    unknown: tuple[int, ...] = ()

    @property
    def related(self) -> bool:
        """Whether a product of several hyperparameters may be steep."""
        return len(self.exponents) > 1 or bool(self.unknown)


def structure_of(log_grid: LogGrid) -> Structure:
    """What is possible on a grid, by the names of its free hyperparameters."""
    chart = log_grid.grid.chart
    further = frozenset(name for name in chart.scales if name not in CANDIDATES)
    exponents, log_prior = _directions(log_grid.names, further, family(chart))
    known = USUAL.get(family(chart), {})
    usual = [_octaves(log_grid, place, known.get(name)) for place, name in enumerate(log_grid.names)]
    logs = [n for n, name in enumerate(log_grid.names) if n and name in further and chart.scales[name].kind == "log"]
    unknown = tuple(logs) if log_grid.names[0] in CANDIDATES else ()
    return Structure(log_grid.names, np.array(exponents), np.array(log_prior), np.array(usual), unknown)


def family(chart: Chart) -> str:
    """The optimizer that a chart is for: sgd, adam (coupled L2), adamw, muon; "" where it does not show."""
    name = chart.name.split("-")[0]
    if "momentum" in chart.hyperparameters:
        return "muon" if name == "muon" else "sgd"
    name = name.removesuffix("_batch") if name.startswith("adam") else name.split("_")[-1]
    return name if name in USUAL else "adamw" if "beta1" in chart.hyperparameters else ""


def _octaves(log_grid: LogGrid, place: int, value: float | None) -> float:
    """A usual value in octaves from the start, within the bounds; 0 for none."""
    if value is None:
        return 0.0
    name = log_grid.names[place]
    off = math.log2(log_grid.grid.chart.inner(name, value)) - float(log_grid.base[place])
    return float(np.clip(off, log_grid.low[place], log_grid.high[place]))


@lru_cache
def _directions(names: tuple[str, ...], further: frozenset[str], optimizer: str) -> tuple[list[Exponents], list[float]]:
    """Every combination of exponents with its log prior, relative to the first hyperparameter's."""
    tables = [{0.0: 0.0} if name in further else CANDIDATES.get(name, {0.0: 0.0}) for name in names]
    if optimizer == "muon" and "momentum" in names:
        tables[names.index("momentum")] = MUON
    if optimizer == "sgd" and "batch_size" in names:
        place = names.index("batch_size")
        tables[place] = {power: told if power else WITHOUT_BATCH for power, told in tables[place].items()}
    own = next((power for power in tables[0] if power), 1.0)
    tables[0] = {own: 0.0}
    found: list[Exponents] = []
    weights = []
    for powers in itertools.product(*tables):
        found.append(tuple(power / own for power in powers))
        weights.append(sum(table[power] for table, power in zip(tables, powers, strict=True)))
    total = float(np.logaddexp.reduce(weights))
    return found, [weight - total for weight in weights]
