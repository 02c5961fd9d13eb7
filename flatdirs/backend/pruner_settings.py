"""Settings of the pruners: a class is one file of conf/pruner/, its fields are that file's keys. No Optuna.

pruners.py makes Optuna's pruners of them. Rungs and bands are counted in evaluations. A first rung that no run reaches
is refused: the pruner would never stop a run, and nothing else would say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, islice, repeat, takewhile
from operator import mul, truediv
from typing import ClassVar

from flatdirs.errors import ConfigError
from flatdirs.setting_checks import require_integer, require_number

MOST_BANDS, LARGEST_BAND = 100, 2.0**53  # no run is longer


@dataclass(frozen=True)
class Pruning:
    """Base of all pruner settings."""

    name: ClassVar[str]
    only_finite: ClassVar[bool] = False  # whether evaluations without a value are not counted

    @property
    def first_comparison(self) -> tuple[str, int] | None:
        """The key that sets the first evaluation at which a run can be stopped, and that evaluation; None: any run."""
        return None

    def check(self, evaluations: int | None, silent: int = 0) -> None:
        """Raise ConfigError if runs of `evaluations` evaluations end before they can be stopped; None: not known.

        `silent`: the number of evaluations at the start of a run that have no value yet.
        """
        if evaluations is None or self.first_comparison is None:
            return
        key, first = self.first_comparison
        silent = silent if self.only_finite else 0
        if first >= evaluations - silent:
            without = f" ({silent} without a value)" if silent else ""
            raise ConfigError(
                f"pruner={self.name} compares runs from evaluation {first} on, but a run has only {evaluations} "
                f"evaluations{without}; lower {key}, or evaluate more often with evaluate_every",
                key=key,
            )


@dataclass(frozen=True)
class NoPruning(Pruning):
    """Never stop a run."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class Rungs(Pruning):
    """Successive halving with one bracket."""

    name: ClassVar[str] = "rungs"
    first_rung: int = 25
    factor: int = 2

    def __post_init__(self) -> None:
        require_integer("pruner.first_rung", self.first_rung, 1)
        require_integer("pruner.factor", self.factor, 2)

    @property
    def first_comparison(self) -> tuple[str, int]:
        return "pruner.first_rung", self.first_rung


@dataclass(frozen=True)
class Hyperband(Rungs):
    """Optuna's Hyperband; its brackets start at first_rung, first_rung·factor … up to the length of a run."""

    name: ClassVar[str] = "hyperband"


@dataclass(frozen=True)
class Wandb(Pruning):
    """The early stopping of W&B sweeps, with the names of its settings there."""

    name: ClassVar[str] = "wandb"
    only_finite: ClassVar[bool] = True
    min_iter: int = 25
    eta: float = 2.0
    strict: bool = True
    max_iter: int | None = None
    s: int | None = None

    def __post_init__(self) -> None:
        require_integer("pruner.min_iter", self.min_iter, 1)
        require_number("pruner.eta", self.eta, 1, above=True)
        if (self.max_iter is None) != (self.s is None):
            absent = "pruner.s" if self.s is None else "pruner.max_iter"
            raise ConfigError(f"pruner.max_iter and pruner.s must be set together; set {absent}", key=absent)
        if not self.bands:
            raise ConfigError(
                f"pruner.max_iter={self.max_iter} has no band of 1 or more with pruner.s={self.s} and "
                f"pruner.eta={self.eta:g}; raise pruner.max_iter or pruner.s",
                key="pruner.max_iter",
            )

    @property
    def bands(self) -> list[int]:
        """The numbers of values at which runs are compared, rising. Powers are repeated products, as W&B has them."""
        if self.max_iter is None or self.s is None:
            rising = accumulate(repeat(self.eta, MOST_BANDS), mul, initial=float(self.min_iter))
            return [int(band) for band in takewhile(lambda band: band < LARGEST_BAND, rising)]
        falling = islice(accumulate(repeat(self.eta, self.s), truediv, initial=float(self.max_iter)), 1, None)
        return sorted(int(band) for band in takewhile(lambda band: band >= 1, falling))

    @property
    def first_comparison(self) -> tuple[str, int]:
        return "pruner.min_iter" if self.max_iter is None else "pruner.max_iter", self.bands[0]


@dataclass(frozen=True)
class Incumbent(Pruning):
    """Comparison with the incumbent's own learning curve, for searches that hold one."""

    name: ClassVar[str] = "incumbent"
    margin: float = 3.0
    spread: float | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        require_number("pruner.margin", self.margin, 0)
        if self.spread is not None:
            require_number("pruner.spread", self.spread, 0)
        if self.first is not None:
            require_integer("pruner.first", self.first, 1)

    @property
    def first_comparison(self) -> tuple[str, int] | None:
        return None if self.first is None else ("pruner.first", self.first)


PRUNERS: Mapping[str, type[Pruning]] = {kind.name: kind for kind in (NoPruning, Rungs, Hyperband, Wandb, Incumbent)}
